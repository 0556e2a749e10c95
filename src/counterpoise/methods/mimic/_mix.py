"""The mix: the user's rows, untouched, and among them safety rows that look like them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Modality, Sample, system
from counterpoise.data import shuffled, source_of
from counterpoise.data.frames import IMAGE, Formats, Template, flat, strategy

from ._rewrite import EXAMPLES, Job, problem, tidy

BENCHMARK = "an evaluation prompt"
Rewriter = Callable[[Sequence[Job]], list[str | None]]


@dataclass
class MimicRecord:
    """What was mixed, and what did not go the straight way, for `run.json`."""

    n_user: int = 0
    n_safety: int = 0
    safety_rows: float = 0.0
    """Share of the rows that are safety rows."""
    raised_to: int = 0
    """The least number of safety rows, where the fraction asked for fewer; 0: it did not."""
    repeated: int = 0
    """Safety rows that occur again because the safety set is smaller than what is mixed in."""
    by_format: dict[str, int] = field(default_factory=dict)
    """Safety rows by the format they were written into; `none` for those that stay as they are."""
    rewriters: dict[str, int] = field(default_factory=dict)
    """`template`, or the name of the model, and how many rows it wrote."""
    fallbacks: dict[str, int] = field(default_factory=dict)
    """Why a model's rewriting was not used, and how often; the template wrote these rows."""
    outside_lengths: int = 0
    """Rows whose prompts are shorter or longer than the user's 1st to 99th percentile: none fitted better."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Safety rows that were left out, by reason."""


@dataclass(frozen=True)
class Provenance:
    """Where one row of the mix comes from."""

    id: str
    origin: str
    """`user` or `safety`."""
    source: str
    source_id: str
    rewriter: str = ""
    template_id: str = ""


def how_many(n_user: int, fraction: float, least: int) -> tuple[int, int]:
    """(safety rows, the least number where it was raised to that, else 0): m = round(fraction * n)."""
    wanted = round(fraction * n_user)
    if not fraction or wanted >= least:
        return wanted, 0
    return least, least


def usable(
    rows: Sequence[Sample], record: MimicRecord, checks: dict[str, Callable[[Sample], bool]]
) -> Iterator[Sample]:
    """Safety rows of one text request and its reply that pass every check; others are counted by reason."""
    dropped: Counter[str] = Counter()
    for row in rows:
        asked = [message for message in row.messages if message.role == "user"]
        if len(asked) != 1 or any(message.images for message in row.messages):
            dropped["not one text request"] += 1
        elif IMAGE in row.text:
            dropped["holds a mark of images"] += 1
        elif reason := next((name for name, found in checks.items() if found(row)), None):
            dropped[reason] += 1
        else:
            yield row
    record.dropped = {name: record.dropped.get(name, 0) + count for name, count in dropped.items()}


def plain(rows: Sequence[Sample], m: int, counter: bool) -> list[tuple[Sample, Provenance]]:
    """The arms without mimicry: safety rows as they are, or after a system text that takes back a shifted identity."""
    found = []
    for number, row in enumerate(islice(cycle(rows), m)):
        turns = tuple(message for message in row.messages if message.role != "system")
        if counter:
            turns = (system(strategy("counter-prompt").system), *turns)
        made = _safety(row, turns, number)
        found.append((made, Provenance(made.id, "safety", source_of(row), row.id)))
    return found


def mimicked(
    rows: Sequence[Sample],
    m: int,
    formats: Formats,
    record: MimicRecord,
    *,
    seed: int,
    rewriter: tuple[str, Rewriter] | None = None,
    printed: Callable[[str], Image] | None = None,
    overlaps: Callable[[Sample], bool] | None = None,
) -> list[tuple[Sample, Provenance]]:
    """`m` safety rows in the user's formats, each format in proportion to its rows, at least one row each.

    The prompt is a carrier's (a row of the user's) with the request in its place: roles, system text, earlier turns,
    images and their places are the carrier's. With `printed` the request is printed in the image instead, and the
    carrier's text stays. The reply is the safety row's, byte for byte. Raises InputError when too few rows are left.
    """
    places = list(_allotted(formats, m))
    random.Random(f"formats {seed}").shuffle(places)
    given = rows if len(rows) >= m or not rows else list(islice(cycle(rows), m))
    fitting: list[Chosen] = []
    others: list[Chosen] = []
    for number, (row, job) in enumerate(zip(given, _jobs(given, places, formats, seed), strict=True)):
        made = _filled(row, job, number, printed)
        if overlaps is not None and overlaps(made):
            record.dropped[BENCHMARK] = record.dropped.get(BENCHMARK, 0) + 1
            continue
        low, high = job.template.lengths
        usual = low <= len(flat(made.messages[-2])) <= high or printed is not None
        (fitting if usual else others).append((row, job, made))
    chosen = _one_a_place(fitting, others, [formats.templates[place].id for place in places], record)
    if len(chosen) < m:
        raise InputError(f"{len(chosen)} safety rows are left, {m} are wanted; lower fraction or give more safety rows")
    found = _rewritten(chosen, rewriter, record, overlaps)
    record.by_format = dict(Counter(each[1].template_id for each in found))
    return found


