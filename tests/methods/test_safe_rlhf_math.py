"""The equations of Safe RLHF-V: hand-computed values, properties, and an independent NumPy implementation."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.methods.safe_rlhf._math import (
    cm_loss,
    divergence,
    explained_variance,
    gae,
    last_token,
    leave_one_out,
    mix,
    policy_loss,
    rm_loss,
    shape,
    value_loss,
)

LOG2 = math.log(2)
lambdas = st.floats(0, 1e4)
seeds = st.integers(0, 2**31)


def t(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


# Reward and cost model


def test_reward_loss_by_hand() -> None:
    out = rm_loss(t(2.0, 0.0), t(0.0, 0.0), mu=0.1)
    # -log sigmoid(2) = 0.126928, its regulariser 0.1 * 4 / 2; a tie costs log 2 and is not right
    assert float(out.loss) == pytest.approx(0.126928 + 0.2 + LOG2, abs=1e-5)
    assert out.n == 2 and out.metrics == {"accuracy": 1.0}


def test_cost_loss_at_zero_is_three_times_log_two() -> None:
    zero = t(0.0)
    assert float(cm_loss(zero, zero, t(2.0), t(-1.0), k=1, mu=0.001).loss) == pytest.approx(3 * LOG2)


def test_cost_loss_by_hand() -> None:
    out = cm_loss(t(1.0), t(-0.5), t(2.0), t(-3.0), k=0.5, mu=0.01)
    order, less, safer = (math.log1p(math.exp(-x)) for x in (1.5, 2.0, 1.5))
    assert float(out.loss) == pytest.approx(order + 0.5 * (less + safer) + 0.01 * (1 + 0.25) / 2, abs=1e-6)
    assert out.metrics == {"accuracy": 1.0, "sign": 1.0}


def test_the_order_of_a_pair_may_not_count() -> None:
    """Its signs and the regulariser still do."""
    costs = (t(1.0, 1.0), t(-0.5, -0.5), t(2.0, 2.0), t(-3.0, -3.0))
    both = cm_loss(*costs, k=0.5, mu=0.01)
    one = cm_loss(*costs, t(1.0, 0.0), k=0.5, mu=0.01)
    assert float(both.loss - one.loss) == pytest.approx(math.log1p(math.exp(-1.5)), abs=1e-6) and one.n == 2


def test_a_grade_of_zero_has_no_sign_gradient_and_a_swapped_pair_the_opposite_order() -> None:
    high, low = t(0.3).requires_grad_(), t(0.1).requires_grad_()
    cm_loss(high, low, t(0.0), t(0.0), k=1, mu=0.0).loss.backward()
    assert high.grad is not None and low.grad is not None
    alone = 1 / (1 + math.exp(-0.2)) - 1  # of the order term alone
    assert float(high.grad) == pytest.approx(alone, abs=1e-6) and float(low.grad) == pytest.approx(-alone, abs=1e-6)
    a, b = t(0.3).requires_grad_(), t(0.1).requires_grad_()
    cm_loss(b, a, t(0.0), t(0.0), k=1, mu=0.0).loss.backward()
    assert a.grad is not None and float(a.grad) > 0 > float(high.grad)


def test_losses_are_computed_in_float32() -> None:
    costs = t(1.015625).bfloat16()
    in_half = cm_loss(costs, -costs, t(1.0), t(-1.0), k=1, mu=0.001).loss
    assert in_half.dtype == torch.float32
    assert float(in_half) == pytest.approx(float(cm_loss(costs.float(), -costs.float(), t(1.0), t(-1.0), k=1,
                                                         mu=0.001).loss), abs=1e-7)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(seed=seeds, mu=st.floats(0, 0.1), k=st.floats(0, 2))
def test_losses_equal_numpy(seed: int, mu: float, k: float) -> None:
    """Every loss of the method on random numbers, against the formula in float64."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=5), rng.normal(size=5)
    signs = rng.integers(-3, 4, size=(2, 5)).astype(float)

    def ours(*values: np.ndarray) -> list[torch.Tensor]:
        return [torch.tensor(value).float() for value in values]

    def minus_log_sigmoid(x: np.ndarray) -> np.ndarray:
        return np.logaddexp(0, -x)

    square = mu * (a**2 + b**2) / 2
    order = minus_log_sigmoid(a - b)
    sides = [
        np.where(s == 0, minus_log_sigmoid(0 * x), minus_log_sigmoid(s * x)) for s, x in zip(signs, (a, b), strict=True)
    ]
    cases = [
        (rm_loss(*ours(a, b), mu), order + square),
        (cm_loss(*ours(a, b, *signs), k=k, mu=mu), order + k * (sides[0] + sides[1]) + square),
    ]
    old, new, advantages = rng.normal(size=5) / 3, rng.normal(size=5) / 3, rng.normal(size=5)
    ratio = np.exp(new - old)
    clipped = np.minimum(ratio * advantages, np.clip(ratio, 0.8, 1.2) * advantages)
    cases.append((policy_loss(*ours(new, old, advantages), 0.2), -clipped))
    near = b + np.clip(a - b, -0.5, 0.5)
    worse = np.maximum((a - advantages) ** 2, (near - advantages) ** 2)
    cases.append((value_loss(*ours(a, b, advantages), 0.5), 0.5 * worse))
    for found, expected in cases:
        assert float(found.loss) == pytest.approx(float(expected.sum()), rel=1e-6, abs=1e-6)


