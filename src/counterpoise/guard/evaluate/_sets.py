"""Labelled exchanges to measure guards on: benchmarks, human-labelled answers, and files of one's own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from counterpoise.base import InputError, sha256_file
from counterpoise.data import data_root
from counterpoise.evals import benchmark
from counterpoise.evals.judges import LabelSet, read_labels

from .._labelled import Labelled, from_sample, read_labelled
from .._values import Exchange


@dataclass(frozen=True)
class EvalSet:
    """Exchanges of one source."""

    name: str
    revision: str
    rows: tuple[Labelled, ...] = field(repr=False)
    note: str = ""
    """What its labels mean, and what was left out."""


def _harmbench(root: Path) -> EvalSet:
    found = read_labels(root / "harmbench" / "text_judge_labels.json")
    rows = [
        _answered(found, n, row.truth, row.case.sample.cluster) for n, row in enumerate(found.rows) if _text(row.case)
    ]
    note = "answers of models; unsafe: two of three people called the answer harmful"
    return EvalSet("harmbench-responses", found.sha256[:12], tuple(rows), _left(note, len(found.rows) - len(rows)))


def _xstest(root: Path) -> EvalSet:
    found = read_labels(root / "xstest" / "model_completions")
    rows = []
    for number, row in enumerate(found.rows):
        asked_harm = bool(row.case.sample.harmful)
        if _text(row.case) and not (asked_harm and row.label == "partial_refusal"):
            unsafe = asked_harm and row.label == "full_compliance"
            rows.append(_answered(found, number, unsafe, row.case.sample.cluster))
    note = (
        "answers of five models; unsafe: full compliance, by people's refusal label, with an unsafe prompt; partial "
        "refusals of unsafe prompts are left out"
    )
    return EvalSet("xstest-responses", found.sha256[:12], tuple(rows), _left(note, len(found.rows) - len(rows)))


def _text(case: object) -> bool:
    return bool(case.answer.strip() and case.sample.messages[-1].text.strip())  # type: ignore[attr-defined]


def _answered(found: LabelSet, number: int, unsafe: bool, group: str) -> Labelled:
    case = found.rows[number].case
    return Labelled(case.sample.id, Exchange(case.sample.messages, case.answer), unsafe, group)


def _left(note: str, left: int) -> str:
    return f"{note}; {left} rows left out" if left else note


RESPONSE_SETS: dict[str, Callable[[Path], EvalSet]] = {"harmbench-responses": _harmbench, "xstest-responses": _xstest}
"""Answers with human labels, read from COUNTERPOISE_DATA and never shipped."""


def eval_sets(
    names: Sequence[str], files: Sequence[Path] = (), *, limit: int | None = None
) -> tuple[list[EvalSet], dict[str, str]]:
    """The sets that are here, and for each other one the reason why not.

    `names` are benchmarks or RESPONSE_SETS, `files` labelled CSV or JSONL (see `read_labelled`). `limit` takes that
    many rows of each, spread evenly; rows of one group stay together. Raises InputError for an unknown name, a set
    without a row that says whether it is harmful, or when no set is here.
    """
    found: list[EvalSet] = []
    skipped: dict[str, str] = {}
    for name in names:
        made = _named(name)
        if isinstance(made, str):
            skipped[name] = made
        else:
            found.append(_limited(made, limit))
    for file in files:
        rows = read_labelled(file)
        found.append(_limited(EvalSet(file.stem, sha256_file(file)[:12], tuple(rows), f"labels of {file.name}"), limit))
    if not found:
        raise InputError(f"guard eval: no set is here: {'; '.join(f'{n}: {why}' for n, why in skipped.items())}")
    if len({each.name for each in found}) < len(found):
        raise InputError("guard eval: two sets have the same name; rename a file or name each set once")
    return found, skipped


def _named(name: str) -> EvalSet | str:
    """A set, or why it is not here."""
    if name in RESPONSE_SETS:
        root = data_root()
        if root is None:
            return "set COUNTERPOISE_DATA to the folder of benchmark rows"
        if not (root / name.partition("-")[0]).is_dir():
            return f"no folder {name.partition('-')[0]} in {root}"
        return RESPONSE_SETS[name](root)
    try:
        card = benchmark(name)
    except InputError as error:
        raise InputError(f"{error}; and sets of answers: {', '.join(RESPONSE_SETS)}") from error
    if reason := card.available():
        return reason
    samples = card.samples()
    rows = tuple(from_sample(sample) for sample in samples if sample.harmful is not None)
    if not rows:
        raise InputError(f"{name}: no row says whether it is harmful; a guard cannot be measured on it")
    return EvalSet(card.row_name, card.revision, rows, _left("requests", len(samples) - len(rows)))


def _limited(given: EvalSet, limit: int | None) -> EvalSet:
    """`limit` rows spread over the groups; both sides of a group stay together."""
    if limit is None or limit >= len(given.rows):
        return given
    groups: dict[str, list[Labelled]] = {}
    for row in given.rows:
        groups.setdefault(row.group, []).append(row)
    names = list(groups)
    wanted = max(1, round(limit * len(names) / len(given.rows)))
    picked = [groups[names[n * len(names) // wanted]] for n in range(wanted)]
    rows = tuple(row for group in picked for row in group)
    return EvalSet(given.name, given.revision, rows, f"{given.note}; {len(rows)} of {len(given.rows)} rows")


def parts(sets: Sequence[EvalSet], only: str) -> Iterator[EvalSet]:
    """The sets with only their texts or only their images, for a guard that is one half of a pair.

    Rows that have no such part are left out and counted in the note.
    """
    from counterpoise.chat import Image, Message

    keep = str if only == "texts" else Image
    for given in sets:
        rows = []
        for row in given.rows:
            talk = tuple(
                Message(m.role, tuple(p for p in m.parts if isinstance(p, keep))) for m in row.exchange.conversation
            )
            answer = row.exchange.answer if only == "texts" else None
            exchange = Exchange(tuple(m for m in talk if m.parts), answer)
            if exchange.texts or exchange.images:
                rows.append(Labelled(row.id, exchange, row.unsafe, row.group, row.modality, row.meta))
        if rows:
            left = len(given.rows) - len(rows)
            yield EvalSet(f"{given.name}, {only} only", given.revision, tuple(rows), _left(given.note, left))
