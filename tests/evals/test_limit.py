"""`--limit`: which part of a benchmark is asked."""

import pytest

from counterpoise.chat import Sample, user
from counterpoise.evals._benchmark import spread


def samples(n: int, size: int = 1) -> list[Sample]:
    return [Sample(f"s{i}", (user("x"),), cluster=f"c{i // size}" if size > 1 else "") for i in range(n)]


def places(found: list[Sample]) -> list[int]:
    return [int(each.id[1:]) for each in found]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("n", [61, 240, 1_000])
def test_a_larger_limit_contains_the_smaller(n, size):
    """50 items evenly spaced share ten with 60 evenly spaced ones."""
    whole = samples(n, size)
    before: set[int] = set()
    for limit in range(1, n + 1):
        now = set(places(spread(whole, limit)))
        assert before <= now and (len(now) <= limit or limit < size)
        before = now
    assert before == set(range(n)) if n % size == 0 else len(before) >= n - size


def test_the_part_is_in_order_and_evenly_spread_over_the_file_and_over_what_alternates():
    for limit in (20, 50, 60, 130):
        found = places(spread(samples(480), limit))
        assert found == sorted(found) and len(found) == limit
        for part in range(4):  # quarters of the file, and a file that alternates between four kinds
            assert abs(sum(part * 120 <= place < (part + 1) * 120 for place in found) - limit / 4) <= 3
            assert abs(sum(place % 4 == part for place in found) - limit / 4) <= 3


def test_a_cluster_is_whole_or_absent():
    found = places(spread(samples(300, 3), 50))
    assert len(found) == 48 and all({3 * (p // 3) + k for k in range(3)} <= set(found) for p in found)
    assert len(spread(samples(300, 3), 1)) == 3
