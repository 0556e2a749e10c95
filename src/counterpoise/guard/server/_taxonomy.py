"""Categories of guards -> the thirteen keys of OpenAI's moderation endpoint. VERSION changes with the table."""

from collections.abc import Iterable

VERSION = "1"
KEYS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
IMAGE_KEYS = ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
"""The keys for which OpenAI's clients accept that an image was looked at."""

TABLE: dict[str, tuple[str, ...]] = {
    # Llama Guard (MLCommons)
    "S1": ("illicit/violent", "violence"), "S2": ("illicit",), "S3": ("sexual",), "S4": ("sexual/minors",),
    "S5": ("harassment",), "S6": ("illicit",), "S7": ("harassment",), "S8": ("illicit",),
    "S9": ("illicit/violent", "violence"), "S10": ("hate",), "S11": ("self-harm",), "S12": ("sexual",),
    "S13": ("illicit",), "S14": ("illicit",),
    # LlavaGuard
    "O1": ("hate", "harassment"), "O2": ("violence", "violence/graphic"), "O3": ("sexual",), "O4": ("sexual",),
    "O5": ("illicit",), "O6": ("illicit", "illicit/violent"), "O7": ("self-harm",), "O8": ("violence",),
    "O9": ("violence/graphic",),
    # ShieldGemma 2
    "dangerous": ("illicit", "illicit/violent"), "violence": ("violence", "violence/graphic"),
    # Qwen3Guard
    "Violent": ("violence", "illicit/violent"), "Non-violent Illegal Acts": ("illicit",),
    "Sexual Content or Sexual Acts": ("sexual",), "PII": ("harassment",), "Suicide & Self-Harm": ("self-harm",),
    "Unethical Acts": ("illicit",), "Politically Sensitive Topics": ("illicit",), "Copyright Violation": ("illicit",),
    "Jailbreak": ("illicit",),
    # Granite Guardian
    "harm": ("illicit",),
}  # fmt: skip


def targets(categories: Iterable[str]) -> tuple[set[str], list[str]]:
    """(OpenAI's keys, categories that have none). OpenAI's own names stand for themselves."""
    keys: set[str] = set()
    unmapped: list[str] = []
    for category in categories:
        if category in KEYS:
            keys.add(category)
        elif category in TABLE:
            keys.update(TABLE[category])
        else:
            unmapped.append(category)
    return keys, unmapped
