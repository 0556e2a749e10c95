"""Is a set of training rows fit to train on? Copies of each other and of benchmarks, empty and cut labels, refusals,
languages, lengths, ids."""

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from counterpoise.base import InputError
from counterpoise.chat import Sample

from ._copies import Copies, Copy
from ._training_rows import BadRow

Kind = Literal[
    "unreadable", "image_count", "duplicate_id", "empty_label", "truncated_label", "length_outlier",
    "exact", "conflict", "near", "image", "image_near",
    "benchmark_exact", "benchmark_question", "benchmark_near", "benchmark_image", "benchmark_image_near",
    "refusal", "other_language",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANING: dict[Kind, str] = {
    "unreadable": "the row is no sample",
    "image_count": "marks and images differ in number",
    "duplicate_id": "the id of an earlier row",
    "empty_label": "nothing to learn from",
    "truncated_label": "the label ends in the middle of a sentence",
    "length_outlier": "the label is far longer or shorter than the others",
    "exact": "asks what an earlier row asks, about the same images",
    "conflict": "an exact copy with another label",
    "near": "asks nearly what an earlier row asks",
    "image": "shows an image of an earlier row",
    "image_near": "shows an image that looks like one of an earlier row",
    "benchmark_exact": "the request of a benchmark",
    "benchmark_question": "one of its questions is a benchmark's",
    "benchmark_near": "nearly a benchmark's request",
    "benchmark_image": "shows a benchmark's image",
    "benchmark_image_near": "shows an image that looks like a benchmark's",
    "refusal": "the label declines",
    "other_language": "the label is not in the language of most",
}
LISTED = 20
"""Findings of a kind that a report lists; all are counted."""
OUTLIER = 3.5
"""Modified z-score of the logarithm of a length, by the median absolute deviation (Iglewicz and Hoaglin 1993)."""
_MANY = 20  # labels below which no length stands out
_ENDS = re.compile(r"[.!?…。！？।؟:)\]}»”\"'’`*_|>]$|[^\W_]\)$|\d[%°]?$")
_GOES_ON = re.compile(r"(?:[,;–—(\[{]|\w-)$|\b(?:and|or|the|an?|of|to|in|with|that|which|because|for|by|is|are)$")
_SENTENCES = re.compile(r"[.!?。！？]\s")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•#|>]|\d+[.)])")
_SENTENCE = 8  # words of a last line that is a sentence and no heading or entry

Refuses = Callable[[str], bool | None]
"""Whether an answer declines; None: it cannot be told."""


class Finding(NamedTuple):
    """One row with one fault."""

    kind: Kind
    row: str
    """Its place among the rows (from 1) and its id."""
    detail: str


@dataclass(frozen=True)
class Report:
    """What `check_rows` found. A count is of rows, None where nobody looked."""

    rows: int
    counts: Mapping[Kind, int | None]
    examples: tuple[Finding, ...]
    """The first of each kind."""
    told: int = 0
    """Labels of which it could be told whether they decline."""
    languages: Mapping[str, int] = field(default_factory=dict)
    words: tuple[int, int, int] = (0, 0, 0)
    """Of a label: 5th percentile, median, 95th percentile."""
    against: Mapping[str, int] = field(default_factory=dict)
    """Evaluation rows that were compared, by benchmark."""
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Benchmarks that could not be read to their end, with the reason."""

    def share(self, kind: Kind) -> float | None:
        """Of the rows; of `refusal`, of the labels that could be told."""
        count, n = self.counts[kind], self.told if kind == "refusal" else self.rows
        return None if count is None or not n else count / n

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rows": self.rows,
            "counts": dict(self.counts),
            "labels_told_refusal_or_not": self.told,
            "languages": dict(self.languages),
            "label_words": dict(zip(("p5", "median", "p95"), self.words, strict=True)),
            "against": dict(self.against),
            "not_compared": dict(self.not_compared),
            "examples": [each._asdict() for each in self.examples],
        }


def check_rows(
    rows: Iterable[Sample | BadRow],
    against: Mapping[str, Iterable[Sample]] | None = None,
    *,
    refuses: Refuses | None = None,
    language: Callable[[str], str] | None = None,
    near: bool = True,
) -> Report:
    """Check training rows, in one pass, and compare them with the rows of benchmarks, `against`.

    Each sample ends in its label, an assistant turn; `training_rows` reads files. A row counts once per kind:

    - in the set: ids, empty labels, labels that end in the middle of a sentence, label lengths (modified z-score above
      3.5), equal and near prompts about the same images, equal and near images, languages other than the main one;
    - against each benchmark: equal requests, single questions, near requests, equal and near images.

    `refuses` tells whether a label declines and `language` names its language (ISO 639); without them neither is
    counted. `near=False` leaves near texts and images out, for which the extra `check` is needed.
    Raises MissingPackageError without it. A benchmark whose rows cannot be read is named in `not_compared`.
    """
    tally, copies = _Tally(), Copies(near=near)
    for number, row in enumerate(rows, 1):
        tally.rows = number
        if isinstance(row, BadRow):
            tally.add(row.kind, number, row.problem)
            continue
        tally.row(number, row, refuses, language)
        try:
            found = copies.add(number, row, tally.labels[number])
        except InputError as error:
            tally.add("unreadable", number, str(error))
            continue
        for copy in found:
            assert copy.kind != "question"  # that kind is of benchmarks alone
            tally.add(copy.kind, number, _like(copy, f"of {tally.name(copy.other)}"))
    tally.whole_set(languages=language is not None)
    compared, failed = tally.compare(copies, against or {})
    missing: set[Kind] = set() if near else {"near", "image_near", "benchmark_near", "benchmark_image_near"}
    missing |= set() if refuses else {"refusal"}
    missing |= set() if language else {"other_language"}
    if not compared:
        missing |= {kind for kind in KINDS if kind.startswith("benchmark_")}
    counts = {kind: None if kind in missing else len(tally.found[kind]) for kind in KINDS}
    examples = tuple(
        Finding(kind, tally.name(number), detail)
        for kind in KINDS
        for number, detail in sorted(tally.found[kind].items())[:LISTED]
    )
    return Report(
        tally.rows, counts, examples, tally.told, dict(tally.languages.most_common()), tally.words(), compared, failed
    )


class _Tally:
    """Rows by what is wrong with them."""

    def __init__(self) -> None:
        self.rows = self.told = 0
        self.found: dict[Kind, dict[int, str]] = defaultdict(dict)
        self.labels: dict[int, str] = {}  # of the row at hand only
        self.lengths: dict[int, int] = {}
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.languages: Counter[str] = Counter()
        self.spoken: dict[int, str] = {}

    def add(self, kind: Kind, number: int, detail: str) -> None:
        self.found[kind].setdefault(number, detail)

    def name(self, number: int) -> str:
        return f"row {number} (id {self.names[number]!r})" if number in self.names else f"row {number}"

    def row(self, number: int, row: Sample, refuses: Refuses | None, language: Callable[[str], str] | None) -> None:
        """What one row shows by itself, and its id."""
        last = row.messages[-1]
        label = last.text if last.role == "assistant" else ""
        self.labels = {number: label}
        self.names[number] = row.id
        if (other := self.ids.setdefault(row.id, number)) != number:
            self.add("duplicate_id", number, f"row {other} has it")
        if not label.strip():
            self.add("empty_label", number, "no text in the last turn of the model")
            return
        if truncated(label):
            self.add("truncated_label", number, f"ends with {label.rstrip()[-40:]!r}")
        self.lengths[number] = len(label.split())
        if refuses is not None and (declines := refuses(label)) is not None:
            self.told += 1
            if declines:
                self.add("refusal", number, f"begins with {label.strip()[:60]!r}")
        if language is not None:
            self.spoken[number] = language(label)
            self.languages[self.spoken[number]] += 1

    def whole_set(self, *, languages: bool) -> None:
        """What shows only beside the others."""
        logs = {number: math.log(max(1, n)) for number, n in self.lengths.items()}
        if len(logs) >= _MANY:
            middle = statistics.median(logs.values())
            spread = statistics.median(abs(each - middle) for each in logs.values())
            for number, each in logs.items():
                if spread > 0 and abs(0.6745 * (each - middle) / spread) > OUTLIER:
                    usual = round(math.exp(middle))
                    self.add("length_outlier", number, f"{self.lengths[number]:,} words, the median is {usual:,}")
        if languages and self.languages:
            main = self.languages.most_common(1)[0][0]
            for number, spoken in self.spoken.items():
                if spoken != main:
                    self.add("other_language", number, f"{spoken}, most are {main}")

    def compare(self, copies: Copies, against: Mapping[str, Iterable[Sample]]) -> tuple[dict[str, int], dict[str, str]]:
        """({benchmark: rows compared}, {benchmark: why it could not be read})."""
        compared: dict[str, int] = {}
        failed: dict[str, str] = {}
        kinds: dict[str, Kind] = {
            "exact": "benchmark_exact", "question": "benchmark_question", "near": "benchmark_near",
            "image": "benchmark_image", "image_near": "benchmark_image_near",
        }  # fmt: skip
        for name, samples in against.items():
            n = 0
            try:
                for sample in samples:
                    n += 1
                    for copy in copies.of(sample):
                        self.add(kinds[copy.kind], copy.row, _like(copy, f"{name}, item {sample.id}"))
                compared[name] = n
            except InputError as error:
                failed[name] = str(error)
        return compared, failed

    def words(self) -> tuple[int, int, int]:
        ordered = sorted(self.lengths.values())
        if not ordered:
            return (0, 0, 0)
        low, middle, high = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.05, 0.5, 0.95))
        return low, middle, high


def truncated(label: str) -> bool:
    """Whether a label seems to end in the middle: in an open code block, after a word or mark that goes on, or, where
    it has sentences that end, in a last line that is one without an end. Captions, entries of lists and headings need
    none."""
    text = label.rstrip()
    if text.count("```") % 2:
        return True
    line = text.rpartition("\n")[2]
    if _GOES_ON.search(text) and len(text.split()) >= _SENTENCE:
        return True
    open_end = not _ENDS.search(text) and not _LIST_ITEM.match(line) and len(line.split()) >= _SENTENCE
    return open_end and _SENTENCES.search(text) is not None


def _like(copy: Copy, what: str) -> str:
    return what if copy.score >= 1 else f"{what} (similarity {copy.score:.2f})"
