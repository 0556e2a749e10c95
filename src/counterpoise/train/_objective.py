"""Objectives: what a training row is, how large it is, and what is learned from it.

An objective is a small frozen dataclass, so that its settings are its fields and enter the run's identity:

    @dataclass(frozen=True)
    class Unlearn(Objective[Pair]):
        alpha: float = 1.0

        def samples(self, row):             # the labelled conversations of a row, here two
            return (pair_sample(row, row.chosen), pair_sample(row, row.rejected))

        def loss(self, model, batch):       # a sum over n units, see LossOut
            logprobs_B = sequence_logprobs(model, batch)
            keep_P, forget_P = logprobs_B[0::2], logprobs_B[1::2]
            return LossOut((forget_P - self.alpha * keep_P).sum(), len(keep_P), {})

Rows that are more than labelled conversations (rollouts with advantages) override `encode` instead of `samples`.
"""

import dataclasses
import hashlib
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import torch

from counterpoise.base import InputError
from counterpoise.chat import Image, Pair, Sample, assistant
from counterpoise.models import Loaded

from ._encode import Batch, Tokens, encode_sample
from ._losses import LossOut, dpo_loss, sequence_logprobs, sft_loss

if TYPE_CHECKING:
    from ._trainable import Trainable

R = TypeVar("R")
Loss = Callable[[Any, Batch], LossOut]
"""A loss of a model and a batch, such as `sft_loss`."""


class Objective(ABC, Generic[R]):
    """What one row of type R is and what is learned from it. Subclasses are frozen dataclasses; their fields are the
    loss settings."""

    role: str | None = None
    """The LoRA group that is active in forward and backward; None: the plan's first one."""
    unit: Literal["label", "row"] = "label"
    """What a step's loss is divided by, over all micro-batches and processes: labelled tokens, or rows."""
    last_only: bool = False
    """Labels on the last reply of a conversation only, which is then one sequence under every chat template."""

    def samples(self, row: R) -> Sequence[Sample]:
        """The labelled conversations of a row, always equally many. A Sample is its own."""
        if isinstance(row, Sample):
            return (row,)
        raise NotImplementedError(f"{type(self).__name__}: override samples or encode for {type(row).__name__} rows")

    def encode(self, loaded: Loaded, row: R, limit: int | None) -> tuple[Tokens, ...] | None:
        """The sequences of a row, or None when `limit` tokens leave nothing useful of one of them: the row is then left
        out and counted. Raises InputError for a row that is wrong."""
        found = [encode_sample(loaded, each, limit, last_only=self.last_only) for each in self.samples(row)]
        kept = [sequences for sequences in found if sequences is not None]
        return tuple(itertools.chain(*kept)) if len(kept) == len(found) else None

    def size(self, row: Sequence[Tokens]) -> int:
        """Tokens of an encoded row as it is padded, image tokens included: what micro-batches are filled by."""
        return len(row) * max(len(tokens) for tokens in row)

    @abstractmethod
    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        """The loss of a micro-batch, summed over its units, with `n` as `count` says for its rows."""

    def count(self, row: Sequence[Tokens]) -> int:
        """Units of an encoded row."""
        return 1 if self.unit == "row" else sum(tokens.n_labels for tokens in row)

    def fingerprint(self) -> str:
        """Of the class and its settings: two objectives with other settings are two trainings."""
        return digest((type(self).__module__, type(self).__qualname__, vars(self)))


@dataclass(frozen=True)
class SFT(Objective[Sample]):
    """Supervised fine-tuning: cross-entropy on the replies of a Sample, a mean over all labelled tokens of a step."""

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        return sft_loss(model, batch)


@dataclass(frozen=True)
class DPO(Objective[Pair]):
    """Direct preference optimisation (Rafailov et al. 2023); the reference is the model with its adapter off.

    A mean over the pairs of a step. Needs a plan whose trained weights can be switched off (see `Trainable.reference`).
    """

    beta: float = 0.1
    """Strength of the tie to the reference."""
    unit = "row"
    last_only = True

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise InputError(f"DPO: beta {self.beta}; must be above 0")

    def samples(self, row: Pair) -> Sequence[Sample]:
        return (pair_sample(row, row.chosen), pair_sample(row, row.rejected))

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        with model.reference(), torch.no_grad():
            reference_B = sequence_logprobs(model, batch)
        policy_B = sequence_logprobs(model, batch)
        return dpo_loss(policy_B[0::2], policy_B[1::2], reference_B[0::2], reference_B[1::2], self.beta)


