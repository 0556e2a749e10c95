"""BERT's encoder (Devlin et al. 2019), written out because it is short: importing transformers takes seconds.

Laid out for many small calls on a CPU: weights transposed once, the three projections of attention as one, all tokens
of a batch in one matrix without padding, attention text by text.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
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
        """Fastest where texts of one length stand side by side."""
        import torch
        import torch.nn.functional as F

        def norm(x: Any, weights: Pair) -> Any:
            return torch.layer_norm(x, [DIM], *weights, 1e-12)

        def linear(x: Any, weights: Pair) -> Any:
            return torch.addmm(weights[1], x, weights[0])

        counts = [(width, len(list(same))) for width, same in groupby(map(len, rows))]
        sizes = [width * n for width, n in counts]
        with torch.inference_mode():
            ids = torch.tensor([number for row in rows for number in row])
            places = torch.cat([self._places[:width].repeat(n, 1) for width, n in counts])
            x = norm(F.embedding(ids, self._words) + places, self._norm)
            for own in self._layers:
                parts = zip(linear(x, own.attention).split(sizes), counts, strict=True)
                seen = torch.cat([_attention(part, width, n) for part, (width, n) in parts])
                x = norm(x + linear(seen, own.attended), own.attended_norm)
                x = norm(x + linear(F.gelu(linear(x, own.inner)), own.outer), own.norm)
            whole = zip(x.split(sizes), counts, strict=True)
            means = torch.cat([part.view(n, width, DIM).mean(1) for part, (width, n) in whole])
            found: NDArray[np.float32] = F.normalize(means, dim=-1).numpy()
            return found


def _attention(x: Any, width: int, n: int) -> Any:
    """The tokens of `n` texts of one length, each text's to one another: (n width, 3 DIM) -> (n width, DIM)."""
    import torch.nn.functional as F

    q, k, v = x.view(n, width, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, DIM)
