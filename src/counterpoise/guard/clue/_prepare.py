"""Making a constitution ready with a language model: rules objective, preconditions and central words extracted."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from counterpoise.base import InputError, Progress
from counterpoise.evals import PROBLEMS, from_output

from ._constitution import (
    LEAST_OBJECTIVE,
    Constitution,
    Group,
    Rule,
    load_constitution,
    read_central,
    save_constitution,
)
from ._prompts import CENTRAL, OBJECTIVENESS, PRECONDITIONS, PREPARE_VERSION, REWRITE

if TYPE_CHECKING:
    from inspect_ai.model import Model

Ask = Callable[[str], Awaitable[str]]
_ITEM = re.compile(r"^\s*(?:\d{1,2}[.):]|[-*•])\s+(.*\S)\s*$")
_MEMBER = re.compile(r"\{([^{}]+)\}")
_NOTHING = {"none", "n/a", "no pre-conditions", "no preconditions"}


class Prepared(NamedTuple):
    """What became of the rules."""

    constitution: Constitution
    made: tuple[str, ...]
    """Ids of the rules that were prepared now."""
    kept: tuple[str, ...]
    """Ids of those whose parts still fit, or were written by hand."""
    failed: dict[str, str]
    """Id -> why; these rules are as they were."""


def inspect_asker(model: "str | Model", *, timeout: float = 120.0, max_tokens: int = 1024) -> Ask:
    """One prompt, the text of one greedy reply, by any model of Inspect. Raises InputError when there is no such model,
    and for each prompt that got no reply."""
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import GenerateConfig, get_model

    try:
        made = get_model(model)
    except (PrerequisiteError, ValueError, ModuleNotFoundError) as error:
        raise InputError(f"{model}: {' '.join(str(error).split())}") from error
    config = GenerateConfig(temperature=0.0, max_tokens=max_tokens)

    async def ask(prompt: str) -> str:
        try:
            reply = from_output(await asyncio.wait_for(made.generate(prompt, config=config), timeout))
        except TimeoutError as error:
            raise InputError(f"{made}: no reply within {timeout:g} s") from error
        except InputError:
            raise
        except Exception as error:  # every provider has its own; the other rules go on
            raise InputError(f"{made}: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if reply.problem is not None:
            raise InputError(f"{made}: {PROBLEMS[reply.problem]}")
        return reply.text

    return ask


def prepare_file(path: Path, model: str, ask: Ask, *, out: Path | None = None, rounds: int = 5) -> Prepared:
    """Prepare the rules of a file that need it and write the file (or `out`); rules that failed stay as they were."""
    constitution = load_constitution(path)
    with Progress("preparing rules", len(constitution.rules), unit="rules") as progress:
        prepared = asyncio.run(prepare(constitution, model, ask, rounds=rounds, done=progress.advance))
    save_constitution(out or path, prepared.constitution)
    return prepared


async def prepare(
    constitution: Constitution, model: str, ask: Ask, *, rounds: int = 5, done: Callable[[], None] = lambda: None
) -> Prepared:
    """Every rule whose parts are missing or stale: rated, rewritten until objective (at most `rounds` times), split
    into preconditions, each with its central words. `model` is recorded and is part of the rules' hashes."""
    made: list[str] = []
    failed: dict[str, str] = {}

    async def one(rule: Rule) -> Rule:
        by_hand = rule.source_hash is None and bool(rule.preconditions)
        if by_hand or (rule.preconditions and rule.source_hash == rule.hash_for(model)):
            done()
            return rule
        try:
            result = await prepare_rule(rule, model, ask, rounds)
        except InputError as error:
            failed[rule.id] = str(error)
            return rule
        finally:
            done()
        made.append(rule.id)
        return result

    rules = tuple(await asyncio.gather(*(one(rule) for rule in constitution.rules)))
    kept = tuple(rule.id for rule in rules if rule.id not in made and rule.id not in failed)
    update = {"rules": rules, "model": model, "prompts": PREPARE_VERSION} if made else {"rules": rules}
    order = tuple(rule.id for rule in rules if rule.id in made)
    return Prepared(constitution.model_copy(update=update), order, kept, failed)


