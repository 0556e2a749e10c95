"""CMRM, ShiftDC and the refusal direction: what their vectors are, and that `align` leaves what `load` steers with."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.data import twins
from counterpoise.methods import get
from counterpoise.methods._steering import cmrm_vector, refusal_vector, shiftdc_vector, states
from counterpoise.models import load, read_steering

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


def test_vectors_on_planted_states():
    text, s, other = RNG.normal(size=(50, 8)), np.eye(8)[0], np.eye(8)[1]
    harmful, image = text + 3 * s, text - 2 * s + 5 * other
    assert refusal_vector(harmful, text) == pytest.approx(3 * s)
    assert cmrm_vector(text, image) == pytest.approx(2 * s - 5 * other)
    assert shiftdc_vector(text, image, harmful) == pytest.approx(2 * s)  # the safety part alone
    assert shiftdc_vector(text, text, harmful) == pytest.approx(0 * s)
    with pytest.raises(InputError, match="no safety direction"):
        shiftdc_vector(text, image, text)


@pytest.mark.parametrize("name", ["cmrm", "shiftdc", "refusal-direction"])
def test_align_leaves_a_steering_that_load_proves(folder, tmp_path, name):
    loaded, config = load(str(folder), dtype="float32", device="cpu"), get(name).config(folder, anchors=4, alpha=0.5)
    result = get(name).align(loaded, config, tmp_path)
    assert result.artifact.kind == "steering"
    made = read_steering(tmp_path / "steering")
    assert made.method == name and list(made.vectors) == [1] and made.alphas == {1: 0.5}
    if name == "cmrm":
        rows = [
            [twins.sample(f, kind, harmful=False) for f in twins.families("train")[:4]] for kind in ("text", "print")
        ]
        text, image = (states(loaded, each, [1], 3)[1] for each in rows)
        assert made.vectors[1].numpy() == pytest.approx(text.mean(0) - image.mean(0), abs=1e-5)
    assert load(str(folder), artifact=tmp_path / "steering", dtype="float32", device="cpu").proof.probe_difference > 0


def test_bad_layers_text_models_and_too_few_anchors_are_one_line(folder, tmp_path):
    loaded, cmrm = load(str(folder), dtype="float32", device="cpu"), get("cmrm")
    with pytest.raises(InputError, match="layer 2: choose from 1 to 1"):
        cmrm.align(loaded, cmrm.config(folder, layers=(2,)), tmp_path)
    with pytest.raises(InputError, match="0 anchor families are left"):
        cmrm.align(loaded, cmrm.config(folder, anchors=4), tmp_path, overlaps=lambda row: True)
    text = load(str(tiny.build("llama", tmp_path / "llama")), dtype="float32", device="cpu")
    with pytest.raises(InputError, match="takes no images"):
        cmrm.align(text, cmrm.config(folder), tmp_path)
    assert not (tmp_path / "steering").exists()


def test_a_run_with_other_settings_is_not_replaced(folder, tmp_path):
    """Nor one of another method: what trains nothing has no checkpoint that would say so."""
    loaded = load(str(folder), dtype="float32", device="cpu")

    def steer(name, *, resume=True, **settings):
        config = get(name).config(anchors=4, **settings)
        return get(name).align(loaded, config, tmp_path / "out", resume=resume)

    steer("refusal-direction", alpha=0.5)
    first = (tmp_path / "out" / "steering" / "steering.json").read_text()
    steer("refusal-direction", alpha=0.5)
    for name, settings in (("refusal-direction", {"alpha": 2.0}), ("cmrm", {"alpha": 0.5})):
        with pytest.raises(InputError, match="holds a run of refusal-direction with other settings or another model"):
            steer(name, **settings)
    assert (tmp_path / "out" / "steering" / "steering.json").read_text() == first
    steer("cmrm", alpha=0.5, resume=False)
    assert (tmp_path / "out" / "steering" / "steering.json").read_text() != first


def test_states_are_those_of_the_model_as_it_is_served(folder):
    loaded = load(str(folder), dtype="float32", device="cpu")
    rows = twins.samples("train", "text")[:2]
    plain = states(loaded, rows, (1,), 2)[1]
    served = states(dataclasses.replace(loaded, system="Refuse what is harmful."), rows, (1,), 2)[1]
    assert np.abs(plain - served).max() > 1e-4
