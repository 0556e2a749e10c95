"""Preference pairs with two labels, helpfulness and harmlessness, and single rated replies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Modality, Pair, Split

Severity = Literal["safe", "minor", "moderate", "severe"]
SEVERITIES: tuple[Severity, ...] = ("safe", "minor", "moderate", "severe")
"""Of a reply, mildest first. A harmless rate of -1 is minor, of -3 severe."""


@dataclass(frozen=True)
class Reply:
    """One reply with what annotators, or a rule, said of it. None: not said."""

    text: str
    safe: bool | None = None
    harmless: int | None = None
    """-3 (severe harm) to 3 (refuses with real safety reasoning). 0 counts as safe, and is what a bare refusal gets."""
    helpful: int | None = None
    """0 to 3, safety left aside."""
    categories: tuple[str, ...] = ()
    """Kinds of harm in this reply."""

    @property
    def severity(self) -> Severity | None:
        """Of the harm; None where there is no graded label."""
        return None if self.harmless is None else SEVERITIES[max(0, -self.harmless)]


@dataclass(frozen=True)
class Preference:
    """One prompt with two replies that are ordered twice: by helpfulness and by safety."""

    id: str
    prompt: Conversation
    replies: tuple[Reply, Reply]
    more_helpful: Literal[0, 1] | None = None
    """Place of the more helpful reply; None: no order."""
    safer: Literal[0, 1] | None = None
    """Place of the safer reply; None: no order."""
    category: str = ""
    image_severity: str = ""
    """As the source codes it (BeaverTails-V does not say what its numbers mean); empty: none."""
    modality: Modality = "text"
    split: Split = "train"
    cluster: str = ""
    """Pairs that share a cause (a family, a question) share a cluster."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def by_helpfulness(self) -> Pair | None:
        """The more helpful reply over the other; None without an order or with two equal texts."""
        return self._pair(self.more_helpful)

    def by_safety(self) -> Pair | None:
        """The safer reply over the other; None without an order or with two equal texts."""
        return self._pair(self.safer)

    def _pair(self, chosen: Literal[0, 1] | None) -> Pair | None:
        if chosen is None or self.replies[0].text == self.replies[1].text:
            return None
        meta = {**self.meta, "category": self.category, "modality": self.modality}
        return Pair(self.id, self.prompt, self.replies[chosen].text, self.replies[1 - chosen].text, meta)


@dataclass(frozen=True)
class Rated:
    """One prompt with one rated reply: what a guard is trained on."""

    id: str
    prompt: Conversation
    reply: Reply
    category: str = ""
    image_severity: str = ""
    modality: Modality = "text"
    split: Split = "train"
    cluster: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


def rated(pair: Preference) -> list[Rated]:
    """Both replies of a pair, each by itself. Raises InputError when they carry no label of their own."""
    if any(reply.safe is None for reply in pair.replies):
        raise InputError(f"pair {pair.id}: its replies are ordered, but not said to be safe or unsafe")
    return [
        Rated(
            f"{pair.id}-{place}", pair.prompt, reply, pair.category, pair.image_severity, pair.modality, pair.split,
            pair.cluster, pair.meta,
        )
        for place, reply in enumerate(pair.replies)
    ]  # fmt: skip
