"""Making a constitution ready with a language model: rules objective, preconditions and central words extracted."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from counterpoise.base import InputError, Progress
from counterpoise.evals import PROBLEMS, from_output

from ._constitution import LEAST_OBJECTIVE, Constitution, Group, Rule, load_constitution, save_constitution
from ._extract import read_central_line, read_guideline, read_objectiveness, read_preconditions
from ._prompts import CENTRAL, OBJECTIVENESS, PRECONDITIONS, PREPARE_VERSION, REWRITE

if TYPE_CHECKING:
    from inspect_ai.model import Model

Ask = Callable[[str], Awaitable[str]]


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
