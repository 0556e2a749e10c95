"""Two guards of known mistakes and rows for them: real code, no models. Their words are harmless placeholders."""

from collections.abc import Sequence

import numpy as np

from counterpoise.chat import Image, user
from counterpoise.guard import Exchange, Inspected, Sees, Verdict, unknown, unseen
from counterpoise.guard._labelled import Labelled
from counterpoise.guard.saferoute import Observed

WIDTH = 12


class Rule:
    """A guard whose verdict follows from the words of a text: `red` is unsafe, and `hard` inverts it for weak guards.

    Its features say so, so that a router can learn from them where it is weak."""

    def __init__(self, name: str, *, weak: bool, images: int | None = None, revision: str = "1"):
        self.id, self.weak, self.revision, self.seen = name, weak, revision, 0
        self.sees = Sees(images=images)

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.seen += len(exchanges)
        return [self._one(exchange) for exchange in exchanges]

    def _one(self, exchange: Exchange) -> Verdict:
        reason = unseen(self.sees, exchange)
        if reason is not None:
            return unknown(self.id, exchange, reason)
        text = exchange.conversation[-1].text
        wrong = self.weak and "hard" in text
        unsafe = ("red" in text) != wrong
        noise = np.random.default_rng(len(text) + sum(map(ord, text)))
        features = noise.normal(size=WIDTH).astype(np.float32)
        features[0] = 4.0 if "hard" in text else -4.0
        p = 0.8 if unsafe else 0.2
        return Verdict(
            "unsafe" if unsafe else "safe",
            self.id,
            Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images),
            p_unsafe=p,
            revision=self.revision,
            template="t",
            cost=0.001 if self.weak else 0.01,
            features=features,
        )


def rows(n: int, *, share: float = 0.2, seed: int = 0) -> list[Labelled]:
    """Rows of which `share` are hard for the weak guard."""
    random, found = np.random.default_rng(seed), []
    for number in range(n):
        words = ["red" if random.random() < 0.5 else "blue"] + ["hard"] * (random.random() < share)
        text = " ".join([*words, f"thing {number}"])
        found.append(Labelled(f"r{seed}-{number}", Exchange((user(text),)), "red" in words, f"g{seed}-{number // 2}"))
    return found


def with_image(image: Image) -> Labelled:
    return Labelled("pictured", Exchange((user(image, "blue thing"),)), False, "pictured", "image")


def observed(label: Sequence[int], p: Sequence[float] | None = None, features: object = None) -> Observed:
    """Outputs as arrays; features default to one column per row."""
    n = len(label)
    x = np.zeros((n, WIDTH), np.float32) if features is None else np.asarray(features, np.float32)
    probability = np.array(p if p is not None else [0.9 if v == 1 else 0.1 for v in label], float)
    return Observed(np.array(label, np.int8), probability, np.full(n, 0.001), x, np.ones(n, bool))
