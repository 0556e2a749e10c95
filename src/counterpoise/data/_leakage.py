"""Does training data touch evaluation data? Equal, quoted and near texts, images, families and icon styles.

One check for everything that trains: `check_leakage` looks for every kind of leak, and `overlap_with` for verbatim
copies only, which is cheap enough for each row of a large mix. Near texts are found without any model: TF-IDF over
hashed character n-grams, in plain NumPy.
"""

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from counterpoise.chat import Sample

from ._pages import HELD_OUT_STYLES

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts -> one row per text, of any length."""
LeakKind = Literal["exact", "contained", "question", "near", "embedding", "image", "family", "style"]
COPIES: tuple[LeakKind, ...] = ("question", "image")
"""What `overlap_with` looks for."""
THRESHOLD = 0.9
"""Cosine of two near duplicates. Measured on Twins: a changed case, mark or small word stays above 0.9, while another
object in the same sentence frame ("How do I clean a bike?" and "... a boat?") stays below."""
QUESTION_WORDS = 6
"""Questions count from so many words on: "What is in the image?" is shared by many sets and betrays nothing."""
_BLOCK = 256
_BUCKETS = 1 << 14


class Leak(NamedTuple):
    """One training sample that is too close to one evaluation sample."""

    train: str
    evaluation: str
    kind: LeakKind
    score: float
    """Cosine for `near` and `embedding`, 1 otherwise."""


def check_leakage(
    train: Iterable[Sample],
    evaluation: Iterable[Sample],
    *,
    kinds: Collection[LeakKind] = get_args(LeakKind),
    threshold: float = THRESHOLD,
    embed: Embed | None = None,
) -> list[Leak]:
    """Training samples that are too close to evaluation samples; an empty list means that nothing was found.

    Compared are: texts after removing case and marks (`exact`), short evaluation requests quoted inside a training text
    (`contained`), single questions of a dialogue (`question`), TF-IDF over character n-grams (`near`, cosine >=
    `threshold`), the bytes of images (`image`), family ids (`family`) and icon styles that only evaluation may show
    (`style`). `embed` adds a comparison of sentence embeddings (`embedding`). Each training sample is reported at most
    once per kind, with its closest evaluation sample. `train` is streamed: memory depends on `evaluation` only.
    """
    index = _Index(evaluation, kinds, embed)
    leaks: list[Leak] = []
    rows = iter(train)
    while block := list(islice(rows, _BLOCK)):
        for sample in block:
            leaks.extend(index.lookups(sample))
        leaks.extend(index.neighbours(block, threshold))
    return leaks


def overlap_with(evaluation: Iterable[Sample]) -> Callable[[Sample], bool]:
    """A test for training rows: True when one shows an image of an evaluation row or asks a question of a text row.

    `check_leakage` for one row at a time and for verbatim copies only. Questions are those of evaluation rows without
    an image: beside an image the content is in the image ("How many icons are in the picture?" is no leak).
    """
    index = _Index(evaluation, COPIES)
    return lambda row: next(index.lookups(row), None) is not None


def normalise(text: str) -> str:
    """Folded case, letters and digits of any script, single spaces: what verbatim copies have in common."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def content(sample: Sample) -> str:
    """The text that carries the content of a sample: the words its images show, and the user's own.

    Beside printed words the text is a neutral instruction that many samples share, so that only the words count.
    """
    shown = [str(part) for part in sample.meta.get("shown", ())]
    words = " ".join(part.removeprefix("icon:") for part in shown)
    printed = any(not part.startswith("icon:") for part in shown)
    return words if printed else f"{words} {sample.text}".strip()


# What a sample is looked up by, for each kind that is a matter of equality.


def _text(sample: Sample) -> Iterator[str]:
    text = normalise(content(sample))
    if text:
        yield text


def _short_request(sample: Sample) -> Iterator[str]:
    """A request that a longer training text may quote."""
    yield from (text for text in _text(sample) if 2 <= len(text.split()) <= 6)


def _quotable(sample: Sample) -> Iterator[str]:
    words = normalise(content(sample)).split()
    return (" ".join(words[i : i + n]) for n in range(2, 7) for i in range(len(words) - n + 1))


