"""The steps of the MIS pipeline (Ding et al. 2025, section 2.2), one after the other over all items.

    elements       request -> category, question, two things that can be drawn       writer
    instruction    harmful, two things? names -> "the ... in the first image"        editor
    detoxify       wording made neutral                                              editor
    images         two pictures, checked and made again from a better description    viewer + painter
    experts        every expert keeps it; duplicates go                              experts
    classify       the query alone: Unsafe -> train; Safe -> test, easy or hard      classifier
    labels         train only: perceive, reason, answer; a second judge agrees       labeller, judge

A step never ends the run for one item: a reply off the format is a counted drop, a call without a reply leaves the item
for the next run. Which items are left after a step follows from the kept replies alone.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import InputError, Progress, notice, only_process
from counterpoise.data import write_mis_test, write_mis_train

from . import _prompts as prompts
from ._ask import Desk, Failed, OffFormat
from ._card import write_card
from ._paint import DiffusersPainter, IconPainter, Painter, Studio
from ._seeds import read_seeds
from ._values import ROLES, Built, Dropped, Item, MISBuild, Role

if TYPE_CHECKING:
    from inspect_ai.model import Model


def build(
    files: Sequence[Path],
    config: MISBuild,
    out: Path,
    *,
    painter: Painter | None = None,
    models: "dict[Role, Sequence[Model]] | None" = None,
) -> Built:
    """Build a set from files of requests (see `read_seeds`) in `out`: `mis_train.json`, `mis_easy.json`,
    `mis_hard.json`, their images, `card.json` and `README.md`; `steps/` and `painted/` keep what was paid for.

    `models` gives models themselves in place of their names, `painter` another painter. Run again, it repeats no call
    that was answered and no picture that was made. Raises InputError for wrong seeds, a role without a model, and when
    no call of a step is answered.
    """
    seeds = read_seeds(files)[: config.limit]
    players: dict[Role, tuple[str | Model, ...]] = {
        role: tuple(models[role]) if models and role in models else config.players(role) for role in ROLES
    }
    if out.is_dir() and any(out.iterdir()) and not (out / "steps").is_dir():
        raise InputError(f"{out}: is not empty and holds no set of this command; choose another --out")
    studio = Studio(painter or _painter(config.painter), out / "painted")
    with only_process(out), Desk(out / "steps", config.connections) as desk:
        run = _Run(desk, studio, players, config.rounds, [Item(seed) for seed in seeds])
        asyncio.run(run.all())
        named: dict[str, tuple[str, ...]] = {role: tuple(map(str, found)) for role, found in players.items()}
        built = Built(out, run.items, desk.calls, desk.kept, studio.painted, named)
        _write(built, config, studio.painter.name, files)
    return built


def _painter(name: str) -> Painter:
    return IconPainter() if name == "icons" else DiffusersPainter(name)


def _write(built: Built, config: MISBuild, painter: str, files: Sequence[Path]) -> None:
    rows = {place: [item.row() for item in found] for place, found in built.rows.items()}
    for name in ("images", "easy_image", "hard_image"):  # copies of `painted/`; items may have left the set
        shutil.rmtree(built.folder / name, ignore_errors=True)
    write_mis_train(built.folder, rows["train"])
    write_mis_test(built.folder, "easy", rows["easy"])
    write_mis_test(built.folder, "hard", rows["hard"])
    write_card(built.folder, built, config, painter, files)
    if built.waiting:
        notice(
            f"{len(built.waiting)} of {len(built.items)} items wait for a reply ({built.waiting[0].waiting}); "
            "the same command asks again"
        )


@dataclass
class _Run:
    desk: Desk
    studio: Studio
    players: "dict[Role, tuple[str | Model, ...]]"
    rounds: int
    items: list[Item]

    async def all(self) -> None:
        steps: dict[str, Callable[[Item], Awaitable[None]]] = {
            "elements": self.elements, "instruction": self.instruction, "detoxify": self.detoxify,
            "images": self.draw, "experts": self.review, "classify": self.classify, "labels": self.answer,
        }  # fmt: skip
        for number, (name, step) in enumerate(steps.items(), 1):
            if name == "experts":
                self.drop_duplicates()
            left = [item for item in self.items if item.here and (name != "labels" or item.place == "train")]
            with Progress(f"{number}/{len(steps)} {name}", len(left), unit="items") as progress:
                await asyncio.gather(*(self.one(name, step, item, progress) for item in left))
            if left and all(item.waiting for item in left):
                raise InputError(f"{name}: no call was answered; the first: {self.desk.failures[0]}")

    async def one(self, name: str, step: Callable[[Item], Awaitable[None]], item: Item, progress: Progress) -> None:
        try:
            await step(item)
        except OffFormat as error:
            item.dropped = (name, f"off format: {error}")
        except Dropped as error:
            item.dropped = (name, str(error))
        except Failed as error:
            item.waiting = str(error)
        progress.advance()

    async def elements(self, item: Item) -> None:
        question = prompts.elements(item.id, item.seed.text, item.seed.image)
        item.found = await self.desk.ask("elements", self.players["writer"][0], question, prompts.read_elements)

    async def instruction(self, item: Item) -> None:
        found = _found(item)
        question = prompts.instruction(item.id, found)
        said = await self.desk.ask(
            "instruction", self.players["editor"][0], question, lambda text: prompts.read_instruction(text, found)
        )
        if said is None:
            raise Dropped("not harmful or not two things")
        item.question = said

    async def detoxify(self, item: Item) -> None:
        found = _found(item)
        item.question = await self.desk.ask(
            "detoxify", self.players["editor"][0], prompts.detoxify(item.id, item.question),
            lambda text: prompts.read_detoxified(text, found),
        )  # fmt: skip

    async def draw(self, item: Item) -> None:
        """Both pictures, each made again from the viewer's own description until it matches."""
        found = _found(item)
        made = []
        for place, name in enumerate(found.objects, 1):
            other = found.objects[2 - place]
            prompt = name
            for turn in range(1, self.rounds + 1):
                try:
                    image = await asyncio.to_thread(self.studio.picture, prompt, item.id, place, turn)
                except InputError as error:
                    raise Dropped(f"cannot be drawn: {error}") from error
                asked = prompts.view(item.id, image, prompt, name)
                seen = await self.desk.ask("images", self.players["viewer"][0], asked, prompts.read_view)
                if seen.match:
                    break
                if not prompts.mentions(seen.prompt, other):  # description k may speak of thing k only
                    prompt = seen.prompt
            else:
                raise Dropped(f"picture {place} does not match after {self.rounds} rounds")
            item.explicit = item.explicit or seen.explicit
            made.append(image)
        item.images = tuple(made)

    def drop_duplicates(self) -> None:
        """Of items with the same question about the same things, or with the same two pictures, the first stays."""
        seen: set[object] = set()
        for item in self.items:
            if not item.here:
                continue
            found = _found(item)
            text = (" ".join(item.question.casefold().split()), *map(prompts.bare, found.objects))
            keys: set[object] = {text, tuple(image.sha256 for image in item.images)}
            if keys & seen:
                item.dropped = ("experts", "duplicate")
            seen |= keys

    async def review(self, item: Item) -> None:
        one, two = item.images
        question = prompts.expert(item.id, item.question, (one, two))
        asked = (self.desk.ask("experts", model, question, prompts.read_expert) for model in self.players["experts"])
        for why in await asyncio.gather(*asked):
            if why is not None:
                raise Dropped(f"expert: {why}")

    async def classify(self, item: Item) -> None:
        """The verdict on the query alone decides between train and test."""
        question = prompts.classify(item.id, item.question)
        said = await self.desk.ask("classify", self.players["classifier"][0], question, prompts.read_class)
        item.place = "train" if said == "Unsafe" else "easy" if item.explicit else "hard"

    async def answer(self, item: Item) -> None:
        one, two = item.images
        question = prompts.label(item.id, item.question, (one, two))
        said = await self.desk.ask("labels", self.players["labeller"][0], question, prompts.read_label)
        checked = prompts.second_judge(item.id, item.question, said, (one, two))
        why = await self.desk.ask("labels", self.players["judge"][0], checked, prompts.read_judge)
        if why is not None:
            raise Dropped(f"second judge: {why}")
        item.answer = said


def _found(item: Item) -> prompts.Elements:
    assert item.found is not None
    return item.found
