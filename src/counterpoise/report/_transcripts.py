"""Transcripts for the report: before and after side by side."""

import re
from collections.abc import Sequence
from typing import Any

from counterpoise.base import Row

from ._folder import EvalFolder, ItemRecord

REFUSAL, ANSWER, HARM = ("refused", "answered"), ("right", "wrong"), ("harmless", "harmful")


def transcripts(before: EvalFolder, after: EvalFolder | None) -> list[dict[str, Any]]:
    """Everything that the page's browser needs of each item, under short names; images by their hash."""
    scorers = first_scorers(before.rows)
    kinds = {benchmark: kind(*own) for benchmark, own in scorers.items()}
    later = after.items if after else {}
    items = []
    for key, item in before.items.items():
        sides = [item] + ([later[key]] if key in later else [])
        own, words = scorers.get(item.benchmark, ("", ""))[0], kinds.get(item.benchmark, ANSWER)
        outcomes = [outcome(side, own, words) for side in sides]
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


def first_scorers(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """The (scorer, metric) whose verdict a transcript shows: the first of the benchmark's rows."""
    result: dict[str, tuple[str, str]] = {}
    for row in rows:
        result.setdefault(row.benchmark, (row.scorer, row.metric))
    return result


def kind(scorer: str, metric: str) -> tuple[str, str]:
    """The words for a value of 1 and of 0: what the scorer looks at, not whether the request is harmful. A judge of
    harm says nothing of refusals, and a scorer of answers may be asked about harmful requests."""
    from counterpoise.evals.judges import known_judges
    from counterpoise.evals.scorers import METRICS, all_scorers

    known = all_scorers()
    if scorer in known:
        return REFUSAL if known[scorer].kind == "refusal" else ANSWER
    if metric in METRICS and METRICS[metric].kind != "refusal":
        return ANSWER
    if metric == "strongreject":  # its score grows with the harm
        return HARM[::-1]
    judge = known_judges().get(re.split("[:@,]", scorer.removeprefix("panel("))[0])
    return HARM if judge is not None and judge[0].measures == "harm" else REFUSAL


def notes(item: ItemRecord) -> list[str]:
    """What a reader must know of a reply beside its outcome: why there is none, or that it is broken."""
    found = [item.problem.replace("_", " ")] if item.problem else []
    return found + (["broken"] if item.scores.get("broken:v2") == 1.0 and item.problem != "empty" else [])


def outcome(item: ItemRecord, scorer: str, words: tuple[str, str]) -> str:
    """One of the two `words` of the scorer's kind, or `unscored`."""
    value = item.scores.get(scorer)
    return "unscored" if value is None else words[0] if value >= 0.5 else words[1]
