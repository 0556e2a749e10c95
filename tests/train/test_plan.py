"""The plan of a training: every row once an epoch, whatever the bucketing; the schedule; the background thread."""

import math
import threading
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.train._plan import ahead
from counterpoise.train._schedule import learning_rate, micro_batches, n_steps, share, steps

SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=60)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3))
def test_every_row_once_an_epoch(n: int, batch: int, seed: int) -> None:
    plan = list(steps(n, epochs=2, batch_size=batch, seed=seed))
    assert len(plan) == n_steps(n, 2, batch)
    for epoch in (0, 1):
        assert sorted(row for step in plan if step.epoch == epoch for row in step.rows) == list(range(n))


def test_a_cpu_pads_less() -> None:
    """A batch of the demo: one row of two images beside rows of one and of none. Time on a CPU is the tokens."""
    sizes = [140, 85, *[78] * 10, 60, 60, 40, 38]

    def padded(device: str) -> int:
        return sum(len(places) * max(sizes[p] for p in places) for places in micro_batches(sizes, 4096, device))

    assert padded("cpu") < 1.2 * sum(sizes) < 1.7 * sum(sizes) < padded("cuda")
    assert len(micro_batches(sizes, 4096, "cuda")) == 2 and len(micro_batches(sizes, 4096, "cpu")) == 3


@given(SIZES, st.integers(1, 5000), st.sampled_from(("cpu", "cuda")))
def test_micro_batches_hold_every_row_once_and_keep_the_budget(sizes: list[int], tokens: int, device: str) -> None:
    micro = micro_batches(sizes, tokens, device)
    assert sorted(chain(*micro)) == list(range(len(sizes)))
    assert all(len(places) == 1 or len(places) * max(sizes[p] for p in places) <= tokens for places in micro)


@given(SIZES, st.integers(1, 4))
def test_processes_share_all_rows_and_have_about_as_much_to_do(weights: list[int], world: int) -> None:
    shares = [share(range(len(weights)), weights, rank, world) for rank in range(world)]
    assert sorted(chain(*shares)) == list(range(len(weights)))
    loads = [sum(weights[row] for row in mine) for mine in shares]
    assert max(loads) - min(loads) <= max(weights)


def test_a_fraction_of_an_epoch() -> None:
    assert n_steps(100, 0.5, 10) == 5 and n_steps(1, 0.1, 128) == 1 and n_steps(7000, 3, 128) == 165


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(i, 100, peak=1.0, warmup_ratio=0.1, schedule="cosine") for i in range(100)]
    assert rates[0] == pytest.approx(1 / 11) and max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5))) and rates[-1] < 1e-3
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert learning_rate(60, 100, peak=2.0, warmup_ratio=0.0, schedule="constant") == 2.0


def test_ahead_keeps_order_hands_over_errors_and_stops_its_thread() -> None:
    for depth in (0, 2):
        assert list(ahead(range(20), lambda x: x * x, depth)) == [x * x for x in range(20)]

    def fail(x: int) -> int:
        if x == 3:
            raise ValueError("row 3")
        return x

    seen = []
    with pytest.raises(ValueError, match="row 3"):
        for value in ahead(range(9), fail):
            seen.append(value)
    assert seen == [0, 1, 2]
    endless = ahead(iter(int, 1), lambda x: x)
    next(endless)
    endless.close()
    assert not any(thread.name == "counterpoise-rows" for thread in threading.enumerate())
