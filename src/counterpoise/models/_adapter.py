"""A PEFT adapter on a model: put on, proven to act, merged into the weights."""

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, first_line
from counterpoise.chat import Conversation, Image, user

from ._loaded import AdapterProof, Loaded
from ._source import is_adapter

PROBE = "The quick brown fox asks a question about the weather in the city."


def put_on(model: Any, folder: Path, name: str) -> Any:
    """Put a PEFT adapter on and return the PeftModel. Raises InputError unless every tensor found its place.

    PEFT only warns about tensors without a place, and the base model would be measured under the adapter's name. Names
    of older releases of transformers are translated by PEFT where it knows them, and refused here where it does not.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    if not is_adapter(folder):
        raise InputError(f"{folder}: no adapter_config.json there; give the folder of a PEFT adapter")
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder}: no adapter_model.safetensors there; is the training finished?")
    mapping = getattr(model, "_checkpoint_conversion_mapping", {})  # old key layouts, as PeftModel.from_pretrained
    try:
        config = PeftConfig.from_pretrained(str(folder))
        if config.is_prompt_learning:
            raise InputError(
                f"{folder}: {config.peft_type.value} learns a prompt, not layers; such adapters are not supported"
            )
        config.inference_mode = True
        peft = PeftModel(model, config)
        reading = None if hasattr(model, "hf_device_map") else "cpu"  # PEFT's own choice is the first GPU
        result = peft.load_adapter(
            str(folder), "default", is_trainable=False, key_mapping=mapping, torch_device=reading
        )
    except KeyError as error:
        raise InputError(f"{folder}: does not fit {name}: its file has no tensor {error.args[0]}") from error
    except SafetensorError as error:
        raise InputError(
            f"{folder}: adapter_model.safetensors is damaged ({first_line(error)}); copy it again"
        ) from error
    except (ValueError, RuntimeError, OSError, TypeError, ImportError, AttributeError) as error:
        bad = [line.strip() for line in str(error).splitlines()[1:] if "size mismatch" in line]
        why = "; ".join(bad[:3]) or first_line(error)
        raise InputError(f"{folder}: does not fit {name}: {why}") from error
    lost, unfilled = list(result.unexpected_keys), list(result.missing_keys)
    if lost or unfilled:
        keys = (lost or unfilled)[:3]
        what = f"{len(lost)} of its tensors have no place" if lost else f"{len(unfilled)} modules got no tensor"
        raise InputError(
            f"{folder}: does not fit {name}: {what}, e.g. {', '.join(keys)}; it was trained for "
            f"{config.base_model_name_or_path or 'another model'}"
        )
    return peft


def prove_adapter(loaded: Loaded) -> AdapterProof:
    """Prove that the adapter acts: the weights of some module say so, and logits change when it is switched off.

    (That every tensor of its file found its place is checked when it is loaded.) Raises InputError otherwise: numbers
    of the base model under the adapter's name would be worse than none.
    """
    if loaded.peft is None or loaded.adapter is None:
        raise InputError(f"{loaded.name}: no adapter is loaded")
    acting = [_acts(module) for module in _adapted(loaded.model)]
    if not any(acting):
        raise InputError(
            f"{loaded.adapter}: every lora_B is zero and no other weight of it differs from the model's, so the "
            "adapter changes nothing; was the training saved?"
        )
    difference = probe_difference(loaded)
    if not difference > 0:
        raise InputError(
            f"{loaded.adapter}: logits are the same with and without it, so it is not active; "
            "was it trained for another model?"
        )
    return AdapterProof(loaded.adapter, len(acting), sum(acting), difference)


def probe_difference(loaded: Loaded) -> float:
    """Largest absolute change of a logit at the last position of a probe prompt when the adapter is switched off.

    The probe is text; when that shows nothing, a grey image too (an adapter of the connector), and then the tokens
    whose embedding it changes.
    """
    return _probe(loaded)[2]


def merge_adapter(loaded: Loaded) -> Loaded:
    """Add a proven adapter to the weights, in place: generation is several times faster without its extra layers.

    Sums are rounded to the weights' dtype, so the proof is made again on the merged weights. Raises InputError when
    nothing is left of the adapter after rounding, or its kind cannot be added to weights.
    """
    if loaded.peft is None or loaded.proof is None:
        raise InputError(f"{loaded.name}: no adapter is loaded")
    inputs, off, _ = _probe(loaded)
    try:
        model = loaded.peft.merge_and_unload()
    except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{loaded.adapter}: cannot be added to the weights ({first_line(error)}); load it with merge=False"
        ) from error
    merged = dataclasses.replace(loaded, model=model, peft=None)
    difference = float((_logits(merged, inputs) - off).abs().max())
    if not difference > 0:
        raise InputError(
            f"{loaded.adapter}: lost when it is added to weights in {loaded.dtype}; load it with --dtype float32"
        )
    return dataclasses.replace(merged, proof=dataclasses.replace(loaded.proof, probe_difference=difference))


def _adapted(model: Any) -> list[Any]:
    """The modules that the adapter changed: layers with factors, and modules replaced as a whole."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    whole = [name for name, module in model.named_modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
        and not any(name.startswith(f"{outer}.") for outer in whole)
    ]


