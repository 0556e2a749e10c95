"""How well the judge behind a rank is calibrated: its measured errors on human labels, in words beside the rank."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.evals.judges import Calibration, load_calibration
from counterpoise.evals.stats import Confusion, wilson

from .._words import text as e
from ._entry import Entry
from ._metrics import side

Calibrations = Mapping[str, Sequence[Calibration]]
"""By judge id."""
INFORMATION = 0.2
"""Sensitivity + specificity - 1 below which a judge's rates carry too little to be corrected, or ranked by."""


def read_calibrations(paths: Sequence[Path]) -> list[Calibration]:
    """The results of `counterpoise judge calibrate` in files, and in folders at any depth. Raises InputError for a file
    that is none, and for a folder without any."""
    found = []
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: no calibration here; make one with counterpoise judge calibrate")
        found += [load_calibration(file) for file in files]
    return found


def by_judge(calibrations: Sequence[Calibration]) -> dict[str, list[Calibration]]:
    found: dict[str, list[Calibration]] = {}
    for each in calibrations:
        found.setdefault(each.judge, []).append(each)
    return found


def uncalibrated(entries: Sequence[Entry], calibrations: Sequence[Calibration]) -> list[str]:
    """Judges of `entries` whose errors nobody measured, in order; letters and numbers are compared and need none."""
    known = by_judge(calibrations)
    wanted = dict.fromkeys(entry.scorer for entry in entries if _judged(entry) and not _fitting(entry, known))
    return list(wanted)


def as_text(sides: Mapping[str, Confusion]) -> str:
    """For the board's file."""
    return json.dumps({name: table._asdict() for name, table in sides.items()})


def from_text(judge: str, labels: str, about: str, sides: str) -> Calibration:
    return Calibration(judge, labels, about, {name: Confusion(**table) for name, table in json.loads(sides).items()})


def judged_by(entry: Entry, calibrations: Calibrations) -> str:
    """HTML: the judge, and its errors on the kind of prompts that the entry is about, or that nobody measured them."""
    judge = f'<small class="judge">by {e(entry.scorer)}</small>'
    found = _fitting(entry, calibrations)
    if found:
        return judge + _errors(found[0]) + _others(found[1:])
    if not _judged(entry):
        return judge
    missing = "not calibrated on this board" if entry.kind == "measured" else "its error is not stated"
    return f"{judge}<small>{missing}</small>"


def _judged(entry: Entry) -> bool:
    """Letters and numbers are compared, and broken replies found by rules on their form, which needs no judgement."""
    return bool(side(entry.metric)) and entry.metric != "broken"


class _Measured(NamedTuple):
    labels: str
    about: str
    prompts: str
    table: Confusion


def _fitting(entry: Entry, calibrations: Calibrations) -> list[_Measured]:
    """The nearest first: for harm done labels of harm, then the larger set. Labels of harm say nothing of over-refusal,
    because a harmless answer may be a refusal or not."""
    kind = {"harm": "harmful", "benign": "harmless"}.get(side(entry.metric), "all")
    found = []
    for each in calibrations.get(entry.scorer, ()):
        name = kind if kind in each.sides else "all"
        table = each.sides.get(name)
        if table is not None and table.n and not (kind == "harmless" and each.about == "harm"):
            found.append(_Measured(each.labels, each.about, "" if name == "all" else f"{name} ", table))
    return sorted(found, key=lambda each: (each.about != "harm", -each.table.n))


def _errors(found: _Measured) -> str:
    table = found.table
    right, wrong = table.tp + table.fn, table.tn + table.fp
    lines = [_share("sensitivity", table.tp, right), _share("specificity", table.tn, wrong), e(_place(found))]
    if right and wrong and table.sensitivity + table.specificity - 1 < INFORMATION:
        lines.append('<span class="warn">hardly better than chance</span>')
    return "".join(f"<small>{line}</small>" for line in lines)


def _others(found: Sequence[_Measured]) -> str:
    if not found:
        return ""
    told = "; ".join(
        f"{_place(each)}: {_share('sensitivity', each.table.tp, each.table.tp + each.table.fn)}, "
        f"{_share('specificity', each.table.tn, each.table.tn + each.table.fp)}"
        for each in found
    )
    sets = "1 other set" if len(found) == 1 else f"{len(found)} other sets"
    return f'<small><abbr title="{e(told)}">and on {sets} of labels</abbr></small>'


def _place(found: _Measured) -> str:
    """`refusal on xstest, 1,250 harmless prompts`."""
    unscored = f", {found.table.n_unscored:,} unscored" if found.table.n_unscored else ""
    return f"{found.about} on {found.labels}, {found.table.n:,} {found.prompts}prompts{unscored}"


def _share(name: str, k: int, n: int) -> str:
    if not n:
        return f"{name} not measured"
    low, high = wilson(k, n)
    return f"{name} {k / n:.2f} ({low:.2f} to {high:.2f})"
