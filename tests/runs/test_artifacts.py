"""`counterpoise eval --artifact` with what a correction may leave: whole weights, an edit; real models, tiny ones."""

import shutil
from pathlib import Path

import pytest
import torch

import tiny
from counterpoise.base import load_rows, read_json
from counterpoise.cli import main
from counterpoise.models import TensorEdit, load, read_artifact, save_edit

NORM = "model.text_model.norm.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("model") / "vlm")


def measure(model: Path, out: Path, *options: object) -> int:
    limits = ("--benchmark", "reading", "--limit", "3", "--max-new-tokens", "3", "--out", out)
    return main([str(each) for each in ("eval", model, *limits, *options)])


def test_an_edit_and_whole_weights_are_measured_under_the_name_of_the_base(model, tmp_path):
    loaded = load(str(model), dtype="float32", device="cpu")
    save_edit(tmp_path / "edit", loaded, [TensorEdit(NORM, "scale", torch.full((32,), -1.0))])
    tuned = tiny.build("smolvlm", tmp_path / "tuned", seed=1)
    assert measure(model, tmp_path / "base") == 0
    facts = {"base": read_json(tmp_path / "base" / "run.json")["model"]}
    for name, option, place in (("edited", "--artifact", tmp_path / "edit"), ("whole", "--adapter", tuned)):
        assert measure(model, tmp_path / name, option, place) == 0
        facts[name] = read_json(tmp_path / name / "run.json")["model"]
        assert {row.model for row in load_rows(tmp_path / name / "scorecard.json")} == {str(model)}
        assert facts[name]["artifact"]["fingerprint"] == read_artifact(place).fingerprint
    assert facts["edited"]["artifact"]["kind"] == "edit" and facts["edited"]["edit_proof"]["n_modules"] == 1
    assert facts["whole"]["artifact"]["kind"] == "weights" and facts["whole"]["path"] == str(tuned)
    assert "artifact" not in facts["base"] and len({each["fingerprint"] for each in facts.values()}) == 3


def test_an_edit_for_another_model_stops_in_one_line(model, tmp_path, capsys):
    loaded = load(str(model), dtype="float32", device="cpu")
    save_edit(tmp_path / "edit", loaded, [TensorEdit(NORM, "scale", torch.full((32,), -1.0))])
    other = tiny.build("smolvlm", tmp_path / "other", seed=1)
    assert measure(other, tmp_path / "out", "--artifact", tmp_path / "edit") == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and "made for other weights than those of" in err[0]
    shutil.rmtree(tmp_path / "edit")
    assert measure(model, tmp_path / "out", "--artifact", tmp_path / "edit") == 2
    assert "no such folder; give that of an adapter, a whole model or an edit" in capsys.readouterr().err
