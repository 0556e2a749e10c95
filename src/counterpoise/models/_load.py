"""Load any image-text or text model, with or without a PEFT adapter, and say precisely what was loaded."""

import dataclasses
from pathlib import Path
from typing import Any

from counterpoise.base import Artifact, InputError, first_line

from ._adapter import merge_adapter, prove_adapter, put_on
from ._artifact import load_with
from ._defaults import generation_defaults, say_defaults
from ._device import DeviceMap, Placement, place, resolve_dtype, settle
from ._edit import edit_base, is_edit
from ._loaded import Loaded
from ._parts import dense_head
from ._processor import BACKENDS, has_torchvision, readers
from ._serving import say_other_base, served_system
from ._source import adapter_base, check_weights, find_folder, fingerprint, is_adapter
from ._steering import is_steering, steering_base


def load(
    name: str,
    *,
    adapter: str | Path | None = None,
    artifact: Artifact | str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: DeviceMap | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    image_backend: str = "pil",
    merge: bool = False,
) -> Loaded:
    """Load a model for generation, scoring or training.

    Args:
        name: "pocket" ("pocket:6" for one version of it), a Hugging Face id, a folder of `save_pretrained`, or that of
            an adapter, an edit or a steering (its base is found).
        adapter: PEFT adapter folder or hub id to put on; proven active or InputError.
        artifact: what a correction left, an adapter, a whole model, an edit or a steering; see `read_artifact`.
        dtype: "auto" is bfloat16 where the GPU or CPU computes it natively, else float32.
        device: "auto" is the first GPU (of a launched job: the process's own), else the CPU; or "cpu", "cuda:1".
        device_map: for a model larger than one device: "auto" fills the GPUs, then main memory ("balanced",
            "balanced_low_0" and "sequential" share them out in other ways), or a dict from module path to device.
            Inputs go to the device of the input embeddings, which is then `Loaded.device`.
        revision: branch, tag or commit of a hub id.
        trust_remote_code: run Python files that come with the weights.
        image_backend: "pil" or "torchvision"; recorded, since their pixel values differ slightly.
        merge: add the proven adapter to the weights, for fast generation; it cannot be switched off any more.

    Generation defaults of the checkpoint are recorded and not used, with a line (`Loaded.generation_defaults`).
    Raises InputError (one line) for a name that cannot be found, weights that are not safetensors, an architecture that
    transformers does not know, a bad dtype or device, a quantised checkpoint whose package is missing, a tokenizer that
    names no end of a reply, and an adapter that does not fit.
    """
    given = {key: value for key, value in locals().items() if key not in ("name", "adapter", "artifact")}
    import torch

    from ._generate import reply_ends

    _check_backend(image_backend)
    if artifact is not None:
        return load_with(load, name, artifact, adapter, given)
    if is_edit(edit := Path(name).expanduser()):
        return load_with(load, edit_base(edit), edit, adapter, given)
    if is_steering(edit):
        return load_with(load, steering_base(edit), edit, adapter, given)
    folder, adapter = _find(name, adapter, revision, trust_remote_code)
    check_weights(folder, name)
    where = place(device, device_map)
    kind = resolve_dtype(dtype, where.device)
    model, is_vlm = _model(folder, name, getattr(torch, kind), where, trust_remote_code)
    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    processor, tokenizer = readers(folder, name, is_vlm=is_vlm, backend=image_backend, **options)
    put = find_folder(str(adapter)) if adapter is not None else None
    peft = None
    if put is not None:
        peft = put_on(model, put, name)
        say_other_base(put, folder, name)
    where = where._replace(device=settle(model, where, name))
    model.eval()
    dense_head(model)
    settings = {"dtype": kind, "image_backend": image_backend if is_vlm else None}
    if merge and put is not None:
        settings["merged"] = "yes"
    loaded = Loaded(
        name=name,
        path=str(folder),
        adapter=str(put) if put is not None else None,
        dtype=kind,
        device=where.device,
        model=model,
        processor=processor,
        tokenizer=tokenizer,
        is_vlm=is_vlm,
        fingerprint=fingerprint(folder, put, settings),
        image_backend=settings["image_backend"],
        peft=peft,
        generation_defaults=generation_defaults(model),
        system=served_system(put) or served_system(folder),
    )
    if not reply_ends(loaded):
        raise InputError(
            f"{name}: its tokenizer, generation config and chat template name no token that ends a reply, so no answer "
            "would ever end; set eos_token in tokenizer_config.json"
        )
    say_defaults(name, loaded.generation_defaults)
    if put is None:
        return loaded
    proven = dataclasses.replace(loaded, proof=prove_adapter(loaded))
    return merge_adapter(proven) if merge else proven


