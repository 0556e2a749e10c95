"""The page of a tournament over hand-made evaluations: who beats whom, ranks, pictures, and what it refuses."""

import json
import re

import pytest
from folders import evaluation

from counterpoise.base import InputError
from counterpoise.report import EvalFolder
from counterpoise.report.tournament import Arm, headline, literature, markdown, outcome, write_tournament

N = 120


def arm(tmp_path, name, refusal, seeds=(0, 1, 2), method="rejection-mix", accuracy=0.9):
    folders = {
        seed: EvalFolder(
            evaluation(
                tmp_path / name / str(seed), refusal, n=N, seed=sum(name.encode()) * 10 + seed, accuracy=accuracy
            )
        )
        for seed in seeds
    }
    return Arm(name, method, folders, rows=200, seconds=12.0)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("arms")
    base = arm(tmp, "untouched", {"text": 0.9, "print": 0.05}, seeds=(0,), method="")
    good = arm(tmp, "good", {"text": 0.9, "print": 0.6})
    same = arm(tmp, "same", {"text": 0.9, "print": 0.55})
    none = arm(tmp, "none", {"text": 0.9, "print": 0.05})
    return outcome([base, good, same, none])


def measure(found, key):
    return next(m for m in found.measures if m.key == key)


def test_measures_are_sides_by_modality_and_one_capability(found):
    assert [m.key for m in found.measures] == ["asr[text]", "over_refusal[text]", "asr[print]", "over_refusal[print]",
                                               "capability"]  # fmt: skip
    assert [m.direction for m in found.measures] == ["lower", "lower", "lower", "lower", "higher"]


def test_a_clear_winner_beats_the_base_and_near_arms_are_not_told_apart(found):
    prints = measure(found, "asr[print]")
    assert found.duel(prints, "untouched", "good").winner == "good"
    assert found.duel(prints, "good", "same").winner == ""
    assert found.duel(prints, "untouched", "none").winner == ""
    assert found.spans["good", prints] == (1, 2) and found.spans["untouched", prints] == (3, 4)
    rate = found.rates["good", prints]
    assert rate.n_seeds == 3 and rate.n_items == N and rate.low < rate.value < rate.high


def test_p_is_adjusted_over_the_pairs_of_a_measure(found):
    prints = measure(found, "asr[print]")
    mine = [d for d in found.duels if d.measure == prints]
    assert len(mine) == 6 and all(d.p_adjusted >= d.difference.p for d in mine)
    assert max(d.p_adjusted / max(d.difference.p, 1e-12) for d in mine) > 1.5


def test_the_front_is_what_nobody_beats(found):
    across, up = measure(found, "over_refusal[print]"), measure(found, "asr[print]")
    front = found.front(across, up)
    assert {"good", "same"} <= front


def test_the_headline_names_who_is_safer_and_whether_it_cost(found):
    text = headline(found)
    assert text.startswith("good and same are safer than the untouched model")


def test_no_arm_is_called_safer_for_nothing(tmp_path):
    base = arm(tmp_path, "untouched", {"print": 0.05}, seeds=(0,), method="")
    none = arm(tmp_path, "none", {"print": 0.05})
    assert headline(outcome([base, none])) == "No arm is shown to be safer than the untouched model."


def test_the_page_and_its_markdown_say_the_same(found, tmp_path):
    page = write_tournament(tmp_path / "tournament.html", found, {"model": "<pocket>", "suite": "smoke"})
    html, text = page.read_text(), page.with_suffix(".md").read_text()
    assert "<pocket>" not in html and "&lt;pocket&gt;" in html
    assert html.count("<svg") == 3 and "http://" not in re.sub(r'xmlns="[^"]*"', "", html)
    rate = found.rates["good", measure(found, "asr[print]")]
    shown = f"{rate.value * 100:.1f}\N{NO-BREAK SPACE}%"
    assert shown in html and shown in text and "rank 1 to 2" in text
    assert text == markdown(found, {"model": "<pocket>", "suite": "smoke"})
    judged = {row.scorer for row in next(iter(found.arms[0].folders.values())).rows}
    assert judged and all(f"by {each}" in text and f"by {each}" in html for each in judged)


def test_an_arm_without_measurements_is_shown_with_its_reason(found, tmp_path):
    broken = Arm("broken|arm", "dpo", {}, problem="seed 0: no pairs")
    more = outcome([*found.arms, broken])
    text = write_tournament(tmp_path / "t.html", more, {}).with_suffix(".md").read_text()
    assert "| broken\\|arm |  |  | 0 |  | seed 0: no pairs |" in text


def test_arms_with_other_items_are_refused(tmp_path):
    base = arm(tmp_path, "untouched", {"print": 0.1}, seeds=(0,), method="")
    other = arm(tmp_path, "other", {"print": 0.1}, seeds=(0,))
    lines = (tmp_path / "other" / "0" / "items.jsonl").read_text().splitlines()
    changed = json.loads(lines[0]) | {"prompt": "something else"}
    (tmp_path / "other" / "0" / "items.jsonl").write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="differ in what twins family-0-print-harmful asks"):
        outcome([base, Arm("other", "dpo", {0: EvalFolder(tmp_path / "other" / "0")})])
    (tmp_path / "other" / "0" / "items.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(InputError, match="1 are only in one"):
        outcome([base, Arm("other", "dpo", {0: EvalFolder(tmp_path / "other" / "0")})])
    with pytest.raises(InputError, match="two arms are called 'other'"):
        outcome([base, other, other])
    with pytest.raises(InputError, match="1 arms are measured"):
        outcome([base])


def test_fewer_seeds_on_one_side_are_compared_by_those_that_both_have(tmp_path):
    base = arm(tmp_path, "untouched", {"print": 0.05}, seeds=(0,), method="")
    three = arm(tmp_path, "three", {"print": 0.6})
    one = Arm("one", "dpo", {2: three.folders[2]})
    found = outcome([base, three, one])
    duel = found.duel(measure(found, "asr[print]"), "three", "one")
    assert duel.difference.value == 0  # seed 2 of both is one and the same
    apart = Arm("apart", "dpo", {7: one.folders[2]})
    missing = outcome([base, three, apart]).duel(measure(found, "asr[print]"), "three", "apart")
    assert missing.difference is None and missing.winner == ""


def test_published_numbers_stand_beside_an_arm_of_that_name():
    lines = literature([Arm("a", "mirage"), Arm("b", "no-such-method")])
    assert all(name == "a" for name, _ in lines)