Chosen = tuple[Sample, Job, Sample]
"""A safety row, its place in the user's set, and the row that the template makes of them."""


def _one_a_place(
    fitting: list[Chosen], others: list[Chosen], wanted: Sequence[str], record: MimicRecord
) -> list[Chosen]:
    """For every place a row of its format: one whose length is usual in the set while there are any."""
    chosen = []
    for name in wanted:
        for rows in (fitting, others):
            at = next((number for number, (_, job, _) in enumerate(rows) if job.template.id == name), None)
            if at is not None:
                chosen.append(rows.pop(at))
                record.outside_lengths += rows is others
                break
    return chosen


def _rewritten(
    chosen: Sequence[Chosen],
    rewriter: tuple[str, Rewriter] | None,
    record: MimicRecord,
    overlaps: Callable[[Sample], bool] | None,
) -> list[tuple[Sample, Provenance]]:
    """The rows, with the prompts that a model wrote where these pass every check."""
    texts = rewriter[1]([job for _, job, _ in chosen]) if rewriter else [None] * len(chosen)
    fallbacks: Counter[str] = Counter()
    by: Counter[str] = Counter()
    found = []
    for (row, job, made), text in zip(chosen, texts, strict=True):
        name = "template"
        if rewriter is not None:
            draft = tidy(text or "", job.template)
            why = "failed" if text is None else problem(job, draft)
            if not why:
                other = replace(made, messages=(*job.template.with_text(draft, job.carrier), row.messages[-1]))
                why = BENCHMARK if overlaps is not None and overlaps(other) else ""
            if why:
                fallbacks[why] += 1
            else:
                name, made = rewriter[0], other
        by[name] += 1
        found.append((made, Provenance(made.id, "safety", source_of(row), row.id, name, job.template.id)))
    record.fallbacks, record.rewriters = dict(fallbacks), dict(by)
    return found


def _allotted(formats: Formats, m: int) -> Iterator[int]:
    """Numbers of formats, each as often as its share says (largest remainder), at least once where `m` allows it."""
    total = sum(formats.shares)
    exact = [share / total * m for share in formats.shares]
    counts = [int(value) for value in exact]
    if m >= len(counts):
        counts = [max(1, count) for count in counts]
    order = sorted(range(len(exact)), key=lambda n: (counts[n] - exact[n], n))
    while sum(counts) < m:
        for number in order:
            if sum(counts) < m:
                counts[number] += 1
    while sum(counts) > m:
        counts[max(range(len(counts)), key=lambda n: (counts[n], n))] -= 1
    for number, count in enumerate(counts):
        yield from [number] * count


def _jobs(rows: Sequence[Sample], places: Sequence[int], formats: Formats, seed: int) -> list[Job]:
    """A format, a carrier and examples for every row; more rows than places serve when some are left out."""
    jobs = []
    for number, row in enumerate(rows):
        template: Template = formats.templates[places[number % len(places)]]
        rng = random.Random(f"carrier {seed} {source_of(row)} {row.id} {number}")
        examples = rng.sample(template.carriers, min(EXAMPLES, len(template.carriers)))
        asked = next(message for message in row.messages if message.role == "user")
        jobs.append(Job(template, asked.text, rng.choice(template.carriers), tuple(examples)))
    return jobs


def _filled(row: Sample, job: Job, number: int, printed: Callable[[str], Image] | None) -> Sample:
    *before, last = job.template.fill(job.request, job.carrier)
    if printed is not None and last.images:
        image = printed(job.request)
        kept = job.carrier.messages[len(before)]
        last = Message("user", tuple(image if isinstance(part, Image) else part for part in kept.parts))
    return _safety(row, (*before, last, row.messages[-1]), number)


def _safety(row: Sample, turns: tuple[Message, ...], number: int) -> Sample:
    modality: Modality = "image" if any(message.images for message in turns) else "text"
    name = f"safety-{number}-{row.id}"
    return Sample(name, turns, harmful=True, modality=modality, split="train", meta={"source": "safety"})


def spread(user: Sequence[Sample], safety: Sequence[Sample], seed: int) -> list[Sample]:
    """The user's rows in an order of their own, with the safety rows among them: one in each stretch of n / m rows, at
    a random place in it. The order of the user's rows does not depend on the safety rows."""
    ordered = shuffled(user, seed=seed)
    rng = random.Random(f"spread {seed}")
    step = len(ordered) / max(1, len(safety))
    cuts = [int((number + rng.random()) * step) for number in range(len(safety))]
    mixed: list[Sample] = []
    before = 0
    for cut, row in zip(cuts, safety, strict=True):
        mixed += [*ordered[before:cut], row]
        before = cut
    return mixed + ordered[before:]
