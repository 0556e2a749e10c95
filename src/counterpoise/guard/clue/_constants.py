"""Constants and wording for one model, from a small labelled set: the paper chose its own on its test set, by hand.

Every precondition of every relevant rule is read once (with the image, without it, with its region removed); what steps
a, b and c would decide is then computed for a grid of constants. Images for this must not be those of a test.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, Progress, read_json, write_json
from counterpoise.evals.stats import auc

from ._ask import EngineAsker
from ._decide import PAPER, Constants
from ._judge import Clue
from ._measure import LabelledImage
from ._values import Evidence, ImageVerdict, Reading
from ._wording import Wording

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]
SAFE, UNKNOWN, UNSAFE = 0, 1, 2
CENTRES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Tried for step c; at 1 it never decides."""
STEPS = 40
"""Places of the grid for each of the other two."""


class Signals(NamedTuple):
    """What was read about n members (precondition texts) of the rules judged on some images."""

    shift: Floats
    """(n,) M against its prior, from -1 to 1: the share of the room above the prior, or of the prior itself below it.
    NaN where too little mass lies on yes and no."""
    drop: Floats
    """(n,) by how much M falls when the region is removed; NaN where that was not asked."""
    groups: NDArray[np.int64]
    """First member of each OR group."""
    rules: NDArray[np.int64]
    """First group of each rule."""
    images: NDArray[np.int64]
    """Number of rules judged, by image; the others were dropped by the scan."""

    def labels(self, constants: Constants) -> Labels:
        """What steps a to c say of each image, without reasoning: safe, unknown or unsafe."""
        label: Labels = np.full(len(self.images), SAFE, np.int8)
        if not len(self.shift):
            return label
        answer: Labels = np.full(len(self.shift), UNKNOWN, np.int8)
        answer[self.drop > constants.centre] = UNSAFE
        answer[self.shift > constants.shown] = UNSAFE
        answer[self.shift < constants.absent - 1] = SAFE
        # of an OR group the highest answer stands, of a chain the lowest, of an image's rules the highest
        rule = np.minimum.reduceat(np.maximum.reduceat(answer, self.groups), self.rules)
        np.maximum.at(label, np.repeat(np.arange(len(self.images)), self.images), rule)
        return label

    def scores(self) -> Floats:
        """How far each image is from safe, (images,): `shift` through the chain; -1 where no rule was judged."""
        found = np.full(len(self.images), -1.0)
        if len(self.shift):
            shift = np.nan_to_num(self.shift, nan=0.0)
            rule = np.minimum.reduceat(np.maximum.reduceat(shift, self.groups), self.rules)
            np.maximum.at(found, np.repeat(np.arange(len(self.images)), self.images), rule)
        return found


def signals(verdicts: Sequence[ImageVerdict], least_mass: float = PAPER.least_mass) -> Signals:
    """From the verdicts of a judge that decided nothing (`undecided`)."""
    members: list[Evidence] = []
    groups: list[int] = []
    rules: list[int] = []
    for finding in (finding for verdict in verdicts for finding in verdict.findings):
        rules.append(len(groups))
        for group in finding.chain:
            groups.append(len(members))
            members += group

    def m(reading: Reading | None) -> float:
        return reading.m if reading is not None and reading.mass >= least_mass else float("nan")

    shift = np.array([_shift(m(e.image), m(e.prior)) for e in members], np.float64)
    drop = np.array([m(e.whole or e.image) - m(e.removed) for e in members], np.float64)
    counts = np.array([len(verdict.findings) for verdict in verdicts], np.int64)
    return Signals(shift, drop, np.array(groups, np.int64), np.array(rules, np.int64), counts)


def _shift(m: float, prior: float) -> float:
    """t with m = bound(prior, t); see `_decide.bound`."""
    room = 1 - prior if m >= prior else prior
    return (m - prior) / room if room > 0 else m - prior


def undecided(clue: Clue) -> Clue:
    """The same judge with constants by which steps a and b never decide, and without reasoning: it reads everything."""
    constants = replace(clue.settings.constants, absent=0.0, shown=1.0, centre=CENTRES[0])
    return replace(clue, settings=replace(clue.settings, constants=constants, reasoning=False))


def fit_constants(found: Signals, violating: NDArray[np.bool_], base: Constants = PAPER) -> Constants:
    """The constants of the best F1 on labelled images, where an undecided image is an error; of equals those that leave
    the fewest undecided, and of these the ones in the middle. Raises InputError unless both kinds of images are there.
    """
    if violating.all() or not violating.any():
        raise InputError("calibration: images that violate a rule and images that violate none are both needed")
    if not len(found.shift):
        raise InputError(
            "calibration: the relevance scan drops all rules of all images; give a lower --threshold or --encoder none"
        )
    known = found.shift[np.isfinite(found.shift)]
    if not len(known):
        raise InputError("calibration: yes and no have too little probability in every answer; try another wording")
    places = np.unique(np.round(np.quantile(known, np.linspace(0, 1, STEPS)), 4))
    places = np.concatenate([[-1.0], (places[1:] + places[:-1]) / 2, [1.0]])
    best: list[tuple[float, float, float]] = []
    top = (-1.0, 0.0)
    for low, high in itertools.combinations_with_replacement(places.tolist(), 2):
        for centre in CENTRES:
            label = found.labels(replace(base, absent=1 + low, shown=high, centre=centre))
            score = f1(label, violating), -float((label == UNKNOWN).mean())
            if score > top:
                top, best = score, []
            if score == top:
                best.append((low, high, centre))
    middle = np.mean(best, axis=0)
    low, high, centre = min(best, key=lambda one: float(np.abs(np.array(one) - middle).sum()))
    return replace(base, absent=1 + low, shown=high, centre=centre)


