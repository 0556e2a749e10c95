"""The relevance scan: which rules can have to do with an image, by the similarity of an image and a text encoder."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError
from counterpoise.chat import Image
from counterpoise.models import find_folder, resolve_device

from ._constitution import Rule
from ._values import Scanned

Similarities = NDArray[np.float64]
THRESHOLDS: Mapping[str, float] = {"openai/clip-vit-base-patch16": 0.22}
"""Encoder -> threshold of the paper. A threshold belongs to one encoder: others are calibrated."""
MARGIN = 0.01


class Encoder(Protocol):
    """Says how alike images and texts are."""

    @property
    def id(self) -> str: ...

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> Similarities:
        """(images, texts), on the encoder's own scale; NaN where it has nothing to say."""
        ...


@dataclass(frozen=True)
class Scan:
    """An encoder with its threshold."""

    encoder: Encoder
    threshold: float
    fail_closed: bool = True
    """Judge all rules when the best similarity is within 0.01 of the threshold."""

    def __call__(self, images: Sequence[Image], rules: Sequence[Rule]) -> list[tuple[Scanned, ...]]:
        """For every image, every rule with its similarity and whether it is kept."""
        found = self.encoder.similarity(images, [rule.text for rule in rules])
        return [keep(row, rules, self.threshold, self.fail_closed) for row in found]


def keep(row: Similarities, rules: Sequence[Rule], threshold: float, fail_closed: bool) -> tuple[Scanned, ...]:
    """Rules at or above the threshold, and those about which the encoder says nothing (NaN)."""
    known = [float(value) for value in row if not math.isnan(value)]
    close = fail_closed and bool(known) and abs(max(known) - threshold) <= MARGIN
    return tuple(
        Scanned(rule.id, None, True)
        if math.isnan(value)
        else Scanned(rule.id, float(value), close or float(value) >= threshold)
        for rule, value in zip(rules, row, strict=True)
    )


class Calibrated(NamedTuple):
    """A threshold and what it does on the labelled set."""

    threshold: float
    recall: float
    """Share of violated (image, rule) pairs that are kept."""
    kept: float
    """Share of all pairs that are kept."""
    n_violated: int
    n: int


def calibrate(similarities: Similarities, violated: NDArray[np.bool_], recall: float = 0.95) -> Calibrated:
    """The largest threshold that keeps at least `recall` of the violated (image, rule) pairs, both (images, rules).

    Pairs about which the encoder says nothing are always kept. Raises InputError without a violated pair, for shapes
    that differ, and for a recall outside (0, 1].
    """
    if similarities.shape != violated.shape:
        raise InputError(f"similarities {similarities.shape}, labels {violated.shape}: the shapes must agree")
    if not 0 < recall <= 1:
        raise InputError(f"recall {recall}: must lie in (0, 1]")
    n = int(violated.sum())
    if n == 0:
        raise InputError("calibration of the scan: no image violates a rule; give labelled images that do")
    values = np.where(np.isnan(similarities), np.inf, similarities)
    highest = np.sort(values[violated])[::-1]
    threshold = float(highest[math.ceil(recall * n) - 1])
    if math.isinf(threshold):
        raise InputError("calibration of the scan: the encoder knows none of the rules' words")
    kept = values >= threshold
    return Calibrated(threshold, float(kept[violated].mean()), float(kept.mean()), n, int(kept.size))


class ClipEncoder:
    """CLIP, SigLIP or any other model of transformers with image and text features: cosine similarity."""

    def __init__(self, model: str, device: str = "auto"):
        self.id = model
        self._device = device
        self._loaded: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> Similarities:
        """Cosines. Texts longer than the encoder reads are cut, as the encoder was trained."""
        import torch

        with self._lock, torch.inference_mode():
            processor, model = self._load()
            padding = "max_length" if "siglip" in model.config.model_type else True  # SigLIP was trained so
            words = processor.tokenizer(list(texts), padding=padding, truncation=True, return_tensors="pt")
            said = _features(model.get_text_features(**words.to(model.device)))
            seen = []
            for start in range(0, len(images), 32):
                pages = [image.pil() for image in images[start : start + 32]]
                pixels = processor.image_processor(pages, return_tensors="pt")["pixel_values"]
                seen.append(_features(model.get_image_features(pixel_values=pixels.to(model.device))))
            found = torch.cat(seen) @ said.T
        return np.asarray(found.double().cpu().numpy())

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModel

            from counterpoise.models import load_processor

            folder = find_folder(self.id)
            processor = load_processor(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, use_safetensors=True)
            if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
                raise InputError(f"{self.id}: has no image and text features; give a CLIP-like model")
            self._loaded = processor, model.to(resolve_device(self._device)).eval()
        return self._loaded


def _features(out: Any) -> Any:
    """Normalised features, from a tensor or from what transformers wraps around it."""
    import torch

    tensor = out if isinstance(out, torch.Tensor) else out.pooler_output
    return torch.nn.functional.normalize(tensor.float(), dim=-1)


def scan_with(encoder: Encoder, threshold: float | None = None) -> Scan:
    """A scan with the encoder's own threshold. Raises InputError when none is known and none is given."""
    own = THRESHOLDS.get(encoder.id, getattr(encoder, "threshold", None))
    chosen = threshold if threshold is not None else own
    if chosen is None:
        raise InputError(
            f"{encoder.id}: its threshold is not known, and that of another encoder would drop everything or nothing; "
            "give --threshold, or --calibrate with a labelled folder"
        )
    return Scan(encoder, chosen)
