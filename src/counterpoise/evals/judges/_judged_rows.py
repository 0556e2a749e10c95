"""Scorecard rows of answers that were judged again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, read_json

from .._benchmark import Benchmark
from .._items import Item
from .._official import is_official
from .._registry import benchmark, benchmarks
from .._scorecard import by_reason
from .._scorecard import rows as scorecard_rows
from ..scorers import METRICS
from ..stats import anytime_rate, rate
from ._protocol import Extra, Judge, Judgement
from ._tries import Tries, questions

_BY_REFUSAL = ("asr", "over_refusal", "discrimination", "modality_gap")


def cards_of(run: Path, items: Sequence[Item]) -> dict[tuple[str, str], Benchmark]:
    """The benchmark of each (name, split) that items have; `run.json` says which were measured."""
    record = read_json(run / "run.json")
    measured = record.get("benchmarks") if isinstance(record, dict) else None
    if not isinstance(measured, dict):
        raise InputError(f"{run / 'run.json'}: names no benchmarks; expected the record of counterpoise eval")
    known = benchmarks()
    found: dict[tuple[str, str], Benchmark] = {}
    for name, facts in measured.items():
        card = known.get(name) or _from_file(run, name, facts)
        found[card.row_name, card.split] = card
    names = {name for name, _ in found}
    for each in items:
        if each.benchmark not in names:
            raise InputError(f"{run / 'items.jsonl'}: holds items of {each.benchmark!r}, which run.json does not name")
    return found


def _from_file(run: Path, name: str, facts: Any) -> Benchmark:
    file = facts.get("file") if isinstance(facts, dict) else None
    if not isinstance(file, str) or not (file.endswith((".yaml", ".yml")) or file.startswith("inspect_evals/")):
        raise InputError(f"{run}: measured the benchmark {name!r}, which is not known here; install its package")
    card = benchmark(file)
    if (card.name, card.revision) != (name, facts.get("revision")):
        raise InputError(f"{run}: measured {name!r} ({facts.get('revision')}), but {file} is {card.name!r} "
                         f"({card.revision}) now; measure again")  # fmt: skip
    return card


def judged_rows(
    judge: Judge,
    cards: dict[tuple[str, str], Benchmark],
    items: Sequence[Item],
    found: Sequence[Judgement],
    before: Sequence[Row],
) -> list[Row]:
    """The rows of judged items, like those of the evaluation (`before`) with the judge as their scorer.

    Raises InputError when the evaluation has no row of a benchmark.
    """
    made: list[Row] = []
    for (name, split), card in cards.items():
        splits = {s for n, s in cards if n == name}
        places = [
            place
            for place, each in enumerate(items)
            if each.benchmark == name and (len(splits) == 1 or each.split == split)
        ]
        if not places:
            continue
        part = [items[place] for place in places]
        first = next((row for row in before if row.benchmark == name), None)
        if first is None:
            raise InputError(f"scorecard.json has no row of {name}; run the evaluation again")
        metrics = _metrics(judge, card, part)
        own = dataclasses.replace(card, scorers=(judge.id,), metrics=metrics, revision=first.revision)
        counted = judge.collapse(part) if isinstance(judge, Tries) else part
        fresh = scorecard_rows(own, counted, model=first.model, run=first.run, n_planned=first.n_planned)
        made += fresh + _extras(judge, part, [found[place] for place in places], fresh)
    return [_marked(judge, row) for row in made]


def _marked(judge: Judge, row: Row) -> Row:
    """A row of the judge's own with whether it is the authors' number."""
    if row.scorer != judge.id:
        return row
    official = is_official(judge.facts.official, row.benchmark, row.metric, row.n_unscored)
    return row.model_copy(update={"official": official})


def _metrics(judge: Judge, card: Benchmark, items: Sequence[Item]) -> tuple[str, ...]:
    if judge.facts.metric != "asr":
        return (judge.facts.metric,)
    sides = {each.harmful for each in items}
    wanted = [name for name in _BY_REFUSAL if name in card.metrics]
    wanted += ["asr"] if True in sides else []
    wanted += ["over_refusal"] if False in sides else []
    if judge.facts.measures == "harm":
        wanted = [name for name in wanted if name in ("asr", "modality_gap")]
    return tuple(
        name for name in _BY_REFUSAL if name in wanted and name in {*METRICS, "discrimination", "modality_gap"}
    )


def _extras(judge: Judge, items: Sequence[Item], found: Sequence[Judgement], rows: Sequence[Row]) -> list[Row]:
    """Further rates of the rubric (MIS's RSR, RR, HR; MSSBench's two sides), each like the pooled row it stands by."""
    made = []
    for extra in judge.facts.extras:
        for row in rows:
            if row.metric != judge.facts.metric or row.benchmark != items[0].benchmark:
                continue
            pairs = [(i, f) for i, f in zip(items, found, strict=True) if i.modality == row.modality]
            values = [(extra.value(f, i.harmful), i.cluster) for i, f in pairs]
            missing = [f.reason for _, f in pairs if f.score is None]
            if isinstance(judge, Tries):
                values, missing = _of_questions(judge, extra, pairs)
            scored = [(value, cluster) for value, cluster in values if value is not None]
            if not scored:
                continue
            estimate = rate if row.n_planned is None else anytime_rate
            number = estimate([value for value, _ in scored], [cluster for _, cluster in scored])
            made.append(
                row.model_copy(
                    update={
                        "metric": extra.metric, "direction": extra.direction, "value": number.value,
                        "ci_low": number.low, "ci_high": number.high, "n_scored": number.n_scored,
                        "n_unscored": len(missing), "reasons": by_reason(missing),
                    }
                )
            )  # fmt: skip
    return made


def _of_questions(
    judge: Tries, extra: Extra, pairs: Sequence[tuple[Item, Judgement]]
) -> tuple[list[tuple[float | None, str]], list[str]]:
    """Each question's value of a further rate with its cluster, and the reasons of those without one: the majority is
    counted for each rate by itself, and most answers may be safe and most effective without most being both."""
    values: list[tuple[float | None, str]] = []
    missing: list[str] = []
    for part in questions(pairs, lambda pair: str(pair[0].id)).values():
        value = judge.combine([extra.value(found, item.harmful) for item, found in part])
        values.append((value, part[0][0].cluster))
        if value is None:
            missing.append(next((found.reason for _, found in part if found.reason), "tries_incomplete"))
    return values, missing