def _check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise InputError(f"image backend {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "torchvision" and not has_torchvision():
        raise InputError("image backend torchvision: not installed; run pip install torchvision, or use pil")


def _find(name: str, adapter: str | Path | None, revision: str | None, code: bool) -> tuple[Path, str | Path | None]:
    """The folder of the weights and the adapter: where `name` is an adapter's folder, its base and itself."""
    folder = find_folder(name, revision=revision, trust_remote_code=code)
    if not is_adapter(folder) or (folder / "config.json").is_file():
        return folder, adapter
    if adapter is not None:
        raise InputError(f"{name}: is an adapter itself; give its base model and one adapter")
    return find_folder(adapter_base(folder), trust_remote_code=code), folder


def _model(folder: Path, name: str, dtype: Any, where: Placement, code: bool) -> tuple[Any, bool]:
    """The model and whether it takes images."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers import __version__ as version
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
    from transformers.utils import logging

    options: dict[str, Any] = {"trust_remote_code": code, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: unreadable config.json ({first_line(error)})") from error
    remote = getattr(config, "auto_map", None) or {}
    is_vlm = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or "AutoModelForImageTextToText" in remote
    if not is_vlm and type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and "AutoModelForCausalLM" not in remote:
        raise InputError(f"{name}: a {config.model_type} model neither chats nor takes images")
    if config.is_encoder_decoder or config.get_text_config(decoder=True).is_encoder_decoder:
        raise InputError(f"{name}: a {config.model_type} model has a text encoder; only decoders are supported")
    auto: Any = AutoModelForImageTextToText if is_vlm else AutoModelForCausalLM
    if config.model_type == "shieldgemma2":
        from transformers import ShieldGemma2ForImageClassification

        auto = ShieldGemma2ForImageClassification
    quantised = getattr(config, "quantization_config", None)
    if quantised and _method(quantised) not in AUTO_QUANTIZER_MAPPING:
        raise InputError(
            f"{name}: its weights are quantised with {_method(quantised)}, which transformers {version} does not know; "
            "use the plain checkpoint"
        )
    if where.spread is not None:
        options["device_map"] = where.spread
    elif quantised:
        options["device_map"] = {"": where.device}  # such weights cannot be moved afterwards
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar per load would drown ours
    try:
        model, found = auto.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    except ImportError as error:
        raise InputError(f"{name}: {_missing(quantised, error)}") from error
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        what = f" quantised with {_method(quantised)}" if quantised else ""
        raise InputError(f"{name}: cannot load {folder}{what} ({first_line(error)})") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors") or type(error).__name__ == "SafetensorError":
            raise InputError(f"{name}: damaged weights in {folder} ({first_line(error)}); copy them again") from error
        raise
    finally:
        if shown:
            logging.enable_progress_bar()
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"{name}: {len(missing)} of its weights are in none of the files, e.g. {', '.join(missing[:3])}; they "
            f"would be random numbers; copy {folder} again"
        )
    # ShieldGemma 2 is a Gemma 3 inside a class that picks two of its logits; we read them ourselves
    return (model.model if config.model_type == "shieldgemma2" else model), is_vlm


def _method(quantised: Any) -> str:
    """How a checkpoint is quantised, from the `quantization_config` of its config.json."""
    known = quantised if isinstance(quantised, dict) else vars(quantised)
    if known.get("load_in_4bit") or known.get("load_in_8bit"):
        return "bitsandbytes_4bit" if known.get("load_in_4bit") else "bitsandbytes_8bit"
    method = known.get("quant_method")
    return str(getattr(method, "value", method) or "an unnamed method")


def _missing(quantised: Any, error: ImportError) -> str:
    if not quantised:
        return f"its architecture needs a package that is not installed ({first_line(error)})"
    how = f"quantised with {_method(quantised)}, and what reads them is not installed"
    return f"its weights are {how} ({first_line(error)}); install it, or use the plain checkpoint"
