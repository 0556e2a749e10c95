"""The order of a tournament, its continuation, its budget, and what it refuses; over hand-made evaluations."""

import re
import sys
from pathlib import Path

import pytest

from counterpoise.base import InputError, read_json
from counterpoise.cli import main
from counterpoise.methods import get
from counterpoise.models import read_artifact
from counterpoise.runs.tournament import (
    Budget,
    parse_arm,
    parse_budget,
    parse_methods,
    run_tournament,
    tournament_config,
    tournament_plan,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from folders import evaluation


class Written:
    """Stages that write evaluation folders: refusal of harmful print rises with the rejection fraction."""

    def __init__(self, stop_at="", fails=""):
        self.calls, self.stop_at, self.fails, self.files, self.rows = [], stop_at, fails, "1a2b", {}

    def weights(self, config):
        return self.files

    def settings(self, config, dose):
        return get(config.method).resolve(None, config.settings | {"seed": config.seed}, dose)

    def evaluate(self, config, out, *, run, artifact):
        self.note(f"evaluate {run}")
        fraction = float((artifact.path / "fraction").read_text()) if artifact else 0.0
        evaluation(out, {"print": min(1.0, 3 * fraction)}, n=40, seed=config.seed, accuracy=1.0)

    def align(self, config, out, *, dose):
        fraction = config.settings.get("fraction", 2 / 7)
        self.note(f"align {fraction:.2f} seed {config.seed}")
        self.rows[out.parent.name] = self.settings(config, dose).counts
        if self.fails and self.fails in str(out):
            raise InputError("it does not fit this model")
        made = out / "adapter"
        made.mkdir(parents=True, exist_ok=True)
        (made / "fraction").write_text(str(fraction))
        (made / "adapter_config.json").write_text("{}")
        (made / "adapter_model.safetensors").write_text("")
        return read_artifact(made)

    def note(self, what):
        self.calls.append(what)
        if self.stop_at and what.startswith(self.stop_at):
            raise KeyboardInterrupt


def quiet(_):
    pass


def config(tmp_path, *arms, **fields):
    arms = arms or ("full=rejection-mix", "small=rejection-mix,fraction=0.05")
    return tournament_config([parse_arm(text) for text in arms], **{"seeds": 2, "out": tmp_path / "t"} | fields)


def test_seed_by_seed_all_arms_and_a_page(tmp_path):
    stages = Written()
    page = run_tournament(config(tmp_path), stages=stages, say=quiet)
    assert stages.calls == [
        "evaluate before",
        "align 0.29 seed 0", "evaluate full/seed-0", "align 0.05 seed 0", "evaluate small/seed-0",
        "align 0.29 seed 1", "evaluate full/seed-1", "align 0.05 seed 1", "evaluate small/seed-1",
    ]  # fmt: skip
    text = page.with_suffix(".md").read_text()
    assert page.read_text().startswith("<!doctype html>")
    assert "**full is safer than the untouched model" in text and "| small | 7,000 | " in text


@pytest.mark.parametrize(
    "stage", ["evaluate before", "align 0.05 seed 0", "evaluate small/seed-0", "align 0.29 seed 1"]
)
def test_a_stopped_tournament_repeats_nothing(tmp_path, stage):
    with pytest.raises(KeyboardInterrupt):
        run_tournament(config(tmp_path), stages=Written(stage), say=quiet)
    stages = Written()
    run_tournament(config(tmp_path), stages=stages, say=quiet)
    assert stages.calls[0] == stage
    again = Written()
    run_tournament(config(tmp_path), stages=again, say=quiet)
    assert again.calls == []


def test_arms_and_seeds_are_added_and_what_is_there_stays(tmp_path):
    run_tournament(config(tmp_path, "full=rejection-mix", seeds=1), stages=Written(), say=quiet)
    stages = Written()
    run_tournament(config(tmp_path, "full=rejection-mix", "half=rejection-mix,fraction=0.5"), stages=stages, say=quiet)
    assert stages.calls[0] == "align 0.50 seed 0" and "evaluate full/seed-0" not in stages.calls
    assert "evaluate full/seed-1" in stages.calls


def test_an_arm_of_the_same_name_with_other_settings_is_set_aside(tmp_path):
    run_tournament(config(tmp_path), stages=Written(), say=quiet)
    said, other = [], config(tmp_path, "full=rejection-mix", "small=rejection-mix,fraction=0.1")
    page = run_tournament(other, stages=Written(), say=said.append)
    assert "small/seed-0 was trained with another fraction; give the arm another name" in said[0]
    assert "another fraction" in page.read_text()


def test_an_arm_that_fails_is_shown_and_tried_again(tmp_path):
    page = run_tournament(config(tmp_path), stages=Written(fails="small"), say=quiet)
    assert (
        "| small |  |  | 0 | fraction 0.05 | seed 1: it does not fit this model |"
        in page.with_suffix(".md").read_text()
    )
    stages = Written()
    run_tournament(config(tmp_path), stages=stages, say=quiet)
    assert stages.calls == ["align 0.05 seed 0", "evaluate small/seed-0", "align 0.05 seed 1", "evaluate small/seed-1"]


def test_when_every_arm_fails_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no arm could be measured .*full: seed 1: it does not fit"):
        run_tournament(config(tmp_path), stages=Written(fails="arms"), say=quiet)


def test_another_tournament_and_other_weights_are_refused(tmp_path):
    run_tournament(config(tmp_path), stages=Written(), say=quiet)
    with pytest.raises(InputError, match="limit None there, 5 now.*--force"):
        run_tournament(config(tmp_path, limit=5), stages=Written(), say=quiet)
    other = Written()
    other.files = "3c4d"
    with pytest.raises(InputError, match="weights '1a2b' there, '3c4d' now"):
        run_tournament(config(tmp_path), stages=other, say=quiet)
    (tmp_path / "t" / "notes.txt").write_text("mine")
    run_tournament(config(tmp_path, limit=5), stages=Written(), force=True, say=quiet)
    assert (tmp_path / "t" / "notes.txt").read_text() == "mine"


def test_a_budget_of_rows_is_the_same_for_all_arms(tmp_path):
    stages = Written()
    run_tournament(config(tmp_path, budget=parse_budget("200rows")), stages=stages, say=quiet)
    assert {name: sum(counts) for name, counts in stages.rows.items()} == {"full": 200, "small": 200}
    assert stages.rows["small"] == (10, 190)


def test_a_budget_of_minutes_is_measured_once_by_a_trial(tmp_path):
    stages, timed = Written(), config(tmp_path, budget=parse_budget("2min"))
    run_tournament(timed, stages=stages, say=quiet)
    record = read_json(tmp_path / "t" / "run.json")
    paces = record["seconds_per_row"]
    assert set(paces) == {"full", "small"} and not (tmp_path / "t" / "pilot" / "full").exists()
    again = Written()
    run_tournament(timed, stages=again, say=quiet)
    assert again.calls == []


def test_rows_that_a_method_adds_are_within_the_budget(tmp_path):
    arms = [parse_arm("multi=multitask-mix,dose=0.5"), *parse_methods("sit,raft,dpo,constrained-sft,ptst,mimic")]
    text = str(tournament_plan(tournament_config(arms, seeds=1, budget=parse_budget("90rows"), out=tmp_path / "t")))
    rows = [int(line.split(": train")[1].split(" rows")[0]) for line in text.splitlines() if ": train" in line]
    assert len(rows) == 7 and all(80 <= n <= 90 for n in rows), text


def test_a_budget_and_a_number_of_rows_contradict_each_other(tmp_path):
    with pytest.raises(InputError, match="small: sets total, which the budget of 50 rows decides"):
        run_tournament(
            config(tmp_path, "small=rejection-mix,total=9", budget=Budget(rows=50, minutes=None)),
            stages=Written(),
            say=quiet,
        )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rejection-mix", "write NAME=METHOD"),
        ("a=", "write NAME=METHOD"),
        ("a=no-such", "no-such"),
        ("a/b=rejection-mix", "arm 'a/b'"),
        ("a=rejection-mix,total=[1", "cannot read '\\[1'"),
        ("a=rejection-mix,total=1,total=2", "total is given twice"),
    ],
)
def test_an_arm_that_cannot_be_read(text, line):
    with pytest.raises(InputError, match=line):
        parse_arm(text)


