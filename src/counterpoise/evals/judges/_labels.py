"""Files of human labels that measure a judge: XSTest and HarmBench as published, or your own CSV or JSONL."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_csv, read_jsonl, sha256_bytes, sha256_file
from counterpoise.chat import Sample, user

from ..scorers import read_harmbench_file, read_xstest_file
from ._protocol import Case

_PREFIX = "xstest_v2_completions_"
_TRUE, _FALSE = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0"}


@dataclass(frozen=True)
class Labelled:
    """One case with what people said of it."""

    case: Case
    truth: bool
    """What the label set is about: harmful, or refused."""
    people: tuple[str, ...] = ()
    """Each annotator's own label, in the same order for every case."""
    label: str = ""
    """The class people settled on, where there are more than two."""


@dataclass(frozen=True)
class LabelSet:
    """Labelled cases of one source. `about` says what their truth means."""

    name: str
    sha256: str
    about: Literal["harm", "refusal"]
    rows: tuple[Labelled, ...] = field(repr=False)


def read_labels(path: Path) -> LabelSet:
    """A folder or file of XSTest completions, HarmBench's `text_judge_labels.json`, or CSV/JSONL rows of your own.

    Own rows have `prompt`, `answer` and either `harmful` or `refused` (0 or 1); optional `id`, `side` (harmful or
    harmless prompt), `group`. Raises InputError naming file, row and field.
    """
    if path.is_dir():
        files = sorted(path.glob(f"**/{_PREFIX}*.csv"))
        if not files:
            raise InputError(f"{path}: no {_PREFIX}*.csv here; give XSTest's model_completions folder or one file")
        return _xstest(files)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file of human labels")
    if path.name.startswith(_PREFIX):
        return _xstest([path])
    if path.suffix == ".json":
        return _harmbench(path)
    return _own(path)


def _xstest(files: list[Path]) -> LabelSet:
    rows = []
    for file in files:
        for row in read_xstest_file(file, file.stem.removeprefix(_PREFIX)):
            sample = Sample(
                f"{row.model}/{row.prompt_id}",
                (user(row.prompt),),
                harmful=not row.safe,
                cluster=row.prompt_id,
                group=row.model,
            )
            label = "full_refusal" if row.full else "partial_refusal" if row.partial else "full_compliance"
            rows.append(Labelled(Case(sample, row.answer), row.full, row.annotations, label))
    digest = sha256_bytes("".join(sha256_file(file) for file in files).encode())
    models = files[0].stem.removeprefix(_PREFIX) if len(files) == 1 else f"{len(files)} models"
    return LabelSet(f"xstest, {models}", digest, "refusal", tuple(rows))


def _harmbench(path: Path) -> LabelSet:
    rows = []
    for number, row in enumerate(read_harmbench_file(path)):
        behaviour = str(row.judges.get("behavior_id", number))
        sample = Sample(str(number), (user(row.prompt),), harmful=True, cluster=behaviour)
        rows.append(Labelled(Case(sample, row.answer), row.harmful, tuple(map(str, row.humans))))
    return LabelSet("harmbench, text", sha256_file(path), "harm", tuple(rows))


def _own(path: Path) -> LabelSet:
    rows, about = [], set()
    seen: set[str] = set()
    for number, value in _records(path):
        found = {name for name in ("harmful", "refused") if str(value.get(name) or "").strip() or value.get(name) == 0}
        if len(found) != 1:
            problem = "give exactly one of harmful and refused (0 or 1), beside prompt and answer"
            if absent := [name for name in ("prompt", "answer") if name not in value]:
                problem += f"; there is no column {' and no '.join(absent)}"
            raise InputError.at(path, problem, row=number)
        truth = found.pop()
        about.add(truth)
        for name in ("prompt", "answer"):
            if not isinstance(value.get(name), str):
                raise InputError.at(path, "missing; expected text", row=number, field=name)
        identity = str(value.get("id") or number)
        if identity in seen:
            raise InputError.at(path, f"{identity!r} occurs twice; ids must be unique", row=number, field="id")
        seen.add(identity)
        side = {"harmful": True, "harmless": False, "": None}
        text = str(value.get("side") or "")
        if text not in side:
            raise InputError.at(path, f"{text!r}; write harmful, harmless or nothing", row=number, field="side")
        sample = Sample(identity, (user(value["prompt"]),), harmful=side[text], group=str(value.get("group") or ""))
        rows.append(Labelled(Case(sample, value["answer"]), _flag(value[truth], path, number, truth)))
    if not rows:
        raise InputError(f"{path}: no rows; expected prompt, answer and harmful or refused")
    if len(about) > 1:
        raise InputError(f"{path}: some rows have harmful and others refused; make two files of them")
    return LabelSet(path.stem, sha256_file(path), "harm" if about == {"harmful"} else "refusal", tuple(rows))


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
    elif path.suffix == ".csv":
        yield from read_csv(path)
    else:
        raise InputError(f"{path}: give a .csv, .jsonl or HarmBench's .json")


def _flag(value: object, path: Path, row: int, field: str) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise InputError.at(path, f"{value!r}; write 0 or 1", row=row, field=field)
    return text in _TRUE
