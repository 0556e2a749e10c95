"""What our own guards are trained on: own prompts and Twins' training half, as text, in images, and with answers.

Everything depends on the seed. Rows are in two parts: `guard` (what guards learn from) and `router` (kept back, so that
a router between two guards learns from rows that neither was trained on). A cause is in one part only.
No guard of ours is trained on what it is measured on: `without_leaks` checks it before every training.
"""

import random
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from counterpoise.chat import Sample, user
from counterpoise.data import data_root, twins
from counterpoise.data.pocket_sets import (
    FOLLOW,
    JOIN,
    REFUSALS,
    benign_requests,
    harmful_requests,
    phrases,
    printed,
    readable,
)

from .._labelled import Labelled, from_sample
from .._values import Exchange

Part = Literal["guard", "router"]
ROUTER_SHARE = 25
"""Per cent of the causes that are kept back for routers."""
LISTS = {
    True: ("harmful", "contrast_harmful"),
    False: ("lookalikes", "contrast_benign", "everyday"),
}
NEUTRAL = ("Please go on.", "What does the image say?", "Continue.", "Tell me more.", "And then?")
ANSWERS = Path(__file__).with_name("answers.txt")
TURNS = Path(__file__).with_name("turns.txt")
KEPT = 4
"""Of so many lines of a section the last one is in no answer that guards learn from."""


def part_of(cause: str) -> Part:
    """Which part a cause (a family or a phrase) belongs to; fixed for good by its name."""
    return "router" if zlib.crc32(cause.lower().encode()) % 100 < ROUTER_SHARE else "guard"


@lru_cache(maxsize=4)
def corpus(part: Part, *, pages: int = 1500, seed: int = 0) -> tuple[Labelled, ...]:
    """All rows of a part in a fixed order: texts, at most `pages` rows with drawn pages, answers, and long texts."""
    texts = [*_texts(part, seed), *_turns(part, seed)]
    shown = list(_pages(part, pages, seed))
    return (*texts, *shown, *_answers(part, seed), *_long(texts, seed))


def _texts(part: Part, seed: int) -> Iterator[Labelled]:
    for sample in (*harmful_requests(seed), *benign_requests(seed)):
        if part_of(sample.cluster) == part:
            prompt = sample.messages[:1]
            yield Labelled(sample.id, Exchange(prompt), bool(sample.harmful), sample.cluster, "text", sample.meta)


def _turns(part: Part, seed: int) -> Iterator[Labelled]:
    """A word or two of ordinary talk ("no", "wrong one"): without them such turns look like nothing a guard knows."""
    rng = random.Random(f"guard turns {part} {seed}")
    lines = TURNS.read_text(encoding="utf-8").splitlines()
    every = [turn.strip() for line in lines if not line.startswith("#") for turn in line.split("|")]
    for turn in every:
        if part_of(turn) == part:
            text = turn[0].upper() + turn[1:] if rng.random() < 0.5 else turn
            text += rng.choice((".", "!")) if text[-1].isalnum() and rng.random() < 0.4 else ""
            yield Labelled(f"guard-turn-{seed}-{turn}", Exchange((user(text),)), False, turn)


def _phrases(part: Part, unsafe: bool) -> list[str]:
    found = (phrase for name in LISTS[unsafe] for phrase in phrases(name) if part_of(phrase) == part)
    return list(dict.fromkeys(found))


def _pages(part: Part, most: int, seed: int) -> Iterator[Labelled]:
    """Twins' training families in images, and printed phrases of the lists, as many safe as unsafe ones."""
    drawn = [row for row in twins.samples("train") if row.modality != "text" and part_of(row.cluster) == part]
    yield from map(from_sample, drawn[:most])
    rng = random.Random(f"guard pages {part} {seed}")
    sides = {
        side: [p for p in _phrases(part, side) if readable(p) and 2 <= len(p.split()) <= 6] for side in (True, False)
    }
    for number in range(max(0, most - len(drawn))):
        unsafe = number % 2 == 0
        phrase, key = rng.choice(sides[unsafe]), f"guard-page-{part}-{seed}-{number}"
        words, pair = phrase.split(), rng.random() < 0.3
        cut = rng.randint(1, len(words) - 1)
        shown = (" ".join(words[:cut]), " ".join(words[cut:])) if pair else (phrase,)
        images = tuple(printed(what, f"{key}-{i}") for i, what in enumerate(shown))
        text = rng.choice(JOIN if pair else FOLLOW)
        kind = "pair" if pair else "print"
        yield Labelled(key, Exchange((user(*images, text),)), unsafe, phrase, kind, {"shown": shown})


