"""Paraphrases of training rows: by rules, offline, or by any model of Inspect. Gold labels are inherited; routing
labels and features never are: both guards look at every paraphrase."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from counterpoise.base import InputError
from counterpoise.chat import Message
from counterpoise.evals import from_output

from .._labelled import Labelled
from .._values import Exchange

Pair = tuple[str, str | None]
"""The text of the last user turn, and the answer or None."""
Paraphraser = Callable[[Sequence[Pair], int], list[Pair | None]]
"""Pairs and the number of the round -> new wordings; None where there is none."""

FRAMES = (
    "How do I {}?",
    "How can I {}?",
    "How would one {}?",
    "Could you tell me how to {}?",
    "Please explain how to {}.",
    "I would like to {}. How does that work?",
    "What steps do I need to {}?",
    "Show me a way to {}.",
    "Someone asked me how to {}. What should I say?",
    "What is a good way to {}?",
    "Walk me through how to {}.",
)
_ASKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"how (?:do|can|could|should|would|does|might) (?:i|we|you|one|someone|somebody|he|she) (.+?)[?.!]*$",
        r"(?:please )?(?:tell|show|teach) (?:me|us) how (?:to|i can) (.+?)[?.!]*$",
        r"(?:explain|describe)(?: step by step| in detail)? how (?:to|somebody could|one could) (.+?)[?.!]*$",
        r"what is the best way to (.+?)[?.!]*$",
        r"(?:give me|write) (?:a plan|a short guide on how|instructions) to (.+?)[?.!]*$",
        r"(?:can|could) you (?:help me|tell me how to|show me how to) (.+?)[?.!]*$",
        r"i (?:want|need|would like) to (.+?)[.!] .+$",
        r"what do i need in order to (.+?)[?.!]*$",
    )
)
_SWAPS = (
    ("picture", "image"), ("tell me", "let me know"), ("help me", "assist me"), ("show", "present"), ("make", "create"),
    ("get", "obtain"), ("use", "make use of"), ("do not", "don't"), ("cannot", "can't"), ("start", "begin"),
    ("people", "persons"), ("big", "large"), ("quickly", "fast"), ("buy", "purchase"), ("sure", "of course"),
    ("first", "to begin with"), ("carefully", "with care"), ("what is", "what's"), ("i am", "i'm"),
)  # fmt: skip
_LEADS = ("", "Hello. ", "A question: ", "Please help. ", "Quick one: ")


def by_rules(pairs: Sequence[Pair], number: int) -> list[Pair | None]:
    """Other frames for requests ("How do I ..." -> "What steps do I need to ..."), and swapped words elsewhere."""
    found: list[Pair | None] = []
    for text, answer in pairs:
        rng = random.Random(f"{number} {text} {answer}")
        new, reply = _reworded(text, rng), None if answer is None else _swapped(answer, rng)
        found.append(None if (new, reply) == (text, answer) or not new.strip() else (new, reply))
    return found


def _reworded(text: str, rng: random.Random) -> str:
    for ask in _ASKS:
        match = ask.fullmatch(text.strip())
        if match:
            worded = [frame.format(match[1].strip()) for frame in FRAMES]
            return rng.choice([new for new in worded if new.casefold() != text.strip().casefold()])
    return rng.choice(_LEADS) + _swapped(text, rng) if text.strip() else text


def _swapped(text: str, rng: random.Random) -> str:
    for one, other in _SWAPS:
        for old, new in ((one, other), (other, one)):
            if rng.random() < 0.5:
                swapped = re.sub(rf"\b{re.escape(old)}\b", new, text, flags=re.IGNORECASE)
                if swapped != text:
                    text = swapped[0].upper() + swapped[1:] if text[0].isupper() else swapped
                    break
    return text


PROMPT = (
    "Paraphrase the prompt below. Keep its meaning and its intent, use other words, and do not repeat the original. "
    "Write nothing but one line that begins with `prompt:`.\n\nprompt: {prompt}"
)
BOTH = (
    "Paraphrase the prompt and the response below, each for itself. Keep their meaning and intent, use other words, "
    "and do not repeat the originals. Begin the first with `prompt:` and the second with `response:` and write nothing "
    "else.\n\nprompt: {prompt}\nresponse: {answer}"
)
_ONE = re.compile(r"prompt:\s*(.*)\s*", re.DOTALL)
_TWO = re.compile(r"prompt:\s*(.*?)\s*response:\s*(.*)", re.DOTALL)


def parse(output: str, answered: bool) -> Pair | None:
    """What a paraphrasing model wrote; None when it is off the format or a part is empty."""
    match = (_TWO if answered else _ONE).fullmatch(output.strip())
    if match is None or not all(part.strip() for part in match.groups()):
        return None
    return (match[1].strip(), match[2].strip()) if answered else (match[1].strip(), None)


def by_model(name: str, *, connections: int = 16, temperature: float = 1.0, max_tokens: int = 1024) -> Paraphraser:
    """Any model of Inspect writes the paraphrases; a prompt without an answer gets an instruction of its own.

    Raises InputError when the model cannot be had, and when every call of a round fails.
    """
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import GenerateConfig, get_model

    try:
        model = get_model(name)
    except (PrerequisiteError, ValueError) as error:
        raise InputError(f"paraphrases: {' '.join(str(error).split())}") from error

    def run(pairs: Sequence[Pair], number: int) -> list[Pair | None]:
        failures: list[str] = []

        async def one(gate: asyncio.Semaphore, prompt: str, answer: str | None) -> Pair | None:
            text = PROMPT.format(prompt=prompt) if answer is None else BOTH.format(prompt=prompt, answer=answer)
            config = GenerateConfig(temperature=temperature, max_tokens=max_tokens, seed=number)
            async with gate:
                try:
                    output = await model.generate(text, config=config)
                except Exception as error:  # every provider has its own; one dead call must not end the others
                    failures.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
                    return None
            reply = from_output(output)
            return parse(reply.text, answer is not None) if reply.problem is None else None

        async def every() -> list[Pair | None]:
            gate = asyncio.Semaphore(connections)
            return list(await asyncio.gather(*(one(gate, prompt, answer) for prompt, answer in pairs)))

        found = asyncio.run(every())
        if failures and len(failures) == len(pairs):
            raise InputError(f"paraphrases by {name}: every call failed; the first: {failures[0]}")
        return found

    return run


def paraphrased(rows: Sequence[Labelled], rounds: int, paraphrase: Paraphraser) -> list[Labelled]:
    """`rounds` new wordings of each row, in the row's own group; images and earlier turns stay. Unusable ones and
    wordings that are already there are left out."""
    made: list[Labelled] = []
    seen = {(row.exchange.conversation, row.exchange.answer) for row in rows}
    for number in range(rounds):
        pairs = [(row.exchange.conversation[-1].text, row.exchange.answer) for row in rows]
        for row, new in zip(rows, paraphrase(pairs, number), strict=True):
            if new is None:
                continue
            exchange = _with_text(row.exchange, new)
            if (exchange.conversation, exchange.answer) not in seen:
                seen.add((exchange.conversation, exchange.answer))
                made.append(replace(row, id=f"{row.id}~{number}", exchange=exchange))
    return made


def _with_text(exchange: Exchange, new: Pair) -> Exchange:
    """The exchange with another text in its last turn, behind the images."""
    last = exchange.conversation[-1]
    turn = Message(last.role, (*last.images, new[0]) if new[0] else last.images)
    return Exchange((*exchange.conversation[:-1], turn), new[1])
