"""Transcripts for the report: before and after side by side."""

from collections.abc import Sequence
from typing import Any

from counterpoise.base import Row

from ._folder import EvalFolder, ItemRecord


def transcripts(before: EvalFolder, after: EvalFolder | None) -> list[dict[str, Any]]:
    """Everything that the page's browser needs of each item, under short names; images by their hash."""
    scorers = first_scorers(before.rows)
    later = after.items if after else {}
    items = []
    for key, item in before.items.items():
        sides = [item] + ([later[key]] if key in later else [])
        outcomes = [outcome(side, scorers.get(side.benchmark)) for side in sides]
        items.append(
            {
                "b": item.benchmark,
                "i": item.id,
                "m": item.modality,
                "g": item.group,
                "h": item.harmful,
                "q": item.prompt,
                "im": list(item.images),
                "a": [side.answer for side in sides],
                "f": [side.finish for side in sides],
                "r": [side.reasoning for side in sides],
                "p": [notes(side) for side in sides],
                "o": outcomes,
                "c": len(set(outcomes)) > 1,
            }
        )
    return items


def first_scorers(rows: Sequence[Row]) -> dict[str, str]:
    """The scorer whose verdict a transcript shows: the first of the benchmark's rows."""
    result: dict[str, str] = {}
    for row in rows:
        result.setdefault(row.benchmark, row.scorer)
    return result


def notes(item: ItemRecord) -> list[str]:
    """What a reader must know of a reply beside its outcome: why there is none, or that it is broken."""
    found = [item.problem.replace("_", " ")] if item.problem else []
    return found + (["broken"] if item.scores.get("broken:v1") == 1.0 and item.problem != "empty" else [])


def outcome(item: ItemRecord, scorer: str | None) -> str:
    """`refused` or `answered` for items with a harmful side, `right` or `wrong` otherwise, or `unscored`."""
    value = item.scores.get(scorer) if scorer else None
    if value is None:
        return "unscored"
    if item.harmful is None:
        return "right" if value >= 0.5 else "wrong"
    return "refused" if value >= 0.5 else "answered"
