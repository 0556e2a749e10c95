"""The dose search: pure logic over any method's knobs. What training and measuring mean is the caller's business."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from counterpoise.base import InputError
from counterpoise.methods import Scale
from counterpoise.report import DosePoint, Estimate, say_dose

from ._target import Limit

Dose = dict[str, float]
"""Value by name of knob."""
Measure = Callable[[Dose], Mapping[str, Estimate]]


@dataclass(frozen=True)
class Grid:
    """The values of one knob that a search may try, from the weakest dose to the strongest."""

    knob: Scale
    values: tuple[float, ...]


@dataclass(frozen=True)
class Search:
    """The outcome of a search: every training in the order in which it was done, and the choice."""

    points: tuple[DosePoint, ...]
    chosen: DosePoint | None
    message: str


def excess(point: DosePoint, limits: Sequence[Limit]) -> dict[str, float]:
    """By how much the upper end of each interval exceeds its bound, for the limits that are not met."""
    over = {limit.name: point.estimates[limit.name].high - limit.bound for limit in limits}
    return {name: amount for name, amount in over.items() if amount > 0}


def search(grids: Sequence[Grid], measure: Measure, limits: Sequence[Limit]) -> Search:
    """Find the smallest dose whose intervals meet every limit, with as few trainings as possible.

    Smaller means weaker in the first knob, then in the second, and so on. `measure` trains one dose and returns an
    estimate per limit name, on validation items.

    1. Bisection over the first grid, the other knobs at their strongest, on the question "is the ASR limit met?": ASR
       falls with the dose, so ceil(log2(n + 1)) trainings find the smallest sufficient value.
    2. That ASR falls is an assumption, so it is checked: when two measured doses contradict it (the stronger one with
       a higher ASR, intervals apart), bisection is not trusted and the rest of the first grid is measured too.
    3. When ASR is met but over-refusal or capability is not, a stronger dose should not help. It is tried all the
       same, one step at a time, and the search stops as soon as the worst excess no longer shrinks.
    4. At the chosen value each further knob is lowered, one after the other, while all limits stay met.

    Raises InputError on an empty or unsorted grid. The result's `chosen` is always a measured dose that meets all
    limits; None means that no measured dose does, and `message` says what stood in the way.
    """
    _check(grids, limits)
    knobs = [grid.knob for grid in grids]
    points: dict[tuple[int, ...], DosePoint] = {}
    strongest = tuple(len(grid.values) - 1 for grid in grids[1:])

    def at(*places: int) -> DosePoint:
        if places not in points:
            dose = {grid.knob.name: grid.values[place] for grid, place in zip(grids, places, strict=True)}
            points[places] = DosePoint(dose, measure(dose))
        return points[places]

    def along(place: int) -> DosePoint:
        return at(place, *strongest)

    harm = [limit for limit in limits if limit.metric == "asr"]
    n = len(grids[0].values)
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if not excess(along(middle), harm) else (middle, high)
    if _contradicted([points[key] for key in sorted(points)], harm):
        for place in range(n):
            along(place)
    elif high < n:
        _climb(along, high, n, limits)

    good = sorted(key for key, point in points.items() if not excess(point, limits))
    if not good:
        return Search(tuple(points.values()), None, _why_not(knobs, list(points.values()), limits))
    best = list(good[0])
    for number in range(1, len(grids)):
        for place in reversed(range(best[number])):
            if excess(at(*best[:number], place, *best[number + 1 :]), limits):
                break
            best[number] = place
    chosen = at(*best)
    text = f"{say_dose(knobs, chosen.dose)} is the smallest measured dose that meets every target"
    return Search(tuple(points.values()), chosen, text)


def _climb(along: Callable[[int], DosePoint], start: int, end: int, limits: Sequence[Limit]) -> None:
    """Step 3: go up from the smallest sufficient dose while what is wrong gets better."""
    worst = max(excess(along(start), limits).values(), default=0.0)
    for place in range(start + 1, end):
        if worst == 0:
            return
        now = max(excess(along(place), limits).values(), default=0.0)
        if now >= worst:
            return
        worst = now


def _contradicted(ordered: Sequence[DosePoint], harm: Sequence[Limit]) -> bool:
    """True when a stronger dose has a clearly higher ASR (intervals apart) than a weaker one before it."""
    return any(
        later.estimates[limit.name].low > earlier.estimates[limit.name].high
        for limit in harm
        for i, earlier in enumerate(ordered)
        for later in ordered[i + 1 :]
    )


def _why_not(knobs: Sequence[Scale], points: Sequence[DosePoint], limits: Sequence[Limit]) -> str:
    """One sentence: the dose that came nearest, and which targets it misses."""
    nearest = min(points, key=lambda point: max(excess(point, limits).values()))
    missed = excess(nearest, limits)
    parts = [
        f"{limit.name} {nearest.estimates[limit.name].value:.1%} with an upper end of "
        f"{nearest.estimates[limit.name].high:.1%} against {limit.bound:.1%}"
        for limit in limits
        if limit.name in missed
    ]
    return (
        f"No measured dose meets every target. Nearest: {say_dose(knobs, nearest.dose)}, which "
        f"misses {'; '.join(parts)}"
    )


def _check(grids: Sequence[Grid], limits: Sequence[Limit]) -> None:
    for grid in grids:
        keys = [grid.knob.key(value) for value in grid.values]
        if not keys or keys != sorted(set(keys)):
            raise InputError(
                f"dose search: {grid.knob.name} must go from the weakest to the strongest without repeats, "
                f"got {list(grid.values)}"
            )
    if not grids:
        raise InputError("dose search: no knob to turn")
    if not limits:
        raise InputError("dose search: no target given")
