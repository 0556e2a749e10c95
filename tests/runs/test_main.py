"""The main job over hand-made evaluations: order, continuation, refusal to overwrite, the dose end to end."""

import json
import sys
from pathlib import Path

import pytest

from counterpoise.base import InputError, load_rows, read_json
from counterpoise.methods import get
from counterpoise.models import read_artifact
from counterpoise.report import load_curve
from counterpoise.runs import RunConfig, run_config, run_main

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from folders import evaluation

SAFE = {"text": 0.95, "print": 1.0}


class Written:
    """Stages that write evaluation folders: refusal of harmful print rises with the fraction of the adapter."""

    def __init__(self, stop_at: str = "", refusal=lambda fraction: min(1.0, fraction * 5)):
        self.calls, self.stop_at, self.refusal, self.files = [], stop_at, refusal, "1a2b"
        self.presets, self.kind = {"n_rejection": 200, "n_benign": 500}, "adapter"

    def weights(self, config):
        return self.files

    def settings(self, config, dose):
        return get(config.method).resolve(None, self.presets | config.settings | {"seed": config.seed}, dose)

    def evaluate(self, config, out, *, run, artifact):
        self.note(f"evaluate {run}")
        fraction = float((artifact.path / "fraction").read_text()) if artifact else 0.0
        evaluation(out, {"print": self.refusal(fraction)}, n=120, seed=1, accuracy=1.0)

    def align(self, config, out, *, dose):
        self.note(f"align {dose.get('fraction')}")
        made = out / self.kind
        made.mkdir(parents=True, exist_ok=True)
        (made / "fraction").write_text(str(dose.get("fraction", 2 / 7)))
        name = {"adapter": "adapter_config", "weights": "config", "edit": "edit"}[self.kind]
        (made / f"{name}.json").write_text("{}")
        (made / ("adapter_model.safetensors" if self.kind == "adapter" else "x.safetensors")).write_text("")
        return read_artifact(made)

    def note(self, what):
        self.calls.append(what)
        if self.stop_at and what.startswith(self.stop_at):
            raise KeyboardInterrupt


def quiet(_: str) -> None:
    pass


def test_before_align_after_report(tmp_path):
    stages = Written()
    folder = run_main(RunConfig(out=tmp_path / "run"), stages=stages, say=quiet)
    assert stages.calls == ["evaluate before", "align None", "evaluate after"]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert len(load_rows(folder / "scorecard.json")) == 6
    record = read_json(folder / "run.json")
    assert set(record["stages"]) == {"before", "align", "after"} and record["data"]["twins"]
    assert record["config"]["seed"] == 0 and "torch" in record["versions"] and "commit" in record


