"""Steering: vectors in the residual stream, switched on by `load`, proven, taken off without a trace."""

import json
from pathlib import Path

import PIL.Image
import pytest
import torch

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import (
    Decoding,
    Engine,
    changed_states,
    decoder_layers,
    encode,
    load,
    read_artifact,
    read_steering,
    save_steering,
    steer,
    unsteer,
)

PICTURE = Image.from_pil(PIL.Image.new("RGB", (48, 48), (200, 40, 40)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


@pytest.fixture
def loaded(folder):
    return load(str(folder), dtype="float32", device="cpu")


def states(loaded, *conversations):
    inputs = encode(loaded, conversations, add_generation_prompt=True, padding_side="left")
    with torch.inference_mode():
        return loaded.model(**inputs, output_hidden_states=True).hidden_states


def hooks(loaded) -> int:
    """Of the blocks and the whole; transformers keeps some of its own to record states."""
    parts = [loaded.model, *decoder_layers(loaded.model)]
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts)


def vector(scale=1.0):
    return scale * torch.randn(32, generator=torch.Generator().manual_seed(0))


def test_an_image_steering_shifts_rows_with_images_only(loaded, folder, tmp_path):
    artifact = save_steering(tmp_path / "s", loaded, {1: vector()}, method="cmrm", when="image", alphas=0.5)
    rows = (user("what is it?"),), (user(PICTURE, "what is it?"),)
    before = states(loaded, *rows)
    states(steered := load(str(folder), dtype="float32", device="cpu"), *rows)
    n = hooks(steered)
    steered = steer(steered, artifact)
    assert hooks(steered) == n + 2
    after = states(steered, *rows)
    torch.testing.assert_close(after[1][1], before[1][1] + 0.5 * vector())
    torch.testing.assert_close(after[1][0], before[1][0])
    assert steered.proof.probe_difference > 0 and steered.proof.n_nonzero == 1
    assert steered.fingerprint != loaded.fingerprint and steered.artifact.kind == "steering"
    with steered.steering.off():
        torch.testing.assert_close(states(steered, *rows)[2], before[2])
    plain = unsteer(steered)
    assert hooks(plain) == n
    torch.testing.assert_close(states(plain, *rows)[2], before[2])


def test_steering_always_reaches_text_and_replies(loaded, tmp_path):
    row = (user("what is it?"),)
    before = Engine(loaded).generate([row], Decoding(max_new_tokens=6))[0]
    artifact = save_steering(tmp_path / "s", loaded, {1: vector(5.0)}, method="refusal", when="always")
    steered = steer(loaded, artifact)
    after = Engine(steered).generate([row], Decoding(max_new_tokens=6))[0]
    assert after.text != before.text
    unsteer(steered)
    assert Engine(loaded).generate([row], Decoding(max_new_tokens=6))[0].text == before.text


def test_a_folder_is_loaded_by_its_name_alone(loaded, folder, tmp_path):
    save_steering(tmp_path / "s", loaded, {2: vector()}, method="cmrm", when="always")
    assert read_artifact(tmp_path / "s").kind == "steering"
    assert load(str(tmp_path / "s"), dtype="float32", device="cpu").steering is not None
    assert sum(file.stat().st_size for file in (tmp_path / "s").iterdir()) < 4000


@pytest.mark.parametrize(
    ("layer", "given", "why"),
    [
        (3, torch.ones(32), "layer 3: the model has 1 to 2"),
        (1, torch.ones(31), "a vector of shape \\[31\\] for states of 32"),
        (1, torch.full((32,), float("nan")), "no finite numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_one_line_and_write_nothing(loaded, tmp_path, layer, given, why):
    with pytest.raises(InputError, match=why):
        save_steering(tmp_path / "s", loaded, {layer: given}, method="cmrm", when="image")
    assert not (tmp_path / "s").exists()


def test_what_changes_nothing_or_is_for_others_is_refused_without_hooks(loaded, tmp_path):
    n = hooks(loaded)
    nothing = save_steering(tmp_path / "zero", loaded, {1: torch.zeros(32)}, method="cmrm", when="image")
    with pytest.raises(InputError, match="not active"):
        steer(loaded, nothing)
    other = save_steering(tmp_path / "s", loaded, {1: vector()}, method="cmrm", when="image")
    file = tmp_path / "s" / "steering.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "base": {"name": "other", "weights": "0"}}))
    with pytest.raises(InputError, match="made for other weights"):
        steer(loaded, other)
    file.write_text(json.dumps({**value, "when": "sometimes"}))
    with pytest.raises(InputError, match="not a whole steering"):
        read_steering(tmp_path / "s")
    assert hooks(loaded) == n


def test_changed_states_replace_a_state_and_leave_no_hook_after_an_error(loaded):
    row = (user("what is it?"),)
    before = states(loaded, row)
    with changed_states(loaded.model, {0: lambda x: x + 1, 1: lambda x: x * 0}):
        after = states(loaded, row)
    torch.testing.assert_close(after[0], before[0] + 1)
    assert not after[1].any()
    n = hooks(loaded)
    with pytest.raises(ZeroDivisionError), changed_states(loaded.model, {0: lambda x: x, 1: lambda x: x}):
        raise ZeroDivisionError
    assert hooks(loaded) == n
    torch.testing.assert_close(states(loaded, row)[2], before[2])
