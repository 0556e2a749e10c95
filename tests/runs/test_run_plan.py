"""What --dry-run prints."""

import pytest

from counterpoise.evals import benchmark, rows
from counterpoise.evals._items import unanswered
from counterpoise.report import verdict_rows
from counterpoise.runs import Plan
from counterpoise.runs._plan import (
    SHARES,
    Stage,
    _seconds,
    flops_per_second,
)
from counterpoise.runs._power import planned_rows, power, power_table


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


def test_a_plan_counts_the_rows_that_the_comparison_will_count():
    """The rows of the report, made by the evaluation itself from unanswered items, against those of the card."""
    bench = benchmark("twins-validation")
    asked = bench.samples(60)
    made = rows(bench, [unanswered(bench, each, "not asked") for each in asked], model="m", run="r")
    counted = {(row.metric, row.modality) for row in verdict_rows(made)} - {
        ("broken", m) for m in bench.modality.split(", ")
    }
    planned = planned_rows(bench, len(asked))
    shown = {
        (each.row.metric, each.row.modality) for each in planned if each.row in verdict_rows([p.row for p in planned])
    }
    assert shown == counted and len(counted) == 8
    text = "\n".join(power_table(planned))
    large = "\n".join(power_table(planned_rows(bench, 4_000)))  # 500 a row, at a level of 5 % / 8
    assert large.count("5.0 / 7.1 points") == 8 and "4.0 / 5.6" not in large
    assert "8 of safety" in text and "twins print asr" in text and "modality_gap" not in text


def test_a_row_needs_a_larger_change_in_a_larger_family():
    alone, eight = power(500), power(500, level=1 - 0.05 / 8)
    assert alone[3] == "4.0 / 5.6 points" and eight[3] == "5.0 / 7.1 points" and alone[:3] == eight[:3]
