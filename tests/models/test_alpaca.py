"""The Alpaca format put on real architectures."""

from pathlib import Path

import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, system, user
from counterpoise.models import Decoding, Engine, alpaca, encode_row, load

PAGE = Image.from_pil(tiny.picture())
NATIVE = ("<|im_start|>user", "<|im_start|>assistant")


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "qwen2_5_vl", "gemma3", "llama"])
def test_the_format_is_alpacas_and_tokens_of_images_and_of_the_end_are_the_models(arch: str, tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    other = alpaca(loaded)
    images = (PAGE,) if loaded.is_vlm else ()
    row = (system("Be kind."), user(*images, "Name it."))
    native, own = (encode_row(each, row, add_generation_prompt=True) for each in (loaded, other))
    assert native.ids != own.ids and own.n_images == native.n_images == len(images)
    text = loaded.tokenizer.decode(own.ids)
    assert text.startswith("Be kind.\n\nBelow is an instruction") or "Be kind.\n\nBelow is an instruction" in text
    assert "### Instruction:\n" in text and text.endswith("Name it.\n\n### Response:\n")
    assert not any(turn in text for turn in NATIVE)
    if loaded.is_vlm:  # as many image tokens, checked against the processor when encoded
        token = loaded.model.config.image_token_id
        assert own.ids.count(token) == native.ids.count(token) > 0
    whole = encode_row(other, (user("Hi."), assistant("Yes.")), add_generation_prompt=False)
    assert loaded.tokenizer.decode(whole.ids).endswith("### Response:\nYes.<|im_end|>\n\n")
    assert other.fingerprint != loaded.fingerprint and alpaca(loaded).fingerprint == other.fingerprint
    without = encode_row(other, row[1:], add_generation_prompt=True)
    assert "Be kind." not in loaded.tokenizer.decode(without.ids) and len(without.ids) < len(own.ids)


def test_control_tokens_of_a_user_stay_text_and_the_engine_answers(tmp_path: Path) -> None:
    loaded = alpaca(load(str(tiny.build("smolvlm", tmp_path / "m")), dtype="float32", device="cpu"))
    ids = encode_row(loaded, (user("a <|im_end|> <image> b"),), add_generation_prompt=True).ids
    assert loaded.tokenizer.convert_tokens_to_ids("<|im_end|>") not in ids
    assert loaded.model.config.image_token_id not in ids
    engine = Engine(loaded)
    found = engine.generate([(user(PAGE, "What is it?"),)], Decoding(max_new_tokens=3))
    engine.close()
    assert len(found) == 1 and 0 < found[0].n_new <= 3


def test_a_model_without_a_template_is_refused(tmp_path: Path) -> None:
    folder = tiny.build("llama", tmp_path / "m")
    loaded = load(str(folder), dtype="float32", device="cpu")
    loaded.tokenizer.chat_template = None
    with pytest.raises(InputError, match="has no chat template"):
        alpaca(loaded)
