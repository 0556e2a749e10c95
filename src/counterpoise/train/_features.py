"""Features of a frozen vision tower, computed once per set of images and kept in one bounded, memory-mapped file."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError

Key = tuple[str, ...]  # content hashes of a row's images, in their order
PIXEL_INPUTS = ("pixel_values", "pixel_attention_mask")
GRIDS = "_grid_thw"
"""End of the name of an input with one row an image, its grid of patches (Qwen-VL, GLM-V): token positions need it."""


def unsupported(inner: Any) -> str | None:
    """Why the cache cannot serve this model, or None. It needs a forward that accepts features instead of pixels."""
    body = getattr(inner, "model", None)
    if body is None or not hasattr(body, "get_image_features"):
        return "the model has no get_image_features"
    if "mm_encoder_outputs" not in inspect.signature(body.forward).parameters:
        return "the model's forward does not accept computed image features"
    if getattr(inner.config, "image_token_id", None) is None:
        return "the model's config names no image token"
    return None


class FeatureStore:
    """Append-only store of (tokens, width) arrays in a file of at most `limit` bytes, read through a memory map.

    When it (or the disk) is full, further images are computed anew each time; nothing is evicted. With `path` None it
    keeps nothing and only computes an image once for all sequences of a batch that show it (the two of a pair).
    Features of several layers (Qwen3-VL's deepstack) stand side by side in one row.
    """

    def __init__(self, path: Path | None, limit: int):
        self.path, self.limit, self.used = path, limit if path is not None else 0, 0
        self.hits = self.misses = 0
        self.as_list = True  # whether this model's features are a list of tensors or one tensor
        self.layers = 1
        self.dtype: torch.dtype | None = None
        self.index: dict[Key, tuple[int, tuple[int, int]]] = {}
        self.map: np.memmap[Any, np.dtype[np.uint8]] | None = None
        self.file: Any = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("wb")
        except OSError as error:
            raise InputError(f"{path}: cannot write ({error.strerror or error}); choose another --out") from error

    def put(self, key: Key, features: Tensor) -> None:
        """Keep a (tokens, width) tensor unless it is known already or there is no room."""
        if self.limit == 0:
            return
        data = features.detach().contiguous().cpu()
        size = data.numel() * data.element_size()
        if key in self.index or self.used + size > self.limit:
            return
        try:  # written as a file, not through the map: a full disk is then an error and not a SIGBUS
            self.file.write(data.view(torch.uint8).numpy().tobytes())
            self.file.flush()
        except OSError:
            self.limit = 0
            return
        self.dtype = data.dtype
        self.index[key] = (self.used, (data.shape[0], data.shape[1]))
        self.used += size

    def get(self, key: Key) -> Tensor | None:
        """The stored tensor (a copy), or None."""
        if key not in self.index or self.dtype is None or self.path is None:
            return None
        start, (tokens, width) = self.index[key]
        size = tokens * width * self.dtype.itemsize
        if self.map is None or len(self.map) < start + size:
            self.map = np.memmap(self.path, dtype=np.uint8, mode="r")
        return torch.from_numpy(np.array(self.map[start : start + size])).view(self.dtype).reshape(tokens, width)

    def close(self) -> None:
        """Forget everything and delete the file."""
        self.map = None
        self.index.clear()
        if self.file is not None and self.path is not None:
            self.file.close()
            self.path.unlink(missing_ok=True)

    @torch.no_grad()
    def apply(self, inner: Any, inputs: dict[str, Any], keys: list[Key]) -> dict[str, Any]:
        """Replace the pixels of a batch by features; `keys` holds one key per sequence, () for those without images.

        The pixels are those of each *different* key, in the order in which it first occurs, the grids of patches those
        of every sequence (see `pad`). Features are
        split by sequence at the image tokens, which works for tiles, several images and any resolution, because a model
        puts features into image tokens in order.
        """
        if inputs.get("pixel_values") is None:
            return dict(inputs)
        device = inputs["input_ids"].device
        different = list(dict.fromkeys(key for key in keys if key))
        known = {key: self.get(key) for key in different}
        if all(item is not None for item in known.values()):
            self.hits += len(known)
            found = {key: item.to(device) for key, item in known.items() if item is not None}
        else:
            self.misses += len(known)
            features = self._compute(inner, inputs | _grids_of_different(inputs, keys))
            tokens = (inputs["input_ids"] == inner.config.image_token_id).sum(1).tolist()
            counts = [tokens[keys.index(key)] for key in different]
            if sum(counts) != len(features):
                raise RuntimeError(f"{len(features)} image features for {sum(counts)} image tokens")
            found = dict(zip(different, torch.split(features, counts), strict=True))
            for key, part in found.items():
                self.put(key, part)
        rest = {k: v for k, v in inputs.items() if k not in PIXEL_INPUTS}
        together = torch.cat([found[key] for key in keys if key])
        return rest | {"mm_encoder_outputs": {"image": self._as_output(together)}}

    def _compute(self, inner: Any, inputs: Mapping[str, Any]) -> Tensor:
        """Features (tokens, layers x width) of all images of a batch."""
        accepted = inspect.signature(inner.model.get_image_features).parameters
        own = {k: v for k, v in inputs.items() if k in accepted and k != "input_ids"}
        out = inner.model.get_image_features(**own, return_dict=True)
        self.as_list = isinstance(out.pooler_output, list | tuple)
        layers = [out.pooler_output, *(getattr(out, "deepstack_features", None) or [])]
        self.layers = len(layers)
        joined = [torch.cat([part.reshape(-1, part.shape[-1]) for part in _parts(layer)]) for layer in layers]
        return joined[0] if len(joined) == 1 else torch.cat(joined, dim=1)

    def _as_output(self, features: Tensor) -> Any:
        """The fields that a forward reads of an image encoder's output."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        first, *deeper = features.chunk(self.layers, dim=1)
        output = BaseModelOutputWithPooling(pooler_output=[first] if self.as_list else first)
        output.deepstack_features = [[layer] for layer in deeper]
        return output


def _grids_of_different(inputs: Mapping[str, Any], keys: list[Key]) -> dict[str, Tensor]:
    """The grids of patches of each different key, in the order of its pixels, out of those of all sequences."""
    places: list[int] = []
    seen, start = set[Key](), 0
    for key in keys:
        if key not in seen:
            places += range(start, start + len(key))
        seen.add(key)
        start += len(key)
    grids = {name: value for name, value in inputs.items() if name.endswith(GRIDS) and value is not None}
    if wrong := [name for name, value in grids.items() if len(value) != start]:
        raise RuntimeError(f"{wrong[0]}: {len(grids[wrong[0]])} grids for {start} images")
    return {name: value[places] for name, value in grids.items()}


def _parts(features: Any) -> list[Tensor]:
    return list(features) if isinstance(features, list | tuple) else [features]