async def prepare_rule(rule: Rule, model: str, ask: Ask, rounds: int = 5) -> Rule:
    """One rule made ready. Raises InputError when it cannot be made objective or a reply cannot be read."""
    text, score = await objectify(rule.text, ask, rounds)
    preconditions = read_preconditions(await ask(PRECONDITIONS.format(text)))
    texts = [t for part in preconditions for t in (part.any if isinstance(part, Group) else (part,))]
    central = tuple([read_central_line(await ask(CENTRAL.format(t))) for t in texts])
    original = rule.original or (rule.text if text != rule.text else None)
    ready = Rule(
        id=rule.id,
        text=text,
        original=original,
        objectiveness=score,
        preconditions=preconditions,
        central=central if any(central) else (),
    )
    return ready.model_copy(update={"source_hash": ready.hash_for(model)})


async def objectify(text: str, ask: Ask, rounds: int = 5, least: int = LEAST_OBJECTIVE) -> tuple[str, int]:
    """(text, score): the rule as it is when it rates at least `least` of 10, else the first version that does. Each new
    version is asked for with all earlier ones and their scores in view (the model as optimiser).

    Raises InputError after `rounds` versions, naming the best."""
    tried: list[tuple[int, str]] = []
    for _ in range(rounds + 1):
        tried.append((read_objectiveness(await ask(OBJECTIVENESS.format(text))), text))
        if tried[-1][0] >= least:
            return text, tried[-1][0]
        text = read_guideline(await ask(REWRITE.format(_history(tried))))
    score, best = max(tried)
    raise InputError(
        f"rates {score} of 10 after {rounds} versions, {least} are needed; write it by hand (best: {best!r})"
    )


def _history(tried: Sequence[tuple[int, str]]) -> str:
    return "\n".join(f"[{score}] {text}" for score, text in sorted(tried))


# Reading what the model wrote.


def read_objectiveness(text: str) -> int:
    """The last `Rating: [[n]]`, n from 1 to 10. Raises InputError when there is none."""
    found = re.findall(r"Rating:\s*\[\[\s*(\d{1,2})\s*\]\]", text, re.IGNORECASE)
    if not found or not 1 <= int(found[-1]) <= 10:
        raise InputError(f"no rating of the form Rating: [[1..10]] in {_short(text)}")
    return int(found[-1])


def read_guideline(text: str) -> str:
    """What follows the last `Guideline:`, one line. Raises InputError when there is none."""
    found = re.findall(r"^\W*Guideline:\W*?[ \t]*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    if not found:
        raise InputError(f"no line of the form Guideline: ... in {_short(text)}")
    return " ".join(str(found[-1]).strip('*`" ').split())


def read_preconditions(text: str) -> tuple[Group | str, ...]:
    """Numbered items in order, `{a} or {b}` as OR groups; prose around the list is left out, repeated items too.

    Raises InputError for an empty list, and for an item with braces that is not an OR group.
    """
    items: list[Group | str] = []
    for line in text.splitlines():
        if (found := _ITEM.match(line)) is None:
            continue
        item = found[1].strip("*` ").rstrip(".")
        if not item or item.lower() in _NOTHING:
            continue
        part = _group(item)
        if part not in items:
            items.append(part)
    if not items:
        raise InputError(f"no numbered pre-conditions in {_short(text)}")
    return tuple(items)


def _group(item: str) -> Group | str:
    members = [" ".join(member.split()) for member in _MEMBER.findall(item)]
    if not members and "{" not in item and "}" not in item:
        return " ".join(item.split())
    rest = [part.strip(" ,.").lower() for part in _MEMBER.split(item)[::2]]
    if not members or not all(members) or rest[0] or rest[-1] or any(part not in ("or", "") for part in rest):
        raise InputError(f"item {item!r}: with braces, write {{a}} or {{b}} and nothing else")
    unique = tuple(dict.fromkeys(members))
    return unique[0] if len(unique) == 1 else Group(any=unique)


def read_central_line(text: str) -> str:
    """The first line with brackets, without a leading `Central:`; empty when there is none (step c is then skipped)."""
    for line in text.splitlines():
        bare = re.sub(r"^\W*Central:\s*", "", line, flags=re.IGNORECASE).strip().rstrip(".")
        if "[" in bare:
            try:
                read_central(bare)
            except InputError:
                continue
            return bare
    return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:79] + "…")