def _acts(module: Any) -> bool:
    """Whether a module's adapter weights differ from those that change nothing.

    LoRA: some `lora_B` is not zero, or a magnitude (DoRA) is not the norm of its row. Modules replaced as a whole and
    trained tokens: some value differs from the model's. IA3: some factor is not one. Other kinds: some weight is not
    zero, and the probe decides.
    """
    import torch

    if hasattr(module, "modules_to_save"):
        own = dict(module.original_module.named_parameters())
        return any(
            not torch.equal(value, own[name])
            for copy in module.modules_to_save.values()
            for name, value in copy.named_parameters()
        )
    tokens = getattr(module, "token_adapter", module)
    if hasattr(tokens, "trainable_tokens_delta"):
        own = tokens.trainable_tokens_original
        return any(not torch.equal(value, own[name]) for name, value in tokens.trainable_tokens_delta.items())
    named = {name: value for name, value in module.named_parameters() if not name.startswith("base_layer.")}
    if any(name.startswith("lora_") for name in named):
        last = [value for name, value in named.items() if name.startswith(("lora_B.", "lora_embedding_B."))]
        return any(bool(torch.any(value != 0)) for value in last) or _magnitude_moved(module)
    neutral = 1 if any(name.startswith("ia3_") for name in named) else 0
    return any(bool(torch.any(value != neutral)) for value in named.values())


def _magnitude_moved(module: Any) -> bool:
    """DoRA with `lora_B` = 0: whether a magnitude is not the norm of its row of the weight (which changes nothing)."""
    import torch

    weight = module.get_base_layer().weight
    for magnitude in getattr(module, "lora_magnitude_vector", {}).values():
        norms = torch.linalg.norm(weight.float(), dim=0 if module.fan_in_fan_out else 1)
        if norms.shape == magnitude.weight.shape and not torch.allclose(magnitude.weight.float(), norms, rtol=1e-2):
            return True
    return False


def _probe(loaded: Loaded) -> tuple[dict[str, Any], Any, float]:
    """The first probe on which the adapter or edit acts, or the last one: its inputs, its logits without it, and the
    largest difference."""
    inputs: dict[str, Any] = {}
    off, difference = None, 0.0
    for inputs in _probes(loaded):
        on = _logits(loaded, inputs)
        with _off(loaded):
            off = _logits(loaded, inputs)
        if (difference := float((on - off).abs().max())) > 0:
            break
    return inputs, off, difference


def _off(loaded: Loaded) -> AbstractContextManager[Any]:
    """The model without its adapter, edit or steering."""
    on = loaded.edit or loaded.steering
    without: AbstractContextManager[Any] = on.off() if on else loaded.peft.disable_adapter()
    return without


def _probes(loaded: Loaded) -> Iterator[dict[str, Any]]:
    import PIL.Image
    import torch

    from ._encoding import encode

    rows: list[Conversation] = [(user(PROBE),)]
    if loaded.is_vlm:
        rows.append((user(Image.from_pil(PIL.Image.new("RGB", (64, 64), (90, 120, 150))), PROBE),))
    for row in rows:
        yield encode(loaded, [row], add_generation_prompt=True, padding_side="left")
    if tokens := _changed_tokens(loaded):
        ids = torch.tensor([tokens], device=loaded.device)
        yield {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _changed_tokens(loaded: Loaded, most: int = 8) -> list[int]:
    """The first tokens whose input embedding the adapter or edit changes."""
    import torch

    embed, size = loaded.model.get_input_embeddings(), loaded.model.config.get_text_config().vocab_size
    found: list[int] = []
    for start in range(0, size, 4096):
        ids = torch.arange(start, min(start + 4096, size), device=loaded.device)
        with torch.inference_mode():
            on = embed(ids)
            with _off(loaded):
                off = embed(ids)
        found += ids[(on != off).any(-1)].tolist()
        if len(found) >= most:
            break
    return found[:most]


def _logits(loaded: Loaded, inputs: dict[str, Any]) -> Any:
    import torch

    with torch.inference_mode():
        return loaded.model(**inputs).logits[:, -1].float()
