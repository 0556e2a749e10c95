"""Load any image-text or text model, with or without a PEFT adapter, and say precisely what was loaded."""

import dataclasses
from pathlib import Path
from typing import Any

from counterpoise.base import Artifact, InputError

from ._adapter import first_line, merge_adapter, prove_adapter, put_on
from ._artifact import load_with
from ._edit import edit_base, is_edit
from ._loaded import Loaded
from ._parts import dense_head
from ._processor import BACKENDS, has_torchvision, load_processor
from ._source import adapter_base, check_weights, find_folder, fingerprint, is_adapter

DTYPES = ("auto", "bfloat16", "float16", "float32")


def load(
    name: str,
    *,
    adapter: str | Path | None = None,
    artifact: Artifact | str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    image_backend: str = "pil",
    merge: bool = False,
) -> Loaded:
    """Load a model for generation, scoring or training.

    Args:
        name: "pocket", a Hugging Face id, a folder of `save_pretrained`, or that of an adapter or an edit (its base is
            found).
        adapter: PEFT adapter folder or hub id to put on; proven active or InputError.
        artifact: what a correction left, of any kind: an adapter, a whole model, an edit; see `read_artifact`.
        dtype: "auto" is bfloat16 where the GPU or CPU computes it natively, else float32.
        device: "auto" is the first GPU, else the CPU; or "cpu", "cuda", "cuda:1".
        revision: branch, tag or commit of a hub id.
        trust_remote_code: run Python files that come with the weights.
        image_backend: "pil" or "torchvision"; recorded, since their pixel values differ slightly.
        merge: add the proven adapter to the weights, for fast generation; it cannot be switched off any more.

    Raises InputError (one line) for a name that cannot be found, weights that are not safetensors, an architecture that
    transformers does not know, a bad dtype or device, and an adapter that does not fit.
    """
    given = {key: value for key, value in locals().items() if key not in ("name", "adapter", "artifact")}
    import torch

    _check_options(dtype, image_backend)
    if artifact is not None:
        return load_with(load, name, artifact, adapter, given)
    place = find_folder(name, revision=revision, trust_remote_code=trust_remote_code)
    if is_edit(place):
        return load_with(load, edit_base(place), place, adapter, given)
    if is_adapter(place) and not (place / "config.json").is_file():
        if adapter is not None:
            raise InputError(f"{name}: is an adapter itself; give its base model and one adapter")
        adapter, base = place, adapter_base(place)
        place = find_folder(base, trust_remote_code=trust_remote_code)
    check_weights(place, name)
    kind, where = resolve_dtype(dtype, device), resolve_device(device)
    model, is_vlm = _model(place, name, getattr(torch, kind), trust_remote_code)
    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    processor, tokenizer = _processor(place, name, is_vlm, image_backend, options)
    folder = find_folder(str(adapter)) if adapter is not None else None
    peft = put_on(model, folder, name) if folder is not None else None
    try:
        model.to(where).eval()
    except RuntimeError as error:
        raise InputError(f"{name}: does not fit on {where} ({first_line(error)})") from error
    dense_head(model)
    settings = {"dtype": kind, "image_backend": image_backend if is_vlm else None}
    if merge and folder is not None:
        settings["merged"] = "yes"
    loaded = Loaded(
        name=name,
        path=str(place),
        adapter=str(folder) if folder is not None else None,
        dtype=kind,
        device=where,
        model=model,
        processor=processor,
        tokenizer=tokenizer,
        is_vlm=is_vlm,
        fingerprint=fingerprint(place, folder, settings),
        image_backend=settings["image_backend"],
        peft=peft,
    )
    if folder is None:
        return loaded
    proven = dataclasses.replace(loaded, proof=prove_adapter(loaded))
    return merge_adapter(proven) if merge else proven


def _check_options(dtype: str, backend: str) -> None:
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    if backend not in BACKENDS:
        raise InputError(f"image backend {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "torchvision" and not has_torchvision():
        raise InputError("image backend torchvision: not installed; run pip install torchvision, or use pil")


def resolve_dtype(dtype: str = "auto", device: str = "auto") -> str:
    """The dtype that "auto" means on this machine: bfloat16 pays only where the hardware computes it."""
    import torch

    if dtype != "auto":
        return dtype
    if resolve_device(device).startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def resolve_device(device: str = "auto") -> str:
    """Raises InputError for a device that is not here."""
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: not available here; use cpu or auto") from error
    return device


def _model(place: Path, name: str, dtype: Any, code: bool) -> tuple[Any, bool]:
    """The model and whether it takes images."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.utils import logging

    options = {"trust_remote_code": code, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: unreadable config.json ({first_line(error)})") from error
    remote = getattr(config, "auto_map", None) or {}
    is_vlm = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or "AutoModelForImageTextToText" in remote
    if not is_vlm and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and "AutoModelForCausalLM" not in remote:
        raise InputError(f"{name}: a {config.model_type} model neither chats nor takes images")
    auto: Any = AutoModelForImageTextToText if is_vlm else AutoModelForCausalLM
    if config.model_type == "shieldgemma2":
        from transformers import ShieldGemma2ForImageClassification

        auto = ShieldGemma2ForImageClassification
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar per load would drown ours
    try:
        model = auto.from_pretrained(place, dtype=dtype, use_safetensors=True, **options)
        # ShieldGemma 2 is a Gemma 3 inside a class that picks two of its logits; we read them ourselves
        return (model.model if config.model_type == "shieldgemma2" else model), is_vlm
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{name}: cannot load {place} ({first_line(error)})") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors") or type(error).__name__ == "SafetensorError":
            raise InputError(f"{name}: damaged weights in {place} ({first_line(error)}); copy them again") from error
        raise
    finally:
        if shown:
            logging.enable_progress_bar()


def _processor(place: Path, name: str, is_vlm: bool, backend: str, options: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    try:
        if not is_vlm:
            return None, AutoTokenizer.from_pretrained(place, **options)
        processor = load_processor(place, backend=backend, **options)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"{name}: cannot load its {'processor' if is_vlm else 'tokenizer'} ({first_line(error)})"
        ) from error
    return processor, processor.tokenizer
