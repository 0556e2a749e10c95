"""What can be loaded, and the one line for what cannot."""

import json
import shutil

import pytest
import torch

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Decoding, Engine, doctor, encode, load, resolve_device, resolve_dtype


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return tiny.build("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tiny.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("arch", (*tiny.ARCHITECTURES, *tiny.QWEN))
def test_save_load_keeps_every_tensor_and_the_fingerprint_follows_the_weights(arch, tmp_path):
    first = load(str(tiny.build(arch, tmp_path / "a")), dtype="float32", device="cpu")
    first.model.save_pretrained(tmp_path / "b")
    (first.processor or first.tokenizer).save_pretrained(tmp_path / "b")
    again = load(str(tmp_path / "b"), dtype="float32", device="cpu")
    own = again.model.state_dict()
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=0)
    assert first.is_vlm == (arch != "llama") and (first.image_backend == "pil") == first.is_vlm
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    assert load(str(tmp_path / "elsewhere"), dtype="float32").fingerprint == first.fingerprint
    assert load(str(tmp_path / "a"), dtype="bfloat16").fingerprint != first.fingerprint
    other = load(str(tiny.build(arch, tmp_path / "c", seed=1)), dtype="float32")
    assert other.fingerprint != first.fingerprint


def test_weights_are_held_in_the_dtype_asked_for(llava):
    for name in ("bfloat16", "float32"):
        loaded = load(str(llava), dtype=name)
        assert {str(p.dtype) for p in loaded.model.parameters()} == {f"torch.{name}"}
    assert load(str(llava)).dtype == resolve_dtype() in ("bfloat16", "float32")
    assert resolve_device("cpu") == "cpu"


def broken_config(folder):
    (folder / "config.json").write_text('{"model_type": "lla')


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def pickled(folder):
    no_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def truncated(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def not_chatting(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))


def unknown_type(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "from_the_future"}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (broken_config, "config.json"),
        (no_weights, r"no weights .*\*\.safetensors"),
        (pickled, "only pickle weights"),
        (truncated, "damaged weights"),
        (not_chatting, "neither chats nor takes images"),
        (unknown_type, "from_the_future"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    ],
)
def test_a_damaged_folder_gives_one_line(llava, tmp_path, harm, message):
    folder = tmp_path / "m"
    shutil.copytree(llava, folder)
    harm(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "/no/such/folder"}, "no such model folder"),
        ({"name": "./nothing"}, "no such model folder"),
        ({"name": "word"}, 'a Hugging Face id such as "org/model", or "pocket"'),
        ({"dtype": "int3"}, "choose one of"),
        ({"device": "cuda:99"}, "not available here"),
        ({"image_backend": "opencv"}, "choose one of pil, torchvision"),
        ({"adapter": "/no/such/adapter"}, "no such model folder"),
    ],
)
def test_bad_options_give_one_line(llava, options, message):
    with pytest.raises(InputError, match=message):
        load(**{"name": str(llava), **options})


def test_a_hub_id_without_a_network_says_what_to_do(tmp_path, monkeypatch, capsys):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot be reached; copy the model here and give its folder"):
        load("some-org/some-model")


def test_a_text_only_model_given_images_says_so(llama):
    loaded = load(str(llama))
    with pytest.raises(InputError, match=r"text-only model, but the conversation has 1 image"):
        encode(loaded, [(user(Image.from_pil(tiny.picture()), "x"),)], add_generation_prompt=True, padding_side="left")


def test_a_base_model_without_a_template_says_so(llama, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(llama, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        encode(load(str(folder)), [(user("x"),)], add_generation_prompt=True, padding_side="left")


def test_the_doctor_names_every_part_and_what_to_do():
    checks = {check.name: check for check in doctor()}
    assert checks["python"].status == checks["torch"].status == "ok"
    assert all(check.detail for check in checks.values())


@pytest.mark.parametrize("arch", ["llama", "smolvlm"])
def test_the_output_layer_never_gets_a_strided_view(arch, tmp_path):
    """With frozen weights such a view costs one copy of the output matrix for every row of the batch."""
    loaded = load(str(tiny.build(arch, tmp_path / arch)), dtype="float32", device="cpu")
    loaded.model.requires_grad_(False)
    given: list[torch.Tensor] = []
    loaded.model.get_output_embeddings().register_forward_pre_hook(lambda _, args: given.append(args[0]))
    Engine(loaded).generate([(user("hi"),), (user("what is printed"),)], Decoding(max_new_tokens=3))
    assert len(given) >= 2 and all(hidden.is_contiguous() for hidden in given)
    assert given[0].shape[:2] == (2, 1)