@lru_cache(maxsize=1)
def sentences() -> dict[str, tuple[str, ...]]:
    """Sections of answers.txt, by name."""
    found: dict[str, list[str]] = {}
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return {name: tuple(lines) for name, lines in found.items()}


class _Writer:
    """Writes answers about one phrase, from the sentences of a part."""

    def __init__(self, part: Part, rng: random.Random):
        self.rng = rng
        self.own = {
            name: [line for n, line in enumerate(lines) if (n % KEPT == KEPT - 1) == (part == "router")]
            for name, lines in sentences().items()
        }

    def some(self, phrase: str, **counts: tuple[int, int]) -> list[str]:
        """Sentences of the sections in the order in which they are named, as many of each as lies in its range."""
        found: list[str] = []
        for section, (least, most) in counts.items():
            lines = self.own[section]
            found += self.rng.sample(lines, min(self.rng.randint(least, most), len(lines)))
        return [line.replace("{p}", phrase) for line in found]

    def comply(self, phrase: str) -> str:
        """Goes along with the request, with or without a warning, or after it has declined."""
        kind = self.rng.random()
        if kind < 0.2:
            start = self.some(phrase, refuse=(1, 1), reason=(0, 1), turn=(1, 1))
        elif kind < 0.45:
            start = self.some(phrase, disclaim=(1, 2), comply=(0, 1))
        else:
            start = self.some(phrase, comply=(1, 1))
        steps = self.some(phrase, steps=(1, 6))
        end = self.some(phrase, disclaim=(1, 1)) if self.rng.random() < 0.25 else []
        return self._text(start, steps, end)

    def refuse(self, phrase: str) -> str:
        """Declines: shortly, with reasons, after a friendly word, or at the end of general remarks."""
        kind = self.rng.random()
        if kind < 0.2:
            return self._text(self.some(phrase, refuse=(1, 1), reason=(0, 1)))
        if kind < 0.3:
            return self._text(self.some(phrase, aside=(1, 1)), self.some(phrase, refuse=(1, 2), reason=(0, 2)))
        if kind < 0.55:
            return self._text(self.some(phrase, about=(1, 4), reason=(0, 2)), self.some(phrase, refuse=(1, 2)))
        return self._text(self.some(phrase, refuse=(1, 2), reason=(1, 4)), self.some(phrase, redirect=(1, 4)))

    def avoid(self, phrase: str) -> str:
        """Neither declines nor helps: the law, prevention, history, another subject, an echo."""
        if self.rng.random() < 0.3:
            return self._text(self.some(phrase, aside=(1, 3)))
        return self._text(self.some(phrase, about=(2, 7)), self.some(phrase, reason=(0, 2), redirect=(0, 2)))

    def plain(self, phrase: str) -> str:
        """A harmless answer to a harmless request."""
        start = self.some(phrase, comply=(0, 1))
        return self._text([line for line in start if "nobody" not in line], self.some(phrase, plain=(1, 5)))

    def _text(self, *parts: list[str]) -> str:
        """One text: sentences in a row, or a list with numbers or dots."""
        *before, last = [part for part in parts if part]
        kind = self.rng.random()
        if len(last) > 2 and kind < 0.5:
            ending = "\n".join(f"{n}. {line}" if kind < 0.3 else f"- {line}" for n, line in enumerate(last, 1))
        else:
            ending = " ".join(last)
        gap = "\n\n" if kind > 0.7 or "\n" in ending else " "
        return gap.join([*(" ".join(part) for part in before), ending])


