"""The equations of Safe RLHF-V (Ji et al. 2025, arXiv 2503.17682) as pure functions.

Suffixes: B episodes, T response tokens, P pairs, G answers to one prompt. `mask_BT` is true at response tokens,
wherever padding stands. Everything is computed in float32: in bfloat16 the sign term of the cost model is another loss.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from counterpoise.train import LossOut

# Reward and cost model


def rm_loss(helpful_P: Tensor, other_P: Tensor, mu: float) -> LossOut:
    """Bradley-Terry with a regulariser, summed over pairs ordered by helpfulness:

        L = sum_p [- log sigmoid(R_h - R_o) + mu (R_h^2 + R_o^2) / 2]

    Metric: `accuracy`, pairs that are scored in their order; a tie is wrong.
    """
    helpful_P, other_P = helpful_P.float(), other_P.float()
    loss = -F.logsigmoid(helpful_P - other_P) + mu * (helpful_P**2 + other_P**2) / 2
    with torch.no_grad():
        right = float((helpful_P > other_P).sum())
    return LossOut(loss.sum(), len(helpful_P), {"accuracy": right})


def cm_loss(
    less_safe_P: Tensor,
    safer_P: Tensor,
    sign_less_P: Tensor,
    sign_safer_P: Tensor,
    ranked_P: Tensor | None = None,
    *,
    k: float,
    mu: float,
) -> LossOut:
    """Order and sign of costs, summed over pairs ordered by safety; a higher cost is worse, above 0 is unsafe:

        L = sum_p [- w log sigmoid(C_h - C_l) - k log sigmoid(s_h C_h) - k log sigmoid(s_l C_l)
                   + mu (C_h^2 + C_l^2) / 2]

    C_h is the cost of the *less safe* reply, C_l of the safer one. Signs s are graded (minus the harmless rate, -3 to
    3), which scales the margin, or -1 and 1; a grade of 0 gives the constant log 2 and no gradient. w, `ranked_P`, is 1
    for pairs whose order counts and 0 for others; the paper's loss has 1 for all.
    Metrics: `accuracy` of the order, `sign`: replies (half a pair each) of a grade other than 0 on their side of 0.
    """
    less_safe_P, safer_P = less_safe_P.float(), safer_P.float()
    order = -F.logsigmoid(less_safe_P - safer_P)
    sign = -F.logsigmoid(sign_less_P.float() * less_safe_P) - F.logsigmoid(sign_safer_P.float() * safer_P)
    order = order if ranked_P is None else order * ranked_P.float()
    loss = order + k * sign + mu * (less_safe_P**2 + safer_P**2) / 2
    with torch.no_grad():
        right = float((less_safe_P > safer_P).sum())
        costs, signs = torch.cat([less_safe_P, safer_P]), torch.cat([sign_less_P, sign_safer_P])
        sided = float((costs * signs > 0).sum()) / 2
    return LossOut(loss.sum(), len(less_safe_P), {"accuracy": right, "sign": sided})


# Episodes


class Shaped(NamedTuple):
    """Per response token (B, T), 0 elsewhere."""

    rewards: Tensor
    costs: Tensor


def shape(
    reward_B: Tensor, cost_B: Tensor, logp_BT: Tensor, ref_logp_BT: Tensor, mask_BT: Tensor, *, beta: float, clip: float
) -> Shaped:
    """Rewards and costs per token, the penalty for leaving the reference in both, at its full strength:

        kl_t = log pi(a_t) - log pi_ref(a_t)
        r_t = clamp(- beta kl_t + [t is last] R),   c_t = clamp(+ beta kl_t + [t is last] C)

    Mixed as (r - lambda c) / (1 + lambda), the penalty is exactly beta for every lambda, as long as no clamp is active.
    (Safe RLHF for texts gives each stream half of it in the paper.) R and C are clamped by the same bound.
    """
    penalty_BT = beta * (logp_BT.float() - ref_logp_BT.float()) * mask_BT
    last_BT = last_token(mask_BT)
    reward_BT = (-penalty_BT + last_BT * reward_B.float()[:, None]).clamp(-clip, clip)
    cost_BT = (penalty_BT + last_BT * cost_B.float()[:, None]).clamp(-clip, clip)
    return Shaped(reward_BT * mask_BT, cost_BT * mask_BT)


def last_token(mask_BT: Tensor) -> Tensor:
    """(B, T) 1 at the last response token of each episode, 0 elsewhere; an empty episode has none."""
    after_BT = mask_BT.long().flip(1).cumsum(1).flip(1)
    return ((after_BT == 1) & mask_BT.bool()).float()


class Advantages(NamedTuple):
    """Per response token (B, T), 0 elsewhere."""

    advantages: Tensor
    returns: Tensor
    """What a critic learns: advantages + values."""


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, *, gamma: float, lam: float) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16), padding left out:

        A_t = delta_t + gamma lam A_{t+1},   delta_t = r_t + gamma V_{t+1} - V_t

    with V and A 0 behind the last response token. Not whitened.
    """
    mask_BT = mask_BT.float()
    rewards_BT, values_BT = rewards_BT.float() * mask_BT, values_BT.float() * mask_BT
    found = torch.zeros_like(values_BT)
    ahead_B = torch.zeros_like(values_BT[:, 0])
    later_B = torch.zeros_like(ahead_B)
    for t in reversed(range(values_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * later_B - values_BT[:, t]
        found[:, t] = (delta_B + gamma * lam * ahead_B) * mask_BT[:, t]
        ahead_B, later_B = found[:, t], values_BT[:, t]
    return Advantages(found, found + values_BT)


def mix(advantages_R: Tensor, advantages_C: Tensor, multiplier: float) -> Tensor:
    """(A_R - lambda A_C) / (1 + lambda); of any shape. With an infinite multiplier: - A_C."""
    if multiplier == float("inf"):
        return -advantages_C
    return (advantages_R - multiplier * advantages_C) / (1 + multiplier)


def leave_one_out(scores_BG: Tensor) -> Tensor:
    """RLOO (Ahmadian et al. 2024): each answer's score minus the mean of the others to the same prompt. Scores are not
    divided by their spread, which would weigh the multiplier anew for every prompt. One answer has advantage 0."""
    n = scores_BG.shape[1]
    if n < 2:
        return torch.zeros_like(scores_BG)
    return (scores_BG - scores_BG.mean(1, keepdim=True)) * (n / (n - 1))


# Updates


def policy_loss(logp_N: Tensor, old_logp_N: Tensor, advantages_N: Tensor, clip: float) -> LossOut:
    """PPO's clipped objective (Schulman et al. 2017, eq. 7), summed over tokens:

        L = - sum_t min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t),   rho = pi / pi_old

    Metrics: `clip_fraction`, tokens whose clipped branch is the smaller one; `step_kl`, sum of (rho - 1) - log rho,
    which estimates how far the update has moved from the policy that sampled.
    """
    log_ratio_N = logp_N.float() - old_logp_N.float()
    ratio_N = log_ratio_N.exp()
    plain_N, clipped_N = ratio_N * advantages_N, ratio_N.clamp(1 - clip, 1 + clip) * advantages_N
    with torch.no_grad():
        metrics = {
            "clip_fraction": float((clipped_N < plain_N).sum()),
            "step_kl": float((ratio_N - 1 - log_ratio_N).sum()),
        }
    return LossOut(-torch.minimum(plain_N, clipped_N).sum(), len(logp_N), metrics)


def value_loss(values_N: Tensor, old_values_N: Tensor, returns_N: Tensor, clip: float) -> LossOut:
    """Clipped squared error of a critic, summed over tokens: 0.5 max((V - G)^2, (V_old + clip(V - V_old) - G)^2). Where
    the clipped branch is the larger one, nothing is learned."""
    values_N = values_N.float()
    near_N = old_values_N + (values_N - old_values_N).clamp(-clip, clip)
    worse_N = torch.maximum((values_N - returns_N) ** 2, (near_N - returns_N) ** 2)
    return LossOut(0.5 * worse_N.sum(), len(values_N), {})


# What is logged


class Divergence(NamedTuple):
    """Estimates, per token, of KL(pi || pi_ref) from tokens that pi sampled (Schulman 2020)."""

    k1: float
    """Mean of log pi - log pi_ref: unbiased, may be negative."""
    k3: float
    """Mean of (rho - 1) - log rho with rho = pi_ref / pi: unbiased too, never negative, less spread."""


def divergence(logp_BT: Tensor, ref_logp_BT: Tensor, mask_BT: Tensor) -> Divergence:
    """Both estimates over all response tokens; 0 when there are none."""
    keep = mask_BT.bool()
    if not keep.any():
        return Divergence(0.0, 0.0)
    gap_N = (ref_logp_BT.float() - logp_BT.float())[keep]
    return Divergence(float(-gap_N.mean()), float((gap_N.exp() - 1 - gap_N).mean()))


def explained_variance(values_N: Tensor, returns_N: Tensor) -> float:
    """1 - Var(G - V) / Var(G): 1 for a perfect critic, 0 for a constant, below 0 for one that is worse than that; 0
    where returns do not differ."""
    spread = float(returns_N.float().var(correction=0)) if len(returns_N) else 0.0
    return 0.0 if spread == 0 else 1 - float((returns_N - values_N).float().var(correction=0)) / spread
