"""The small GPT of the study, in plain torch, with the parts that the analyses read named as in the paper."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._operators import ID, PAD, VOCABULARY
from ._sizes import Size


class Trace(NamedTuple):
    """What each block's MLP saw and did."""

    entering: list[Tensor]
    """Per block (B, T, d): the vector that enters the MLP."""
    hidden: list[Tensor]
    """Per block (B, T, 4 d): its activations, after GELU."""


class Block(nn.Module):
    """`x = LN(x); x = x + Attn(x); x = x + W2 GELU(W1 x)`: the residual stream itself is normalised, once a block."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.w1 = nn.Linear(width, 4 * width)
        self.w2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor, trace: Trace | None) -> Tensor:
        x = self.norm(x)
        b, t, d = x.shape
        q, k, v = self.attention(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.output(mixed.transpose(1, 2).reshape(b, t, d))
        hidden = F.gelu(self.w1(x), approximate="tanh")
        if trace is not None:
            trace.entering.append(x)
            trace.hidden.append(hidden)
        return torch.as_tensor(x + self.w2(hidden))


class GPT(nn.Module):
    """Token and sinusoidal position embeddings, blocks, a last norm, an untied head."""

    def __init__(self, size: Size):
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(len(VOCABULARY), size.width)
        self.blocks = nn.ModuleList(Block(size.width, size.heads) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, len(VOCABULARY), bias=False)
        self.register_buffer("positions", sinusoids(size.length, size.width), persistent=False)
        self.apply(_start)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T, d) of (B, T) tokens, positions included."""
        positions: Tensor = self.positions  # type: ignore[assignment]
        return torch.as_tensor(self.embedding(tokens)) + positions[: tokens.shape[1]]

    def forward(self, tokens: Tensor, trace: Trace | None = None) -> Tensor:
        """Logits (B, T, V) of tokens (B, T)."""
        return self.run(self.embed(tokens), causal_mask(tokens), trace)

    def run(self, x: Tensor, mask: Tensor, trace: Trace | None = None) -> Tensor:
        """Logits (B, T, V) of embeddings (B, T, d); mask (B, 1, T, T), True where query may see key."""
        for block in self.blocks:
            x = block(x, mask, trace)
        return torch.as_tensor(self.head(self.norm(x)))


def causal_mask(tokens: Tensor) -> Tensor:
    """(B, 1, T, T): causal, and never a pad. `$` is first in every sequence, so no query is without a key."""
    t = tokens.shape[1]
    seen = (tokens != ID[PAD])[:, None, None, :]
    return seen & torch.ones(t, t, dtype=torch.bool, device=tokens.device).tril()


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) positions of "Attention is all you need"."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)  # at 0.02 the positions, of size 1, hide the tokens
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
