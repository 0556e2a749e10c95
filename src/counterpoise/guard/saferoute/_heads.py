"""The router's networks: d -> 512 -> 512 -> 1 with Bayesian or plain layers, LayerNorm and ReLU after the first two."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BayesLinear(nn.Module):
    """A linear layer with a Gaussian over each weight and bias (Blundell et al. 2015). Training draws weights by
    reparameterisation, one draw a batch; evaluation uses the posterior means and is deterministic."""

    def __init__(self, inputs: int, outputs: int, prior_sigma: float):
        super().__init__()
        self.prior_sigma = prior_sigma
        self.mean = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_normal_(self.mean)
        self.bias_mean = nn.Parameter(torch.zeros(outputs))
        self.log_sigma = nn.Parameter(torch.full((outputs, inputs), math.log(prior_sigma)))
        self.bias_log_sigma = nn.Parameter(torch.full((outputs,), math.log(prior_sigma)))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.linear(x, self.mean, self.bias_mean)
        weight = self.mean + self.log_sigma.exp() * torch.randn_like(self.mean)
        bias = self.bias_mean + self.bias_log_sigma.exp() * torch.randn_like(self.bias_mean)
        return F.linear(x, weight, bias)

    def kl(self) -> tuple[Tensor, int]:
        """(sum of KL(q || p) over weights and biases, their number)."""
        parts = ((self.mean, self.log_sigma), (self.bias_mean, self.bias_log_sigma))
        total = torch.stack([gaussian_kl(m, s.exp(), 0.0, self.prior_sigma).sum() for m, s in parts]).sum()
        return total, self.mean.numel() + self.bias_mean.numel()


def gaussian_kl(mean: Tensor, sigma: Tensor, prior_mean: float, prior_sigma: float) -> Tensor:
    """KL(N(mean, sigma^2) || N(prior)) elementwise: log(s_p/s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2."""
    return math.log(prior_sigma) - sigma.log() + (sigma**2 + (mean - prior_mean) ** 2) / (2 * prior_sigma**2) - 0.5


class Head(nn.Module):
    """One network; `prior_sigma` None makes the layers plain."""

    def __init__(self, inputs: int, hidden: int, *, prior_sigma: float | None, dropout: float = 0.0):
        super().__init__()

        def linear(a: int, b: int) -> nn.Module:
            if prior_sigma is not None:
                return BayesLinear(a, b, prior_sigma)
            layer = nn.Linear(a, b)
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            return layer

        self.linears = nn.ModuleList([linear(inputs, hidden), linear(hidden, hidden), linear(hidden, 1)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden), nn.LayerNorm(hidden)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B) of routing."""
        for linear, norm in zip(self.linears, self.norms, strict=False):
            x = self.dropout(F.relu(norm(linear(x))))
        logits: Tensor = self.linears[2](x)[:, 0]
        return logits

    def kl(self) -> Tensor:
        """Mean KL divergence per weight and bias; 0 for plain layers."""
        parts = [layer.kl() for layer in self.linears if isinstance(layer, BayesLinear)]
        if not parts:
            return torch.zeros(())
        return torch.stack([total for total, _ in parts]).sum() / sum(n for _, n in parts)

    def arrays(self) -> dict[str, Tensor]:
        """What inference needs: posterior means (or weights) and the norms."""
        found: dict[str, Tensor] = {}
        for n, layer in enumerate(self.linears):
            if isinstance(layer, BayesLinear):
                found[f"w{n}"], found[f"b{n}"] = layer.mean, layer.bias_mean
            elif isinstance(layer, nn.Linear):
                found[f"w{n}"], found[f"b{n}"] = layer.weight, layer.bias
        for n, norm in enumerate(self.norms):
            if isinstance(norm, nn.LayerNorm):
                found[f"g{n}"], found[f"h{n}"] = norm.weight, norm.bias
        return {name: tensor.detach().clone() for name, tensor in found.items()}
