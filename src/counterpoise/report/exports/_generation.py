"""How the answers to each benchmark were made, from an evaluation's record: shots, temperature, tries, token limit."""

from collections.abc import Iterable, Mapping
from typing import Any

from ._evaluation import Generation


def generations(record: Mapping[str, Any]) -> dict[tuple[str, str], Generation]:
    """By (benchmark, split), from the `run.json` of an evaluation. What it does not say, or says in two ways for one
    benchmark, is None: a wrong setting is worse than none."""
    from counterpoise.evals import benchmarks

    known = benchmarks()
    measured = record.get("benchmarks")
    found: dict[tuple[str, str], list[Generation]] = {}
    for name, facts in (measured if isinstance(measured, dict) else {}).items():
        if isinstance(facts, dict):
            card = known.get(name)
            label = card.row_name if card else str(facts.get("label") or name)
            shots = facts.get("shots", card.shots if card else None)
            split = str(facts.get("split") or (card.split if card else "all"))
            found.setdefault((label, split), []).append(_one(facts, record.get("decoding"), shots))
    return {key: _agreed(each) for key, each in found.items()}


def _one(facts: Mapping[str, Any], decoding: object, shots: object) -> Generation:
    drawn = facts.get("sampling", decoding)
    how = drawn if isinstance(drawn, dict) else {}
    return Generation(
        shots=_whole(shots),
        temperature=_number(how.get("temperature")),
        top_p=_number(how.get("top_p")),
        tries=_whole(how.get("tries")),
        max_new_tokens=_whole(facts.get("max_new_tokens")),
    )


def _agreed(found: Iterable[Generation]) -> Generation:
    values = zip(*found, strict=True)
    return Generation(*(each[0] if len(set(each)) == 1 else None for each in values))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