# Episodes


def numpy_gae(r: np.ndarray, v: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """Of one episode, from the sum that GAE is defined by."""
    n = len(r)
    delta = [r[i] + gamma * (v[i + 1] if i + 1 < n else 0) - v[i] for i in range(n)]
    return np.array([sum((gamma * lam) ** k * delta[i + k] for k in range(n - i)) for i in range(n)])


@settings(deadline=None, max_examples=40)
@given(seed=seeds, gamma=st.floats(0.5, 1), lam=st.floats(0, 1))
def test_gae_equals_numpy_on_ragged_episodes_whatever_the_padding(seed: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    lengths, width = rng.integers(1, 7, size=4), 9
    for left in (False, True):
        rewards, values = (torch.full((4, width), 7.0) for _ in range(2))  # padding holds anything
        mask = torch.zeros(4, width, dtype=torch.bool)
        episodes = []
        for row, n in enumerate(lengths):
            r, v = rng.normal(size=n), rng.normal(size=n)
            place = slice(width - n, width) if left else slice(0, n)
            rewards[row, place], values[row, place] = torch.tensor(r).float(), torch.tensor(v).float()
            mask[row, place] = True
            episodes.append((place, r, v))
        found = gae(rewards, values, mask, gamma=gamma, lam=lam)
        for row, (place, r, v) in enumerate(episodes):
            expected = numpy_gae(r, v, gamma, lam)
            np.testing.assert_allclose(found.advantages[row, place].numpy(), expected, atol=2e-6)
            np.testing.assert_allclose(found.returns[row, place].numpy(), expected + v, atol=2e-6)
        assert not found.advantages[~mask].any() and not found.returns[~mask].any()


def test_gae_without_values_is_the_reward_to_go() -> None:
    rewards = t([1.0, 2.0, 4.0, 9.0])
    mask = torch.tensor([[True, True, True, False]])
    found = gae(rewards, torch.zeros(1, 4), mask, gamma=1.0, lam=1.0)
    assert found.advantages.tolist() == [[7.0, 6.0, 4.0, 0.0]] == found.returns.tolist()


def test_rewards_by_hand_and_their_clamp() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    logp, ref = t([-1.0, -2.0, 9.0], [-1.0, 9.0, 9.0]), t([-2.0, -1.0, -9.0], [-1.0, -9.0, -9.0])
    found = shape(t(3.0, 80.0), t(-1.0, 2.0), logp, ref, mask, beta=0.5, clip=50.0)
    torch.testing.assert_close(found.rewards, t([-0.5, 3.5, 0.0], [50.0, 0.0, 0.0]))
    torch.testing.assert_close(found.costs, t([0.5, -1.5, 0.0], [2.0, 0.0, 0.0]))


def test_the_last_token_is_found_on_both_padding_sides_and_in_no_empty_episode() -> None:
    mask = torch.tensor([[True, True, False], [False, False, True], [False, False, False]])
    assert last_token(mask).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@settings(deadline=None, max_examples=40)
@given(seed=seeds, multiplier=lambdas)
def test_the_net_penalty_is_beta_for_every_multiplier(seed: int, multiplier: float) -> None:
    torch.manual_seed(seed % 1000)
    logp, ref, mask = torch.randn(2, 5), torch.randn(2, 5), torch.ones(2, 5, dtype=torch.bool)
    found = shape(torch.zeros(2), torch.zeros(2), logp, ref, mask, beta=0.02, clip=50.0)
    net = mix(found.rewards, found.costs, multiplier)
    torch.testing.assert_close(net, -0.02 * (logp - ref), atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, multiplier=lambdas)
def test_mixed_advantages_lie_between_reward_and_cost(seed: int, multiplier: float) -> None:
    rng = np.random.default_rng(seed)
    a_r, a_c = rng.normal(size=6), rng.normal(size=6)
    found = mix(torch.tensor(a_r), torch.tensor(a_c), multiplier).numpy()
    np.testing.assert_allclose(found, (a_r - multiplier * a_c) / (1 + multiplier), atol=1e-6)
    assert (found >= np.minimum(a_r, -a_c) - 1e-9).all() and (found <= np.maximum(a_r, -a_c) + 1e-9).all()


def test_without_a_multiplier_the_mix_is_plain_ppo_and_with_an_infinite_one_minus_the_cost() -> None:
    a_r, a_c = torch.randn(3), torch.randn(3)
    assert torch.equal(mix(a_r, a_c, 0.0), a_r) and torch.equal(mix(a_r, a_c, math.inf), -a_c)
    torch.testing.assert_close(mix(a_r, a_c, 1e7), -a_c, atol=1e-5, rtol=1e-5)


def test_leave_one_out_by_hand() -> None:
    third = -1 / 3
    torch.testing.assert_close(leave_one_out(t([1.0, 0.0, 0.0, 0.0])), t([1.0, third, third, third]))
    assert leave_one_out(t([2.0, 2.0])).tolist() == [[0.0, 0.0]] and leave_one_out(t([5.0])).tolist() == [[0.0]]


# Updates


def numpy_policy(logp: np.ndarray, old: np.ndarray, a: np.ndarray, eps: float) -> tuple[float, np.ndarray]:
    """Sum of the loss, and its gradient by the tokens' log probabilities."""
    ratio = np.exp(logp - old)
    plain, clipped = ratio * a, np.clip(ratio, 1 - eps, 1 + eps) * a
    taken = np.where((plain <= clipped), ratio * a, 0.0)
    return -np.minimum(plain, clipped).sum(), -taken


@settings(deadline=None, max_examples=40)
@given(seed=seeds)
def test_the_policy_loss_and_its_gradient_equal_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logp, old, a = rng.normal(-2, 0.3, 8), rng.normal(-2, 0.3, 8), rng.normal(size=8)
    given_ = torch.tensor(logp).requires_grad_()
    out = policy_loss(given_, torch.tensor(old), torch.tensor(a), 0.2)
    out.loss.backward()
    loss, gradient = numpy_policy(logp, old, a, 0.2)
    assert float(out.loss.detach()) == pytest.approx(loss, abs=1e-5) and out.n == 8
    assert given_.grad is not None
    np.testing.assert_allclose(given_.grad.numpy(), gradient, atol=1e-5)


def test_a_critic_learns_nothing_where_the_clipped_branch_wins() -> None:
    values = t(3.0, 0.5).requires_grad_()
    out = value_loss(values, t(0.0, 0.0), t(4.0, 1.0), clip=1.0)
    # first: V moved by 3, the clipped 1 is 3 away from 4, V is 1 away: the clipped branch is the larger
    assert float(out.loss.detach()) == pytest.approx(0.5 * (9 + 0.25))
    out.loss.backward()
    assert values.grad is not None and values.grad.tolist() == [0.0, -0.5]


def test_divergence_by_hand() -> None:
    mask = torch.tensor([[True, True, False]])
    found = divergence(t([-1.0, -1.0, 5.0]), t([-1.5, -0.5, -5.0]), mask)
    assert found.k1 == pytest.approx(0.0, abs=1e-7)
    assert found.k3 == pytest.approx((math.exp(-0.5) - 0.5 + math.exp(0.5) - 1.5) / 2, abs=1e-6)
    assert divergence(t([1.0]), t([0.0]), torch.tensor([[False]])) == (0.0, 0.0)


def test_explained_variance() -> None:
    returns = t(1.0, 2.0, 3.0)
    assert explained_variance(returns, returns) == 1.0 and explained_variance(t(2.0, 2.0, 2.0), returns) == 0.0
    assert explained_variance(-returns, returns) == pytest.approx(-3.0) and explained_variance(t(1.0), t(5.0)) == 0.0
