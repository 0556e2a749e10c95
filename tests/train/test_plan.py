"""The plan of a training: every row once an epoch, whatever the bucketing; the schedule; the background thread."""

import math
import threading
from itertools import chain, pairwise

import numpy as np
import pytest
from counterpoise.train._rows import ahead
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.train._plan import Sizes, learning_rate, micro_batches, n_steps, share, steps

SIZES = st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 3)), min_size=1, max_size=60).map(
    lambda rows: Sizes(np.array([r[0] for r in rows], np.int32), np.array([r[1] for r in rows], np.int32))
)


@given(SIZES, st.integers(1, 20), st.integers(1, 5000), st.integers(0, 3))
def test_every_row_once_an_epoch_and_bucketing_changes_no_step(
    sizes: Sizes, batch: int, tokens: int, seed: int
) -> None:
    n = len(sizes.tokens)
    plan = list(steps(sizes, epochs=2, batch_size=batch, micro_tokens=tokens, seed=seed))
    other = list(steps(sizes, epochs=2, batch_size=batch, micro_tokens=10**9, seed=seed))
    assert len(plan) == n_steps(n, 2, batch)
    for epoch in (0, 1):
        rows = [row for step in plan if step.epoch == epoch for micro in step.micro for row in micro]
        assert sorted(rows) == list(range(n))
    for a, b in zip(plan, other, strict=True):
        assert sorted(chain(*a.micro)) == sorted(chain(*b.micro))


@given(SIZES, st.integers(1, 5000))
def test_micro_batches_keep_the_budget(sizes: Sizes, tokens: int) -> None:
    for micro in micro_batches(list(range(len(sizes.tokens))), sizes, tokens):
        assert len(micro) == 1 or len(micro) * max(int(sizes.tokens[row]) for row in micro) <= tokens


@given(SIZES, st.integers(1, 4))
def test_processes_share_all_micro_batches_and_do_equally_many(sizes: Sizes, world: int) -> None:
    micro = micro_batches(list(range(len(sizes.tokens))), sizes, 500)
    shares = [share(micro, rank, world) for rank in range(world)]
    assert len({len(mine) for mine in shares}) == 1
    rows = [row for mine in shares for piece, weight in mine if weight for row in piece]
    assert sorted(rows) == list(range(len(sizes.tokens)))


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
