"""Images -> the pixel tensors of a model, once per content: least recently used ones leave a full cache."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from counterpoise.base import InputError, first_line
from counterpoise.chat import Image

if TYPE_CHECKING:
    from ._loaded import Loaded

Key = tuple[str, ...]  # SHA-256 of each image of one conversation, in order


class Processed(NamedTuple):
    """The images of one conversation as a processor sees them."""

    replacements: tuple[str, ...]
    """What stands in the text for each image."""
    tensors: dict[str, Any]
    """Inputs of the model, first dimension = images or tiles."""

    @property
    def nbytes(self) -> int:
        return sum(int(t.numel() * t.element_size()) for t in self.tensors.values())


class ImageCache:
    """At most `limit` bytes of processed images.

    The key is the tuple of all images of a conversation, not each image: LLaVA-OneVision cuts a single image into tiles
    and does not when there are two.
    """

    def __init__(self, limit: int = 128 << 20):
        self.limit, self.used, self.hits, self.misses = limit, 0, 0, 0
        self._items: OrderedDict[Key, Processed] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key, make: Callable[[], Processed]) -> Processed:
        """The cached value, or `make()`, which is kept unless it alone is larger than the cache."""
        with self._lock:
            if key in self._items:
                self.hits += 1
                self._items.move_to_end(key)
                return self._items[key]
        value = make()
        with self._lock:
            self.misses += 1
            if key not in self._items and value.nbytes <= self.limit:
                self._items[key] = value
                self.used += value.nbytes
            while self.used > self.limit:
                _, old = self._items.popitem(last=False)
                self.used -= old.nbytes
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self.used = 0


def processed_images(loaded: "Loaded", images: list[Image]) -> Processed:
    """The images of one conversation, from the model's cache where they are in it.

    Raises InputError when an image cannot be decoded or the processor refuses it (file and size are named), or the
    processor does not say how it expands images.
    """
    return loaded.images.get(tuple(image.sha256 for image in images), lambda: _process(loaded, images))


def _refused(loaded: "Loaded", images: list[Image], error: Exception) -> InputError:
    """The error for pictures that a processor does not take, such as one of 1 x 500 pixels. Of several, those are named
    that it does not take alone either."""

    def alone(image: Image) -> bool:
        try:
            loaded.processor(images=[[image.pil()]], text=[loaded.processor.image_token], return_tensors="pt")
        except Exception:
            return False
        return True

    guilty = [image for image in images if len(images) > 1 and not alone(image)] or images
    named = ", ".join(f"{image.source} ({image.size[0]} x {image.size[1]} pixels)" for image in guilty)
    return InputError(
        f"{named}: refused by the processor of {loaded.name} ({type(loaded.processor).__name__}: {first_line(error)}); "
        "change the picture or leave its row out"
    )


def _process(loaded: "Loaded", images: list[Image]) -> Processed:
    """Decode and preprocess the images of one conversation."""
    import torch

    processor = loaded.processor
    token = getattr(processor, "image_token", None)
    if not token:
        raise InputError(f"{loaded.name}: its processor ({type(processor).__name__}) names no image token")
    pixels = [[image.pil() for image in images]]
    asked: dict[str, Any] = {"images": pixels, "text": [token * len(images)], "return_tensors": "pt"}
    try:
        if "cross_attention_mask" in processor.model_input_names:  # Mllama: one token per image, nothing to expand
            out, replacements = processor(**asked), (token,) * len(images)
        else:
            out = processor(**asked, return_text_replacement_offsets=True)
            replacements = tuple(item["replacement"] for item in out["text_replacement_offsets"][0])
    except MemoryError:
        raise
    except Exception as error:  # each processor has its own exceptions for a picture it cannot cut
        if "text_replacement_offsets" in str(error):
            raise InputError(
                f"{loaded.name}: its processor ({type(processor).__name__}) does not report how it expands images "
                f"({error})"
            ) from error
        raise _refused(loaded, images, error) from error
    # whatever else it makes, such as labels for training on its own prompt, is no input
    per_token = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets"}
    per_token |= {"labels"}
    tensors = {}
    for name, value in out.items():
        if name in per_token or not isinstance(value, torch.Tensor):
            continue
        if value.is_floating_point():
            value = value.to(loaded.model.dtype)
        elif name.endswith("mask"):
            value = value.bool()  # int64 masks are larger than the pixels
        tensors[name] = value
    return Processed(replacements, tensors)
