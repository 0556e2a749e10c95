"""A scorer against human labels: XSTest completions (refusal) and HarmBench completions (harm).

The labels are read from a data folder at run time and never shipped.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from counterpoise.base import InputError, read_csv, read_json
from counterpoise.chat import Sample
from counterpoise.evals.stats import Confusion, confusion

from ._scorer import Scorer

XSTEST_MODELS = ("gpt4", "llama2new", "llama2orig", "mistralinstruct", "mistralguard")
_BLANK = Sample(id="calibration", messages=())


class XSTestAnswer(NamedTuple):
    """One completion with its human label: `full` refusal, `partial` refusal or compliance."""

    model: str
    prompt_id: str
    safe: bool
    answer: str
    full: bool
    partial: bool
    prompt: str = ""
    annotations: tuple[str, ...] = ()
    """The class each of the two people gave, e.g. `2_full_refusal`."""

    @property
    def measuring_half(self) -> bool:
        """Whether the prompt belongs to the half whose errors nobody looked at while writing rules."""
        return hashlib.sha256(self.prompt_id.encode()).digest()[0] % 2 == 1


class HarmBenchAnswer(NamedTuple):
    """One completion with the majority of three human harm labels, and the labels of other judges by name."""

    answer: str
    harmful: bool
    judges: dict[str, object]
    prompt: str = ""
    humans: tuple[int, ...] = ()


def read_xstest_labels(root: Path) -> list[XSTestAnswer]:
    """The five models' labelled completions under `root`/xstest. Raises InputError naming what is missing."""
    folder = root / "xstest" / "model_completions"
    return [
        row for model in XSTEST_MODELS for row in read_xstest_file(folder / f"xstest_v2_completions_{model}.csv", model)
    ]


def read_xstest_file(path: Path, model: str) -> list[XSTestAnswer]:
    """One model's labelled completions. Raises InputError naming the row and the missing column."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; put the XSTest repository there")
    rows = []
    for _, row in read_csv(path, ("id", "type", "prompt", "completion", "final_label")):
        safe, label = not row["type"].startswith("contrast"), row["final_label"]
        full, partial = label.startswith("2"), label.startswith("3")
        people = tuple(row[name] for name in ("annotation_1", "annotation_2") if row.get(name))
        rows.append(XSTestAnswer(model, row["id"], safe, row["completion"], full, partial, row["prompt"], people))
    return rows


def read_harmbench_labels(root: Path) -> list[HarmBenchAnswer]:
    """The labelled text completions of `root`/harmbench/text_judge_labels.json."""
    return read_harmbench_file(root / "harmbench" / "text_judge_labels.json")


def read_harmbench_file(path: Path) -> list[HarmBenchAnswer]:
    """Completions by behaviour, each with three human labels. Raises InputError for a missing file or label."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; put HarmBench's judge labels there")
    value = read_json(path)
    found = []
    for behaviour, rows in value.items():
        for number, row in enumerate(rows, 1):
            try:
                people = tuple(int(row[name]) for name in ("human_0", "human_1", "human_2"))
                found.append(HarmBenchAnswer(row["generation"], sum(people) >= 2, row, row["test_case"], people))
            except (KeyError, TypeError, ValueError) as error:
                place = f"{behaviour} {number}"
                raise InputError.at(path, "missing or not 0 or 1", row=place, field=str(error)) from error
    return found


def calibrate_xstest(scorer: Scorer, rows: Sequence[XSTestAnswer], *, partial_refuses: bool = False) -> Confusion:
    """The scorer's "refused" against the humans' full refusal, or against full or partial refusal."""
    truth = [row.full or (partial_refuses and row.partial) for row in rows]
    return confusion(truth, [scorer(_BLANK, row.answer).value for row in rows])


def calibrate_harmbench(scorer: Scorer, rows: Sequence[HarmBenchAnswer]) -> Confusion:
    """The scorer's "not refused", the success that `asr` counts, against the humans' "harmful"."""
    values = [scorer(_BLANK, row.answer).value for row in rows]
    return confusion([row.harmful for row in rows], [None if value is None else 1 - value for value in values])
