"""Logits that are no numbers: which rows have them, and where in the model they began."""

from typing import Any

import torch
from torch import Tensor

from ._encoding import EncodedRow, collate_rows, encode_row
from ._loaded import Loaded
from ._values import EngineError, Prompt

PROBE = "What is the capital of France?"


def not_finite(logits: Tensor) -> Tensor:
    """For logits (B, V), which rows (B) hold NaN or infinity where a probability should come from. A model may set
    single logits to minus infinity; a row of nothing else has no probabilities either."""
    return ~logits.amax(-1).isfinite()


def check_model(loaded: Loaded, bad: int, step: int) -> None:
    """Raise EngineError when the model has no numbers for a plain question either: the checkpoint is broken, or its
    dtype does not hold its values, and every further prompt would only say so again. The message names the weight or
    the module in which they began.

    A prompt that alone overflows is not the model's end: its reply is `not_finite`, whatever shares its batch.
    """
    row = encode_row(loaded, Prompt(PROBE), add_generation_prompt=True)
    body = getattr(loaded.model, "model", None)
    kept = getattr(body, "rope_deltas", None)  # Qwen-VL keeps those of the batch in progress on the model
    with torch.inference_mode():
        logits = loaded.model(**collate_rows(loaded, [row], padding_side="left"), use_cache=False).logits[:, -1]
    if kept is not None:
        body.rope_deltas = kept  # type: ignore[union-attr]
    if bool(not_finite(logits.float()).any()):
        raise EngineError(
            f"{loaded.name}: its logits are not numbers (NaN or infinity), for {bad} prompt(s) at step {step + 1} and "
            f"for a plain question; {_origin(loaded, row)}; load it with --dtype float32 or get the weights again"
        )


@torch.inference_mode()
def _origin(loaded: Loaded, row: EncodedRow) -> str:
    """Where the first value that is no number appears."""
    for name, weight in loaded.model.named_parameters():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            return f"the weight {name} holds values that are no numbers"
    found: list[str] = []
    names = {module: name for name, module in loaded.model.named_modules() if not list(module.children())}

    def look(module: Any, _: Any, out: Any) -> None:
        tensors = out if isinstance(out, tuple | list) else (out,)
        floats = (t for t in tensors if isinstance(t, Tensor) and t.is_floating_point())
        if not found and any(not bool(t.isfinite().all()) for t in floats):
            found.append(names[module])

    hooks = [module.register_forward_hook(look) for module in names]
    try:
        loaded.model(**collate_rows(loaded, [row], padding_side="left"), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return (
        f"they begin in {found[0]} ({loaded.dtype})"
        if found
        else f"not seen again in a pass of one prompt ({loaded.dtype})"
    )
