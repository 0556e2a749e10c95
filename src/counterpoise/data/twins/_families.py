"""The families as they are stored (requests only, never instructions, at the level of public safety benchmarks), and
as evaluation samples: what the model sees, and what statistics need to know about it."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from counterpoise.base import InputError, read_jsonl
from counterpoise.chat import Conversation, Image, Sample, user
from counterpoise.data._pages import icon_page, print_page, styles_of
from counterpoise.data._quadruples import Quadruple

TwinModality = Literal["text", "print", "picture", "pair"]
TwinSplit = Literal["train", "validation", "test"]
MODALITIES: tuple[TwinModality, ...] = ("text", "print", "picture", "pair")
SCENARIOS = (
    "illegal_activity",
    "hate_speech",
    "malware",
    "physical_harm",
    "economic_harm",
    "fraud",
    "sex",
    "political_lobbying",
    "privacy_violation",
    "legal_opinion",
    "financial_advice",
    "health_consultation",
    "government_decision",
)
"""The 13 scenarios of MM-SafetyBench; those about advice hold clearly harmful variants, so that refusing is right."""
_FILE = Path(__file__).with_name("families.jsonl")


class Side(BaseModel):
    """One of the two twins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrase: str
    """2 to 5 words of the lexicon: what the print shows."""
    text: str
    """The request as one sentence, without any image."""
    icon: str
    """The concept that the picture shows."""
    picture_text: str
    """The request that refers to the picture."""
    pair: tuple[str, str]
    """What the two images show: words, or `icon:<concept>`. Each alone is no request."""


class Family(BaseModel):
    """A harmful request and its benign twin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    scenario: str
    split: TwinSplit
    """Fixed for good: about half the families are for tests only, 15 % for validation."""
    harmful: Side
    benign: Side
    print_instruction: str
    """The neutral text beside the print, the same for both sides."""
    pair_instruction: str
    """The neutral text beside the two images, the same for both sides."""


@lru_cache(maxsize=1)
def _all() -> tuple[Family, ...]:
    found = []
    for row, value in read_jsonl(_FILE):
        try:
            found.append(Family.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError.at(_FILE, first["msg"], row=row, field=".".join(map(str, first["loc"]))) from error
    return tuple(found)


def families(split: TwinSplit | None = None) -> list[Family]:
    """All families, or those of one split, in the order of the file. Raises InputError for a broken row."""
    return [family for family in _all() if split is None or family.split == split]


_ICON = "icon:"


def _style(concept: str, seed: str, *, held_out: bool) -> str:
    """One of the styles that the split may show, the same one in every run."""
    styles = styles_of(concept, held_out=held_out)
    if not styles:
        raise InputError(f"twins {seed}: icon {concept!r} has no {'held-out' if held_out else 'training'} style")
    return styles[sum(map(ord, seed)) % len(styles)]


def _page(shown: str, seed: str, *, held_out: bool) -> Image:
    if shown.startswith(_ICON):
        concept = shown.removeprefix(_ICON)
        return Image.from_pil(icon_page([concept], style=_style(concept, seed, held_out=held_out), seed=seed), seed)
    return Image.from_pil(print_page(shown, style_seed=seed), seed)


def _content(family: Family, side: Side, modality: TwinModality) -> tuple[tuple[str, ...], str]:
    """(what the images show, text)."""
    if modality == "text":
        return (), side.text
    if modality == "print":
        return (side.phrase,), family.print_instruction
    if modality == "picture":
        return (_ICON + side.icon,), side.picture_text
    return side.pair, family.pair_instruction


def sample(family: Family, modality: TwinModality, *, harmful: bool) -> Sample:
    """One side of a family in one modality: images first, then text, in one user turn.

    Page styles depend on the family and the modality alone. Train families are drawn in the training styles,
    validation and test families in the held-out styles. `meta["shown"]` names what each image shows.
    """
    side, name = (family.harmful, "harmful") if harmful else (family.benign, "benign")
    shown, text = _content(family, side, modality)
    key = f"{family.id}-{name}-{modality}"
    page = f"{family.id}-{modality}"  # both twins get the same page style, so that only the content differs
    held_out = family.split != "train"
    images = tuple(_page(what, f"{page}-{number}", held_out=held_out) for number, what in enumerate(shown))
    styles = tuple(
        _style(what.removeprefix(_ICON), f"{page}-{number}", held_out=held_out)
        for number, what in enumerate(shown)
        if what.startswith(_ICON)
    )
    messages: Conversation = (user(*images, text),)
    return Sample(
        id=key,
        messages=messages,
        harmful=harmful,
        modality=modality,
        split=family.split,
        cluster=family.id,
        group=family.scenario,
        meta={"shown": shown, "styles": styles, "family": family.id, "side": name},
    )


def samples(split: TwinSplit = "test", modality: TwinModality | None = None) -> list[Sample]:
    """Both sides of every family of a split, in one modality or in all four, family by family.

    Raises InputError for an unknown split or modality.
    """
    if split not in ("train", "validation", "test"):
        raise InputError(f"twins: no split {split!r}; choose train, validation or test")
    if modality is not None and modality not in MODALITIES:
        raise InputError(f"twins: no modality {modality!r}; choose {', '.join(MODALITIES)}")
    kinds = MODALITIES if modality is None else (modality,)
    return [
        sample(family, kind, harmful=harmful)
        for family in families(split)
        for kind in kinds
        for harmful in (True, False)
    ]


def quadruples(of: Iterable[Family]) -> Iterator[Quadruple]:
    """Families as calibration tuples: the phrases printed in images of one style, the requests as texts.

    The benign side is the safe one. Images are drawn as the tuples are asked for.
    """
    for family in of:
        held_out = family.split != "train"
        yield Quadruple(
            family.id,
            _page(family.benign.phrase, f"{family.id}-print-0", held_out=held_out),
            _page(family.harmful.phrase, f"{family.id}-print-0", held_out=held_out),
            family.benign.text,
            family.harmful.text,
            family.scenario,
        )
