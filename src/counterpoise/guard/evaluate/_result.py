"""What is measured of a guard, and the file that keeps it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, read_json, write_json

from .._values import Label
from ._calibration import Bin, Calibration
from ._ranking import Auc
from ._sets import EvalSet

RESULTS = "guards.json"


@dataclass(frozen=True)
class Checked:
    """One exchange and what the guard said of it."""

    set: str
    id: str
    group: str
    modality: str
    mode: str
    unsafe: bool
    """The truth."""
    label: Label
    p: float | None
    mass: float | None
    categories: tuple[str, ...]
    reason: str | None
    category: str = ""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one exchange at a time, in this process, after a warm-up."""

    n: int
    p50: float
    p95: float
    p99: float
    device: str = "cpu"


@dataclass(frozen=True)
class GuardResult:
    """Everything measured of one guard."""

    guard: str
    spec: str
    """What it was asked for as."""
    revision: str | None
    template: str | None
    rows: tuple[Row, ...]
    by_category: tuple[Row, ...] = ()
    """The same rates over all modalities, by category, which stands in `split`; for sets with several."""
    ranking: dict[str, Auc] = field(default_factory=dict)
    """AUC by modality, over all sets; absent for a guard without probabilities."""
    calibration: dict[str, Calibration] = field(default_factory=dict)
    """By modality, over all sets; absent for a guard without probabilities."""
    latency: dict[str, Latency] = field(default_factory=dict)
    """By modality."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Reasons of unknown verdicts, and how many."""
    labels: dict[str, int] = field(default_factory=dict)
    detours: dict[str, Any] = field(default_factory=dict)
    """Batches of a local model that were halved or split, with the reasons."""


def facts_of(sets: Sequence[EvalSet]) -> list[dict[str, Any]]:
    """What a measurement is about, for its file."""
    return [{"name": each.name, "revision": each.revision, "n": len(each.rows), "note": each.note} for each in sets]


def save_results(path: Path, results: Sequence[GuardResult], sets: Sequence[EvalSet], skipped: dict[str, str],
                 settings: dict[str, Any]) -> None:  # fmt: skip
    """Write `guards.json`: every number with its denominator, and what it was measured on."""
    value = {
        "settings": settings,
        "sets": facts_of(sets),
        "skipped": skipped,
        "guards": [
            {
                **asdict(each),
                "rows": [row.model_dump(exclude_defaults=True) for row in each.rows],
                "by_category": [row.model_dump(exclude_defaults=True) for row in each.by_category],
                "ranking": {name: one._asdict() for name, one in each.ranking.items()},
            }
            for each in results
        ],
    }
    write_json(path, value)


def load_results(path: Path) -> list[GuardResult]:
    """Read the guards of `guards.json`. Raises InputError when it is not what `save_results` wrote."""
    value = read_json(path)
    try:
        return [
            GuardResult(
                **{
                    **each,
                    "rows": tuple(Row.model_validate(row) for row in each["rows"]),
                    "by_category": tuple(Row.model_validate(row) for row in each["by_category"]),
                    "ranking": {name: Auc(**one) for name, one in each["ranking"].items()},
                    "calibration": {
                        name: Calibration(**{**one, "bins": tuple(Bin(**b) for b in one["bins"])})
                        for name, one in each["calibration"].items()
                    },
                    "latency": {name: Latency(**one) for name, one in each["latency"].items()},
                }
            )
            for each in value["guards"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: no result of counterpoise guard eval ({error})") from error