@dataclass(frozen=True)
class _Plain(Objective[Sample]):
    """A bare loss function on Samples."""

    function: Loss

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        return self.function(model, batch)


def as_objective(objective: "Objective[R] | Loss") -> "Objective[Any]":
    """An objective as it is; a loss function becomes one over Samples, normalised by labelled tokens."""
    if isinstance(objective, Objective):
        return objective
    return SFT() if objective is sft_loss else _Plain(objective)


def pair_sample(pair: Pair, reply: str) -> Sample:
    """The pair's prompt with one of its replies."""
    return Sample(pair.id, (*pair.prompt, assistant(reply)))


def digest(value: Any) -> str:
    """SHA-256 over the *content* of rows and settings: an image counts by its bytes, not by its file's name; a function
    by its name, its code and what it closes over, a method by its object too; `Sample.meta` and the like (where a row
    came from) not at all.

    Raises TypeError for a value whose content cannot be told: two different runs would look equal.
    """
    found = hashlib.sha256()
    for piece in pieces(value):
        found.update(piece)
    return found.hexdigest()


def pieces(value: Any) -> Iterator[bytes]:
    """What `digest` hashes: bytes that tell a value from every other, one kind of value from another included."""
    if value is None or isinstance(value, str | bool | int | float | bytes | Path):
        yield f"{type(value).__name__}:{value!r};".encode()
    elif isinstance(value, Image):
        yield f"image:{value.sha256};".encode()
    elif isinstance(value, Sample):  # what is trained on; categories and clusters are for evaluation
        yield from pieces(("sample", value.id, value.rejection, value.messages))
    elif isinstance(value, torch.Tensor | np.ndarray):
        yield f"{type(value).__name__}:{value.dtype}:{tuple(value.shape)};".encode()
        tensor = torch.as_tensor(value).detach().cpu().contiguous().reshape(-1)
        yield tensor.view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        yield from pieces(("mapping", sorted((str(k), digest(v)) for k, v in value.items())))
    elif isinstance(value, list | tuple | Sequence):
        yield f"{len(value)}[".encode()
        for item in value:
            yield from pieces(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name != "meta"}
        yield from pieces((type(value).__qualname__, fields))
    elif callable(value) and hasattr(value, "__qualname__"):
        closed = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        defaults = (getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None))
        settings = (_owner(value), _code(getattr(value, "__code__", None)), closed, defaults)
        yield from pieces(("function", value.__module__, value.__qualname__, *settings))
    elif hasattr(value, "func") and hasattr(value, "keywords"):  # functools.partial
        yield from pieces(("partial", value.func, value.args, value.keywords))
    else:
        raise TypeError(f"{type(value).__name__}: cannot tell its content; make it a dataclass of plain values")


def _owner(function: Any) -> Any:
    """What a bound method is bound to: a class, or an object's class and settings. None for other functions."""
    owner = getattr(function, "__self__", None)
    if not inspect.ismethod(function) or isinstance(owner, type):
        return owner if inspect.ismethod(function) else None
    if dataclasses.is_dataclass(owner):
        return owner
    return type(owner).__module__, type(owner).__qualname__, vars(owner)


def _code(value: Any) -> Any:
    """What a function computes: bytecode, names and constants, those of functions inside it included. Where it was
    written does not count."""
    if inspect.iscode(value):
        return "code", value.co_code, value.co_names, [_code(each) for each in value.co_consts]
    if isinstance(value, tuple):
        return tuple(_code(each) for each in value)
    if isinstance(value, frozenset):
        return "set", sorted(digest(_code(each)) for each in value)
    return repr(value) if isinstance(value, complex) or value is ... else value
