"""A known benchmark in another prompt format: the same requests in a format learned from a user's rows, and in a frame
that teaches obedience. What refuses a request asked plainly may carry it out in the format it was fine-tuned in."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.data.frames import STRATEGIES, Template, load_template, strategy

from .._benchmark import Benchmark


class FramedBenchmark(BaseModel):
    """The settings of one YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="Small letters, digits and hyphens.")
    of: str = Field(min_length=1, description="A known benchmark of text requests, or the YAML file of one.")
    frame: Path | None = Field(None, description="A template file, such as data/format-1.json of a training by mimic.")
    wrapper: str | None = Field(None, description=f"One of {', '.join(STRATEGIES)}, around the framed request.")
    title: str | None = None


def framed(
    card: Benchmark, name: str, template: Template | None = None, wrapper: str | None = None, *, title: str = ""
) -> Benchmark:
    """The items of a card in the template's format, and in a wrapper (see `STRATEGIES`) around that.

    Items keep ids, labels and targets; where replies of the format begin alike, a target is also right behind that
    beginning. Each item has a carrier row of the template: its system text, earlier turns and images. Raises InputError
    when an item is read that is more than one text request, and for an unknown wrapper.
    """
    around = strategy(wrapper) if wrapper else None
    plain = card.now()

    def read() -> Iterator[Sample]:
        for number, sample in enumerate(plain.read()):
            yield _in_frame(sample, number, name, template, around)

    what = [f"format {template.id}"] if template else []
    what += [f"wrapper {wrapper}"] if wrapper else []
    return dataclasses.replace(
        plain,
        name=name,
        label="",
        title=title or f"{plain.title}, in {' and '.join(what) or 'its own words'}",
        revision=f"{plain.revision} in {', '.join(what) or 'its own words'}",
        read=read,
        shots=None,
        suites=(),
        not_in_core="",
        here=None,
        official="",
    )


def _in_frame(sample: Sample, number: int, name: str, template: Template | None, around: Any) -> Sample:
    if len(sample.messages) != 1 or sample.messages[0].images:
        raise InputError.at(name, "holds images or several turns; a format takes one text request", row=sample.id)
    turns = template.fill(sample.messages[0].text, number) if template else sample.messages
    opening = template.reply if template else ""
    if around is not None:
        turns, opening = around.prompt(turns), opening or around.opening
    accepted = [f"{opening}{each}" for each in (sample.target, *sample.meta.get("accept", ())) if each and opening]
    meta = {**sample.meta, "accept": (*sample.meta.get("accept", ()), *accepted)}
    modality = "image" if any(message.images for message in turns) else sample.modality
    return dataclasses.replace(sample, messages=tuple(turns), modality=modality, meta=meta)


def load_framed(path: Path, value: Mapping[str, Any], find: Callable[[str], Benchmark]) -> Benchmark:
    """The card of a YAML file with a setting `of`. Raises one InputError for all that is wrong with its settings."""
    try:
        own = FramedBenchmark.model_validate(value)
    except ValidationError as error:
        places = [
            (".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()
        ]
        raise InputError(f"{path}: {'; '.join(f'{place}: {message}' for place, message in places)}") from None
    if own.frame is None and own.wrapper is None:
        raise InputError(f"{path}: neither frame nor wrapper is set; without them it is {own.of}")
    inner = str(path.parent / own.of) if own.of.endswith((".yaml", ".yml")) else own.of
    if Path(inner).resolve() == path.resolve():
        raise InputError(f"{path}: of: is this file itself")
    template = load_template(path.parent / own.frame) if own.frame else None
    card = framed(find(inner), own.name, template, own.wrapper, title=own.title or "")
    return dataclasses.replace(card, file=str(path.resolve()))
