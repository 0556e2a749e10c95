"""The output layer's input, laid out so that a frozen model is not several times slower on a CPU."""

from typing import Any

from torch import Tensor


def dense_head(model: Any) -> None:
    """Make the input of the output layer contiguous before every call.

    A prefill keeps the last position of (B, T, H) only: a strided view. For a weight that needs no gradient (every
    model that an adapter was put on or merged into) `torch.matmul` does not fold such an input into one matrix but
    multiplies B matrices, and on a CPU copies the (V, H) weight B times for it: at V = 49,000 that took longer than all
    other layers together. The copy of (B, 1, H) that avoids it costs nothing.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)


def _contiguous(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if args and isinstance(args[0], Tensor) and not args[0].is_contiguous():
        return (args[0].contiguous(), *args[1:])
    return None
