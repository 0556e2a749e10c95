"""The loss of DUO as a pure function, noise levels, and the scaling rules."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.methods.duo._loss import Six, ascent_loss, duo_loss, rates
from counterpoise.models.diffusion import Discrete, Flow, legacy_level

SHAPE = (3, 2, 4, 4)


def draws(seed, n=8):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(SHAPE, generator=g, dtype=torch.float64) for _ in range(n)]


@given(st.integers(0, 10_000), st.floats(0.1, 5000))
@settings(deadline=None, max_examples=20)
def test_at_the_frozen_weights_the_loss_is_log_two_and_the_prior_zero(seed, beta):
    safe, unsafe, pure, one, two, *_ = draws(seed)
    terms = duo_loss(Six(safe, unsafe, pure, safe, unsafe, pure), one, two, beta=beta, weight=1e7)
    assert float(terms.preference) == pytest.approx(math.log(2)) and float(terms.prior) == 0
    assert float(terms.delta_safe) == 0 and float(terms.delta_unsafe) == 0


def test_the_loss_equals_an_independent_one():
    safe, unsafe, pure, fs, fu, fp, one, two = draws(1)
    terms = duo_loss(Six(safe, unsafe, pure, fs, fu, fp), one, two, beta=7.0, weight=3.0)
    a = [x.numpy() for x in (safe, unsafe, pure, fs, fu, fp, one, two)]
    err = lambda p, t: ((p - t) ** 2).reshape(3, -1).mean(1)  # noqa: E731
    delta = (err(a[0], a[6]) - err(a[3], a[6])) - (err(a[1], a[7]) - err(a[4], a[7]))
    wanted = np.mean(np.log1p(np.exp(7.0 * delta))) + 3.0 * np.mean((a[2] - a[5]) ** 2)
    assert float(terms.loss) == pytest.approx(wanted, abs=1e-6)


def test_its_gradient_lowers_the_safe_error_and_raises_the_unsafe_one():
    safe, unsafe, pure, one, two, *_ = draws(2)
    tuned = [x.clone().requires_grad_() for x in (safe, unsafe)]
    duo_loss(Six(*tuned, pure, safe, unsafe, pure), one, two, beta=5.0, weight=0.0).loss.backward()
    assert float((tuned[0].grad * (safe - one)).sum()) > 0  # a step against the gradient goes towards the target
    assert float((tuned[1].grad * (unsafe - two)).sum()) < 0


def test_swapping_the_pair_turns_the_sign():
    safe, unsafe, pure, fs, fu, fp, one, two = draws(3)
    ahead = duo_loss(Six(safe, unsafe, pure, fs, fu, fp), one, two, beta=2.0, weight=0.0)
    back = duo_loss(Six(unsafe, safe, pure, fu, fs, fp), two, one, beta=2.0, weight=0.0)
    assert torch.allclose(ahead.logit, -back.logit)


def test_forgetting_is_bounded_and_gradient_ascent_is_not():
    safe, unsafe, pure, one, two, *_ = draws(4)

    def pull(size, loss):
        far = (unsafe + size).clone().requires_grad_()
        six = Six(safe, far, pure, safe, unsafe, pure)
        terms = duo_loss(six, one, two, beta=1.0, weight=0.0) if loss == "duo" else ascent_loss(six, two)
        terms.loss.backward()
        return float(far.grad.norm())

    assert pull(30.0, "duo") < 1e-6 < pull(1.0, "duo")
    assert pull(30.0, "ascent") > pull(1.0, "ascent")


@given(st.floats(1, 5000))
@settings(deadline=None)
def test_the_rules_keep_steps_comparable_over_beta(beta):
    rate, weight = rates(3e-4, 1e6, beta)
    assert rate * beta == pytest.approx(3e-2) and weight / beta == pytest.approx(1e4)


def test_ddpm_mixes_as_its_scheduler_does():
    diffusers = pytest.importorskip("diffusers")
    x, noise, *_ = (each.float() for each in draws(5))
    for kind in ("epsilon", "v_prediction"):
        scheduler = diffusers.DDPMScheduler(prediction_type=kind)
        scheme, u = Discrete(scheduler.alphas_cumprod, kind), torch.tensor([0.001, 0.5, 1.0])
        t = scheme.label(u)
        assert t.tolist() == [0, 499, 999]
        assert torch.allclose(scheme.mix(x, noise, u), scheduler.add_noise(x, noise, t), atol=1e-6)
        wanted = noise if kind == "epsilon" else scheduler.get_velocity(x, noise, t)
        assert torch.allclose(scheme.target(x, noise, u), wanted, atol=1e-6)


def test_flow_matching_goes_by_sigma_and_the_published_index_is_reversed():
    diffusers = pytest.importorskip("diffusers")
    scheduler, scheme = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), Flow(3.0)
    u = torch.tensor([0.001, 0.75, 1.0])
    assert scheme.sigma(u).tolist() == pytest.approx([0.003 / 1.002, 0.9, 1.0], abs=1e-4)
    for level in (0.001, 0.25, 0.75):  # what indexing the descending table gives
        index = int(level * 1000)
        wrong = legacy_level(torch.tensor([level]))
        assert float(scheme.label(wrong)) == pytest.approx(float(scheduler.timesteps[index]), abs=0.01)
    assert float(scheme.label(legacy_level(torch.ones(1)))) == pytest.approx(float(scheduler.timesteps[999]), abs=0.01)
    x, noise, *_ = draws(6)
    pure = torch.ones(3)
    assert torch.allclose(scheme.mix(x, noise, pure), noise) and torch.allclose(scheme.target(x, noise, u), noise - x)
