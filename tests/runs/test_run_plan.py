"""What --dry-run prints."""

import pytest

from counterpoise.runs import Plan
from counterpoise.runs._plan import SHARES, Stage, _clock, _seconds, flops_per_second


def test_a_plan_without_the_model_says_that_time_is_unknown():
    text = str(Plan("run x", (Stage("twins", 40, 4400, 2560, note="twice"),), None, ("figstep is skipped: no rows",)))
    assert "40 rows, 6,960 tokens at most; twice" in text
    assert "time: unknown" in text and "note: figstep is skipped: no rows" in text


def test_a_plan_with_the_model_has_a_time_per_stage_and_in_all():
    text = str(Plan("run x", (Stage("twins", 40, 4400, 2560), Stage("align", 700, 0, trained=9000)), 135_000_000))
    assert text.count("about") == 3 and "order of magnitude" in text


@pytest.mark.parametrize("kind", SHARES)
def test_time_grows_with_tokens_and_training_costs_three_passes(kind):
    assert flops_per_second(0.05) > 1e6
    read = _seconds(Stage("a", 1, 1000), 10**8, 1e12, SHARES[kind])
    assert _seconds(Stage("a", 1, 2000), 10**8, 1e12, SHARES[kind]) == 2 * read
    assert abs(_seconds(Stage("a", 1, 0, trained=1000), 10**8, 1e12, SHARES[kind]) - 3 * read) < 1e-12
    assert (_clock(0.2), _clock(600), _clock(7200)) == ("1 s", "10 min", "2.0 h")
