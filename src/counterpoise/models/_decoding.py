"""A batch between two forward passes: the model's inputs, the cache, and how rows are cut out of both.

The steps are those of transformers' own `generate` (its hooks prepare positions, masks and pixel inputs for every
architecture), with our own loop around them, because `generate` computes finished rows until the last one ends. The
cache is ours: made here, handed to the forward pass under whatever name its signature has, filled in place, cut here.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError

from ._loaded import Loaded

PER_TOKEN = ("attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")
CACHE_NAMES = ("cache", "past_key_values", "cache_params")
"""What the releases of transformers and models that bring their own code call it."""


class Steps:
    """A batch in the middle of generation."""

    def __init__(self, loaded: Loaded, batch: dict[str, Any]):
        self.model = loaded.model
        self.cache, self._takes = new_cache(self.model), cache_name(self.model)
        prepare = inspect.signature(self.model.prepare_inputs_for_generation).parameters
        self._prepares = [name for name in CACHE_NAMES if name in prepare]
        self.ids: Tensor = batch["input_ids"]
        rest = {name: value for name, value in batch.items() if name != "input_ids"}
        self.kwargs: dict[str, Any] = {**rest, "use_cache": True}
        positions = {**self.kwargs, "input_ids": self.ids}
        self.kwargs["position_ids"] = self.model._prepare_position_ids_for_generation(self.ids, positions)
        if self.model._supports_logits_to_keep():
            self.kwargs["logits_to_keep"] = 1
        self.started = False

    def forward(self) -> Tensor:
        """Logits (B, V) in float32 of the next token of each row."""
        out = self._call(self.ids, 1 if self.started else None, first=not self.started)
        self.started = True
        kwargs = self.model._update_model_kwargs_for_generation(out, self.kwargs, is_encoder_decoder=False)
        self.kwargs = {name: value for name, value in kwargs.items() if name not in CACHE_NAMES}
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def append(self, tokens: Tensor) -> None:
        self.ids = torch.cat([self.ids, tokens[:, None]], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with `rows` (indices, B') only; repeats are allowed."""
        size = len(self.ids)
        self.ids = self.ids[rows]
        cut_rows(self.cache, rows)
        for name, value in self.kwargs.items():
            if isinstance(value, Tensor) and name in PER_TOKEN:
                self.kwargs[name] = value[rows]
            elif isinstance(value, Tensor) and name == "position_ids" and value.shape[-2] == size:
                self.kwargs[name] = value[..., rows, :]  # (B, T), or (3 or 4, B, T) of Qwen-VL
        body = getattr(self.model, "model", None)
        deltas = getattr(body, "rope_deltas", None)  # Qwen-VL keeps these on the model
        if isinstance(deltas, Tensor) and len(deltas) == size:
            body.rope_deltas = deltas[rows]  # type: ignore[union-attr]

    def follow(
        self, rows: Sequence[int], tails: Sequence[Sequence[int]], places: Sequence[int] | None = None
    ) -> tuple[Tensor, list[int]]:
        """Logits (N, T, V) in float32 behind the tokens of each tail, which goes on from row `rows[n]`, in one pass.

        Tails are padded on the right; what stands behind the end of one means nothing. T are the columns that are
        returned too: `places`, or all where none are given or the model cannot leave any out.
        """
        device, width = self.ids.device, max(map(len, tails))
        given, mask = (torch.zeros((len(tails), width), dtype=torch.long) for _ in range(2))
        for n, tail in enumerate(tails):
            given[n, : len(tail)] = torch.tensor(tail)
            mask[n, : len(tail)] = 1
        given, mask = given.to(device), mask.to(device)
        self.keep(torch.tensor(rows, device=device))
        kwargs = self.kwargs
        # the first pass already made room for one token; make room for the rest, and hide the padding
        kwargs["attention_mask"] = torch.cat([kwargs["attention_mask"][:, :-1], mask], dim=1)
        kwargs["position_ids"] = kwargs["position_ids"][..., -1:] + torch.arange(width, device=device)
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in kwargs:
                kwargs[name] = torch.zeros_like(given)
        columns = list(range(width))
        if kwargs.pop("logits_to_keep", None) is not None and places is not None:
            columns = sorted(set(places))
            kwargs["logits_to_keep"] = torch.tensor(columns, device=device)
        if not keeps_tokens(self.cache):
            return self._follow_one_by_one(given, columns)
        logits: Tensor = self._call(given, width, first=False).logits.float()
        return logits, columns

    def _follow_one_by_one(self, given: Tensor, columns: Sequence[int]) -> tuple[Tensor, list[int]]:
        """`follow` for models with a state in place of old keys (linear attention): their kernels take either a whole
        prompt or one token. A row that has ended goes on with padding, which nothing that is read comes behind."""
        whole = dict(self.kwargs)
        start, found = whole["attention_mask"].shape[1] - given.shape[1], []
        for column in range(max(columns) + 1):
            self.kwargs = dict(whole)
            self.kwargs.pop("logits_to_keep", None)
            self.kwargs["attention_mask"] = whole["attention_mask"][:, : start + column + 1]
            self.kwargs["position_ids"] = whole["position_ids"][..., column : column + 1]
            out = self._call(given[:, column : column + 1], 1, first=False)
            if column in columns:
                found.append(out.logits[:, -1].float())
        return torch.stack(found, dim=1), list(columns)

    def _call(self, ids: Tensor, length: int | None, *, first: bool) -> Any:
        """One forward pass over `ids` (its last `length` columns), with our cache."""
        own = dict.fromkeys(self._prepares, self.cache)
        inputs = self.model.prepare_inputs_for_generation(
            ids, next_sequence_length=length, is_first_iteration=first, **own, **self.kwargs
        )
        inputs = {name: value for name, value in inputs.items() if name not in CACHE_NAMES}
        inputs[self._takes] = self.cache
        return self.model(**inputs, return_dict=True)


