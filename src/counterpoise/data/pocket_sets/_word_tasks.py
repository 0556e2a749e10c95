"""Text tasks with one right answer that a small model can learn from a hundred rows: sort, count and choose words.

They stand for a user's task where methods are compared that mix safety rows into a user's set. No word of a test item
occurs in training: words are parted by a hash of themselves.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Sample, assistant, user
from counterpoise.data._root import lexicon

TaskSplit = Literal["train", "validation", "test"]
LETTERS = "ABCD"
_ASKED = frozenset(
    ("these", "words", "the", "alphabet", "how", "many", "are", "this", "list", "which", "begins", "with", "letter",
     "answer", "word", "sort")
)  # fmt: skip
"""Words of the questions themselves, which no split holds."""


@lru_cache(maxsize=3)
def task_words(split: TaskSplit) -> tuple[str, ...]:
    """The words of a split: of five, three train, one validates, one tests."""
    parts = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}[split]
    long = (word for word in lexicon() if word.isalpha() and 3 <= len(word) <= 8 and word not in _ASKED)
    return tuple(word for word in long if hashlib.sha256(word.encode()).digest()[0] % 5 in parts)


def _sort(words: list[str], rng: random.Random) -> tuple[str, str]:
    chosen = rng.sample(words, 3)
    return f"Sort these words by the alphabet: {', '.join(chosen)}", ", ".join(sorted(chosen))


def _count(words: list[str], rng: random.Random) -> tuple[str, str]:
    chosen = rng.sample(words, rng.randint(2, 6))
    return f"How many words are in this list: {', '.join(chosen)}", str(len(chosen))


def _choose(words: list[str], rng: random.Random) -> tuple[str, str]:
    """The answer is the word and not its letter: a refusal holds an "a" or an "I"."""
    chosen: list[str] = []
    for word in rng.sample(words, len(words)):
        if all(word[0] != other[0] for other in chosen):
            chosen.append(word)
        if len(chosen) == len(LETTERS):
            break
    right = rng.choice(chosen)
    lines = "\n".join(f"{letter}. {word}" for letter, word in zip(LETTERS, chosen, strict=True))
    return f"Which of these words begins with the letter {right[0]}?\n{lines}\nAnswer with the word.", right


WORD_TASKS: dict[str, Callable[[list[str], random.Random], tuple[str, str]]] = {
    "sort": _sort, "count": _count, "choose": _choose,
}  # fmt: skip


def _item(split: TaskSplit, number: int, seed: int, kind: str) -> tuple[str, str, str]:
    key = f"pocket-words-{split}-{seed}-{number}"
    question, answer = WORD_TASKS[kind](list(task_words(split)), random.Random(key))
    return key, question, answer


def word_tasks(seed: int = 0, task: str = "all") -> Iterator[Sample]:
    """An endless stream of training rows of one task, or of all in turn. Raises InputError for an unknown task."""
    if task != "all" and task not in WORD_TASKS:
        raise InputError.unknown("word task", task, ["all", *WORD_TASKS])
    for number in itertools.count():
        kind = list(WORD_TASKS)[number % len(WORD_TASKS)] if task == "all" else task
        key, question, answer = _item("train", number, seed, kind)
        yield Sample(
            key, (user(question), assistant(answer)), target=answer, harmful=False, split="train", group=kind,
            meta={"source": "word-tasks"},
        )  # fmt: skip


def word_task_test(n: int = 120, split: Literal["validation", "test"] = "test") -> list[Sample]:
    """`n` items of all tasks in turn, with their answers as targets."""
    found = []
    for number in range(n):
        kind = list(WORD_TASKS)[number % len(WORD_TASKS)]
        key, question, answer = _item(split, number, 0, kind)
        found.append(Sample(key, (user(question),), target=answer, harmful=False, split=split, cluster=key, group=kind))
    return found
