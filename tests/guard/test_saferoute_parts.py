"""The arithmetic of SafeRoute: labels, baselines, thresholds, metrics, splits, layers (spec 7, points 1 to 10)."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from route_rows import observed, rows

from counterpoise.base import InputError
from counterpoise.guard._labelled import grouped_split
from counterpoise.guard.saferoute import conformal_threshold, entropy, routing_labels
from counterpoise.guard.saferoute._baselines import BITS, Fitted, against, fused, scaled, temperature
from counterpoise.guard.saferoute._conformal import miss_share
from counterpoise.guard.saferoute._fit import balanced
from counterpoise.guard.saferoute._heads import BayesLinear, Head, gaussian_kl
from counterpoise.guard.saferoute._labels import cascade, right, route
from counterpoise.guard.saferoute._metrics import average_precision, best_threshold, cheapest, curve, decided, scores

FLAGS = st.lists(st.integers(0, 1), min_size=1, max_size=60)


def test_truth_table_only_wrong_and_right_is_routed() -> None:
    for small, large, gold in itertools.product((0, 1, 2), (0, 1, 2), (False, True)):
        t = routing_labels(np.array([small]), np.array([large]), np.array([gold]))[0]
        small_right, large_right = small == int(gold), large == int(gold)
        assert t == (not small_right and large_right)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=80))
def test_the_oracle_is_right_where_either_is_and_its_f1_is_not_beaten(items: list[tuple[int, int, bool]]) -> None:
    small, large, gold = (np.array(column) for column in zip(*items, strict=True))
    gold = gold.astype(bool)
    hard = routing_labels(small, large, gold)
    final = cascade(small, large, hard)
    either = right(small, gold) | right(large, gold)
    assert np.array_equal(right(final, gold), either)
    best = max(scores(gold, decided(small, gold)).f1, scores(gold, decided(large, gold)).f1)
    assert scores(gold, decided(final, gold)).f1 >= best - 1e-12
    assert scores(gold, decided(final, gold)).accuracy == pytest.approx(either.mean())
    assert hard.mean() == pytest.approx(np.mean(either & ~right(small, gold)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), FLAGS)
def test_threshold_0_is_the_large_guard_and_1_the_small_one(p: list[float], labels: list[int]) -> None:
    n = min(len(p), len(labels))
    small, large = np.array(labels[:n], np.int8), 1 - np.array(labels[:n], np.int8)
    risk = np.array(p[:n])
    assert np.array_equal(cascade(small, large, route(risk, 0.0)), large)
    assert np.array_equal(cascade(small, large, route(risk, 1.0)), small)
    usage = [route(risk, t).mean() for t in np.linspace(0, 1, 21)]
    assert all(a >= b for a, b in itertools.pairwise(usage))


def test_entropy_in_bits_and_where_it_passes_one_half() -> None:
    assert entropy(np.array([0.5]))[0] == pytest.approx(1.0)
    assert np.isfinite(entropy(np.array([0.0, 1.0]))).all()
    assert (entropy(np.array([0.0, 0.1099, 0.1101, 0.5, 0.8899, 0.8901, 1.0])) > BITS).tolist() == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


def test_temperature_of_overconfident_probabilities_is_above_one_and_never_turns_a_verdict() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 1, 4000)
    unsafe = random.random(4000) < 1 / (1 + np.exp(-logits))
    p = 1 / (1 + np.exp(-3 * logits))  # three times too sure
    t = temperature(p, unsafe)
    assert t == pytest.approx(3.0, rel=0.12)
    assert np.array_equal(scaled(p, t) > 0.5, p > 0.5)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_calibration_against_a_prior_is_bayes_with_that_prior_removed(p: float, prior: float) -> None:
    found = against(np.array([p]), prior)[0]
    assert found == pytest.approx((p / prior) / (p / prior + (1 - p) / (1 - prior)), abs=1e-9)
    assert against(np.array([prior]), prior)[0] == pytest.approx(0.5, abs=1e-9)


def guards(p: list[float], q: list[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array([x > 0.5 for x in one], np.int8), np.array(one)) for one in (p, q)]


def test_baselines_without_a_content_free_probability_leave_that_one_out() -> None:
    unsafe = np.array([False, True])
    fitted = Fitted.on(*guards([0.2, 0.9], [0.1, 0.9]), unsafe, None)
    names = ["Entropy", "Entropy + TS", "Entropy + BC"]
    assert list(fitted.decisions(np.array([0.2, 0.9]))) == [*names, *(f"{name}, tuned" for name in names)]
    assert "Entropy + CC" in Fitted.on(*guards([0.2, 0.9], [0.1, 0.9]), unsafe, 0.3).decisions(np.array([0.2, 0.9]))


def test_tuned_baselines_send_what_finds_hard_rows_best_on_the_training_rows() -> None:
    """Wrong where its probability is near 0.8 (0.72 bit), right where it is nearer to 0.5: 0.5 bit sends both."""
    p, gold = [0.8, 0.79, 0.55, 0.45, 0.99, 0.01], np.array([False, False, True, False, True, False])
    small, large = guards(p, [float(x) for x in gold])
    fitted = Fitted.on(small, large, gold, None)
    sent = fitted.decisions(np.array(p))
    assert sent["Entropy"].tolist() == [True] * 4 + [False] * 2
    hard = routing_labels(small[0], large[0], gold)
    assert scores(hard, sent["Entropy, tuned"]).f1 >= scores(hard, sent["Entropy"]).f1
    assert fitted.tuned["Entropy"] != BITS


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30))
def test_the_best_threshold_is_that_of_a_plain_search(items: list[tuple[int, bool]]) -> None:
    values, truth = np.array([v / 7 for v, _ in items]), np.array([t for _, t in items])
    found = best_threshold(values, truth)
    tried = [scores(truth, values > t).f1 for t in (-1.0, *(n / 7 for n in range(8)))]
    assert scores(truth, values > found).f1 == pytest.approx(max(tried))
    assert truth.any() or not (values > found).any()


def test_fusion_adds_weighted_logits_and_falls_back_on_the_guard_that_knows() -> None:
    z = np.array([2.0, -1.0])
    label, p = fused(*guards([1 / (1 + math.exp(-z[0]))], [1 / (1 + math.exp(-z[1]))]), 0.7)
    assert p[0] == pytest.approx(1 / (1 + math.exp(-(0.7 * 2 - 0.3)))) and label.tolist() == [1]
    nan = float("nan")
    unknown = np.array([2, 1, 2, 0, 2], np.int8), np.array([0.9, 0.9, nan, nan, 0.3])
    other = np.array([0, 2, 2, 1, 2], np.int8), np.array([0.1, nan, nan, 0.8, 0.2])
    label, p = fused(unknown, other, 0.5)
    assert label.tolist() == [0, 1, 2, 1, 2] and p.tolist() == [0.1, 0.9, 1.0, 0.8, 0.3]


def test_fusion_leans_on_the_better_guard_and_its_tuned_weight_is_the_best_on_the_training_rows() -> None:
    random = np.random.default_rng(0)
    gold = random.random(400) < 0.5
    good, poor = (gold * 2.0 - 1 + random.normal(0, spread, 400) for spread in (0.9, 3.0))
    sides = guards(*((1 / (1 + np.exp(-z))).tolist() for z in (good, poor)))
    first, second = Fitted.on(*sides, gold, None), Fitted.on(*sides[::-1], gold, None)
    assert (first.fusion, second.fusion) == (0.7, 0.3) and first.fusion_tuned > 0.5 > second.fusion_tuned

    def f1(weight: float) -> float:
        return scores(gold, decided(fused(*sides, weight)[0], gold)).f1

    assert f1(first.fusion_tuned) == max(f1(n / 20) for n in range(21))


@given(st.integers(0, 2**31), st.floats(0.05, 2), st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_kl_is_that_of_torch_and_zero_at_the_prior(seed: int, sigma: float, prior: float) -> None:
    g = torch.Generator().manual_seed(seed)
    mean, spread = (
        torch.randn(7, generator=g, dtype=torch.float64),
        torch.rand(7, generator=g, dtype=torch.float64) + 0.01,
    )
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, spread), torch.distributions.Normal(prior, sigma)
    )
    assert torch.allclose(gaussian_kl(mean, spread, prior, sigma), wanted, atol=1e-6)
    layer = BayesLinear(3, 2, prior_sigma=0.1)
    with torch.no_grad():
        layer.mean.zero_(), layer.bias_mean.zero_()
    total, n = layer.kl()
    assert total.item() == pytest.approx(0, abs=1e-6) and n == 8


def test_mean_kl_counts_every_weight_and_bias_of_all_layers() -> None:
    head = Head(4, 3, prior_sigma=0.1)
    parts = [layer.kl() for layer in head.linears if isinstance(layer, BayesLinear)]
    assert sum(n for _, n in parts) == (4 * 3 + 3) + (3 * 3 + 3) + (3 + 1)
    assert float(head.kl()) == pytest.approx(sum(float(t) for t, _ in parts) / 31)
    assert float(Head(4, 3, prior_sigma=None).kl()) == 0


def test_a_bayesian_head_draws_in_training_and_is_deterministic_in_evaluation() -> None:
    head, x = Head(4, 8, prior_sigma=0.1), torch.randn(5, 4)
    assert not torch.equal(head.train()(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))


def test_the_sampler_balances_five_per_cent() -> None:
    hard = np.zeros(1000, bool)
    hard[:50] = True
    drawn = np.concatenate(list(balanced(hard, 512, 20, seed=0)))
    share = hard[drawn].mean()
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / len(drawn))
    assert len(set(drawn[hard[drawn]].tolist())) == 50  # with replacement, and all of them
    with pytest.raises(InputError, match="no row needs the large guard"):
        next(balanced(np.zeros(10, bool), 4, 1, 0))


@given(st.integers(0, 1000), st.floats(0.05, 0.6))
@settings(max_examples=30)
def test_groups_are_never_on_both_sides(seed: int, share: float) -> None:
    made = rows(60, seed=seed)
    hard = np.array(["hard" in row.exchange.conversation[0].text for row in made])
    train, held = grouped_split([row.group for row in made], hard, share, seed)
    assert {made[n].group for n in train}.isdisjoint({made[n].group for n in held})
    assert sorted([*train, *held]) == list(range(60)) and len(held) > 0 and len(train) > 0


def test_a_single_group_cannot_be_split() -> None:
    with pytest.raises(InputError, match="1 group"):
        grouped_split(["a", "a"], np.array([True, False]), 0.5, 0)


@pytest.mark.parametrize(("a", "n"), [(0.01, 300), (0.02, 120), (0.05, 100), (0.2, 30)])
def test_the_conformal_threshold_keeps_its_promise_over_a_thousand_draws(a: float, n: int) -> None:
    random, missed = np.random.default_rng(1), []
    for _ in range(1000):
        hard = random.random(2 * n) < 0.15
        risk = np.clip(random.normal(0.35 + 0.3 * hard, 0.2), 0, 1)
        limit = conformal_threshold(risk[:n], hard[:n], a)
        missed.append(miss_share(risk[n:], hard[n:], limit))
    assert np.mean(missed) <= a + 0.005
    assert np.mean(missed) > a / 4  # and it is no empty promise: not everything is sent


def test_the_conformal_threshold_at_its_edges() -> None:
    risk, hard = np.linspace(0.1, 0.9, 50), np.zeros(50, bool)
    assert conformal_threshold(risk, hard, 0.01) == 0.0  # 50 rows cannot show 1 %
    assert conformal_threshold(risk, hard, 0.05) == 1.0  # nothing is hard
    hard[:] = True
    assert route(risk, conformal_threshold(risk, hard, 0.02)).all()
    for wrong in (0.0, 1.0, -1):
        with pytest.raises(InputError, match="share between 0 and 1"):
            conformal_threshold(risk, hard, wrong)
    with pytest.raises(InputError, match="no calibration rows"):
        conformal_threshold(np.zeros(0), np.zeros(0, bool), 0.1)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40))
def test_average_precision_against_a_plain_loop(items: list[tuple[float, bool]]) -> None:
    p, truth = np.array([v for v, _ in items]), np.array([t for _, t in items])
    if not truth.any():
        assert average_precision(truth, p) is None
        return
    wanted, before = 0.0, 0.0
    for level in sorted(set(p.tolist()), reverse=True):
        said = p >= level
        recall = (truth & said).sum() / truth.sum()
        wanted += (recall - before) * (truth & said).sum() / said.sum()
        before = recall
    assert average_precision(truth, p) == pytest.approx(wanted)


def test_the_cheapest_threshold_and_the_curve() -> None:
    small, large = observed([0, 0, 1, 0]), observed([1, 0, 1, 0])
    gold = np.array([True, False, True, False])
    hard = routing_labels(small.label, large.label, gold)
    points = curve(np.array([0.9, 0.1, 0.2, 0.3]), small.label, large.label, gold, hard)
    assert points[0].usage == 1 and points[-1].usage == 0
    limit = cheapest(points, 1.0)
    assert route(np.array([0.9, 0.1, 0.2, 0.3]), limit).tolist() == [True, False, False, False]
    assert cheapest(points, 1.1) == 0.0


def test_scores_without_a_true_positive_are_zero_and_unknown_is_an_error_on_either_side() -> None:
    assert scores(np.array([True, False]), np.array([False, True])).f1 == 0
    gold = np.array([True, True, True, False])
    assert decided(np.array([0, 1, 2, 2]), gold).tolist() == [False, True, False, True]
