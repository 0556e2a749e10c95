"""OWLv2 of transformers: finds what a text names. Loaded when it is first used."""

import threading
from collections.abc import Sequence
from typing import Any

from counterpoise.chat import Image
from counterpoise.models import find_folder, resolve_device

from ._values import Box, Found

DEFAULT = "google/owlv2-base-patch16-ensemble"


class OwlDetector:
    """A detector from a hub id or a folder. Raises InputError when there is no such model."""

    def __init__(self, model: str = DEFAULT, device: str = "auto"):
        self.id = f"owlv2:{model}"
        self._name, self._device = model, device
        self._loaded: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    def find(self, image: Image, words: Sequence[str]) -> list[Found | None]:
        """The surest box of each word in one pass, however low its confidence."""
        import torch

        unique = list(dict.fromkeys(words))
        if not unique:
            return []
        picture = image.pil()
        with self._lock, torch.inference_mode():
            processor, model = self._load()
            inputs = processor(text=[[f"a photo of a {word}" for word in unique]], images=picture, return_tensors="pt")
            outputs = model(**inputs.to(model.device))
            # boxes come back on the padded square, scaled to the image's own pixels
            found = processor.post_process_grounded_object_detection(
                outputs, threshold=0.0, target_sizes=[(picture.height, picture.width)]
            )[0]
        best: dict[str, Found] = {}
        rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), strict=True)
        for label, score, corners in rows:
            word = unique[label]
            if word not in best or score > best[word].confidence:
                best[word] = Found(Box(*(round(value) for value in corners)), score)
        return [best.get(word) for word in words]

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoImageProcessor, AutoTokenizer, Owlv2ForObjectDetection, Owlv2Processor

            folder = find_folder(self._name)
            images = AutoImageProcessor.from_pretrained(folder, backend="pil")
            processor = Owlv2Processor(images, AutoTokenizer.from_pretrained(folder))
            model = Owlv2ForObjectDetection.from_pretrained(folder, use_safetensors=True)
            self._loaded = processor, model.to(resolve_device(self._device)).eval()
        return self._loaded
