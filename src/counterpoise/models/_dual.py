"""Dual encoders (CLIP, SigLIP and their kin): one encoder for images, one for texts, one space for both.

They neither chat nor take an image and a text at once, so `load` refuses them and `load_dual` takes them.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from counterpoise.base import Artifact, InputError, first_line, read_json
from counterpoise.chat import Image

from ._device import place, resolve_dtype, settle
from ._edit import apply_edit
from ._loaded import AdapterProof
from ._processor import load_processor
from ._source import check_weights, find_folder, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from ._edit import AppliedEdit

PROBE = "a photo of a person in the street"


@dataclass(frozen=True, eq=False)
class DualEncoder:
    """A dual encoder in memory. Build it with `load_dual`."""

    name: str
    path: str
    dtype: str
    device: str
    model: Any
    image_processor: Any
    tokenizer: Any
    fingerprint: str
    artifact: Artifact | None = None
    """The edit that was put on it."""
    proof: AdapterProof | None = None
    edit: "AppliedEdit | None" = dataclasses.field(default=None, repr=False)
    adapter: None = None
    """It never has one; edits ask."""

    def pixels(self, images: Sequence[Image]) -> "dict[str, Tensor]":
        """What the image encoder takes, of a batch of images."""
        made = self.image_processor(images=[image.pil() for image in images], return_tensors="pt")
        return self._inputs(made)

    def tokens(self, texts: Sequence[str]) -> "tuple[dict[str, Tensor], Tensor]":
        """What the text encoder takes, of a batch of texts cut to its length, and which of its tokens are text: (B, L).

        SigLIP pads to its full length with the token that also ends a text, as it was trained, and gives no mask: the
        first of them is text, the others are not.
        """
        length = int(self.model.config.text_config.max_position_embeddings)
        padding = "max_length" if "siglip" in self.model.config.model_type else True
        made = self._inputs(
            self.tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
        )
        ids, mask = made["input_ids"], made.get("attention_mask")
        if "siglip" in self.model.config.model_type:
            real = (ids != self.tokenizer.pad_token_id).sum(dim=1, keepdim=True)
            ends = int(self.tokenizer.pad_token_id == self.tokenizer.eos_token_id)
            position = ids.new_tensor(range(ids.shape[1]))
            mask = position[None] < real + ends
        return made, (ids == ids if mask is None else mask.bool())

    def image_features(self, images: Sequence[Image]) -> "Tensor":
        """Embeddings of one batch of images, (B, d), float32 where the model is; they carry gradients where its weights
        do."""
        return _pooled(self.model.get_image_features(**self.pixels(images)))

    def text_features(self, texts: Sequence[str]) -> "Tensor":
        """The same of one batch of texts."""
        return _pooled(self.model.get_text_features(**self.tokens(texts)[0]))

    def embed_images(self, images: Iterable[Image], *, batch: int = 128) -> "Tensor":
        """Embeddings of images, (N, d), float32 on the CPU, not normalised. Memory holds one batch of pixels."""
        parts = [self.image_features(some).detach().cpu() for some in _batches(images, batch)]
        return _joined(parts, "images")

    def embed_texts(self, texts: Iterable[str], *, batch: int = 512) -> "Tensor":
        """Embeddings of texts, (N, d), float32 on the CPU, not normalised."""
        parts = [self.text_features(some).detach().cpu() for some in _batches(texts, batch)]
        return _joined(parts, "texts")

    def roots(self) -> dict[str, str]:
        """Module paths of the two encoders, `vision` and `text`."""
        named = dict(self.model.named_modules())
        return {kind: f"{kind}_model" for kind in ("vision", "text") if f"{kind}_model" in named}

    def _inputs(self, made: Any) -> "dict[str, Tensor]":
        dtype = self.model.dtype
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None) for name, value in made.items()
        }


def _pooled(output: Any) -> "Tensor":
    """transformers 5 returns an object around what older releases returned."""
    value: Tensor = output if hasattr(output, "ndim") else output.pooler_output
    return value.float()


def is_dual(name: str) -> bool:
    """Whether a name is a dual encoder's, from its config alone. Raises InputError for a model that is not there."""
    folder = find_folder(name)
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    kind = str(config.get("model_type", ""))
    return "projection_dim" in config or "siglip" in kind if {"text_config", "vision_config"} <= set(config) else False


def load_dual(
    name: str,
    *,
    artifact: Artifact | str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
) -> DualEncoder:
    """Load a dual encoder by hub id or folder, with or without an edit, which is proven to act.

    Raises InputError for a folder without safetensors, a model that is none, and an edit that does not fit.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from ._artifact import read_artifact

    folder = find_folder(name, revision=revision)
    check_weights(folder, name)
    if not is_dual(name):
        kind = read_json(folder / "config.json").get("model_type", "?")
        raise InputError(f"{name}: a {kind} model is no dual encoder, such as CLIP or SigLIP")
    where = place(device, None)
    kind = resolve_dtype(dtype, where.device)
    try:
        model = AutoModel.from_pretrained(
            folder, dtype=getattr(torch, kind), use_safetensors=True, local_files_only=True
        )
        processor = load_processor(folder, local_files_only=True)
        tokenizer = getattr(processor, "tokenizer", None) or AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise InputError(f"{name}: cannot load {folder} as a dual encoder ({first_line(error)})") from error
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise InputError(f"{name}: a {model.config.model_type} model gives no embeddings of images and texts")
    settle(model, where, name)
    model.eval().requires_grad_(False)
    encoder = DualEncoder(
        name, str(folder), kind, where.device, model, processor.image_processor, tokenizer,
        fingerprint(folder, None, {"dtype": kind}),
    )  # fmt: skip
    if artifact is None:
        return encoder
    return apply_edit(encoder, artifact if isinstance(artifact, Artifact) else read_artifact(artifact), probe_dual)


def probe_dual(encoder: DualEncoder) -> float:
    """Largest change of an embedding when the edit is off: of one text and of one grey image with a gradient."""
    import PIL.Image

    image = Image.from_pil(PIL.Image.linear_gradient("L").resize((64, 64)).convert("RGB"))

    def embedded() -> "Tensor":
        import torch

        return torch.cat([encoder.embed_images([image]), encoder.embed_texts([PROBE])])

    assert encoder.edit is not None
    on = embedded()
    with encoder.edit.off():
        return float((on - embedded()).abs().max())


T = TypeVar("T")


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(values)
    while some := list(islice(left, size)):
        yield some


def _joined(parts: "list[Tensor]", what: str) -> "Tensor":
    import torch

    if not parts:
        raise InputError(f"no {what} to embed")
    return torch.cat(parts)
