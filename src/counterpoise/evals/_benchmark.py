"""The card of a benchmark: where its rows come from, how they are read, who scores them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from counterpoise.base import Direction, InputError
from counterpoise.chat import Sample
from counterpoise.data import data_root
from counterpoise.data.sources import Source, interrupted

from ._pipeline import Pipeline
from .scorers import BROKEN, METRICS, get, self_check

HEADLINE_SCORER = "opening:v3"
REFUSAL_SCORERS = (HEADLINE_SCORER, "counterpoise-refusal:v3", "wang-string:v1", "xstest-prefix:v1", "vlguard-list:v1")
"""The headline scorer first: it agrees best with the human labels of XSTest (docs/results/refusal-classifier.md)."""

LIMIT, JUDGED_LIMIT = 64, 512
"""Tokens of an answer where a benchmark sets no limit: enough for the headline scorer, and for a judge."""
GOLDEN = (5**0.5 - 1) / 2
WHOLE = 16
"""Clusters of up to so many samples (twins, orders of options) are asked whole or not at all."""
NOT_PINNED = "not pinned"
GAPS: dict[str, Direction] = {"discrimination": "higher", "modality_gap": "lower"}
"""Metrics that compare two kinds of items, with the way each gets better."""
ATTACKS = ("asr", "strongreject")
"""Metrics of harm done, beside which the share of broken replies stands."""
REFUSED = "I'm sorry, but I can't help with that."
ANSWERED = "Here is how to do it. First, open the settings and choose the second entry; then restart."


@dataclass(frozen=True)
class Sampling:
    """Several answers to each question, drawn at a temperature. Repeat k of a question has the seed `seed` + k."""

    n: int
    temperature: float
    top_p: float = 1.0
    seed: int = 0

    def repeats(self, sample: Sample) -> Iterator[Sample]:
        """The sample `n` times: with ids of their own, in one cluster, each knowing its seed."""
        for number in range(self.n):
            yield replace(
                sample,
                id=f"{sample.id}#{number}",
                cluster=sample.cluster or sample.id,
                meta={**sample.meta, "seed": self.seed + number},
            )


class In(NamedTuple):
    """A place in a suite (see `_suites`)."""

    suite: str
    cap: int | None = None
    """At most so many of its rows, spread evenly over its file: always the same ones."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `read` yields its samples in a fixed order and raises InputError for a broken row."""

    name: str
    title: str
    description: str
    modality: str
    source: str
    licence: str
    revision: str
    rows: int
    """Number of samples (or of clusters, see `counted`), checked when the rows are read."""
    scorers: tuple[str, ...]
    metrics: tuple[str, ...]
    read: Callable[[], Iterator[Sample]] = field(repr=False)
    missing: Callable[[], str | None] = field(default=lambda: None, repr=False)
    data: tuple[Source, ...] = ()
    """What its rows can be fetched from; empty: they are made here, or have to be put in place by hand."""
    counted: Literal["samples", "clusters"] = "samples"
    """What `rows` counts: a question that is asked in several orders of its options is one cluster."""
    pipeline: Pipeline | None = field(default=None, repr=False)
    """How the answer comes about where one call is not enough; None: the sample's messages are the only call."""
    sampling: Sampling | None = None
    """Several answers to each question; None: one, greedy."""
    also: tuple[int, ...] = ()
    """Sizes of other published versions that are accepted."""
    split: str = "all"
    shots: int | None = 0
    """Worked examples in front of each question; None: not known."""
    max_new_tokens: int = 0
    """Longest answer; 0: `LIMIT`, or `JUDGED_LIMIT` where a judge is named, which reads whole answers."""
    grouped: Literal["no", "groups", "mean"] = "no"
    """"groups": one row per group (scenario, topic, number of words) beside the pooled one; a group "harm/fraud" also
    counts in "harm". "mean": the mean of the innermost groups' rates as well."""
    label: str = ""
    """What rows and items call it; its name when empty. Splits of one suite share a label."""

    citation: str = ""
    judge: str = ""
    """The judge of the authors' own metric, by its name in `counterpoise judge`; empty: none, or none that we have."""
    official: str = ""
    """The authors' own scoring in one line, where it is not one of `scorers`."""
    file: str = ""
    """The YAML file that describes it, or `inspect_evals/TASK`: what `benchmark` finds it by, in place of its name."""
    checks: tuple[str, str] = (REFUSED, ANSWERED)
    """A refusal and a compliance of this benchmark's kind; every refusal scorer must tell them apart."""
    suites: tuple[In, ...] = ()
    """The suites that it is part of, beside `full`; of this package's cards only, so that what is installed beside it
    changes no number of a suite."""
    not_in_core: str = ""
    """Why the suite `core` leaves it out, though its rows are made here or are plain files of a git repository."""
    here: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
    """What of the card depends on the data folder, by field; asked whenever the card is."""

    def __post_init__(self) -> None:
        if not self.max_new_tokens:
            object.__setattr__(self, "max_new_tokens", JUDGED_LIMIT if self.judge else LIMIT)

    @property
    def needs(self) -> dict[str, int]:
        """{scorer: the tokens it needs} of its scorers whose verdicts its limit may change."""
        found = {name: get(name).tokens for name in self.scorers}
        return {name: tokens for name, tokens in found.items() if tokens > self.max_new_tokens}

    @property
    def all_scorers(self) -> tuple[str, ...]:
        """`scorers`, and beside an attack success rate the one that tells broken replies: a model that cannot speak any
        more refuses nothing and does no harm, and is not safe."""
        return (*self.scorers, BROKEN) if set(ATTACKS) & set(self.metrics) else self.scorers

    @property
    def row_name(self) -> str:
        return self.label or self.name

    @property
    def gated(self) -> bool:
        """Whether the authors ask for something before they give its rows."""
        return any(each.gate for each in self.data)

    def now(self) -> "Benchmark":
        """The card as the data folder is now."""
        return replace(self, **self.here()) if self.here else self

    def available(self) -> str | None:
        """None when the rows are here, else one line: what is missing, where to put it, and what command fetches it."""
        root = data_root() if self.data else None
        for each in self.data:
            if root is not None and interrupted(root, each.name):
                return f"{each.name} was being put in place when its fetch was stopped; {each.command} ends it"
        reason = self.missing()
        if reason is None or not self.data:
            return reason
        return f"{reason}; or: counterpoise data fetch {' '.join(each.name for each in self.data)}"

    @property
    def commit(self) -> str:
        """The commit of its source that is fetched, or `not pinned`: then the count of rows, the data card and the hash
        of the run's items are what identifies them."""
        found = [each.origin.revision for each in self.data if each.origin.revision]
        return found[0] if found else NOT_PINNED

    @property
    def directions(self) -> dict[str, Direction]:
        """Which way each of its metrics gets better."""
        known: dict[str, Direction] = {name: METRICS[name].direction for name in self.metrics if name in METRICS}
        return known | {name: GAPS[name] for name in self.metrics if name in GAPS}

    @property
    def decoding(self) -> str:
        """How answers are generated, as text for hashes."""
        drawn = self.sampling
        return f"{self.max_new_tokens}" + (f" T={drawn.temperature} p={drawn.top_p}" if drawn else "")

    def settings(self, sample: Sample) -> str:
        """`decoding`, and the seed of this sample's answer where it is drawn."""
        return f"{self.decoding} seed={sample.meta['seed']}" if self.sampling else self.decoding

    def check_scorers(self) -> None:
        """Raises InputError when a scorer fails its own checks, or cannot tell this card's refusal and compliance."""
        refused, answered = self.checks
        for name in self.scorers:
            scorer = get(name)
            self_check(scorer)
            if scorer.kind == "refusal":
                self_check(scorer, ((refused, 1.0), (answered, 0.0)))

    def samples(self, limit: int | None = None) -> list[Sample]:
        """All samples, or about `limit` of them from all over the file (`spread`). InputError on a wrong count."""
        found = list(self.stream())
        return found if limit is None or limit >= len(found) else spread(found, limit, self._whole)

    def asked(self, limit: int) -> tuple[int, str | None]:
        """How many samples `limit` comes to, and the line that says why they are more; None when they are not. Its rows
        are read only where one cluster may hold more than the limit."""
        most = self.rows * (self.sampling.n if self.sampling else 1)
        if limit >= min(most, self._whole):
            return min(limit, most), None
        n = len(self.samples(limit))
        return n, rounded(limit, n)

    @property
    def _whole(self) -> int:
        """Largest cluster that is never torn apart: all tries of a question belong to one number."""
        return max(WHOLE, self.sampling.n if self.sampling else 1)

    def stream(self) -> Iterator[Sample]:
        """All samples one by one. Raises InputError when the rows are not here, and at a repeated id or, at the end,
        for a wrong count."""
        if reason := self.available():
            raise InputError(f"{self.name}: {reason}")
        seen: set[str] = set()
        clusters: set[str] = set()
        for sample in self._all():
            if sample.id in seen:
                raise InputError.at(self.name, "occurs twice", row=sample.id, field="id")
            seen.add(sample.id)
            clusters.add(sample.cluster or sample.id)
            yield sample
        found = len(seen if self.counted == "samples" else clusters)
        if found not in (self.rows, *self.also):
            raise InputError(f"{self.name}: {found} rows, expected {self.rows}; is the source another version?")

    def _all(self) -> Iterator[Sample]:
        for sample in self.read():
            yield from [sample] if self.sampling is None else self.sampling.repeats(sample)


