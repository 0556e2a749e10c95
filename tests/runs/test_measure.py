"""From items to estimates: halves that keep twins together, pooled rates, unscored items against the model."""

import sys
from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.report import EvalFolder
from counterpoise.runs import estimates, half_of, parse_target
from counterpoise.runs._target import primary_scorers

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from folders import evaluation, item, row, write


@pytest.fixture
def folders(tmp_path):
    before = EvalFolder(evaluation(tmp_path / "a", {"text": 0.9, "print": 0.2}, n=200, accuracy=1.0))
    return before, EvalFolder(evaluation(tmp_path / "b", {"text": 0.9, "print": 0.8}, n=200, seed=1, accuracy=0.8))


def test_halves_are_near_equal_and_keep_families_together(folders):
    sides: dict[str, set[str]] = {}
    for each in folders[0].items.values():
        sides.setdefault(f"{each.benchmark}/{each.cluster}", set()).add(half_of(each))
    assert all(len(halves) == 1 for halves in sides.values())
    share = sum(halves == {"test"} for halves in sides.values()) / len(sides)
    assert 0.4 < share < 0.6


def test_both_halves_together_are_all_items(folders):
    limits = parse_target("asr<=0.1, asr[print]<=0.1, over_refusal<=0.1, capability_drop<=0.1")
    halves = [estimates(limits, folders[1], folders[0], half) for half in ("validation", "test")]
    assert sum(found["asr"].n for found in halves) == 400
    assert sum(found["asr[print]"].n for found in halves) == 200
    assert sum(found["capability_drop"].n for found in halves) == 200
    for found in halves:
        assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())
        assert found["asr[print]"].value == pytest.approx(0.2, abs=0.1)
        assert found["capability_drop"].value == pytest.approx(0.2, abs=0.1)


def test_a_model_against_itself_loses_nothing(folders):
    found = estimates(parse_target("capability_drop<=0.02"), folders[0], folders[0], "test")["capability_drop"]
    assert found.value == 0 and found.low <= 0 <= found.high


def test_unscored_items_count_against_the_upper_end(tmp_path):
    items = [item(f, "print", True, 1.0 if f % 2 else None) for f in range(80)]
    folder = EvalFolder(write(tmp_path / "a", [row("asr", "print", 0.0, 40, n_unscored=40)], items))
    found = estimates(parse_target("asr<=0.1"), folder, folder, "test")["asr"]
    assert found.value == 0 and found.high > 0.4


def test_a_target_that_the_suite_cannot_judge_is_one_line(folders, tmp_path):
    with pytest.raises(InputError, match=r"asr\[pair\]<=0.1 has no item in the test half"):
        estimates(parse_target("asr[pair]<=0.1"), folders[0], folders[0], "test")
    items = [item(f, "print", True, None) for f in range(20)]
    folder = EvalFolder(write(tmp_path / "c", [row("asr", "print", None, 0, n_unscored=20)], items))
    with pytest.raises(InputError, match="are unscored"):
        estimates(parse_target("asr<=0.1"), folder, folder, "test")
    with pytest.raises(InputError, match="capability benchmarks"):
        estimates(parse_target("capability_drop<=0.1"), folder, folder, "test")


def test_rates_of_refusals_and_harm_are_no_capability():
    """Drift's refusal rate and StrongREJECT's score were taken for capability: a capability drop was about them too."""
    rows = [row("refusal_rate", "text", 0.1, 9, benchmark="drift"), row("strongreject", "text", 0.1, 9, benchmark="sr")]
    rows += [row("broken", "text", 0.0, 9, benchmark="sr"), row("accuracy", "text", 0.9, 9, benchmark="reading")]
    assert set(primary_scorers(rows, "capability_drop")) == {"reading"}
    assert set(primary_scorers(rows, "strongreject")) == {"sr"}
