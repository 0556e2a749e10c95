"""The five analyses on arrays whose answers are known."""

import numpy as np
import pytest

from counterpoise.study import _analyses as a

RNG = np.random.default_rng(0)


def test_tau_is_zero_at_the_midpoint_and_flips_with_the_centroids():
    safe, unsafe = RNG.normal(size=(20, 5)), RNG.normal(size=(30, 5)) + 9
    at = a.centroids(safe, unsafe)
    assert a.tau(np.array([(at.safe + at.unsafe) / 2]), at) == pytest.approx([0])
    states = RNG.normal(size=(7, 5))
    assert a.tau(states, at) == pytest.approx(-a.tau(states, a.Centroids(at.unsafe, at.safe)))
    assert (a.tau(safe, at) > 0).all() and (a.tau(unsafe, at) < 0).all()
    assert a.tau_cosine(np.array([at.safe]), at)[0] > 0 > a.tau_cosine(np.array([at.unsafe]), at)[0]


def test_a_low_rank_change_is_that_of_the_product():
    b, c = RNG.normal(size=(12, 3)), RNG.normal(size=(3, 20))
    low, dense = a.low_rank_change(b, c, 0.5), a.change_of(0.5 * b @ c)
    assert low.values == pytest.approx(dense.values[:3], rel=1e-9) and dense.values[3:] == pytest.approx(0, abs=1e-9)
    assert np.abs((low.left * low.values) @ low.right - 0.5 * b @ c).max() < 1e-5


def test_ranks_of_a_change():
    equal = a.Change(np.eye(4), np.ones(4), np.eye(4))
    assert equal.effective_rank == pytest.approx(4) and equal.rank_of() == 4
    one = a.change_of(np.outer(RNG.normal(size=6), RNG.normal(size=4)))
    assert one.effective_rank == pytest.approx(1) and one.rank_of() == 1
    assert a.leading(np.array([3.0, 1.0, 0.0]), 0.9) == 2  # 9 of 10 is not more than 90 %
    assert a.leading(np.zeros(3)) == 0


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_the_column_space_is_that_of_the_decomposition(shape):
    w = RNG.normal(size=shape)
    space = a.column_space(w)
    centred = w - w.mean(1, keepdims=True)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert space.shape[1] == a.leading(s)
    assert np.abs(space @ space.T - u[:, : space.shape[1]] @ u[:, : space.shape[1]].T).max() < 1e-8
    assert space.T @ space == pytest.approx(np.eye(space.shape[1]), abs=1e-8)


def test_outside_is_0_inside_1_in_the_null_space_and_blind_to_sign():
    w = np.zeros((6, 4))
    w[:3, :3] = RNG.normal(size=(3, 3))
    space = a.column_space(w, energy=0.999999, center=False)
    assert space.shape[1] == 3
    inside, beyond = np.eye(6)[:, :1], np.eye(6)[:, 5:]
    assert a.outside(inside, space) == pytest.approx([0], abs=1e-6)
    assert a.outside(beyond, space) == pytest.approx([1])
    mixed = 3 * (inside + beyond)
    assert a.outside(mixed, space) == a.outside(-mixed, space) == pytest.approx([np.sqrt(0.5)])
    drawn = a.outside(RNG.normal(size=(6, 4000)), space)
    assert np.sqrt((drawn**2).mean()) == pytest.approx(a.by_chance(space), abs=0.02)


def test_a_planted_change_answers_its_own_direction_only():
    u, v = RNG.normal(size=8), RNG.normal(size=5)
    change = a.change_of(7 * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v)))
    across = np.linalg.svd(v[None])[2][1:]  # orthogonal to v
    found = a.response(change, np.stack([4 * v, -v, *across]), top=1)[:, 0]
    assert found[:2] == pytest.approx([7, 7]) and found[2:] == pytest.approx(0, abs=1e-9)


def test_along_gives_the_two_weights_at_0_and_1():
    base, tuned = (RNG.normal(size=(3, 3)).astype("float32") for _ in range(2))
    assert (a.along(base, tuned, 0) == base).all() and (a.along(base, tuned, 1) == tuned).all()
    assert a.along(base, tuned, 1.5) == pytest.approx(base + 1.5 * (tuned - base), rel=1e-5)
    assert a.along(base, tuned, 0.5).dtype == np.float32


def test_auc_counts_pairs_with_ties_as_half():
    scores, positive = RNG.integers(0, 5, 40).astype(float), RNG.random(40) < 0.4
    pairs = scores[positive][:, None] - scores[~positive][None]
    assert a.auc(scores, positive) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert np.isnan(a.auc(scores, np.ones(40, dtype=bool)))