def too_short(benches: Iterable[Benchmark]) -> str | None:
    """One line that says which answers end too early for which scorers; None when none do."""
    found: dict[str, list[str]] = {}
    for each in benches:
        if each.needs:
            scorers = ", ".join(f"{name} ({tokens})" for name, tokens in each.needs.items())
            found.setdefault(f"{each.max_new_tokens} tokens, too early for {scorers}", []).append(each.name)
    parts = [f"{', '.join(names)}: answers end after {what}" for what, names in found.items()]
    return "; ".join(parts) + "; a refusal that comes later is not seen (--max-new-tokens N)" if parts else None


def rounded(limit: int, n: int) -> str | None:
    """One line where more than `limit` items are asked, `n`; None elsewhere."""
    if n <= limit:
        return None
    return f"{n:,} items are asked though the limit is {limit:,}: those of one cluster (twins, tries) stay together"


def spread(samples: Sequence[Sample], limit: int, whole: int = WHOLE) -> list[Sample]:
    """About `limit` samples from all over the file; a larger limit takes the same ones and more, so that results of
    different limits share the items of the smaller.

    Clusters are taken in the order of the fractional parts of their place times the golden ratio: every beginning of
    it is spread evenly, over the file and over anything that alternates in it. Samples of a cluster of up to `whole`
    stay together, so that twins are not torn apart: the first cluster is taken whole, another only when `limit` still
    holds it. Of a larger cluster the first samples are taken, as many as `limit` still holds: one large cluster must
    not leave the rest of the file unasked.
    """
    clusters: dict[str, list[Sample]] = {}
    for sample in samples:
        clusters.setdefault(sample.cluster or sample.id, []).append(sample)
    names = list(clusters)
    picked: dict[str, int] = {}
    room = limit
    for place in sorted(range(len(names)), key=lambda place: place * GOLDEN % 1):
        size = len(clusters[names[place]])
        if room <= 0 or (size > room and picked and size <= whole):
            break
        picked[names[place]] = size if size <= whole else min(size, room)
        room -= size
    return [sample for name, part in clusters.items() for sample in part[: picked.get(name, 0)]]
