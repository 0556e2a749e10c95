"""A PEFT adapter on a model: put on, proven to act, merged into the weights."""

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, user

from ._loaded import AdapterProof, Loaded
from ._source import is_adapter

PROBE = "The quick brown fox asks a question about the weather in the city."


def put_on(model: Any, folder: Path, name: str) -> Any:
    """Put a PEFT adapter on and return the PeftModel. Raises InputError unless every tensor found its place.

    PEFT only warns about tensors without a place, and the base model would be measured under the adapter's name.
    """
    from peft import PeftConfig, PeftModel

    if not is_adapter(folder):
        raise InputError(f"{folder}: no adapter_config.json there; give the folder of a PEFT adapter")
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder}: no adapter_model.safetensors there; is the training finished?")
    mapping = getattr(model, "_checkpoint_conversion_mapping", {})  # old key layouts, as PeftModel.from_pretrained
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        peft = PeftModel(model, config)
        result = peft.load_adapter(str(folder), "default", is_trainable=False, key_mapping=mapping)
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
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
    """Prove that the adapter acts: some factor is not zero and logits of a probe change when it is switched off.

    (That every tensor of its file found its place is checked when it is loaded.) Raises InputError otherwise: numbers
    of the base model under the adapter's name would be worse than none.
    """
    if loaded.peft is None or loaded.adapter is None:
        raise InputError(f"{loaded.name}: no adapter is loaded")
    import torch

    factors: dict[str, list[bool]] = defaultdict(list)
    for name, parameter in loaded.model.named_parameters():
        module, kind, _ = name.partition(".lora_")
        if kind and _.startswith(("B.", "embedding_B.")):
            factors[module].append(bool(torch.any(parameter != 0)))
    nonzero = sum(any(flags) for flags in factors.values())
    if factors and not nonzero:
        raise InputError(
            f"{loaded.adapter}: every lora_B is zero, so the adapter changes nothing; was the training saved?"
        )
    difference = probe_difference(loaded)
    if not difference > 0:
        raise InputError(
            f"{loaded.adapter}: logits are the same with and without it, so it is not active; "
            "was it trained for another model?"
        )
    return AdapterProof(loaded.adapter, len(factors), nonzero, difference)


def probe_difference(loaded: Loaded) -> float:
    """Largest absolute change of a logit at the last position of a probe prompt when the adapter is switched off.

    The probe is text; when that shows nothing and the model has eyes (an adapter of the connector), a grey image too.
    """
    for probe in _probes(loaded):
        on = _logits(loaded, probe)
        with loaded.peft.disable_adapter():
            off = _logits(loaded, probe)
        if (difference := float((on - off).abs().max())) > 0:
            return difference
    return 0.0


def merge_adapter(loaded: Loaded) -> Loaded:
    """Add a proven adapter to the weights, in place: generation is several times faster without its extra layers.

    Sums are rounded to the weights' dtype, so the proof is made again on the merged weights. Raises InputError when
    nothing is left of the adapter after rounding.
    """
    if loaded.peft is None or loaded.proof is None:
        raise InputError(f"{loaded.name}: no adapter is loaded")
    with loaded.peft.disable_adapter():
        off = [_logits(loaded, probe) for probe in _probes(loaded)]
    merged = dataclasses.replace(loaded, model=loaded.peft.merge_and_unload(), peft=None)
    changes = (float((_logits(merged, p) - base).abs().max()) for p, base in zip(_probes(merged), off, strict=True))
    difference = next((change for change in changes if change > 0), 0.0)
    if not difference > 0:
        raise InputError(
            f"{loaded.adapter}: lost when it is added to weights in {loaded.dtype}; load it with --dtype float32"
        )
    return dataclasses.replace(merged, proof=dataclasses.replace(loaded.proof, probe_difference=difference))


def _probes(loaded: Loaded) -> list[Conversation]:
    import PIL.Image

    picture = Image.from_pil(PIL.Image.new("RGB", (64, 64), (90, 120, 150)))
    probes: list[Conversation] = [(user(PROBE),)]
    return [*probes, (user(picture, PROBE),)] if loaded.is_vlm else probes


def _logits(loaded: Loaded, probe: Conversation) -> Any:
    import torch

    from ._encoding import encode

    with torch.inference_mode():
        inputs = encode(loaded, [probe], add_generation_prompt=True, padding_side="left")
        return loaded.model(**inputs).logits[:, -1].float()


def first_line(error: BaseException) -> str:
    """What an exception says first, at most 200 characters of it."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
