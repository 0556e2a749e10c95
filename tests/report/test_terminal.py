"""The table in the terminal: what is shown first, on how many lines."""

import io

import pytest
from rich.console import Console

from counterpoise.base import Row
from counterpoise.report import (
    Change,
    headline_changes,
    headline_rows,
    scorer_line,
    short_table,
    terminal_table,
    unscored_line,
)

MODALITIES = ("text", "print", "picture", "pair")


def row(benchmark: str, metric: str, scorer: str, modality: str = "all") -> Row:
    higher = metric in ("accuracy", "discrimination")
    return Row(
        model="m", run="r", benchmark=benchmark, revision="1", split="test", modality=modality, metric=metric,
        direction="higher" if higher else "lower", scorer=scorer, value=0.458, ci_low=0.1, ci_high=0.9, n_scored=312,
        n_unscored=0, n_empty=0,
    )  # fmt: skip


SMOKE = [
    row("twins", metric, scorer, modality)
    for scorer in ("opening", "other")
    for metric in ("asr", "over_refusal", "discrimination", "modality_gap")
    for modality in (MODALITIES[1:] if metric == "modality_gap" else MODALITIES)
] + [row("twins", "broken", "broken", modality) for modality in MODALITIES] + [
    row("reading", "accuracy", "exact"), row("reading/one", "accuracy", "exact"),
    row("reading/two", "accuracy", "exact"), row("simple-questions", "accuracy", "option"),
]  # fmt: skip


def printed(table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()


def test_the_headline_is_the_own_scorer_without_groups() -> None:
    first = headline_rows(SMOKE)
    assert len(SMOKE) == 38 and len(first) == 21
    assert {(r.benchmark, r.scorer) for r in first} == {
        ("twins", "opening"), ("twins", "broken"), ("reading", "exact"), ("simple-questions", "option")
    }  # fmt: skip
    line = scorer_line(first)
    assert line == "per cent, scored by opening (twins); broken (twins); exact (reading); option (simple-questions)"


def test_a_name_with_a_slash_and_the_mean_of_groups_are_no_groups() -> None:
    rows = [row("inspect_evals/arc", "accuracy", "s"), row("mm", "asr", "s"), row("mm/a", "asr", "s")]
    rows += [row("mm/a/b", "asr", "s"), row("mm/mean of 2 groups", "asr", "s"), row("mmx", "asr", "s")]
    kept = [r.benchmark for r in headline_rows(rows)]
    assert kept == ["inspect_evals/arc", "mm", "mm/mean of 2 groups", "mmx"]


@pytest.mark.parametrize("width", (80, 160))
def test_the_table_of_the_smoke_suite_fits_a_screen(width: int) -> None:
    """The widest numbers there are, on one line each: 25 lines at most in the narrowest terminal that people use."""
    found = [Change(r, r, -0.458, -0.667, 0.123, 0.2, 0.4, 312, 0) for r in SMOKE]
    shown = headline_changes(found)
    assert [change.before for change in shown] == headline_rows(SMOKE)
    lines = printed(short_table([], shown), width)
    assert len(lines) == 1 + len(shown) <= 25
    assert all(len(line.rstrip()) <= width and "…" not in line for line in lines)
    assert " ".join(lines[1].split()) == "twins text asr 45.8 45.8 −45.8 (−66.7 to 12.3) 312 unclear"
    assert len(printed(terminal_table([], found), width)) > 38  # what was printed before
    single = printed(short_table(headline_rows(SMOKE)), width)
    assert len(single) == 22 and " ".join(single[-1].split()) == "simple-questions accuracy 45.8 10.0 to 90.0 312"


def test_one_word_for_a_verdict() -> None:
    def word(metric: str, low: float, high: float, p: float | None) -> str:
        r = row("b", metric, "s")
        change = Change(r, r, (low + high) / 2, low, high, p, p, 10, 0, cautious=(low, high))
        return printed(short_table([], [change]), 160)[1].split("10 ")[-1].strip()

    assert word("asr", -0.4, -0.2, 0.001) == "better" and word("asr", 0.2, 0.4, 0.001) == "worse"
    assert word("asr", -0.4, 0.2, 0.5) == "unclear" and word("accuracy", -0.4, 0.2, 0.5) == "unclear"
    assert word("accuracy", -0.005, 0.02, 0.5) == "preserved" and word("accuracy", -0.1, 0.2, None) == "not measured"


def test_unscored_items_say_why_and_the_short_table_says_it_below() -> None:
    left = row("b", "asr", "s").model_copy(
        update={"n_unscored": 5, "reasons": {"unfinished_thought": 3, "content_filter": 2}}
    )
    words = "3 unfinished thought, 2 content filter"
    assert f"312 +5 unscored ({words})" in printed(terminal_table([left]), 200)[1]
    short = printed(short_table([left]), 80)
    assert len(short) == 2 and "312 +5 unscored" in short[1] and "thought" not in short[1]
    assert unscored_line([left, row("c", "asr", "s")]) == f"b asr: {words}"
    change = Change(row("b", "asr", "s"), left, None, None, None, None, None, 307, 5)
    assert f"307 +5 unpaired (after: {words})" in printed(terminal_table([], [change]), 250)[1]
