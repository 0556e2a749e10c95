"""Hashed word and character n-grams of an answer, the input of the trained refusal classifier."""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._parts import behind_preamble, parts, without_idioms

BUCKETS = 1 << 16
_OPENING, _REST, _READ = 300, 700, 3000  # characters of the opening, of what follows, and of the answer


class Features(NamedTuple):
    """Binary features of N answers in compressed rows: answer i has `bucket[start[i]:start[i+1]]`, each of weight
    1 / sqrt(number of its features)."""

    bucket: NDArray[np.int64]
    start: NDArray[np.int64]

    def dot(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted sum per answer, shape (N,)."""
        sizes = np.diff(self.start)
        total = np.add.reduceat(weights[self.bucket], self.start[:-1])
        return np.asarray(total / np.sqrt(sizes))


def features(answers: Sequence[str]) -> Features:
    """Features of answers. Every answer has at least one (the bias word), so no row is empty."""
    rows = [sorted({zlib.crc32(name.encode()) % BUCKETS for name in _names(answer)}) for answer in answers]
    start = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Features(np.array([bucket for row in rows for bucket in row], dtype=np.int64), start)


def _names(answer: str) -> list[str]:
    said = behind_preamble(parts(answer[:_READ]))
    opening = " . ".join(without_idioms(part.text) for part in said[:3])[:_OPENING]
    rest = " . ".join(part.text for part in said[3:])[:_REST]
    names = ["bias", f"first:{said[0].kind if said else None}"]
    words = re.findall(r"[\w']+|[.,!?:]", opening)
    # words of a letter or of somebody who is quoted have features of their own
    theirs = "theirs:" if said and said[0].kind == "text" else ""
    names += [f"{theirs}at{i}:{word}" for i, word in enumerate(words[:6])]
    for size in (1, 2, 3, 4):
        names += [f"{theirs}o:" + " ".join(words[i : i + size]) for i in range(len(words) - size + 1)]
    head = "^" + opening[:48]
    names += [f"{theirs}c:{head[i : i + size]}" for size in (4, 5) for i in range(len(head) - size + 1)]
    later = re.findall(r"[\w']+|[:]", rest)
    for size in (1, 2):
        names += ["r:" + " ".join(later[i : i + size]) for i in range(len(later) - size + 1)]
    return names
