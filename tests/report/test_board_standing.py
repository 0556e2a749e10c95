"""Rank intervals by bootstrap, and never across scorers, splits, metrics or origins."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.evals.stats import rank_normal, wilson
from counterpoise.report.board import Entry, judgement, standings, trade_offs


def entry(name: str = "m", value: float | None = 0.5, half: float | None = 0.1, **more: object) -> Entry:
    fields = {
        "model": name, "benchmark": "b", "revision": "1", "metric": "asr", "direction": "lower", "scorer": "s",
        "value": value, "kind": "measured", "source": "run", "date": "2026-01-02", "n": 100,
        "ci_low": None if half is None or value is None else max(0.0, value - half),
        "ci_high": None if half is None or value is None else min(1.0, value + half),
    }  # fmt: skip
    return Entry.model_validate(fields | more)


def places(entries: list[Entry]) -> list[tuple]:
    ranks = standings(entries)
    return [(ranks[e.hash].low, ranks[e.hash].high, ranks[e.hash].of) for e in entries]


def test_disjoint_intervals_give_single_places():
    assert places([entry("a", 0.9, 0.05), entry("b", 0.1, 0.05), entry("c", 0.5, 0.05)]) == [
        (3, 3, 3), (1, 1, 3), (2, 2, 3),
    ]  # fmt: skip


def test_overlap_gives_a_span_and_direction_turns_it():
    rows = [("a", 0.10), ("b", 0.16), ("c", 0.22), ("d", 0.60)]
    assert places([entry(n, v, 0.05) for n, v in rows]) == [(1, 2, 4), (1, 3, 4), (2, 3, 4), (4, 4, 4)]
    higher = [entry(n, v, 0.05, metric="accuracy", direction="higher") for n, v in rows]
    assert places(higher) == [(3, 4, 4), (2, 4, 4), (2, 3, 4), (1, 1, 4)]


@pytest.mark.parametrize(
    "other",
    [{"scorer": "t"}, {"split": "hard"}, {"metric": "over_refusal"}, {"modality": "text"}, {"revision": "2"},
     {"kind": "reported"}, {"benchmark": "c"}],
)  # fmt: skip
def test_nothing_is_ranked_across(other):
    ranks = standings([entry("a"), entry("b", **other)])
    assert all(s.low is None and s.why == "nothing to compare with" for s in ranks.values())


def test_no_interval_is_a_marked_place_or_none():
    a, b, c = entry("a", 0.1, 0.05), entry("b", 0.3, None), entry("c", 0.9, 0.05)
    ranks = standings([a, b, c])
    assert (ranks[b.hash].low, ranks[b.hash].of, ranks[b.hash].point) == (2, 3, True)
    assert (ranks[a.hash].low, ranks[a.hash].of) == (1, 2) and not ranks[a.hash].point
    lonely = standings([a, b])[a.hash]
    assert lonely.low is None and lonely.why == "no other row has an interval"


def test_incomplete_and_empty_rows_have_no_rank():
    good, bad, none = entry("a"), entry("b", n_unscored=12), entry("c", None)
    ranks = standings([good, entry("d"), bad, none])
    assert ranks[bad.hash].low is None and ranks[bad.hash].why == "over 10 % unscored"
    assert ranks[none.hash].low is None and ranks[none.hash].why == "nothing scored"
    assert ranks[good.hash].of == 2
    assert standings([good, entry("e", n_unscored=11)])[good.hash].of == 2  # 11 of 111 is under a tenth


FRACTIONS = st.floats(0, 1).map(lambda x: round(x, 6))
VALUES = st.lists(st.tuples(FRACTIONS, FRACTIONS.map(lambda x: x / 2)), min_size=2, max_size=8)


@given(VALUES, st.sampled_from(["lower", "higher"]), st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_span_holds_the_place_by_value_and_no_order_of_rows_matters(values, direction, rng: random.Random):
    metric = "asr" if direction == "lower" else "accuracy"
    entries = [entry(f"m{i}", v, h, metric=metric, direction=direction) for i, (v, h) in enumerate(values)]
    ranks = standings(entries)
    assert sum(ranks[e.hash].first for e in entries) >= 1 - 1e-9  # ties are first together
    sign = 1 if direction == "lower" else -1
    for e in entries:
        found = ranks[e.hash]
        assert 1 <= found.low <= found.high <= found.of == len(entries) and found.tie >= 1
        certainly_better = sum(sign * o.value < sign * e.value and o.ci_low == o.ci_high for o in entries)
        if e.ci_low == e.ci_high:  # nothing is drawn again: those before it stay before it
            assert found.high >= 1 + certainly_better
    shuffled = list(entries)
    rng.shuffle(shuffled)
    assert standings(shuffled) == ranks


def test_spans_are_narrower_than_what_overlapping_intervals_allow_and_say_how_often_first():
    a, b = entry("a", 0.10, 0.05), entry("b", 0.18, 0.05)  # the intervals overlap; the difference is clear all the same
    ranks = standings([a, b])
    assert [(ranks[e.hash].low, ranks[e.hash].high, ranks[e.hash].tie) for e in (a, b)] == [(1, 1, 1), (2, 2, 2)]
    assert ranks[a.hash].first == pytest.approx(0.987, abs=0.006)  # normal: 0.08 / (sqrt(2) x 0.05 / 1.96) = 2.22


def test_the_true_place_lies_in_the_span():
    """Five models whose true rates are known, 150 items each, Wilson intervals: the true place is inside in at least
    95 of 100 (the bootstrap of ranks is known to be on the safe side)."""
    draw, truth, inside = random.Random(1), (0.1, 0.2, 0.3, 0.5, 0.8), 0
    for _ in range(200):
        made = []
        for i, p in enumerate(truth):
            found = wilson(sum(draw.random() < p for _ in range(150)), 150)
            value = (found.low + found.high) / 2
            made.append(entry(f"m{i}", value, None, ci_low=found.low, ci_high=found.high))
        ranks = standings(made)
        inside += sum(ranks[e.hash].low <= i + 1 <= ranks[e.hash].high for i, e in enumerate(made))
    assert inside / 1000 >= 0.95


def test_what_cannot_be_drawn_is_one_line():
    for call in (lambda: rank_normal([0.5], [0.4], [0.6]), lambda: rank_normal([0.5, 0.7], [0.4, 0.8], [0.6, 0.9])):
        with pytest.raises(InputError, match="^ranks: "):
            call()


def test_two_are_judged_by_their_intervals_only():
    a, b, c = entry("a", 0.1, 0.05), entry("b", 0.5, 0.05), entry("c", 0.52, 0.05)
    assert judgement(a, b) == "A is better" and judgement(b, a) == "B is better"
    assert judgement(b, c) == "no difference shown: intervals overlap"
    assert judgement(a, entry("d", 0.9, None)) == "not judged: an interval is missing"
    assert judgement(a, entry("d", 0.9, n_unscored=50)) == "not judged: over 10 % unscored"


def test_the_picture_pairs_only_what_belongs_together():
    harm = entry("a", metric="asr")
    same = entry("a", metric="over_refusal")
    others = [entry("a", metric="over_refusal", **more) for more in ({"scorer": "t"}, {"source": "x"}, {"split": "y"})]
    found = trade_offs([harm, same, *others])
    assert [len(points) for points in found.values()] == [1]
    (point,) = next(iter(found.values()))
    assert (point.harm, point.benign) == (harm, same)