def f1(label: Labels, violating: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN), an undecided image being the error of its side."""
    tp = int((violating & (label == UNSAFE)).sum())
    wrong = int(((label == UNKNOWN) | ((label == UNSAFE) != violating)).sum())
    return 2 * tp / (2 * tp + wrong) if tp else 0.0


class Tried(NamedTuple):
    """One wording on the labelled images."""

    wording: Wording
    constants: Constants
    f1: float
    """With these constants, without reasoning."""
    f1_paper: float
    """With the paper's."""
    auc: float
    unknown: int
    n: int


@dataclass(frozen=True)
class Calibration:
    """Constants and wording of one model. They belong to it: another model is refused."""

    model: str
    """Name and fingerprint."""
    constants: Constants
    wording: Wording
    record: Mapping[str, Any] = field(default_factory=dict)
    """Labelled images, constitution, and what was tried."""

    def save(self, file: Path) -> None:
        """Write it as JSON, atomically."""
        value = {"model": self.model, "constants": asdict(self.constants), "wording": self.wording.model_dump()}
        write_json(file, {**value, "record": dict(self.record)})


def load_calibration(file: Path) -> Calibration:
    """Raises InputError when the file is not there or is no calibration; one without a constant is none."""
    hint = "make one with: counterpoise guard clue calibrate FOLDER --out FILE.json"
    if not file.is_file():
        raise InputError(f"--constants {file}: no such file; {hint}")
    value = read_json(file)
    for name in ("model", "constants", "wording"):
        if not isinstance(value, dict) or not value.get(name):
            raise InputError(f'--constants {file}: has no "{name}"; {hint}')
    if missing := [each.name for each in fields(Constants) if each.name not in value["constants"]]:
        raise InputError(f"--constants {file}: does not say {', '.join(missing)}; {hint}")  # not the paper's instead
    try:
        wording = Wording.model_validate(value["wording"])
        return Calibration(str(value["model"]), Constants(**value["constants"]), wording, value.get("record", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"--constants {file}: no file of guard clue calibrate ({why})") from error


def calibrate_judge(
    clue: Clue, rows: Sequence[LabelledImage], wordings: Mapping[str, Wording]
) -> tuple[Calibration, dict[str, Tried]]:
    """Try every wording with the best constants for it and keep the one of the highest F1 (then AUC).

    Raises InputError for rules in the labels that the constitution does not have, and as `fit_constants` does.
    """
    if not isinstance(clue.asker, EngineAsker):
        raise InputError("calibration: needs a model whose logits can be read")
    ids = [rule.id for rule in clue.constitution.rules]
    if unknown := sorted({rule for row in rows for rule in row.violated} - set(ids)):
        raise InputError.unknown("rule in the labels", unknown[0], ids)
    violating = np.array([bool(row.violated) for row in rows])
    tried: dict[str, Tried] = {}
    for name, wording in wordings.items():
        judge = undecided(replace(clue, asker=clue.asker.asking(wording)))
        with Progress(f"wording {name}", len(rows), unit="images") as progress:
            found = signals(judge.judge([row.image for row in rows], progress), clue.settings.constants.least_mass)
        tried[name] = _tried(wording, found, violating, clue.settings.constants)
    best = max(tried, key=lambda name: (tried[name].f1, tried[name].auc))
    record: dict[str, Any] = {
        "constitution": f"{clue.constitution.name} {clue.constitution.hash}",
        "images": len(rows),
        "violating": int(violating.sum()),
        "wording": best,
        "tried": {name: {k: v for k, v in one._asdict().items() if k != "wording"} for name, one in tried.items()},
    }
    for one in record["tried"].values():
        one["constants"] = asdict(one["constants"])
    return Calibration(clue.asker.id, tried[best].constants, tried[best].wording, record), tried


def _tried(wording: Wording, found: Signals, violating: NDArray[np.bool_], base: Constants) -> Tried:
    constants = fit_constants(found, violating, base)
    label = found.labels(constants)
    paper = f1(found.labels(replace(PAPER, least_mass=base.least_mass)), violating)
    unknown = int((label == UNKNOWN).sum())
    ranked = auc(found.scores(), violating)
    assert ranked is not None  # `fit_constants` asks for both kinds
    return Tried(wording, constants, f1(label, violating), paper, ranked, unknown, len(label))
