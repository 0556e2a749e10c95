"""What the pipeline works with: who plays which role, an item on its way, and what a run made."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user

from ._prompts import Elements
from ._seeds import Seed

STEPS = ("elements", "instruction", "detoxify", "images", "experts", "classify", "labels")
Place = Literal["train", "easy", "hard"]
Role = Literal["writer", "editor", "viewer", "experts", "classifier", "labeller", "judge"]
ROLES: tuple[Role, ...] = ("writer", "editor", "viewer", "experts", "classifier", "labeller", "judge")


class MISBuild(BaseModel):
    """Who plays which role, and how pictures are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = ""
    """The model of Inspect (`PROVIDER/MODEL`) that plays every role without one of its own."""
    roles: dict[Role, tuple[str, ...]] = Field(default_factory=dict)
    """Models by role; only `experts` may be several, who must all agree."""
    painter: str = "icons"
    """`icons`, or a text-to-image model for diffusers (the paper's: stabilityai/stable-diffusion-3.5-large)."""
    rounds: int = Field(default=2, ge=1, le=5)
    """How often a picture is made before an item whose picture does not match is dropped."""
    connections: int = Field(default=16, ge=1)
    """Calls at a time."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many requests."""

    def players(self, role: Role) -> tuple[str, ...]:
        """The models of a role. Raises InputError when there is none, or several where one is wanted."""
        found = self.roles.get(role) or ((self.model,) if self.model else ())
        if not found:
            raise InputError(f"role {role}: no model; give --model PROVIDER/MODEL, or --role {role}=PROVIDER/MODEL")
        if len(found) > 1 and role != "experts":
            raise InputError(f"role {role}: {len(found)} models; only experts may be several")
        return found


@dataclass
class Item:
    """One request on its way; `dropped` says at which step and why it left."""

    seed: Seed
    found: Elements | None = None
    question: str = ""
    images: tuple[Image, ...] = ()
    explicit: bool = False
    place: Place | None = None
    answer: str = ""
    dropped: tuple[str, str] | None = None
    waiting: str = ""
    """Why it has to wait for the next run."""

    @property
    def id(self) -> str:
        return self.seed.id

    @property
    def here(self) -> bool:
        return self.dropped is None and not self.waiting

    def row(self) -> Sample:
        """The item as a row of the set."""
        assert self.found is not None
        said = (assistant(self.answer),) if self.place == "train" else ()
        return Sample(
            id=self.id, messages=(user(*self.images, self.question), *said), harmful=True, modality="pair",
            split="train" if self.place == "train" else "test", group=self.found.category,
        )  # fmt: skip


class Dropped(Exception):
    """The item leaves the set at this step."""


@dataclass
class Built:
    """What a run made and what it left out."""

    folder: Path
    items: list[Item]
    calls: int
    """Questions asked now; the others were found from an earlier run."""
    kept: int
    painted: int
    models: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> dict[Place, list[Item]]:
        places: tuple[Place, ...] = ("train", "easy", "hard")
        return {place: [i for i in self.items if i.here and i.place == place] for place in places}

    @property
    def drops(self) -> dict[str, dict[str, int]]:
        """{step: {reason: items}}."""
        found = [item.dropped for item in self.items if item.dropped]
        return {step: dict(Counter(why for at, why in found if at == step).most_common()) for step in STEPS
                if any(at == step for at, _ in found)}  # fmt: skip

    @property
    def waiting(self) -> list[Item]:
        return [item for item in self.items if item.waiting]


def planned_calls(n: int, config: MISBuild) -> dict[str, tuple[int, int]]:
    """{step: (fewest, most) calls} for `n` requests when none is dropped."""
    experts = len(config.players("experts"))
    return {
        "elements": (n, n), "instruction": (n, n), "detoxify": (n, n), "images": (2 * n, 2 * n * config.rounds),
        "experts": (n * experts, n * experts), "classify": (n, n), "labels": (0, 2 * n),
    }  # fmt: skip
