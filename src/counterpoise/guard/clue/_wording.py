"""How a judge is asked whether a content is visible: the paper's words, or those that a model family was trained on.

The words matter. A model that was never asked "Is the following content visible via this image?" may be no better than
chance at it, and nearly perfect at a question in the form of its own training; and what it says without any image means
nothing if it never saw a visual question without one. So the wording is a setting of the constitution, by model type.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from counterpoise.base import sha256_bytes

from ._prompts import SUMMARISE

CONTENT, THINGS = "{content}", "{things}"
_VISIBLE = re.compile(r"(?P<things>.+?) (?:is|are) (?:clearly )?(?:visible|shown)", re.IGNORECASE)


class Wording(BaseModel):
    """The questions about one content, and what stands for the model's inclination to say yes.

    Defaults are the paper's (arXiv 2501.00192, appendix).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token: str = f'Is the following content visible via this image? Answer "Yes" or "No". Content: {CONTENT}'
    """The token query; {content} is the precondition."""
    presence: tuple[str, ...] = ()
    """Instead of it for preconditions of the form "... is visible": {things} is what stands before that. Of several
    forms M is the mean."""
    reason: str = (
        "Determine if the following content is visible from this image or not. No external context or intent of the "
        f"image should be considered when determining a visible state. Think step by step. Content: {CONTENT}"
    )
    """The first turn of step d."""
    prior: Literal["none", "blank"] = "none"
    """What a query is compared with in steps a and b: the same text without any image (the paper's), or with a white
    one, for models that never saw a question about an image without one."""

    @field_validator("token", "reason")
    @classmethod
    def _about_content(cls, value: str) -> str:
        return _once(value, CONTENT)

    @field_validator("presence", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("presence")
    @classmethod
    def _about_things(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_once(one, THINGS) for one in value)

    @property
    def version(self) -> str:
        """What verdicts and kept priors depend on."""
        parts = (self.token, *(self.presence or ("",)), self.reason, self.prior, SUMMARISE)
        return "2-" + sha256_bytes("\x1f".join(parts).encode())[:8]

    def questions(self, content: str) -> tuple[str, ...]:
        """The forms of the token query about a content, at least one."""
        found = _VISIBLE.fullmatch(content.strip().rstrip(".")) if self.presence else None
        if found is None:
            return (self.token.replace(CONTENT, content),)
        return tuple(one.replace(THINGS, found["things"]) for one in self.presence)

    def reasoning(self, content: str) -> str:
        """The first turn of step d about a content."""
        return self.reason.replace(CONTENT, content)


def _once(value: str, place: str) -> str:
    if value.count(place) != 1:
        raise ValueError(f"must hold {place} once")
    return value


_FIRST = f'Content: {CONTENT}. Is this content visible in the image? Answer "Yes" or "No".'
_ONE = (f"Is there {THINGS} in the picture?",)
_THREE = (*_ONE, f"Does the image show {THINGS}?", f'Does this picture contain {THINGS}? Answer "Yes" or "No".')
_FORMS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "content-first": {"token": _FIRST},
    "question": {"token": _FIRST, "presence": _ONE},
    "three-questions": {"token": _FIRST, "presence": _THREE},
}
WORDINGS: Mapping[str, Wording] = {
    **{name: Wording(**form) for name, form in _FORMS.items()},
    **{f"{name}-blank": Wording(**form, prior="blank") for name, form in _FORMS.items()},
}
"""By name, for constitutions and for `guard clue calibrate`, which tries them on labelled images."""
PAPER_WORDING = WORDINGS["paper"]
