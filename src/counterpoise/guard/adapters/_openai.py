"""OpenAI's moderation API as a guard. Needs the package openai, a key, and says what left this machine: everything."""

import time
from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError, require
from counterpoise.chat import Image

from .._text import split_characters
from .._values import Exchange, Inspected, Sees, Verdict, unknown, worst
from ._passes import Pass, Plan, fit, plan

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
IMAGE_CATEGORIES = frozenset(CATEGORIES[6:10]) | {"violence", "violence/graphic"}
"""Those for which the API looks at images; harassment, hate, illicit and sexual/minors are text only."""
CHARACTERS = 20_000
"""Of text per request; longer ones are split."""


class OpenAIModeration:
    """`client.moderations.create` over the texts and at most one image per request; the worst request decides.

    p_unsafe is the largest category score, the label the API's own `flagged` unless a `threshold` is given. In an
    answer check the answer decides, and the conversation before it is sent apart. An API error is `unknown`; a missing
    key raises InputError. `categories` restricts what counts.
    """

    sees = Sees(images=1)

    def __init__(self, detail: str = "omni-moderation-latest", *, threshold: float | None = None,
                 categories: Sequence[str] = CATEGORIES, client: Any = None, timeout: float = 30.0):  # fmt: skip
        if wrong := [name for name in categories if name not in CATEGORIES]:
            raise InputError.unknown("category of OpenAI moderation", wrong[0], CATEGORIES)
        openai = require("openai", purpose="the OpenAI moderation guard", install="openai>=2")
        self._error: type[Exception] = openai.OpenAIError
        try:
            self.client = client or openai.OpenAI(timeout=timeout)
        except openai.OpenAIError as error:
            raise InputError(f"openai-moderation: {' '.join(str(error).split())}") from error
        self.model, self.threshold, self.categories = detail, threshold, tuple(categories)
        self.id = f"openai-moderation@{detail}"

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each, in order; one request per image and piece of text."""
        return [self._one(exchange) for exchange in exchanges]

    def _one(self, exchange: Exchange) -> Verdict:
        began = time.perf_counter()
        shown = plan(exchange, self.sees)
        if shown.refused is not None:
            return unknown(self.id, exchange, shown.refused)
        passes = [small for whole in shown.passes for small in fit(whole, CHARACTERS, len, split_characters)]
        verdicts: list[Verdict] = []
        context: list[Verdict] = []
        lost: set[int] = set()
        inspected = self._inspected(shown, passes, frozenset())
        for one in passes:
            decides, before = self._parts(one)
            for parts, found in ((before, context), (decides, verdicts)):
                verdict = self._ask(parts, inspected) if parts else None
                if verdict is not None:
                    found.append(verdict)
                    lost |= one.keys if verdict.label == "unknown" else set()
        result = worst(verdicts + [v for v in context if v.label == "unknown"])
        seen = self._inspected(shown, passes, frozenset(lost))
        note = ", ".join(dict.fromkeys(c for v in context for c in v.categories))
        return Verdict(
            result.label, self.id, seen, p_unsafe=result.p_unsafe, categories=result.categories, reason=result.reason,
            rationale=f"before the answer: {note}" if note else None, raw=result.raw, revision=result.revision,
            cost=time.perf_counter() - began,
        )  # fmt: skip

    def _parts(self, one: Pass) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What decides, and what stands before an answer."""
        last = _content(one.turns[-1:])
        rest = _content(one.turns[:-1])
        return (last, rest) if one.mode == "response" else (rest + last, [])

    def _ask(self, parts: list[dict[str, Any]], inspected: Inspected) -> Verdict:
        try:
            answer = self.client.moderations.create(model=self.model, input=parts)
            result = answer.results[0]
            scores = {k: v for k, v in result.category_scores.model_dump(by_alias=True).items() if v is not None}
            flags = result.categories.model_dump(by_alias=True)
        except (self._error, IndexError, AttributeError, ValueError) as error:
            why = f"the API failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return Verdict("unknown", self.id, inspected, reason=why)
        known = {name: float(scores[name]) for name in self.categories if name in scores}
        if not known:
            return Verdict("unknown", self.id, inspected, reason="the API gave no score")
        p = min(max(known.values()), 1.0)
        hit = [name for name in known if (flags.get(name) if self.threshold is None else known[name] >= self.threshold)]
        if not hit and not inspected.complete:
            return Verdict("unknown", self.id, inspected, p_unsafe=p, reason="a part could not be shown")
        label: Any = "unsafe" if hit else "safe"
        return Verdict(
            label, self.id, inspected, p_unsafe=p, threshold=self.threshold, categories=tuple(hit),
            revision=answer.model,
        )  # fmt: skip

    def _inspected(self, shown: Plan, passes: Sequence[Pass], lost: frozenset[int]) -> Inspected:
        keys = frozenset().union(*(one.keys for one in passes)) - lost
        return Inspected(len(shown.texts & keys), len(shown.texts), len(shown.images & keys), len(shown.images))


def _content(turns: Any) -> list[dict[str, Any]]:
    """Texts and images as parts of one request."""
    return [
        {"type": "image_url", "image_url": {"url": part.value.data_uri()}}
        if isinstance(part.value, Image)
        else {"type": "text", "text": part.value}
        for _, parts in turns
        for part in parts
        if isinstance(part.value, Image) or part.keys
    ]
