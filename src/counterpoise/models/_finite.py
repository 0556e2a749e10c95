"""Logits that are no numbers: which rows have them, and where in the model they began."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError

from ._encoding import EncodedRow, collate_rows
from ._loaded import Loaded


def not_finite(logits: Tensor) -> Tensor:
    """For logits (B, V), which rows (B) hold NaN or infinity where a probability should come from. A model may set
    single logits to minus infinity; a row of nothing else has no probabilities either."""
    return ~logits.amax(-1).isfinite()


def stop_if_all(loaded: Loaded, bad: Tensor, rows: Sequence[EncodedRow], step: int) -> None:
    """Raise InputError when no row of a batch has logits that are numbers: the checkpoint is broken, or its dtype does
    not hold its values. The message names the weight or the module in which they began."""
    if bool(bad.all()):
        raise InputError(
            f"{loaded.name}: its logits are not numbers (NaN or infinity) at step {step + 1} for all {len(bad)} "
            f"prompts; {_origin(loaded, rows[0])}; load it with --dtype float32 or get the weights again"
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
