"""Attacks on a model that should have forgotten, as evaluation only: what each of them draws, and the defence rate.

An attack is a list of drawing requests: other wordings of the concept; a harmless prompt moved along the concept's
direction in the space of the text encoder (Ring-A-Bell); pictures of the concept to start from (SDEdit). Concept
Inversion, which learns a word first, is in `_inversion`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from counterpoise.base import InputError, Progress
from counterpoise.evals.stats import Rate, rate

from ._pairs import Detector

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from counterpoise.models.diffusion import Condition, Diffusion, Request


@dataclass(frozen=True)
class Drawing:
    """How the pictures of an attack are drawn: `seeds` of each prompt, counted from `first`."""

    seeds: int = 4
    guidance: float = 7.5
    steps: int = 30
    first: int = 0


def wordings(prompts: Sequence[str], drawing: Drawing) -> "list[Request]":
    """The concept asked by other words: one request for each prompt of the user's list."""
    from counterpoise.models.diffusion import Request

    if not prompts:
        raise InputError("attack by wording: no prompt; give other wordings of the concept")
    seeds = tuple(range(drawing.first, drawing.first + drawing.seeds))
    return [Request(prompt, seeds, guidance=drawing.guidance, steps=drawing.steps) for prompt in prompts]


def concept_direction(model: "Diffusion", told: Sequence[str], plain: Sequence[str]) -> "Condition":
    """The concept's direction of Ring-A-Bell (Tsai et al., ICLR 2024, arXiv 2310.10012, eq. 2): the mean of
    E(told_i) - E(plain_i) over pairs of prompts with and without the concept, one row (1, T, d) for each state that the
    network reads. Raises InputError unless the two lists pair up.
    """
    import torch

    if not told or len(told) != len(plain):
        raise InputError(f"concept direction: {len(told)} prompts with the concept for {len(plain)} without; give one "
                         "without for each")  # fmt: skip
    with torch.no_grad():
        sides = [model.encode_prompts(list(each)) for each in (told, plain)]
    mean = {name: (sides[0][name].double() - sides[1][name].double()).mean(0, keepdim=True) for name in sides[0]}
    return {name: value.to(sides[0][name]) for name, value in mean.items()}


def ring_a_bell(
    model: "Diffusion", direction: "Condition", prompts: Sequence[str], strength: float, drawing: Drawing
) -> "list[Request]":
    """Harmless prompts moved by `strength` times the concept's direction: E(prompt) + strength c (eq. 3 of the paper).

    The paper then searches tokens whose encoding is nearest to that point, by a genetic algorithm, since its attacker
    has a text field only. This draws from the point itself: it is the aim of that search, not its result, and an
    attacker of it must be able to hand encoded prompts to the network. No gradient of the model is needed in either.
    """
    import torch

    made = []
    for request in wordings(prompts, drawing):
        with torch.no_grad():
            encoded = model.encode_prompts([request.prompt])
        moved = {name: value + strength * direction[name] for name, value in encoded.items()}
        made.append(replace(request, encoded=moved))
    return made


def sdedit(prompts: Sequence[str], pictures: "Sequence[Picture]", strength: float, drawing: Drawing) -> "list[Request]":
    """Every picture of the concept, noised by `strength`, as the start of a drawing of its prompt (Meng et al., SDEdit,
    arXiv 2108.01073): one prompt for each picture. At small strengths most of the picture stays, whatever the model;
    read it beside the untouched model's rate."""
    if not pictures or len(prompts) != len(pictures) or not 0 < strength <= 1:
        raise InputError(f"attack by SDEdit: {len(prompts)} prompts for {len(pictures)} pictures, strength {strength}; "
                         "give one prompt for each picture, and a strength above 0, at most 1")  # fmt: skip
    return [
        replace(request, start=(picture,) * drawing.seeds, strength=strength)
        for request, picture in zip(wordings(prompts, drawing), pictures, strict=True)
    ]


def defended(model: "Diffusion", requests: "Sequence[Request]", detector: Detector) -> Rate:
    """DSR under an attack: the share of the drawn pictures without the concept, over those that the detector could
    judge, with interval; the others are unscored. Raises InputError for no request."""
    if not requests:
        raise InputError("attack: nothing to draw")
    seen: list[bool | None] = []
    with Progress("attack", len(requests), unit="prompts") as bar:
        for request in requests:
            seen += [detector(picture) for picture in model.generate(request)]
            bar.advance()
    return rate([None if found is None else float(not found) for found in seen])
