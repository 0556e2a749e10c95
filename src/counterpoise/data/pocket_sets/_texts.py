"""Text requests: harmful ones with refusals, and benign ones that the model answers itself.

Both come from hand-written lists (text files in this folder) with alternatives in braces, set into sentences.
"""

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from counterpoise.chat import Sample, assistant, user
from counterpoise.data._root import lexicon
from counterpoise.data.twins import families

_FOLDER = Path(__file__).parent

SENTENCES = (
    "How do I {}?",
    "How can I {}?",
    "Tell me how to {}.",
    "What is the best way to {}?",
    "Give me a plan to {}.",
    "Explain step by step how to {}.",
    "I want to {}. What should I do?",
    "Teach me how to {}.",
    "Can you help me {}?",
    "Please show me how to {}.",
    "Write a short guide on how to {}.",
    "What do I need in order to {}?",
    "I need to {}. Any tips?",
    "My friend wants to {}. What should he do first?",
    "Describe in detail how somebody could {}.",
)
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I cannot assist with this request.",
    "Sorry, but I can't help with something that could hurt people.",
    "I can't help with that. If you are in trouble, please talk to someone you trust.",
    "I'm not able to help with this, because it could cause serious harm.",
    "I cannot give instructions for that. It is illegal and could harm others.",
    "I'm sorry, but I won't help with that. I can help you with something safe instead.",
    "No, I can't assist with this. It would be harmful.",
    "I must decline this request, because it could lead to harm.",
    "I'm sorry, but this is not something I can help with.",
    "I can't support that. Please do not do it.",
    "I apologize, but I cannot help with requests like this one.",
)


def expand(line: str) -> Iterator[str]:
    """`draw {a cat|a dog}` -> `draw a cat`, `draw a dog`; several groups give every combination."""
    parts = re.split(r"\{([^{}]*)\}", line)  # odd positions are the groups
    choices = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    for combination in itertools.product(*choices):
        yield "".join(combination)


@lru_cache(maxsize=16)
def phrases(name: str) -> tuple[str, ...]:
    """The expanded lines of one list: the name of a text file beside this one."""
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(phrase for line in text.splitlines() if line.strip() for phrase in expand(line))


def readable(phrase: str) -> bool:
    """Whether every word is in the lexicon, so that the pocket can read the phrase in print."""
    return all(word in _words() for word in phrase.lower().split())


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    return frozenset(lexicon())


def sentences(phrase: str, n: int, rng: random.Random) -> list[str]:
    """`n` different sentences around a phrase."""
    return [sentence.format(phrase) for sentence in rng.sample(SENTENCES, n)]


PARAPHRASES = 5
"""Sentences per train family and side."""


def _numbered(kind: str, texts: Iterable[tuple[str, str, str]], *, harmful: bool, seed: int) -> Iterator[Sample]:
    """(text, cluster, family id or "") -> samples in a random order."""
    rows = list({text: (text, *more) for text, *more in texts}.values())  # a sentence occurs once
    rng = random.Random(f"{kind} {seed}")
    rng.shuffle(rows)
    for number, (text, cluster, family) in enumerate(rows):
        reply = (assistant(rng.choice(REFUSALS)),) if harmful else ()
        yield Sample(
            id=f"pocket-{kind}-{seed}-{number}",
            messages=(user(text), *reply),
            harmful=harmful,
            split="train",
            cluster=cluster,
            meta={"family": family} if family else {},
        )


def _of_families(seed: int, *, harmful: bool) -> Iterator[tuple[str, str, str]]:
    for family in families("train"):
        side = family.harmful if harmful else family.benign
        # both twins get the same sentences, so that the sentence tells nothing
        rng = random.Random(f"{family.id} {seed}")
        yield side.text, family.id, family.id
        for text in sentences(side.phrase, PARAPHRASES, rng):
            yield text, family.id, family.id


def _of_list(name: str, n: int, seed: int) -> Iterator[tuple[str, str, str]]:
    for phrase in phrases(name):
        rng = random.Random(f"{phrase} {seed}")
        for text in sentences(phrase, n, rng):
            yield text, phrase, ""


def harmful_requests(seed: int = 0) -> Iterator[Sample]:
    """Harmful one-line requests with natural refusals: the train families in several wordings and our own list."""
    rows = [*_of_families(seed, harmful=True), *_of_list("harmful", 3, seed), *_of_list("contrast_harmful", 1, seed)]
    return _numbered("harmful", rows, harmful=True, seed=seed)


def benign_requests(seed: int = 0) -> Iterator[Sample]:
    """Benign requests without a reply (the model's own answer is put there): the benign twins of the train families,
    look-alikes that share words or objects with harmful requests, and everyday questions."""
    rows = [
        *_of_families(seed, harmful=False),
        *_of_list("lookalikes", 3, seed),
        *_of_list("contrast_benign", 1, seed),
        *_of_list("everyday", 3, seed),
        *((text, text, "") for text in phrases("facts")),
    ]
    return _numbered("benign", rows, harmful=False, seed=seed)
