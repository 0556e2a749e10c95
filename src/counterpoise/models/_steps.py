"""A batch between two forward passes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._loaded import Loaded

PER_TOKEN = ("attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")


class Steps:
    """A batch in the middle of generation: the model's inputs, its cache, and how to cut rows out of both.

    The steps are those of transformers' own `generate` (its hooks prepare positions, masks and pixel inputs for every
    architecture), with our own loop around them, because `generate` computes finished rows until the last one ends.
    """

    def __init__(self, loaded: Loaded, batch: dict[str, Any]):
        self.model = loaded.model
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
        inputs = self.model.prepare_inputs_for_generation(
            self.ids,
            next_sequence_length=1 if self.started else None,
            is_first_iteration=not self.started,
            **self.kwargs,
        )
        out = self.model(**inputs, return_dict=True)
        self.started = True
        self.kwargs = self.model._update_model_kwargs_for_generation(out, self.kwargs, is_encoder_decoder=False)
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def append(self, tokens: Tensor) -> None:
        self.ids = torch.cat([self.ids, tokens[:, None]], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with `rows` (indices, B') only; repeats are allowed."""
        size = len(self.ids)
        self.ids = self.ids[rows]
        for name, value in self.kwargs.items():
            if name == "past_key_values":
                value.batch_select_indices(rows)
            elif isinstance(value, Tensor) and name in PER_TOKEN:
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
        inputs = self.model.prepare_inputs_for_generation(
            given, next_sequence_length=width, is_first_iteration=False, **kwargs
        )
        logits: Tensor = self.model(**inputs, return_dict=True).logits.float()
        return logits, columns
