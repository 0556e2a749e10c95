"""Pictures and processors that are not as one expects: an answer, or one line that names the picture."""

import pytest
import torch
from architectures import build_paligemma

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.models import Decoding, Engine, encode, load

THIN = ((1, 500), (500, 1), (1, 1))


def asked(size, source="images/thin.png"):
    return (user(Image.from_pil(tiny.picture(size=size), source), "what is it?"),)


@pytest.mark.parametrize("arch", (*tiny.VLMS, *tiny.QWEN))
def test_a_thin_picture_is_answered_or_named(arch, tmp_path):
    engine = Engine(load(str(tiny.build(arch, tmp_path)), dtype="float32", device="cpu"))
    for size in THIN:
        try:
            assert len(engine.generate([asked(size)], Decoding(max_new_tokens=2))) == 1
        except InputError as error:
            said = str(error)
            assert said.startswith(f"images/thin.png ({size[0]} x {size[1]} pixels): refused by the processor")
            assert "\n" not in said and arch.startswith("qwen")


def test_the_picture_that_is_refused_is_named_and_no_other(tmp_path):
    loaded = load(str(tiny.build("qwen2_5_vl", tmp_path)), dtype="float32", device="cpu")
    both = (user(Image.from_pil(tiny.picture(), "good.png"), *asked((500, 1))[0].parts),)
    with pytest.raises(InputError, match=r"^images/thin\.png \(500 x 1 pixels\)") as caught:
        encode(loaded, [both], add_generation_prompt=True, padding_side="left")
    assert "good.png" not in str(caught.value)


def test_memory_that_runs_out_is_not_the_pictures_fault(tmp_path, monkeypatch):
    loaded = load(str(tiny.build("qwen2_5_vl", tmp_path)), dtype="float32", device="cpu")

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(loaded.processor), "__call__", full)
    with pytest.raises(MemoryError):
        encode(loaded, [asked((40, 40))], add_generation_prompt=True, padding_side="left")


def test_labels_that_a_processor_adds_are_no_input_of_the_model(tmp_path):
    loaded = load(str(build_paligemma(tmp_path)), dtype="float32", device="cpu")
    assert "labels" in loaded.processor(images=[[tiny.picture()]], text=["<image>"], return_tensors="pt")
    inputs = encode(loaded, [asked((40, 40)), (user("and here?"),)], add_generation_prompt=True, padding_side="left")
    assert "labels" not in inputs
    with torch.inference_mode():
        assert loaded.model(**inputs).loss is None
    one, two = Engine(loaded).generate([asked((40, 40)), (user("and here?"),)], Decoding(max_new_tokens=3))
    assert one.n_new and two.n_new
