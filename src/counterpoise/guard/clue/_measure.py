"""Verdicts against labels: precision, recall, accuracy and F1 with unsafe positive, over all images and per rule."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, read_jsonl
from counterpoise.chat import Image
from counterpoise.evals.stats import Interval, wilson

from ._values import ImageVerdict

RESAMPLES = 2000


@dataclass(frozen=True)
class LabelledImage:
    """An image and the ids of the rules that it violates; none: a safe image."""

    image: Image
    violated: frozenset[str]
    group: str
    """Images of one cause (a safe and a violating version): resampled together."""


LABELS = "labels.jsonl"


def read_folder(folder: Path, rules: Collection[str] | None = None) -> list[LabelledImage]:
    """Rows of `labels.jsonl`: `image` (a path inside the folder), `rules_violated` (a list of rule ids) and, if wanted,
    `group`. Raises InputError naming file, row and field of the first wrong row; with `rules`, also for another id."""
    file, root = folder / LABELS, folder.resolve()
    if not file.is_file():
        what = f"no {LABELS} in it" if folder.is_dir() else "no such folder"
        raise InputError(
            f'{folder}: {what}; expected images, and {LABELS} of rows {{"image": "a.png", "rules_violated": ["rule"]}}'
            ", as guard clue icons writes them"
        )
    rows: list[LabelledImage] = []
    for number, value in read_jsonl(file):
        name, violated = value.get("image"), value.get("rules_violated")
        if not isinstance(name, str) or not name:
            raise InputError.at(file, "missing; expected a path", row=number, field="image")
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise InputError.at(file, f"{name!r} leads out of {folder}", row=number, field="image")
        if not isinstance(violated, list) or not all(isinstance(rule, str) for rule in violated):
            raise InputError.at(file, "expected a list of rule ids", row=number, field="rules_violated")
        if wrong := [rule for rule in violated if rules is not None and rule not in rules]:
            problem = str(InputError.unknown("rule", wrong[0], rules or ()))
            raise InputError.at(file, problem, row=number, field="rules_violated")
        if not path.is_file():
            raise InputError.at(file, f"{name}: no such file", row=number, field="image")
        image = Image(source=name, path=path)
        rows.append(LabelledImage(image, frozenset(violated), str(value.get("group") or name)))
    if not rows:
        raise InputError(f"{file}: no rows; expected image and rules_violated")
    return rows


@dataclass(frozen=True)
class Rates:
    """Counts over all images. `unknown` is neither safe nor unsafe: it is a miss on a violating image and an error on
    a safe one, and is counted apart."""

    tp: int
    fp: int
    tn: int
    fn: int
    unknown_violating: int
    unknown_safe: int

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.tn + self.fn + self.unknown

    @property
    def unknown(self) -> int:
        return self.unknown_violating + self.unknown_safe

    @property
    def precision(self) -> float | None:
        """Of the images called unsafe; None when there are none."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Of all violating images, the undecided included."""
        return _share(self.tp, self.tp + self.fn + self.unknown_violating)

    @property
    def accuracy(self) -> float | None:
        """Of all images, the undecided included."""
        return _share(self.tp + self.tn, self.n)

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN), where an undecided image counts as the error of its side."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn + self.unknown)

    @property
    def recall_interval(self) -> Interval | None:
        n = self.tp + self.fn + self.unknown_violating
        return wilson(self.tp, n) if n else None

    @property
    def accuracy_interval(self) -> Interval | None:
        return wilson(self.tp + self.tn, self.n) if self.n else None


def rates(verdicts: Sequence[ImageVerdict], labels: Sequence[LabelledImage]) -> Rates:
    """Counts of verdicts against labels, in the same order."""
    pairs = [(v.label, bool(row.violated)) for v, row in zip(verdicts, labels, strict=True)]

    def count(label: str, violating: bool) -> int:
        return pairs.count((label, violating))  # type: ignore[arg-type]

    return Rates(
        count("unsafe", True),
        count("unsafe", False),
        count("safe", False),
        count("safe", True),
        count("unknown", True),
        count("unknown", False),
    )


def per_rule(
    verdicts: Sequence[ImageVerdict], labels: Sequence[LabelledImage], rules: Sequence[str]
) -> Mapping[str, tuple[int, int]]:
    """Rule -> (images in which it was found, images that violate it). Unsafe for another rule's sake does not count."""
    return {
        rule: (
            sum(rule in v.violated for v, row in zip(verdicts, labels, strict=True) if rule in row.violated),
            sum(rule in row.violated for row in labels),
        )
        for rule in rules
    }


def f1_interval(
    verdicts: Sequence[ImageVerdict], labels: Sequence[LabelledImage], level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap of F1 over groups of images (2,000 resamples)."""
    groups = list(dict.fromkeys(row.group for row in labels))
    counts = np.zeros((len(groups), 2))
    for v, row in zip(verdicts, labels, strict=True):
        counts[groups.index(row.group)] += _f1_parts(v, row)
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.float64] = counts[rng.integers(0, len(groups), (RESAMPLES, len(groups)))].sum(axis=1)
    values = drawn[:, 0] / np.maximum(drawn[:, 1], 1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _f1_parts(verdict: ImageVerdict, row: LabelledImage) -> tuple[float, float]:
    """(numerator, denominator) that one image adds to F1."""
    hit = verdict.label == "unsafe" and bool(row.violated)
    right = hit or (verdict.label == "safe" and not row.violated)
    return (2.0, 2.0) if hit else (0.0, 0.0 if right else 1.0)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
