"""What can be loaded, and the one line for what cannot."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Decoding, Engine, doctor, encode, load, resolve_device, resolve_dtype
from counterpoise.models._defaults import generation_defaults


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


def incomplete(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight")))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


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
        (incomplete, r"1 of its weights are in none of the files, e\.g\. .*up_proj"),
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


def drop(*names):
    def harm(folder):
        for name in names:
            (folder / name).unlink()

    return harm


def no_end(folder):
    for name in ("tokenizer_config.json", "generation_config.json", "config.json"):
        values = json.loads((folder / name).read_text())
        for part in (values, values.get("text_config", {})):
            part.pop("eos_token", None)
            part.pop("eos_token_id", None)
            part |= {"eos_token_id": None} if name == "config.json" else {}
        (folder / name).write_text(json.dumps(values))
    template = folder / "chat_template.jinja"  # whose end of turn would serve
    template.write_text(template.read_text(encoding="utf-8").replace("<|im_end|>", ""), encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (drop("processor_config.json"), r"cannot load its processor \(.* has no preprocessor_config\.json; copy it"),
        (drop("tokenizer.json"), r"cannot load its processor \(.* has no tokenizer\.json; copy it"),
        (drop("tokenizer.json", "tokenizer_config.json"), r"has no tokenizer_config\.json, tokenizer\.json; copy"),
        (no_end, "name no token that ends a reply"),
    ],
)
def test_missing_files_of_the_processor_are_named(llava, tmp_path, harm, message):
    folder = tmp_path / "m"
    shutil.copytree(llava, folder)
    harm(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_padding_is_no_hindrance(llama, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(llama, folder)
    for name in ("tokenizer_config.json", "generation_config.json", "config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(
            json.dumps({k: v for k, v in values.items() if k not in ("pad_token", "pad_token_id")})
        )
    rows = [(user("a"),), (user("who is there, and what is printed?"),)]
    own, plain = load(str(llama), dtype="float32"), load(str(folder), dtype="float32")
    assert own.tokenizer.pad_token and not plain.tokenizer.pad_token
    assert Engine(plain).generate(rows, Decoding(6)) == Engine(own).generate(rows, Decoding(6))


def test_generation_defaults_are_recorded_said_and_change_no_answer(llama, tmp_path, capsys):
    folder = tmp_path / "m"
    shutil.copytree(llama, folder)
    defaults = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 1.0,
        "repetition_penalty": 5.0,
        "suppress_tokens": [1, 2],
    }
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(config | defaults | {"top_p": 1.0}))
    loaded = load(str(folder), dtype="float32")
    said = capsys.readouterr().err
    assert loaded.generation_defaults == {k: v for k, v in defaults.items() if k != "top_p"}
    assert (
        said.count("\n") == 1
        and "switched off" in said
        and "repetition_penalty=5.0" in said
        and "temperature=0.6" in said
    )
    plain = load(str(llama), dtype="float32")
    assert plain.generation_defaults == {} and capsys.readouterr().err == ""
    rows = [(user("who is there?"),), (user("what is printed in the picture"),)]
    assert Engine(loaded).generate(rows, Decoding(12)) == Engine(plain).generate(rows, Decoding(12))


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ({"temperature": 0.6}, {}),  # means nothing without do_sample
        ({"do_sample": True, "top_k": 1}, {"do_sample": True, "top_k": 1}),
        ({"repetition_penalty": 1.0, "num_beams": 1, "no_repeat_ngram_size": 0}, {}),
        ({"no_repeat_ngram_size": 1, "min_new_tokens": 1}, {"no_repeat_ngram_size": 1, "min_new_tokens": 1}),
        ({"stop_strings": ["x"], "max_length": 9, "use_cache": False}, {"stop_strings": ["x"]}),
    ],
)
def test_only_what_would_change_answers_counts_as_a_default(setting, kept):
    class Model:
        generation_config = transformers.GenerationConfig(**setting)

    assert generation_defaults(Model) == kept


def test_an_encoder_decoder_is_refused(tmp_path):
    config = (
        transformers.T5Gemma2Config() if hasattr(transformers, "T5Gemma2Config") else transformers.Florence2Config()
    )
    config.save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="has a text encoder; only decoders are supported"):
        load(str(tmp_path))


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
