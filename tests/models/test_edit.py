"""Edits of weights: applied, proven, taken off bit for bit; refused where they do not fit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from counterpoise.base import InputError
from counterpoise.models import (
    TensorEdit,
    apply_edit,
    load,
    merge_edit,
    read_artifact,
    read_edit,
    remove_edit,
    save_edit,
)

DOWN = "model.layers.1.mlp.down_proj.weight"  # (32, 64)
NORM = "model.norm.weight"  # (32,)
HEAD = "lm_head.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(params=["float32", "bfloat16"])
def loaded(request, folder):
    return load(str(folder), dtype=request.param, device="cpu")


def weights(loaded) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in loaded.model.named_parameters()}


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def several() -> list[TensorEdit]:
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(32, 64, generator=generator)
    return [
        TensorEdit(DOWN, "add", torch.tensor([0.5, -3.0, 0.25]), torch.tensor([0, 70, 2047])),
        TensorEdit("model.layers.0.mlp.down_proj.weight", "set", draw),
        TensorEdit("model.layers.0.self_attn.o_proj.weight", "scale", torch.full((32, 1), 1.5)),  # row by row
        TensorEdit(NORM, "scale", torch.tensor([0.0, 2.0]), torch.tensor([3, 31])),
    ]


def test_apply_changes_what_it_says_and_remove_restores_bit_for_bit(loaded, tmp_path):
    before = weights(loaded)
    artifact = save_edit(tmp_path / "edit", loaded, several())
    assert same(before, weights(loaded))  # saving applies nothing
    edited = apply_edit(loaded, artifact)
    after, kind = weights(edited), before[DOWN].dtype
    expected = before[DOWN].float().clone()
    expected.view(-1)[[0, 70, 2047]] += torch.tensor([0.5, -3.0, 0.25])
    assert torch.equal(after[DOWN], expected.to(kind))
    o = "model.layers.0.self_attn.o_proj.weight"
    assert torch.equal(after[o], (before[o].float() * 1.5).to(kind))
    assert torch.equal(after["model.layers.0.mlp.down_proj.weight"], several()[1].values.to(kind))
    assert after[NORM][3] == 0 and after[NORM][31] == before[NORM][31] * 2
    assert torch.equal(after[NORM][4:31], before[NORM][4:31])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {each.name for each in several()}
    assert edited.proof.n_modules == edited.proof.n_nonzero == 4 and edited.proof.probe_difference > 0
    assert edited.fingerprint != loaded.fingerprint and edited.artifact == artifact
    with edited.edit.off():
        assert same(before, weights(edited))
    assert same(after, weights(edited))
    assert remove_edit(edited) is loaded and same(before, weights(loaded))


def test_merging_keeps_the_change_and_forgets_the_old_values(loaded, tmp_path):
    edited = apply_edit(loaded, save_edit(tmp_path / "edit", loaded, several()))
    after = weights(edited)
    merged = merge_edit(edited)
    assert merged.edit is None and merged.fingerprint == edited.fingerprint and same(after, weights(merged))
    with pytest.raises(InputError, match="no edit is on it"):
        remove_edit(merged)


def test_load_puts_an_edit_on_and_finds_its_base(folder, tmp_path):
    base = load(str(folder), dtype="float32", device="cpu")
    artifact = save_edit(tmp_path / "edit", base, several())
    wanted = weights(apply_edit(base, artifact))
    options = {"dtype": "float32", "device": "cpu"}
    on, merged = (load(str(folder), artifact=tmp_path / "edit", merge=merge, **options) for merge in (False, True))
    alone = load(str(tmp_path / "edit"), **options)  # like an adapter folder: its base is found
    for each in (on, merged, alone):
        assert same(wanted, weights(each)) and each.name == str(folder) and each.artifact.kind == "edit"
    assert len({each.fingerprint for each in (on, merged, alone)}) == 1
    assert merged.edit is None and on.edit is not None
    with pytest.raises(InputError, match="not both"):
        load(str(folder), artifact=tmp_path / "edit", adapter=tmp_path / "edit", **options)


def test_another_base_is_refused_and_left_as_it_was(folder, tmp_path):
    mine = load(str(folder), dtype="float32", device="cpu")
    artifact = save_edit(tmp_path / "edit", mine, several())
    other = load(str(tiny.build("llama", tmp_path / "other", seed=1)), dtype="float32", device="cpu")
    before = weights(other)
    with pytest.raises(InputError, match=f"made for other weights than those of {other.name}.*{folder}"):
        apply_edit(other, artifact)
    assert same(before, weights(other))


def test_what_does_not_fit_is_named_in_one_line(folder, tmp_path):
    loaded = load(str(folder), dtype="float32", device="cpu")
    one = torch.ones(1)
    wrong = {
        "no such parameter": TensorEdit("model.layers.9.mlp.down_proj.weight", "add", one),
        r"values of shape \[3\] for \[32\]": TensorEdit(NORM, "add", torch.ones(3)),
        "no finite numbers": TensorEdit(NORM, "add", torch.tensor([float("nan")] * 32)),
        "unknown op 'multiply'": TensorEdit(NORM, "multiply", torch.ones(32)),
        "two lists of the same length": TensorEdit(NORM, "add", torch.ones(2), torch.tensor([1])),
        "indices must rise from 0 to at most 31": TensorEdit(NORM, "add", torch.ones(2), torch.tensor([5, 5])),
        "at most 31": TensorEdit(NORM, "add", torch.ones(2), torch.tensor([5, 32])),
        "rise from 0": TensorEdit(NORM, "add", torch.ones(2), torch.tensor([-1, 5])),
    }
    for message, edit in wrong.items():
        with pytest.raises(InputError, match=message) as caught:
            save_edit(tmp_path / "edit", loaded, [edit])
        assert "\n" not in str(caught.value) and not (tmp_path / "edit").exists()
    with pytest.raises(InputError, match="names no tensor"):
        save_edit(tmp_path / "edit", loaded, [])
    with pytest.raises(InputError, match="edited twice"):
        save_edit(tmp_path / "edit", loaded, [TensorEdit(NORM, "add", torch.ones(32))] * 2)
    many = [TensorEdit(f"layer{i}", "add", one) for i in range(5)]
    with pytest.raises(InputError, match="layer0: .*layer2: .*; and 2 more"):
        save_edit(tmp_path / "edit", loaded, many)


def test_tied_weights_are_edited_once(tmp_path):
    folder = tiny.build("llama", tmp_path / "tied")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    kept = {name: value for name, value in load_file(folder / "model.safetensors").items() if name != HEAD}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load(str(folder), dtype="float32", device="cpu")
    shape = loaded.model.lm_head.weight.shape
    both = [TensorEdit(name, "scale", torch.full(shape, 1.1)) for name in ("model.embed_tokens.weight", HEAD)]
    with pytest.raises(InputError, match="tied weights"):
        save_edit(tmp_path / "edit", loaded, both)
    before = loaded.model.lm_head.weight.clone()
    apply_edit(loaded, save_edit(tmp_path / "edit", loaded, both[1:]))
    assert torch.equal(loaded.model.model.embed_tokens.weight, before * 1.1)


def test_an_edit_without_effect_is_refused(loaded, tmp_path):
    before = weights(loaded)
    nothing = save_edit(tmp_path / "zero", loaded, [TensorEdit(NORM, "add", torch.zeros(32))])
    with pytest.raises(InputError, match="outputs are the same with and without it.*nothing is left"):
        apply_edit(loaded, nothing)
    assert same(before, weights(loaded))


def test_an_edit_of_a_token_that_no_probe_says_is_proven_all_the_same(folder, tmp_path):
    loaded = load(str(folder), dtype="float32", device="cpu")
    rare = loaded.tokenizer.encode("§", add_special_tokens=False)[-1]
    row = torch.arange(32) + 32 * rare
    tensors = [TensorEdit("model.embed_tokens.weight", "add", torch.ones(32), row)]
    assert apply_edit(loaded, save_edit(tmp_path / "edit", loaded, tensors)).proof.probe_difference > 0


def test_an_edit_lost_in_rounding_is_refused(folder, tmp_path):
    """1e-5 added to weights near 1 is below what bfloat16 holds, and counts in float32."""
    fine, coarse = (load(str(folder), dtype=kind, device="cpu") for kind in ("float32", "bfloat16"))
    artifact = save_edit(tmp_path / "edit", fine, [TensorEdit(NORM, "add", torch.full((32,), 1e-5))])
    before = weights(coarse)
    with pytest.raises(InputError, match="nothing is left of it in bfloat16"):
        apply_edit(coarse, artifact)
    assert same(before, weights(coarse)) and apply_edit(fine, artifact).proof.probe_difference > 0


def test_a_model_that_carries_something_takes_no_edit(folder, tmp_path):
    loaded = load(str(folder), dtype="float32", device="cpu")
    artifact = save_edit(tmp_path / "edit", loaded, several())
    edited = apply_edit(loaded, artifact)
    for call in (lambda: apply_edit(edited, artifact), lambda: save_edit(tmp_path / "second", edited, several())):
        with pytest.raises(InputError, match="already carries"):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v | {"version": 2}, "not an edit"),
        (lambda v: v | {"base": {"name": "x"}}, "not a whole edit"),
        (lambda v: v | {"tensors": [v["tensors"][0] | {"layout": "rows"}]}, "not a whole edit"),
        (lambda v: v | {"tensors": v["tensors"][:1]}, "holds .*which edit.json does not name"),
        (lambda v: v | {"tensors": [v["tensors"][0] | {"name": "other"}]}, "not a whole edit"),
        (lambda v: [], "not an edit"),
    ],
)
def test_a_damaged_edit_is_one_line(folder, tmp_path, change, message):
    save_edit(tmp_path / "edit", load(str(folder), dtype="float32", device="cpu"), several())
    file = tmp_path / "edit" / "edit.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(InputError, match=message) as caught:
        read_edit(tmp_path / "edit")
    assert "\n" not in str(caught.value)
    (tmp_path / "edit" / "edit.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="edit.safetensors|not an edit"):
        read_edit(tmp_path / "edit")


def test_an_artifact_is_known_by_what_is_in_its_folder(folder, tmp_path):
    loaded = load(str(folder), dtype="float32", device="cpu")
    save_edit(tmp_path / "edit", loaded, several())
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="no adapter_model.safetensors there; is the training finished"):
        read_artifact(adapter)
    save_file({"x": torch.ones(2)}, adapter / "adapter_model.safetensors")
    kinds = [read_artifact(place).kind for place in (tmp_path / "edit", adapter, folder)]
    assert kinds == ["edit", "adapter", "weights"]
    shutil.copytree(adapter, tmp_path / "copy")
    assert read_artifact(adapter).fingerprint == read_artifact(tmp_path / "copy").fingerprint
    save_file({"x": torch.zeros(2)}, tmp_path / "copy" / "adapter_model.safetensors")
    assert read_artifact(adapter).fingerprint != read_artifact(tmp_path / "copy").fingerprint
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither an adapter .* nor a steering"):
        read_artifact(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder"):
        read_artifact(tmp_path / "nowhere")


def test_whole_weights_are_loaded_under_the_name_of_their_base(folder, tmp_path):
    other = tiny.build("llama", tmp_path / "tuned", seed=3)
    found = load(str(folder), artifact=other, dtype="float32", device="cpu", merge=True)
    assert (found.name, found.path, found.artifact.kind) == (str(folder), str(other), "weights")
    tuned = load_file(other / "model.safetensors")
    assert torch.equal(found.model.lm_head.weight, tuned["lm_head.weight"])
    assert found.fingerprint == load(str(other), dtype="float32", device="cpu").fingerprint