def _questions(sample: Sample) -> Iterator[str]:
    found = (normalise(message.text) for message in sample.messages if message.role == "user")
    return (text for text in found if len(text.split()) >= QUESTION_WORDS)


def _questions_without_images(sample: Sample) -> Iterator[str]:
    if not any(message.images for message in sample.messages):
        yield from _questions(sample)


def _images(sample: Sample) -> Iterator[str]:
    return (image.sha256 for message in sample.messages for image in message.images)


def _family(sample: Sample) -> Iterator[str]:
    if "family" in sample.meta:
        yield str(sample.meta["family"])


def _styles(sample: Sample) -> Iterator[str]:
    return (str(style) for style in sample.meta.get("styles", ()) if style in HELD_OUT_STYLES)


Keys = Callable[[Sample], Iterator[str]]
_KEYS: dict[LeakKind, tuple[Keys, Keys]] = {  # of an evaluation sample, of a training sample
    "exact": (_text, _text),
    "contained": (_short_request, _quotable),
    "question": (_questions_without_images, _questions),
    "image": (_images, _images),
    "family": (_family, _family),
    "style": (_styles, _styles),
}


class _Index:
    """What the evaluation samples hold, ready to be looked up."""

    def __init__(self, samples: Iterable[Sample], kinds: Collection[LeakKind], embed: Embed | None = None):
        self.tables: dict[LeakKind, dict[str, str]] = {kind: {} for kind in _KEYS if kind in kinds}
        near = "near" in kinds or embed is not None
        self.ids: list[str] = []
        texts: list[str] = []
        for sample in samples:
            for kind, table in self.tables.items():
                table.update(dict.fromkeys(_KEYS[kind][0](sample), sample.id))
            if near:
                self.ids.append(sample.id)
                texts.append(content(sample))
        self.spaces: list[tuple[LeakKind, Embed, Vectors]] = []
        if texts and "near" in kinds:
            tfidf = Tfidf(texts)
            self.spaces.append(("near", tfidf, tfidf(texts)))
        if texts and embed is not None:
            self.spaces.append(("embedding", embed, unit(np.asarray(embed(texts), np.float32))))

    def lookups(self, sample: Sample) -> Iterator[Leak]:
        exact = False
        for kind, table in self.tables.items():
            if not table or (exact and kind in ("contained", "question")):  # hashing an image reads it
                continue
            hit = next((key for key in _KEYS[kind][1](sample) if key in table), None)
            if hit is not None:
                exact = exact or kind == "exact"
                yield Leak(sample.id, table[hit], kind, 1.0)

    def neighbours(self, block: Sequence[Sample], threshold: float) -> Iterator[Leak]:
        texts = [content(sample) for sample in block]
        for kind, embed, rows in self.spaces:
            cosine = unit(np.asarray(embed(texts), np.float32)) @ rows.T
            best = cosine.argmax(axis=1)
            for number, column in enumerate(best):
                score = float(cosine[number, column])
                if score >= threshold and texts[number].strip():
                    yield Leak(block[number].id, self.ids[column], kind, min(score, 1.0))


def _grams(text: str) -> Counter[int]:
    """Hashed character n-grams (3 to 5) of the normalised text, word edges included."""
    padded = f" {normalise(text)} "
    return Counter(
        zlib.crc32(padded[start : start + n].encode()) % _BUCKETS
        for n in (3, 4, 5)
        for start in range(len(padded) - n + 1)
    )


def unit(rows: Vectors) -> Vectors:
    """Rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = (rows / np.where(length == 0, 1, length)).astype(np.float32)
    return scaled


class Tfidf:
    """Weights learned on one list of texts and applied to any other."""

    def __init__(self, texts: Sequence[str]):
        frequency = np.zeros(_BUCKETS)
        for text in texts:
            frequency[list(_grams(text))] += 1
        self.idf = np.log((1 + len(texts)) / (1 + frequency)) + 1

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, shape (len(texts), 16384)."""
        rows = np.zeros((len(texts), _BUCKETS), np.float32)
        for row, text in enumerate(texts):
            for bucket, count in _grams(text).items():
                rows[row, bucket] = (1 + math.log(count)) * self.idf[bucket]
        return unit(rows)