def _answers(part: Part, seed: int) -> Iterator[Labelled]:
    """Requests with answers: an answer is unsafe when it goes along with something harmful, whatever was asked.

    Harmful requests have as many safe answers as unsafe ones, of every kind (declining, avoiding), so that the request
    alone decides nothing; harmless ones have harmless answers and a few refusals.
    """
    rng = random.Random(f"guard answers {part} {seed}")
    writer = _Writer(part, rng)
    frames = ("How do I {}?", "Tell me how to {}.", "I want to {}. Any tips?", "Explain how to {}.", "Please, {}.")
    for unsafe in (True, False):
        for number, phrase in enumerate(_phrases(part, unsafe)):
            key = f"guard-answer-{part}-{seed}-{int(unsafe)}-{number}"
            asked = rng.choice(frames).format(phrase)
            comply = writer.comply(phrase) if unsafe else writer.plain(phrase)
            yield _answered(f"{key}-comply", asked, comply, unsafe, phrase)
            if rng.random() < (0.7 if unsafe else 0.2):
                yield _answered(f"{key}-refuse", asked, writer.refuse(phrase), False, phrase)
            if rng.random() < (0.2 if unsafe else 0.1):
                yield _answered(f"{key}-short", asked, rng.choice(REFUSALS), False, phrase)
            if rng.random() < (0.7 if unsafe else 0.1):
                yield _answered(f"{key}-avoid", asked, writer.avoid(phrase), False, phrase)
            if unsafe:
                yield _answered(f"{key}-again", asked, writer.comply(phrase), True, phrase)
            if rng.random() < 0.3:
                yield _answered(f"{key}-neutral", rng.choice(NEUTRAL), comply, unsafe, phrase)


def _answered(key: str, asked: str, answer: str, unsafe: bool, group: str) -> Labelled:
    return Labelled(key, Exchange((user(asked),), answer), unsafe, group)


def _long(texts: Iterable[Labelled], seed: int) -> Iterator[Labelled]:
    """Paragraphs of harmless sentences, half of them with one harmful sentence somewhere inside."""
    rows = list(texts)
    rng = random.Random(f"guard long {seed}")
    safe = [row for row in rows if not row.unsafe]
    for number, row in enumerate(rng.sample(rows, len(rows) // 6)):
        around = [other.exchange.conversation[0].text for other in rng.sample(safe, rng.randint(1, 6))]
        around.insert(rng.randint(0, len(around)), row.exchange.conversation[0].text)
        exchange = Exchange((user(" ".join(around)),))
        yield Labelled(f"long-{seed}-{number}-{row.id}", exchange, row.unsafe, row.group, "text", {"long": True})


PUBLIC = ("xstest", "figstep-tiny-reading", "harmbench-text")


def evaluation_rows() -> tuple[list[Sample], list[str]]:
    """Twins validation and test, and the public rows that are on this machine; and the names of those that are not."""
    from counterpoise.evals import benchmarks

    found, missing = [*twins.samples("validation"), *twins.samples("test")], []
    for name in PUBLIC:
        card = benchmarks()[name]
        if data_root() is None or card.available() is not None:
            missing.append(name)
            continue
        found += [_with_content(sample) for sample in card.samples()]
    return found, missing


def _with_content(sample: Sample) -> Sample:
    """FigStep's instruction is printed in its image; its reading card has it as the target."""
    if sample.modality != "print" or not sample.target:
        return sample
    from dataclasses import replace

    return replace(sample, meta={**sample.meta, "shown": (sample.target,)})


def without_leaks(rows: Sequence[Labelled]) -> tuple[list[Labelled], dict[str, int]]:
    """Rows that touch no evaluation row, and how many were left out by kind of leak."""
    evaluation, missing = evaluation_rows()
    if missing:
        sys.stderr.write(f"leakage: not checked against {', '.join(missing)} (COUNTERPOISE_DATA has no such rows)\n")
    leaks = twins.check_leakage((row.as_sample() for row in rows), evaluation)
    counts: dict[str, int] = {}
    for leak in leaks:
        counts[leak.kind] = counts.get(leak.kind, 0) + 1
    bad = {leak.train for leak in leaks}
    return [row for row in rows if row.id not in bad], counts
