"""Deterministic draws and mixes: a row's place follows from a hash of the seed and the row, never from file order."""

import hashlib
import heapq
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from counterpoise.base import InputError, atomic_write, sha256_file
from counterpoise.chat import Image, Sample

from ._chat_row import parse_row

_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def source_of(sample: Sample) -> str:
    """Name of the set a sample comes from; ids are unique only within it."""
    return str(sample.meta.get("source", ""))


def rank(sample: Sample, seed: int, purpose: str) -> bytes:
    """Pseudo-random 32 bytes of this row for this purpose: equal on every machine and in every file order."""
    texts = [(message.role, message.text) for message in sample.messages]
    value = json.dumps([seed, purpose, source_of(sample), sample.id, texts], ensure_ascii=True)
    return hashlib.sha256(value.encode()).digest()


def draw(samples: Iterable[Sample], n: int, *, seed: int, purpose: str) -> list[Sample]:
    """`n` rows without replacement, uniformly: those of smallest rank. One pass that keeps `n` rows.

    Returns fewer when there are fewer; equal rows (same source, id and texts) count once.
    """
    heap: list[tuple[int, Sample]] = []
    kept: set[int] = set()

    class _Entry(tuple[int, Sample]):
        __slots__ = ()

        def __lt__(self, other: object) -> bool:  # the largest rank on top, samples never compared
            return isinstance(other, tuple) and self[0] > other[0]

    for sample in samples:
        key = int.from_bytes(rank(sample, seed, purpose), "big")
        if key in kept or (len(heap) >= n and (n == 0 or key >= heap[0][0])):
            continue
        kept.add(key)
        if len(heap) < n:
            heapq.heappush(heap, _Entry((key, sample)))
        else:
            kept.discard(heapq.heapreplace(heap, _Entry((key, sample)))[0])
    return [sample for _, sample in sorted(heap, key=lambda entry: entry[0])]


def shuffled(samples: Iterable[Sample], *, seed: int) -> list[Sample]:
    """All rows in an order that depends on the seed and the rows only."""
    return sorted(samples, key=lambda sample: rank(sample, seed, "order"))


def write_samples(path: Path, samples: Iterable[Sample]) -> str:
    """Write rows as LLaVA JSON Lines (plus `source` and the rejection flag) and return the file's SHA-256.

    Images that exist only in memory are stored once each under `images/<sha256>` beside the file.
    """
    with atomic_write(path) as file:
        for sample in samples:
            file.write(json.dumps(_row(sample, path.parent), ensure_ascii=False) + "\n")
    return sha256_file(path)


def _row(sample: Sample, folder: Path) -> dict[str, object]:
    names: list[str] = []
    turns = []
    for message in sample.messages:
        text = ""
        for place, part in enumerate(message.parts):
            if isinstance(part, Image):
                names.append(_stored(part, folder))
                text += ("\n" if place else "") + "<image>\n"
            elif "<image>" in part and message.role == "user":
                raise InputError(
                    f"training row {sample.id}: its text contains <image>, which marks images in this format"
                )
            else:
                text += part
        turn: dict[str, object] = {"from": _NAMES[message.role], "value": text}
        turn |= {"reasoning": message.reasoning} if message.reasoning else {}
        turns.append(turn | ({"trusted": True} if message.trusted else {}))
    row: dict[str, object] = {"id": sample.id, "source": source_of(sample)}
    if names:
        row["image"] = names[0] if len(names) == 1 else names
    return row | {"rejection": sample.rejection, "conversations": turns}


def _stored(image: Image, folder: Path) -> str:
    if image.path is not None:
        return str(image.path.resolve())
    target = folder / "images" / image.sha256
    if not target.is_file():
        with atomic_write(target, "wb") as file:
            file.write(image.read())
    return f"images/{image.sha256}"


class SampleFile(Sequence[Sample]):
    """The rows of a file made by `write_samples`, read when asked for: memory does not grow with their number."""

    def __init__(self, path: Path):
        self.path = path
        self.starts = array("q")
        try:
            with path.open("rb") as file:
                position = 0
                for line in file:
                    self.starts.append(position)
                    position += len(line)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        with self.path.open("rb") as file:
            file.seek(self.starts[number])
            line = file.readline()
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError.at(self.path, "not valid JSON; was the file changed?", row=number + 1) from error
        # Our own file names images by absolute path: any folder is inside this root.
        sample = parse_row(absolute(row, self.path.parent), self.path, number + 1, Path("/"), own=True)
        meta = {"source": row.get("source", ""), "row": number + 1}
        return Sample(
            id=sample.id, messages=sample.messages, modality=sample.modality, split="train",
            rejection=bool(row.get("rejection")), meta=meta,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


def absolute(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A row of such a file with its images' paths from the root on."""
    names = row.get("image")
    if isinstance(names, str):
        return row | {"image": str((folder / names).resolve())}
    if isinstance(names, list):
        return row | {"image": [str((folder / str(name)).resolve()) for name in names]}
    return row