def test_a_list_as_a_value_keeps_its_commas():
    assert parse_arm("a=rejection-mix,reply=[x, y],total=9").settings == {"reply": ["x", "y"], "total": 9}


@pytest.mark.parametrize("text", ["", "200", "0rows", "1.5rows", "-3min", "nanmin", "10 hours"])
def test_a_budget_that_cannot_be_read(text):
    with pytest.raises(InputError, match="write for example 200rows or 10min"):
        parse_budget(text)


def test_two_arms_of_one_name_and_no_seed(tmp_path):
    with pytest.raises(InputError, match="arm 'a' is there twice"):
        config(tmp_path, "a=rejection-mix", "a=rejection-mix")
    with pytest.raises(InputError, match="'untouched' is there twice"):
        config(tmp_path, "untouched=rejection-mix")
    with pytest.raises(InputError, match="seeds"):
        config(tmp_path, seeds=0)


def test_a_wrong_setting_is_said_before_anything_is_measured(tmp_path, capsys):
    code = main(["tournament", "pocket", "--arm", "a=rejection-mix,fracion=0.1", "--out", str(tmp_path / "t")])
    assert code == 2 and "fracion" in capsys.readouterr().err and not (tmp_path / "t" / "run.json").exists()
    assert main(["tournament", "pocket"]) == 2 and "no arm; name some" in capsys.readouterr().err


def test_the_plan_counts_every_training_and_measurement(tmp_path):
    text = str(tournament_plan(config(tmp_path, suite="smoke", budget=parse_budget("40rows"))))
    assert "full: train" in text and "80 rows" in text and "2 seeds" in text


def test_methods_by_name():
    assert [arm.name for arm in parse_methods("rejection-mix, uwm")] == ["rejection-mix", "uwm"]
    with pytest.raises(InputError, match="no-such"):
        parse_methods("no-such")


def test_a_tournament_side_by_side_has_the_page_of_one_in_turn(tmp_path):
    settled = []
    for jobs in (1, 2):
        said = []
        page = run_tournament(
            config(tmp_path / str(jobs), "small=rejection-mix", seeds=1), stages=Written(), jobs=jobs, say=said.append
        )
        settled.append(re.sub(r"7,000 \| \d+ \|", "7,000 | s |", page.with_suffix(".md").read_text()))  # seconds
        assert any("small, seed 0: measuring" in line for line in said)
    assert settled[0] == settled[1] and "small is safer than the untouched model" in settled[1]
    again = Written()
    run_tournament(config(tmp_path / "2", "small=rejection-mix", seeds=1), stages=again, say=quiet)
    assert again.calls == []  # what the workers did is recorded
