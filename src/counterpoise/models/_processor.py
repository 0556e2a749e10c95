"""Processors: image back end set explicitly, video parts left out where they cannot run."""

import importlib.util
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, first_line

BACKENDS = ("pil", "torchvision")


def has_torchvision() -> bool:
    return importlib.util.find_spec("torchvision") is not None


def image_only(cls: Any) -> Any:
    """The same processor class without its video part.

    Video processors exist only where torchvision is installed, and without one the whole processor of LLaVA-OneVision,
    InternVL or Qwen-VL cannot be built (transformers 5.23), although images need nothing of it.
    """

    class ImageOnly(cls):  # type: ignore[misc] # the base is found at run time
        @classmethod
        def get_attributes(klass) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

    ImageOnly.__name__ = cls.__name__  # what save_pretrained writes, so that the folder stays an ordinary one
    ImageOnly.__qualname__ = cls.__qualname__
    return ImageOnly


def load_processor(path: str | Path, *, backend: str = "pil", **options: Any) -> Any:
    """`AutoProcessor.from_pretrained` with the image back end `backend` ("pil" or "torchvision").

    Pixel values of the two back ends are not bit-equal, so the choice is never left to what happens to be installed.
    `options` are passed on (revision, trust_remote_code, local_files_only).
    """
    from transformers import AutoProcessor

    cls = _processor_class(path, **options)
    if cls is not None and cls.__name__ == "ShieldGemma2Processor":
        return _gemma3(cls.from_pretrained(path, backend=backend, **options))
    if has_torchvision():
        return AutoProcessor.from_pretrained(path, backend=backend, **options)
    if cls is None or "video_processor" not in cls.get_attributes():
        return AutoProcessor.from_pretrained(path, backend=backend, **options)
    return image_only(cls).from_pretrained(path, backend=backend, **options)


def readers(folder: Path, name: str, *, is_vlm: bool, backend: str, **options: Any) -> tuple[Any, Any]:
    """Processor (None for a text-only model) and tokenizer of a folder.

    Raises InputError that names the file that is missing, or what else stands in the way.
    """
    from transformers import AutoTokenizer

    try:
        if not is_vlm:
            return None, AutoTokenizer.from_pretrained(folder, **options)
        processor = load_processor(folder, backend=backend, **options)
    except Exception as error:  # a missing file shows as any of eight types, depending on who reads it
        lacks = _lacking(folder, is_vlm)
        what = "processor" if is_vlm else "tokenizer"
        raise InputError(f"{name}: cannot load its {what} ({lacks or first_line(error)})") from error
    if getattr(processor, "image_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        what = _lacking(folder, is_vlm) or f"{type(processor).__name__} lacks an image processor or a tokenizer"
        raise InputError(f"{name}: cannot load its processor ({what})")
    return processor, processor.tokenizer


def _lacking(folder: Path, is_vlm: bool) -> str | None:
    """Which files that every release writes are not there."""
    needed = [("tokenizer_config.json",), ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")]
    if is_vlm:
        needed.append(("preprocessor_config.json", "processor_config.json"))
    absent = [names[0] for names in needed if not any(any(folder.glob(name)) for name in names)]
    return f"{folder} has no {', '.join(absent)}; copy it from the original model" if absent else None


def _gemma3(shield: Any) -> Any:
    """ShieldGemma 2's processor writes its own prompts and takes no others; the same parts make Gemma 3's, which does.
    Its policies stay at hand as `policy_definitions`."""
    from transformers import Gemma3Processor

    made = Gemma3Processor(shield.image_processor, shield.tokenizer, shield.chat_template, shield.image_seq_length)
    made.policy_definitions = shield.policy_definitions
    return made


def _processor_class(path: str | Path, **options: Any) -> Any:
    """The processor class that AutoProcessor would take, or None when only AutoProcessor knows."""
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    config = AutoConfig.from_pretrained(path, **options)
    name = PROCESSOR_MAPPING_NAMES.get(config.model_type)
    if isinstance(name, tuple | list):
        name = name[-1]
    return getattr(transformers, name, None) if isinstance(name, str) else None
