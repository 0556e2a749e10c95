"""Copies among rows, and of rows in benchmarks: equal and near prompts, equal and near images.

Near texts by MinHash with locality-sensitive hashing over character 5-grams (Broder 1997; Lee et al. 2022,
arXiv 2107.06499, deduplicate training text so), through the library `datasketch`; near images by the perceptual hash of
`ImageHash`. Memory grows with the rows that are added, by about a kilobyte each, and not with what is looked up.
"""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import require
from counterpoise.chat import Image, Sample

from ._leakage import QUESTION_WORDS, content, normalise

NEAR = 0.8
"""Jaccard similarity of two near texts, estimated from 128 hashes (standard error 0.035)."""
NEAR_BITS = 8
"""Of 256: the perceptual hashes of one picture saved as JPEG, or at another size, differ by less; those of two prints
of different words by more (both are tests)."""
CopyKind = Literal["exact", "conflict", "question", "near", "image", "image_near"]
_GRAM, _HASHES, _READ = 5, 128, 4_000  # characters of a text that are compared
_FEW_WORDS = 2  # a benchmark's request of fewer words betrays nothing
_INSTALL = "counterpoise[check]"


class Copy(NamedTuple):
    """A row (by its number in the order of adding) that copies something."""

    kind: CopyKind
    row: int
    score: float = 1.0
    other: int = -1
    """The earlier row that it copies."""


class Copies:
    """Rows by what they ask and show. `add` compares a row with those before it, `of` a benchmark's with all."""

    def __init__(self, *, near: bool = True) -> None:
        """With `near`, near copies are found too. Raises MissingPackageError without the packages that find them."""
        self._seen: dict[tuple[bytes, str], tuple[int, bytes]] = {}
        self._contents: dict[bytes, list[int]] = defaultdict(list)
        self._questions: dict[bytes, list[int]] = defaultdict(list)
        self._images: dict[str, list[int]] = defaultdict(list)
        self._texts = NearTexts() if near else None
        self._pictures = NearImages() if near else None
        self._asked: list[dict[str, list[int]]] = []  # of each distinct prompt: rows by the images they show

    @property
    def shows_images(self) -> bool:
        return bool(self._images)

    def add(self, row: int, sample: Sample, label: str) -> list[Copy]:
        """Remember a row; what it copies of earlier ones, at most one copy of each kind. A prompt counts with the
        images it is asked about, `conflict` is an equal one with another label. Raises InputError for an image that
        cannot be read."""
        images = [image for message in sample.messages for image in message.images]
        shown = [image.sha256 for image in images]
        prompt, pictures = normalise(sample.text), " ".join(shown)
        key, said = (_digest(prompt), pictures), _digest(label.strip())
        found: list[Copy] = list(self._equal_images(row, shown, images))
        if key in self._seen:
            other, answer = self._seen[key]
            found.append(Copy("exact", row, other=other))
            if answer != said:
                found.append(Copy("conflict", row, other=other))
            if self._texts is not None:
                self._asked[self._texts.place(key[0])][pictures].append(row)
        else:
            self._seen[key] = (row, said)
            found += self._near(row, prompt, key)
        self._contents[_digest(normalise(content(sample)))].append(row)
        for question in _questions(sample):
            self._questions[_digest(question)].append(row)
        return found

    def of(self, sample: Sample) -> Iterator[Copy]:
        """The rows that copy an evaluation sample. Beside an image its text says little ("How many are there?"), so
        that only texts without images, printed words and the images themselves count."""
        images = [image for message in sample.messages for image in message.images]
        text = normalise(content(sample))
        if not images or sample.meta.get("shown"):
            yield from self._texts_of(sample, text)
        if self.shows_images:
            for image in images:
                same = self._images.get(image.sha256, [])
                yield from (Copy("image", row) for row in same)
                if self._pictures is not None and not same:
                    for other, score in self._pictures.like(image):
                        yield from (Copy("image_near", row, score) for row in self._images[other])

    def _texts_of(self, sample: Sample, text: str) -> Iterator[Copy]:
        exact = self._contents.get(_digest(text), []) if len(text.split()) >= _FEW_WORDS else []
        yield from (Copy("exact", row) for row in exact)
        asked = {row for question in _questions(sample) for row in self._questions.get(_digest(question), [])}
        yield from (Copy("question", row) for row in sorted(asked - set(exact)))
        if self._texts is not None and len(text.split()) >= QUESTION_WORDS:
            for place, score in self._texts.like(text):
                rows = {row for each in self._asked[place].values() for row in each}
                yield from (Copy("near", row, score) for row in sorted(rows - set(exact) - asked))

    def _equal_images(self, row: int, shown: Sequence[str], images: Sequence[Image]) -> Iterator[Copy]:
        """An image of an earlier row, or one that looks like it."""
        earlier = next((self._images[sha][0] for sha in shown if sha in self._images), None)
        if earlier is not None:
            yield Copy("image", row, other=earlier)
        near = None
        for sha, image in zip(shown, images, strict=True):
            if self._pictures is not None and sha not in self._images:
                near = near or next(((self._images[o][0], s) for o, s in self._pictures.like(image)), None)
                self._pictures.add(sha, image)
            self._images[sha].append(row)
        if near is not None and near[0] != row:
            yield Copy("image_near", row, near[1], near[0])

    def _near(self, row: int, prompt: str, key: tuple[bytes, str]) -> Iterable[Copy]:
        """A near prompt about the same images; the prompt is remembered."""
        if self._texts is None:
            return
        place = self._texts.place(key[0])
        if place < 0:
            long = len(prompt.split()) >= QUESTION_WORDS
            for other, score in self._texts.like(prompt) if long else ():
                if rows := self._asked[other].get(key[1]):
                    yield Copy("near", row, score, rows[0])
                    break
            place = len(self._asked)
            self._texts.add(key[0], prompt)
            self._asked.append(defaultdict(list))
        self._asked[place][key[1]].append(row)


