"""BERT's encoder (Devlin et al. 2019), written out because it is short: importing transformers takes seconds.

Weights are laid out for many small calls on a CPU: transposed once, the three projections of attention as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DIM, HEADS, LAYERS = 384, 12, 6
Pair = tuple[Any, Any]


class _Layer(NamedTuple):
    """(weight, bias) of each part; weights as (in, out)."""

    attention: Pair
    attended: Pair
    attended_norm: Pair
    inner: Pair
    outer: Pair
    norm: Pair


class Bert:
    """Rows of token ids -> unit vectors (n, DIM): the mean of the last layer over the tokens."""

    def __init__(self, weights: Mapping[str, Any]):
        import torch

        def pair(name: str) -> Pair:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        def linear(*names: str) -> Pair:
            pairs = [pair(name) for name in names]
            return torch.cat([w for w, _ in pairs]).T.contiguous(), torch.cat([b for _, b in pairs])

        def layer(name: str) -> _Layer:
            own = f"{name}.attention"
            return _Layer(
                linear(*(f"{own}.self.{part}" for part in ("query", "key", "value"))),
                linear(f"{own}.output.dense"), pair(f"{own}.output.LayerNorm"),
                linear(f"{name}.intermediate.dense"), linear(f"{name}.output.dense"), pair(f"{name}.output.LayerNorm"),
            )  # fmt: skip

        self._layers = [layer(f"encoder.layer.{number}") for number in range(LAYERS)]
        self._words = weights["embeddings.word_embeddings.weight"]
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        self._places = weights["embeddings.position_embeddings.weight"] + kind
        self._norm = pair("embeddings.LayerNorm")

    def __call__(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Attention is over real tokens only."""
        import torch
        import torch.nn.functional as F

        n, width = len(rows), max(map(len, rows))

        def norm(x: Any, weights: Pair) -> Any:
            return torch.layer_norm(x, [DIM], *weights, 1e-12)

        def linear(x: Any, weights: Pair) -> Any:
            return torch.addmm(weights[1], x, weights[0])

        with torch.inference_mode():
            ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
            real = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
            mask = None if min(map(len, rows)) == width else real[:, None, None, :]
            x = norm(F.embedding(ids, self._words) + self._places[:width], self._norm).view(-1, DIM)
            for own in self._layers:
                q, k, v = linear(x, own.attention).view(n, width, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
                seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(-1, DIM)
                x = norm(x + linear(seen, own.attended), own.attended_norm)
                x = norm(x + linear(F.gelu(linear(x, own.inner)), own.outer), own.norm)
            kept = real[..., None].to(x.dtype)
            mean = (x.view(n, width, DIM) * kept).sum(1) / kept.sum(1)
            found: NDArray[np.float32] = F.normalize(mean, dim=-1).numpy()
            return found
