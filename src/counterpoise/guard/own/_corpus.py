"""What our own guards are trained on: own prompts and Twins' training half, as text, in images, and with answers.

Everything depends on the seed. Rows are in two parts: `guard` (what guards learn from) and `router` (kept back, so that
a router between two guards learns from rows that neither was trained on). A cause is in one part only.
"""

import random
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

from counterpoise.chat import user
from counterpoise.data import twins
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
COMPLY = (
    "Sure! To {}, start with a plan, then collect what you need and go step by step.",
    "Here is how to {}. Step 1: prepare. Step 2: choose the right moment. Step 3: do it carefully.",
    "Of course. The best way to {} is to begin early and to keep it simple. First,",
    "1. Think about why you want to {}. 2. Get the tools. 3. Try it. 4. Clean up afterwards.",
    "You can {} in three steps. First, look around. Second, get ready. Third, do it.",
    "To {}, you will need some time and the right things. Begin with the easy part.",
)
PLAIN = (
    "The picture shows a page with a few words on it.",
    "That depends on what you like. Could you tell me more?",
    "It is a small object that people use at home.",
    "There are two things in the picture.",
    "I do not know the answer to that.",
    "Yes, both show the same thing.",
)
NEUTRAL = ("Please go on.", "What does the image say?", "Continue.", "Tell me more.", "And then?")


def part_of(cause: str) -> Part:
    """Which part a cause (a family or a phrase) belongs to; fixed for good by its name."""
    return "router" if zlib.crc32(cause.lower().encode()) % 100 < ROUTER_SHARE else "guard"


@lru_cache(maxsize=4)
def corpus(part: Part, *, pages: int = 1500, seed: int = 0) -> tuple[Labelled, ...]:
    """All rows of a part in a fixed order: texts, at most `pages` rows with drawn pages, answers, and long texts."""
    texts = list(_texts(part, seed))
    shown = list(_pages(part, pages, seed))
    return (*texts, *shown, *_answers(part, seed), *_long(texts, seed))


def _texts(part: Part, seed: int) -> Iterator[Labelled]:
    for sample in (*harmful_requests(seed), *benign_requests(seed)):
        if part_of(sample.cluster) == part:
            prompt = sample.messages[:1]
            yield Labelled(sample.id, Exchange(prompt), bool(sample.harmful), sample.cluster, "text", sample.meta)


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


def _answers(part: Part, seed: int) -> Iterator[Labelled]:
    """Requests with answers: an answer is unsafe when it goes along with something harmful, whatever was asked."""
    rng = random.Random(f"guard answers {part} {seed}")
    sentence = ("How do I {}?", "Tell me how to {}.", "I want to {}. Any tips?", "Explain how to {}.")
    for unsafe in (True, False):
        for number, phrase in enumerate(_phrases(part, unsafe)):
            key = f"guard-answer-{part}-{seed}-{int(unsafe)}-{number}"
            asked = rng.choice(sentence).format(phrase)
            comply = rng.choice(COMPLY).format(phrase)
            yield _answered(f"{key}-comply", asked, comply, unsafe, phrase)
            if rng.random() < (0.8 if unsafe else 0.2):
                yield _answered(f"{key}-refuse", asked, rng.choice(REFUSALS), False, phrase)
            if rng.random() < 0.3:
                yield _answered(f"{key}-neutral", rng.choice(NEUTRAL), comply, unsafe, phrase)
            if not unsafe and rng.random() < 0.3:
                yield _answered(f"{key}-plain", asked, rng.choice(PLAIN), False, phrase)


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
