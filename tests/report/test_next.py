"""What to try next: said only after a run with a fixed dose, and only what its rows show."""

import pytest
from folders import evaluation

from counterpoise.report import EvalFolder, changes, next_step, write_report

RUN = {"config": {"method": "rejection-mix", "target": None}, "knobs": {"fraction": 0.2, "amount": 700}}
WITHOUT = {"config": {"method": "other", "target": None}, "knobs": {}}


def found(root, before: float, after: float, accuracy: float = 0.7, n: int = 150):
    first = evaluation(root / "before", {"print": before}, n=n)
    second = evaluation(root / "after", {"print": after}, n=n, seed=1, accuracy=accuracy)
    return changes(EvalFolder(first), EvalFolder(second))


def test_a_price_leads_to_a_search(tmp_path):
    priced = found(tmp_path, 0.0, 1.0)  # benign prints are refused at a fifth: 0 before, 20 % after
    assert "has a price" in next_step(priced, RUN) and "--target" in next_step(priced, RUN)


def test_lost_capability_is_a_price_too(tmp_path):
    assert "has a price" in next_step(found(tmp_path, 0.5, 0.5, accuracy=0.3), RUN)


def test_no_gain_leads_to_a_larger_dose(tmp_path):
    said = next_step(found(tmp_path, 0.5, 0.5), RUN)
    assert "stronger one (--dose fraction=..., --dose amount=...)" in said and "--rejection-source" in said


def test_a_method_without_a_knob_is_not_sent_to_a_search(tmp_path):
    said = [next_step(found(tmp_path / "a", 0.0, 1.0), WITHOUT), next_step(found(tmp_path / "b", 0.5, 0.5), WITHOUT)]
    assert "weaker settings (--set)" in said[0] and "stronger one (--set)." in said[1]
    assert not any("--target" in each or "--rejection-source" in each for each in said)


def test_a_gain_without_a_price_needs_no_advice(tmp_path):
    assert next_step(found(tmp_path, 0.1, 0.5, n=60), RUN) == ""


@pytest.mark.parametrize(
    "run",
    [{}, {"config": "text"}, {"config": {"model": "m"}}, {"config": {"method": "m", "target": "asr<=0.1"}}],
)
def test_silent_without_a_fixed_dose(tmp_path, run):
    assert next_step(found(tmp_path, 0.0, 1.0), run) == "" and next_step([], RUN) == ""


def test_the_page_shows_it(tmp_path):
    found(tmp_path, 0.0, 1.0)
    folders = EvalFolder(tmp_path / "before"), EvalFolder(tmp_path / "after")
    page = write_report(tmp_path / "report.html", *folders, None, RUN).read_text(encoding="utf-8")
    assert "<b>Next</b>" in page and "has a price" in page
    page = write_report(tmp_path / "report.html", *folders, None, {}).read_text(encoding="utf-8")
    assert "<b>Next</b>" not in page