def new_cache(model: Any) -> Any:
    """An empty cache with the layers that this model's configuration asks for: full or sliding attention, linear
    attention, convolution. Raises InputError for a model that keeps its state in another way."""
    from transformers import DynamicCache

    if not model._supports_default_dynamic_cache():
        raise InputError(f"{type(model).__name__}: keeps its state in its own way; serve it with vLLM and measure that")
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def cache_name(model: Any) -> str:
    """The name under which the model's forward pass takes the cache. Raises InputError when it takes none."""
    accepted = inspect.signature(model.forward).parameters
    for name in CACHE_NAMES:
        if name in accepted:
            return name
    raise InputError(f"{type(model).__name__}: its forward pass takes no cache; serve it with vLLM and measure that")


def cut_rows(cache: Any, rows: Tensor) -> None:
    """Keep the rows `rows` (indices, B') of every layer's state; repeats are allowed.

    Raises RuntimeError when a layer does not have B' rows afterwards: the next forward pass would fail on shapes, or
    answer one row with the memory of another.
    """
    cache.reorder_cache(rows)
    for number, layer in enumerate(cache.layers):
        wrong = next((tensor for tensor in states(layer) if len(tensor) != len(rows)), None)
        if wrong is not None:
            raise RuntimeError(
                f"cache layer {number} ({type(layer).__name__}) holds {len(wrong)} rows where {len(rows)} were kept"
            )


def states(layer: Any) -> Iterator[Tensor]:
    """The tensors of one cache layer whose first dimension is the row: keys and values, or the states of linear
    attention."""
    for name in ("keys", "values", "conv_states", "recurrent_states"):
        value = getattr(layer, name, None)
        for tensor in value.values() if isinstance(value, dict) else (value,):
            if isinstance(tensor, Tensor) and tensor.dim() > 1:
                yield tensor


def keeps_tokens(cache: Any) -> bool:
    """Whether every layer holds keys of single tokens, so that several tokens may follow in one pass."""
    return not any(getattr(layer, "conv_states", None) is not None for layer in cache.layers)