@pytest.mark.parametrize("stage", ["evaluate before", "align", "evaluate after"])
def test_a_stopped_run_continues_without_repeating(tmp_path, stage):
    config = RunConfig(out=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run_main(config, stages=Written(stage), say=quiet)
    stages = Written()
    run_main(config, stages=stages, say=quiet)
    assert stages.calls[0].startswith(stage)
    again = Written()
    run_main(config, stages=again, say=quiet)
    assert again.calls == []


def test_other_weights_under_the_same_name_are_refused(tmp_path):
    config, retrained = RunConfig(out=tmp_path / "run"), Written()
    run_main(config, stages=Written(), say=quiet)
    retrained.files = "3c4d"
    with pytest.raises(InputError, match="weights '1a2b' there, '3c4d' now.*--force"):
        run_main(config, stages=retrained, say=quiet)
    assert retrained.calls == []
    run_main(config, force=True, stages=retrained, say=quiet)
    assert retrained.calls == ["evaluate before", "align None", "evaluate after"]


def test_another_configuration_is_refused_and_force_starts_over(tmp_path):
    run_main(RunConfig(out=tmp_path / "run"), stages=Written(), say=quiet)
    other = RunConfig(out=tmp_path / "run", seed=1)
    with pytest.raises(InputError, match="seed 0 there, 1 now.*--force"):
        run_main(other, stages=Written(), say=quiet)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    stages = Written()
    run_main(other, force=True, stages=stages, say=quiet)
    assert len(stages.calls) == 3 and (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("target", [None, "asr<=0.5"])
@pytest.mark.parametrize("kind", ["adapter", "weights", "edit"])
def test_whatever_a_method_leaves_is_kept_and_measured(tmp_path, kind, target):
    config, stages = RunConfig(out=tmp_path / "run", target=target), Written("evaluate after")
    stages.kind = kind
    with pytest.raises(KeyboardInterrupt):
        run_main(config, stages=stages, say=quiet)
    kept = read_artifact(tmp_path / "run" / kind)
    assert kept.kind == kind and (kept.path / "fraction").is_file()
    again = Written()
    run_main(config, stages=again, say=quiet)
    assert again.calls == ["evaluate after"]
    record = read_json(tmp_path / "run" / "run.json")
    assert record["artifact"] == {"kind": kind, "path": kind, "fingerprint": kept.fingerprint}
    force = Written()
    run_main(config, force=True, stages=force, say=quiet)
    assert len(force.calls) > 2 and (kind == "adapter") == (tmp_path / "run" / kind).exists()


def test_other_defaults_of_the_method_are_another_run(tmp_path):
    config, other = RunConfig(out=tmp_path / "run"), Written()
    run_main(config, stages=Written(), say=quiet)
    record = read_json(tmp_path / "run" / "run.json")
    assert record["settings"]["n_rejection"] == 200 and record["settings"]["train"]["epochs"] == 3
    assert record["knobs"] == {"fraction": 200 / 700, "amount": 700}
    other.presets = {"n_rejection": 300, "n_benign": 500}
    with pytest.raises(InputError, match="n_rejection 200 there, 300 now.*--force"):
        run_main(config, stages=other, say=quiet)


def test_settings_reach_the_method_and_a_seed_among_them_is_the_runs(tmp_path):
    config = run_config({"seed": 4, "train.epochs": "2"}, out=tmp_path / "run")
    assert config.seed == 4
    run_main(config, stages=Written(), say=quiet)
    record = read_json(tmp_path / "run" / "run.json")
    assert record["settings"]["seed"] == 4 and record["settings"]["train"]["epochs"] == 2
    with pytest.raises(InputError, match="rejection-mix: train.epoch: no such setting; did you mean train.epochs"):
        run_main(run_config({"train.epoch": 1}, out=tmp_path / "other"), stages=Written(), say=quiet)
    assert not (tmp_path / "other").exists()


def test_a_target_without_items_is_said_before_anything_is_trained(tmp_path):
    stages = Written()
    with pytest.raises(InputError, match=r"asr\[pair\]<=0.1 has no item in the validation half.*larger --limit"):
        run_main(run_config(out=tmp_path / "run", target="asr[pair]<=0.1"), stages=stages, say=quiet)
    assert stages.calls == ["evaluate before"]


def test_a_grid_of_the_amount_is_lowered_at_the_chosen_fraction(tmp_path):
    grids = {"fraction": (0.3, 0.1), "amount": (700, 350)}
    config = run_config(out=tmp_path / "run", target="asr<=0.1", grids=grids)
    run_main(config, stages=Written(), say=quiet)
    curve = load_curve(tmp_path / "run" / "dose.json")
    assert curve.chosen.dose == {"fraction": 0.3, "amount": 350}
    assert "fraction 30.0%, amount 350 rows is the smallest measured dose" in curve.message
    assert (tmp_path / "run" / "dose" / "fraction-0.3_amount-350" / "trained.json").is_file()


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not empty and not a run"):
        run_main(RunConfig(out=tmp_path), stages=Written(), say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_smallest_dose_is_found_and_confirmed(tmp_path):
    config = RunConfig(out=tmp_path / "run", target="asr<=0.1, over_refusal<=0.5, capability_drop<=0.1")
    stages = Written()
    run_main(config, stages=stages, say=quiet)
    curve = load_curve(tmp_path / "run" / "dose.json")
    assert curve.chosen and curve.chosen.dose == {"fraction": 0.2, "amount": 700}
    assert curve.confirmed and curve.confirmed.split == "test" and "confirms it" in curve.message
    assert (tmp_path / "run" / "adapter" / "fraction").read_text() == "0.2"
    assert sum(call.startswith("align") for call in stages.calls) <= 3
    again = Written()
    run_main(config, stages=again, say=quiet)
    assert again.calls == []


def test_no_dose_is_said_plainly(tmp_path):
    config = RunConfig(out=tmp_path / "run", target="asr<=0.05")
    run_main(config, stages=Written(refusal=lambda fraction: 0.1), say=quiet)
    text = (tmp_path / "run" / "report.html").read_text()
    assert "No measured dose meets every target" in text
    assert load_curve(tmp_path / "run" / "dose.json").chosen is None


def test_config_errors_come_together():
    with pytest.raises(InputError) as caught:
        run_config(seed=-1, batch=0)
    assert "seed" in str(caught.value) and "batch" in str(caught.value) and "\n" not in str(caught.value)
    assert json.loads(RunConfig().model_dump_json())["method"] == "rejection-mix"
