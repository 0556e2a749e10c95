"""Samples on disk, so that a benchmark of any length takes the memory of the part that is looked at."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from counterpoise.base import InputError, atomic_write
from counterpoise.chat import Image, Message, Sample


class Spool(Sequence[Sample]):
    """A list of samples in a JSON Lines file of our own; one is parsed when it is asked for, a slice is a list.

    Images must be files (see `keep_images`). Values of `meta` come back as JSON has them: tuples as lists.
    """

    def __init__(self, file: Path, samples: Iterable[Sample]) -> None:
        self.file, self.starts, place = file, array("q"), 0
        with atomic_write(file, "wb") as handle:
            for sample in samples:
                line = json.dumps(_row(sample)).encode() + b"\n"  # ASCII: any text, and any name of a file, comes back
                handle.write(line)
                self.starts.append(place)
                place += len(line)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        start = self.starts[range(len(self))[place]]
        with self.file.open("rb") as handle:
            handle.seek(start)
            return _sample(json.loads(handle.readline()))

    def __iter__(self) -> Iterator[Sample]:
        with self.file.open("rb") as handle:
            for line in handle:
                yield _sample(json.loads(line))


_PLAIN = ("id", "target", "choices", "harmful", "modality", "split", "cluster", "group", "rejection")


def _row(sample: Sample) -> dict[str, Any]:
    messages = [[message.role, [_part(sample, part) for part in message.parts]] for message in sample.messages]
    return {name: getattr(sample, name) for name in _PLAIN} | {"messages": messages, "meta": dict(sample.meta)}


def _part(sample: Sample, part: str | Image) -> str | list[str]:
    if isinstance(part, str):
        return part
    if part.path is None:
        raise InputError(f"{sample.id}: its image is not a file; keep it in a folder first")
    return [str(part.path), part.source]


def _sample(row: dict[str, Any]) -> Sample:
    messages = tuple(
        Message(role, tuple(p if isinstance(p, str) else Image(source=p[1], path=Path(p[0])) for p in parts))
        for role, parts in row.pop("messages")
    )
    return Sample(**{**row, "messages": messages, "choices": tuple(row["choices"])})
