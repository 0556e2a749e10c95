"""Guards' own categories -> the thirteen keys of OpenAI's moderation. What has no key still sets `flagged`."""

from collections.abc import Iterable

TABLE_VERSION = 2
KEYS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
IMAGE_KEYS = ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
"""The keys for which the types of OpenAI's clients accept "image"."""

_MLCOMMONS = {
    "S1": ("violence",), "S2": ("illicit",), "S3": ("sexual", "illicit"), "S4": ("sexual/minors", "sexual"),
    "S5": ("harassment",), "S6": ("illicit",), "S7": ("harassment",), "S8": ("illicit",), "S9": ("illicit/violent",),
    "S10": ("hate",), "S11": ("self-harm",), "S12": ("sexual",), "S13": ("illicit",), "S14": ("illicit",),
}  # fmt: skip
_LLAVAGUARD = {
    "O1": ("hate", "harassment"), "O2": ("violence", "violence/graphic"), "O3": ("sexual",), "O4": ("sexual",),
    "O5": ("illicit",), "O6": ("illicit/violent", "illicit"), "O7": ("self-harm",),
    "O8": ("violence", "violence/graphic"), "O9": ("violence/graphic",),
}  # fmt: skip
_SHIELDGEMMA = {"dangerous": ("illicit", "illicit/violent"), "sexual": ("sexual",),
                "violence": ("violence", "violence/graphic")}  # fmt: skip
_QWEN3GUARD = {
    "Violent": ("violence",), "Non-violent Illegal Acts": ("illicit",),
    "Sexual Content or Sexual Acts": ("sexual",), "PII": ("harassment",), "Suicide & Self-Harm": ("self-harm",),
    "Unethical Acts": ("harassment",), "Politically Sensitive Topics": (), "Copyright Violation": ("illicit",),
    "Jailbreak": (),
}  # fmt: skip
_KEYWORD: dict[str, tuple[str, ...]] = {
    "cyber": ("illicit",), "drugs": ("illicit",), "fraud": ("illicit",), "hate": ("hate",),
    "privacy": ("harassment",), "self-harm": ("self-harm",), "sexual": ("sexual",), "theft": ("illicit",),
    "violence": ("violence",), "weapons": ("illicit/violent",),
}  # fmt: skip
_OPENAI: dict[str, tuple[str, ...]] = {key: (key,) for key in KEYS}
_GRANITE: dict[str, tuple[str, ...]] = {"harm": ()}
_NEMOTRON: dict[str, tuple[str, ...]] = {
    "S1": ("violence",), "S2": ("sexual",), "S3": ("illicit",), "S4": ("illicit/violent", "illicit"),
    "S5": ("illicit",), "S6": ("self-harm",), "S7": ("sexual/minors", "sexual"), "S8": ("hate",),
    "S9": ("harassment",), "S10": ("harassment",), "S11": ("harassment/threatening", "violence"), "S12": (), "S13": (),
    "S14": (), "S15": (), "S16": ("illicit",), "S17": ("illicit",), "S18": (), "S19": (), "S20": ("illicit",),
    "S21": (), "S22": ("illicit",), "S23": (),
}  # fmt: skip
TABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "llama-guard": _MLCOMMONS, "llavaguard": _LLAVAGUARD, "shieldgemma": _SHIELDGEMMA, "qwen3guard": _QWEN3GUARD,
    "keyword": _KEYWORD, "openai-moderation": _OPENAI, "granite-guardian": _GRANITE,
    "nemotron": _NEMOTRON, "polyguard": _MLCOMMONS,
}  # fmt: skip
"""Start of a guard's id -> its categories. An empty tuple: known, and none of the thirteen fits."""


def _own(guard: str) -> dict[str, tuple[str, ...]]:
    return next((table for start, table in TABLE.items() if guard.startswith(start)), {})


def native(guard: str) -> tuple[str, ...]:
    """The categories that a guard can name."""
    return tuple(_own(guard))


def to_keys(guard: str, categories: Iterable[str]) -> tuple[str, ...]:
    """The keys that a guard's categories stand for."""
    own = _own(guard)
    return tuple(dict.fromkeys(key for category in categories for key in own.get(category, ())))


def covered(guard: str) -> tuple[str, ...]:
    """The keys that a guard looks for at all. One without categories of its own looks for harm of every kind."""
    own = _own(guard)
    keys = dict.fromkeys(key for found in own.values() for key in found)
    return tuple(keys) if keys else KEYS
