"""Where a model lies: one device, a device per process, or parts on several."""

import json

import pytest
import torch

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Decoding, Engine, load, lora_targets, resolve_device, target_regex
from counterpoise.models._device import place, rank_device, resolve_dtype

ROWS = [(user("what is printed?"),), (user(Image.from_pil(tiny.picture()), "what is printed?"),)]


@pytest.mark.parametrize(
    ("env", "count", "device"),
    [({}, 1, "cuda:0"), ({}, 8, "cuda:0"), ({"LOCAL_RANK": "0"}, 2, "cuda:0"), ({"LOCAL_RANK": "3"}, 4, "cuda:3")],
)
def test_every_process_of_a_launched_job_takes_its_own_gpu(env, count, device):
    assert rank_device(env, count) == device


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(InputError, match="process 2 .* only 2 here; launch with --num_processes 2"):
        rank_device({"LOCAL_RANK": "2"}, 2)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_auto_and_cuda_are_resolved_by_rank(monkeypatch, name):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    asked = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: asked.append(device))
    assert resolve_device(name) == "cuda:1" and asked == ["cuda:1"]
    assert resolve_device("cuda:3") == "cuda:3"  # what was named is taken


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return tiny.build("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def expected(llava):
    return [answer.text for answer in Engine(load(str(llava), dtype="float32")).generate(ROWS, Decoding(8))]


SPLIT = {
    "model.vision_tower": "cpu",
    "model.multi_modal_projector": "cpu",
    "model.language_model.embed_tokens": "cpu",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.norm": "disk",
    "model.language_model.rotary_emb": "cpu",
    "lm_head": "disk",
}


@pytest.mark.parametrize("spread", ["auto", {"": "cpu"}, SPLIT], ids=["auto", "one device", "partly on disk"])
def test_a_spread_model_answers_as_a_whole_one(llava, expected, spread, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load(str(llava), dtype="float32", device_map=spread)
    assert loaded.device == "cpu"
    assert [answer.text for answer in Engine(loaded).generate(ROWS, Decoding(8))] == expected
    assert not list(tmp_path.iterdir())  # nothing is written beside the user's files


def test_inputs_go_to_where_the_embeddings_compute_also_when_their_weights_lie_on_disk(llava, expected):
    whole = dict.fromkeys(SPLIT, "disk") | {"model.vision_tower": "cpu", "model.language_model.rotary_emb": "cpu"}
    loaded = load(str(llava), dtype="float32", device_map=whole)
    assert loaded.model.get_input_embeddings().weight.device.type == "meta" and loaded.device == "cpu"
    assert [answer.text for answer in Engine(loaded).generate(ROWS, Decoding(8))] == expected


@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_acts_on_a_spread_model(llava, tmp_path, merge):
    from peft import LoraConfig, get_peft_model

    base = load(str(llava), dtype="float32")
    config = LoraConfig(r=4, target_modules=target_regex(lora_targets(base.model)), init_lora_weights=False)
    get_peft_model(base.model, config).save_pretrained(tmp_path)
    answers = [
        Engine(load(str(llava), adapter=tmp_path, dtype="float32", merge=merge, device_map=spread)).generate(ROWS)
        for spread in (None, {"": "cpu"})
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "everywhere"}, "choose one of auto, balanced, balanced_low_0, sequential"),
        ({"device_map": "auto", "device": "cpu"}, "give one of the two"),
        ({"device_map": {"": "cuda:99"}}, "'cuda:99': not available here"),
        (
            {"device_map": {"": "cpu", "model.no_such_part": "cpu"}},
            "no_such_part, which the model does not have",
        ),
        ({"device_map": {"model": "cpu"}}, "device_map provided does not give any device for .* lm_head.weight"),
    ],
)
def test_a_wrong_device_map_gives_one_line(llava, options, message):
    with pytest.raises(InputError, match=message) as caught:
        load(str(llava), **options)
    assert "\n" not in str(caught.value)


def test_processes_of_a_launched_job_do_not_spread_over_the_same_gpus(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="would spread its model over the same GPUs"):
        place("auto", "auto")


def test_a_dtype_that_is_none_is_refused_before_anything_is_read():
    with pytest.raises(InputError, match="choose one of auto, bfloat16"):
        resolve_dtype("int3")


QUANTISED = [
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
    ({"quant_method": "gptq", "bits": 4}, "gptq"),
    ({"quant_method": "awq", "bits": 4}, "awq"),
    ({"quant_method": "hqq", "quant_config": {}}, "hqq"),
    ({"quant_method": "quanto", "weights": "int8"}, "quanto"),
    ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ({"quant_method": "from_the_future"}, "from_the_future"),
]


@pytest.mark.parametrize(("how", "method"), QUANTISED, ids=[f"{m}-{n}" for n, (_, m) in enumerate(QUANTISED)])
def test_a_quantised_checkpoint_whose_package_is_not_here_says_which(tmp_path, how, method):
    """As on a machine without any of the packages: transformers' own checks decide, so with one here it may load."""
    folder = tiny.build("llama", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": how}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=method) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)