class NearTexts:
    """Distinct texts by their MinHash, each at a place: 0, 1, ..."""

    def __init__(self) -> None:
        library: Any = require("datasketch", purpose="finding near duplicates", install=_INSTALL)
        self._empty = library.MinHash(num_perm=_HASHES, seed=1, hashfunc=zlib.crc32)
        self._index = library.MinHashLSH(threshold=NEAR, num_perm=_HASHES)
        self._places: dict[bytes, int] = {}
        self._hashes: list[Any] = []

    def place(self, digest: bytes) -> int:
        """-1 for a text that is not there."""
        return self._places.get(digest, -1)

    def add(self, digest: bytes, text: str) -> None:
        self._places[digest] = len(self._hashes)
        made = self._hash(text)
        self._index.insert(len(self._hashes), made)
        self._hashes.append(made)

    def like(self, text: str) -> list[tuple[int, float]]:
        """(place, estimated Jaccard similarity) of near texts, the nearest first."""
        wanted = self._hash(text)
        scores = [(int(place), float(wanted.jaccard(self._hashes[place]))) for place in self._index.query(wanted)]
        return sorted(((p, s) for p, s in scores if s >= NEAR), key=lambda each: (-each[1], each[0]))

    def _hash(self, text: str) -> Any:
        padded = f" {text[:_READ]} "
        made = self._empty.copy()
        made.update_batch(sorted({padded[i : i + _GRAM].encode() for i in range(max(1, len(padded) - _GRAM + 1))}))
        return made


class NearImages:
    """Images by their perceptual hash of 256 bits. Of nine pieces of two hashes that differ in at most eight bits one
    is equal, so that only images with an equal piece are compared."""

    def __init__(self) -> None:
        self._library: Any = require("imagehash", purpose="finding near images", install=_INSTALL)
        self._names: list[str] = []
        self._bits: list[NDArray[np.bool_]] = []
        self._pieces: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        self._made: tuple[str, NDArray[np.bool_]] | None = None

    def add(self, name: str, image: Image) -> None:
        bits = self._hash(image)
        for key in _pieces(bits):
            self._pieces[key].append(len(self._names))
        self._names.append(name)
        self._bits.append(bits)

    def like(self, image: Image) -> list[tuple[str, float]]:
        """(name, share of equal bits) of the images that look like this one, the nearest first."""
        bits = self._hash(image)
        places = sorted({place for key in _pieces(bits) for place in self._pieces.get(key, ())})
        differ = [(int((bits != self._bits[place]).sum()), place) for place in places]
        return [(self._names[place], 1 - n / bits.size) for n, place in sorted(differ) if n <= NEAR_BITS]

    def _hash(self, image: Image) -> NDArray[np.bool_]:
        if self._made is None or self._made[0] != image.sha256:
            found: NDArray[np.bool_] = self._library.phash(image.pil(), hash_size=16).hash.ravel()
            self._made = (image.sha256, found)
        return self._made[1]


def _pieces(bits: NDArray[np.bool_]) -> Iterator[tuple[int, bytes]]:
    return ((number, piece.tobytes()) for number, piece in enumerate(np.array_split(bits, NEAR_BITS + 1)))


def _questions(sample: Sample) -> list[str]:
    asked = (normalise(message.text) for message in sample.messages if message.role == "user")
    return [text for text in asked if len(text.split()) >= QUESTION_WORDS]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
