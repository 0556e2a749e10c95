"""`study weights` and `study directions` on tiny random models: every number by another way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

import tiny
from counterpoise.base import InputError
from counterpoise.chat import user
from counterpoise.models import TensorEdit, encode, load, lora_targets, read_artifact, save_edit
from counterpoise.report import write_directions, write_weights
from counterpoise.study import ablate, changes, choose, difference, directions, look, prompts, scaled, weights
from counterpoise.study._states import Prompts

DOWN = "model.text_model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory) -> Path:
    loaded = load(str(folder), dtype="float32", device="cpu")
    paths = lora_targets(loaded.model)
    peft = get_peft_model(loaded.model, LoraConfig(r=2, lora_alpha=6, target_modules=paths[-7:]))
    generator = torch.Generator().manual_seed(0)
    for name, value in peft.named_parameters():
        if "lora_B" in name:
            value.data = 0.3 * torch.randn(value.shape, generator=generator)
    out = tmp_path_factory.mktemp("adapter")
    peft.save_pretrained(out)
    return out


def opened(folder, **more):
    return load(str(folder), dtype="float32", device="cpu", **more)


def test_lora_is_decomposed_as_the_merged_difference(folder, adapter):
    base, tuned = opened(folder), opened(folder, artifact=adapter)
    merged = opened(folder, artifact=adapter, merge=True)
    found = {path: (weight, change) for path, weight, change in changes(base, tuned)}
    assert set(found) == {path for path, *_ in changes(base, merged)} and len(found) == 7
    for path, (weight, change) in found.items():
        wanted = merged.model.get_submodule(path).weight.detach().numpy() - weight
        assert len(change.values) == 2
        assert np.abs((change.left * change.values) @ change.right - wanted).max() < 1e-5


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_a_scaled_adapter_and_a_scaled_edit_are_along_the_change(folder, adapter, tmp_path, alpha):
    base = opened(folder)
    whole = opened(folder, artifact=adapter, merge=True)
    half = opened(folder, artifact=scaled(base, read_artifact(adapter), alpha, tmp_path / "a"), merge=True)
    path = lora_targets(base.model)[-1]
    old, new, made = (each.model.get_submodule(path).weight for each in (base, whole, half))
    torch.testing.assert_close(made, old + alpha * (new - old), rtol=1e-4, atol=1e-5)

    names = f"{DOWN}.weight", DOWN.replace("layers.1", "layers.0") + ".weight"
    sparse = TensorEdit(names[0], "set", torch.tensor([1.0, -2.0]), torch.tensor([3, 70]))
    tensors = [sparse, TensorEdit(names[1], "scale", torch.full((32, 1), 3.0))]
    edit = save_edit(tmp_path / "edit", base, tensors)
    on, at = opened(folder, artifact=edit), opened(folder, artifact=scaled(base, edit, alpha, tmp_path / "b"))
    for name in names:
        old, new, made = (each.model.get_parameter(name) for each in (base, on, at))
        torch.testing.assert_close(made, old + alpha * (new - old), rtol=1e-4, atol=1e-5)

    merged = tmp_path / "whole"
    shutil.copytree(folder, merged)
    whole.model.save_pretrained(merged)
    third = opened(folder, artifact=scaled(base, read_artifact(merged), alpha, tmp_path / "c"))
    torch.testing.assert_close(
        third.model.get_submodule(path).weight, half.model.get_submodule(path).weight, rtol=1e-4, atol=1e-5
    )


def test_a_look_reads_the_last_token_whatever_the_batch(folder):
    loaded = opened(folder)
    rows = prompts("validation", "print", 3)
    assert len(rows.conversations) == 6 and rows.harmful.sum() == 3 and len(set(rows.families.tolist())) == 3
    together = look(loaded, rows.conversations, layers=True, gradients=True, batch=6)
    alone = look(loaded, rows.conversations, layers=True, gradients=True, batch=1)
    assert together.states.shape == (3, 6, 32)
    np.testing.assert_allclose(together.states, alone.states, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together.entering[DOWN], alone.entering[DOWN], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together.sensitivity, alone.sensitivity, rtol=1e-2)
    assert not loaded.model.get_submodule(DOWN)._forward_pre_hooks
    assert not loaded.model.get_input_embeddings()._forward_hooks


def test_sensitivity_is_the_gradient_of_finite_differences(tmp_path):
    loaded = load(str(tiny.build("llama", tmp_path / "m")), dtype="float32", device="cpu")
    row = (user("who?"),)
    seen = look(loaded, [row], gradients=True)
    inputs = encode(loaded, [row], add_generation_prompt=True, padding_side="left")
    model = loaded.model.double()
    with torch.no_grad():  # its norms compute in float32, so steps must not be too small
        x = model.get_input_embeddings()(inputs["input_ids"])
        squares, steps = 0.0, 1e-3 * torch.eye(x[0].numel(), dtype=torch.float64).view(-1, *x.shape[1:])
        for step in steps.split(256):
            up, down = (model(inputs_embeds=x + sign * step).logits[:, -1].amax(-1) for sign in (1, -1))
            squares += float((((up - down) / 2e-3) ** 2).sum())
    assert seen.sensitivity[0] == pytest.approx(squares**0.5, rel=1e-3)


def test_a_planted_direction_is_found_and_ablated():
    rng = np.random.default_rng(0)
    planted, harmful = rng.normal(size=64), np.arange(200) % 2 == 0
    states = rng.normal(size=(11, 200, 64)) * 0.5
    states[4] += np.where(harmful[:, None], planted, -planted)
    states[10] += 9 * np.where(harmful[:, None], planted, -planted)  # beyond 80 % of the blocks
    rows = Prompts([()] * 200, harmful, np.repeat([f"f{i}" for i in range(100)], 2))
    found = choose(states, rows)
    assert found.layer == 4
    assert found.vector @ planted / np.linalg.norm(found.vector) / np.linalg.norm(planted) > 0.99
    x, r = torch.randn(2, 3, 64), torch.as_tensor(found.vector, dtype=torch.float32)
    once = ablate(x, r)
    assert (once @ r).abs().max() < 1e-4
    torch.testing.assert_close(ablate(once, r), once)
    assert difference(states[4], harmful) == pytest.approx(found.vector)


def test_the_pages_of_both_studies(folder, adapter, tmp_path):
    found = weights(opened(folder), opened(folder, artifact=adapter), ["text", "print"], 4, 4)
    assert {row["path"] for row in found["changes"]} == set(lora_targets(opened(folder).model)[-7:])
    assert all(row["rank_90"] <= 2 and 0 <= row["outside"] <= 1 for row in found["changes"])
    page = write_weights(tmp_path / "w.html", {"base": "b", "tuned": "t", **found}).read_text()
    assert "moved 7 weight matrices" in page and "<script" not in page
    with pytest.raises(InputError, match="no linear layer of its language model differs"):
        weights(opened(folder), opened(folder), ["text"], 4, 4)

    seen = directions(opened(folder), ["text", "print"], 6, 6)
    assert 1 <= seen["layer"] <= 2 == seen["layers"]
    assert set(seen["causal"]["print"]) == {"as it is", "ablated", "added", "random ablated", "random added"}
    assert seen["causal"]["text"]["as it is"] != seen["causal"]["text"]["added"]
    page = write_directions(tmp_path / "d.html", {"model": "m", **seen}).read_text()
    assert "AUC of the text&#x27;s direction" in page or "AUC of the text's direction" in page


def test_test_families_are_not_read():
    with pytest.raises(InputError, match="test families"):
        prompts("test", "text", 3)
