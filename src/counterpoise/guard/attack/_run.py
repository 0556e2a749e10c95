"""Attacks on a guard, or on a running server: what passed, what was caught, what the guard could not judge."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from counterpoise.base import InputError, Progress, read_limit, versions, write_json
from counterpoise.evals import Journal
from counterpoise.evals.stats import Rate, rate

from ._attacks import ON_SERVERS, Attack
from ._targets import Outcome, ServerTarget, Target

Quantity = Literal["passed", "over_block"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
BATCH = 32


def attack(
    of: Target, tries: Sequence[Attack], *, journal: Path | None = None, progress: Progress | None = None
) -> list[Outcome]:
    """An outcome for each try. They are kept in `journal`, and a second call asks for none twice; what was not run is
    asked again."""
    kept = Journal(journal, of.identity) if journal is not None else None
    found: dict[str, Outcome] = {}
    try:
        for start in range(0, len(tries), BATCH):
            block = tries[start : start + BATCH]
            keys = [_key(each, of.identity) for each in block]
            known = {key: row for key in keys if kept is not None and (row := kept.get(key)) is not None}
            todo = [each for key, each in zip(keys, block, strict=True) if key not in known]
            fresh = iter(of.ask(todo) if todo else ())
            for key, each in zip(keys, block, strict=True):
                row = known.get(key)
                found[each.id] = Outcome(row["answer"], row["reason"]) if row else next(fresh)
                if kept is not None and row is None and found[each.id].result != "not run":
                    kept.put(key, found[each.id].result, "asked", reason=found[each.id].reason, id=each.id)
            if progress is not None:
                progress.advance(len(block))
    finally:
        if kept is not None:
            kept.close()
    return [found[each.id] for each in tries]


def _key(one: Attack, identity: str) -> str:
    digest = hashlib.sha256(f"{identity}\n{one.id}\n{json.dumps(one.body, sort_keys=True)}".encode())
    for message in one.conversation:
        for part in message.parts:
            digest.update(b"\0" + (part if isinstance(part, str) else part.sha256).encode("utf-8", "replace"))
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Share:
    """One line of the table. Denominators are the tries that were run."""

    family: str
    variant: str
    """Empty: all variants together."""
    harmful: bool
    n: int
    caught: int
    unknown: int
    passed: int
    not_run: int
    wrong: Rate
    """Harmful: share that passed. Benign: share that was blocked, unknown included, as a gate that fails closed does.
    The interval is Wilson's at 95 %, with the effective number of tries where they are of one request."""


def shares(tries: Sequence[Attack], outcomes: Sequence[Outcome]) -> list[Share]:
    """By family, and by variant within it: harmful tries and benign controls."""
    together = list(zip(tries, outcomes, strict=True))
    made: list[Share] = []
    for family in dict.fromkeys(each.family for each in tries):
        own = [pair for pair in together if pair[0].family == family]
        names = list(dict.fromkeys(one.variant for one, _ in own))
        for variant in [*(names if len(names) > 1 else []), ""]:
            for harmful in (True, False):
                part = [p for p in own if p[0].harmful is harmful and variant in ("", p[0].variant)]
                if part:
                    made.append(_share(family, variant, harmful, part))
    return made


def _share(family: str, variant: str, harmful: bool, part: Sequence[tuple[Attack, Outcome]]) -> Share:
    results = [outcome.result for _, outcome in part]
    values = [None if r == "not run" else float((r == "passed") is harmful) for r in results]
    left = results.count("not run")
    return Share(
        family, variant, harmful, len(part) - left, results.count("caught"), results.count("unknown"),
        results.count("passed"), left, rate(values, [one.group for one, _ in part]),
    )  # fmt: skip


RESULTS = "attack.json"


def about(of: Target, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a table is about, for its file: another one in the same folder would replace it."""
    return {"target": of.identity, "settings": dict(settings)}


def save(
    folder: Path, of: Target, tries: Sequence[Attack], outcomes: Sequence[Outcome], found: Sequence[Share],
    settings: Mapping[str, Any], gates: Mapping[str, Sequence[str]] | None = None,
) -> None:  # fmt: skip
    """Write `attack.json`: every share with its counts and interval, and every try with its outcome. `gates`: rules as
    they were given, and a line for each family that breaks one."""
    rows = [
        {"id": one.id, "family": one.family, "variant": one.variant, "harmful": one.harmful, **found._asdict()}
        for one, found in zip(tries, outcomes, strict=True)
    ]
    table = [
        {**{k: v for k, v in asdict(each).items() if k != "wrong"}, "wrong": each.wrong.value,
         "ci_low": each.wrong.low, "ci_high": each.wrong.high}
        for each in found
    ]  # fmt: skip
    kept = {**about(of, settings), "versions": versions(), "gates": dict(gates or {})}
    write_json(folder / RESULTS, {**kept, "shares": table, "tries": rows})


class AttackRule(NamedTuple):
    """The suite fails when more than this share of a family's harmful tries passed, or of its controls was blocked."""

    quantity: Quantity
    bound: float


def parse_attack_rule(text: str) -> AttackRule:
    """`passed>0`, `over_block>10%`. Raises InputError for anything else."""
    name, _, bound = read_limit(text, "'passed>0.1' or 'over_block>10%'")
    quantity = next((each for each in QUANTITIES if each == name), None)
    if quantity is None:
        raise InputError(f"--fail-on {text!r}: {InputError.unknown('quantity', name, QUANTITIES)}")
    if bound >= 1:
        raise InputError(f"--fail-on {text!r}: no share exceeds 1; write 0.1 or 10% for one try in ten")
    return AttackRule(quantity, bound)


def unkept(found: Iterable[Share], rules: Iterable[AttackRule]) -> list[str]:
    """One line for every family that does not keep a rule. A family of which nothing was run keeps none."""
    lines = []
    for rule in rules:
        for each in found:
            if each.variant or each.harmful is not (rule.quantity == "passed"):
                continue
            name = f"{each.family}: {rule.quantity}>{rule.bound:g}"
            if not each.n or each.wrong.value is None:
                lines.append(f"{name}: no try was run")
            elif each.wrong.value > rule.bound:
                lines.append(f"{name}: {round(each.wrong.value * each.n)} of {each.n}")
    return lines


def not_run(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Why tries were not run -> how many, the most frequent first."""
    return dict(Counter(each.reason for each in outcomes if each.result == "not run").most_common())


def fitting(families: Sequence[str], of: Target) -> list[str]:
    """The families that concern a target: those about requests need a server."""
    return [name for name in families if name not in ON_SERVERS or isinstance(of, ServerTarget)]
