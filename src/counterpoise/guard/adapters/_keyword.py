"""A keyword guard: a list of phrases. It needs no model, and it is the floor that every other guard must beat."""

import re
import time
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, read_text, sha256_bytes

from .._values import Exchange, Inspected, Sees, Verdict, unknown
from ..disguise import ENGLISH
from ._passes import Plan, plan


class KeywordGuard:
    """Unsafe where a phrase of the list occurs. Texts of any length are read whole; images are not read at all.

    In an answer check the answer decides; the conversation before it is searched too, and what it hits is named in
    the rationale. `detail` is a file of your own: lines of category, tab, phrase; `*` stands for any word, or for the
    rest of one. Raises InputError for a list that cannot be read, naming the line.
    """

    def __init__(self, detail: str | Path | None = None):
        own = files("counterpoise.guard.adapters").joinpath("keywords.txt")
        name = Path(detail).name if detail else "list"
        text = read_text(Path(detail)) if detail else own.read_text(encoding="utf-8")
        self._rules = _rules(text.splitlines(), str(detail or "keywords.txt"))
        self.sees = Sees(languages=None if detail else ENGLISH)
        self.revision = sha256_bytes(text.encode())[:16]
        self.id = f"keyword:{name}~{self.revision[:8]}"

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each. An image makes the verdict unknown, unless a text is unsafe already."""
        return [self._one(exchange) for exchange in exchanges]

    def _one(self, exchange: Exchange) -> Verdict:
        began = time.perf_counter()
        shown = plan(exchange, self.sees)
        if shown.refused is not None:
            return unknown(self.id, exchange, shown.refused, revision=self.revision)
        turns = shown.passes[0].turns
        last = " ".join(part.value for part in turns[-1][1] if isinstance(part.value, str))
        rest = " ".join(part.value for _, own in turns[:-1] for part in own if isinstance(part.value, str))
        answered = shown.passes[0].mode == "response"
        hits = self._hits(last if answered else f"{rest} {last}")
        before = self._hits(rest) if answered else []
        more: dict[str, Any] = {"revision": self.revision, "cost": time.perf_counter() - began}
        if before:
            more["rationale"] = f"before the answer: {', '.join(before)}"
        seen = self._inspected(shown)
        if hits:
            return Verdict("unsafe", self.id, seen, categories=tuple(hits), **more)
        if shown.unseen is not None or not seen.complete:
            reason = shown.unseen or "a part could not be read"
            return Verdict("unknown", self.id, seen, reason=reason, **more)
        return Verdict("safe", self.id, seen, **more)

    def _hits(self, text: str) -> list[str]:
        plain = " ".join(text.lower().replace("’", "'").split())
        hits = (rule.category for rule in self._rules if rule.core in plain and rule.pattern.search(plain))
        return list(dict.fromkeys(hits))

    def _inspected(self, shown: Plan) -> Inspected:
        keys = shown.passes[0].keys
        return Inspected(len(shown.texts & keys), len(shown.texts), len(shown.images & keys), len(shown.images))


class _Rule(NamedTuple):
    category: str
    core: str
    """The longest word of the phrase: looking for it first makes megabytes cheap."""
    pattern: re.Pattern[str]


def _rules(lines: Iterable[str], source: str) -> list[_Rule]:
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        category, tab, phrase = line.partition("\t")
        if not tab or not category.strip() or not phrase.strip(" *\t"):
            raise InputError.at(source, "expected: category, tab, phrase", row=f"line {number}")
        phrase = phrase.lower().replace("’", "'")
        words = [re.escape(word).replace(r"\*", r"\w*" if word != "*" else r"[\w']+") for word in phrase.split()]
        pattern = rf"(?<!\w){' '.join(words)}(?!\w)"
        core = max((part for word in phrase.split() for part in word.split("*")), key=len)
        found.append(_Rule(category.strip(), core, re.compile(pattern)))
    if not found:
        raise InputError(f"{source}: no phrases; expected lines of category, tab, phrase")
    return found
