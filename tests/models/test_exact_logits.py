"""Logits of verdict tokens are read in float32 from a model in bfloat16."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from counterpoise.chat import Image, user
from counterpoise.models import Engine, Loaded, encode, load

TOKENS = [70, 83]
PICTURE = Image.from_pil(tiny.picture(0))


@pytest.fixture(scope="module", params=("llama", "llava", "gemma3"))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build(request.param, tmp_path_factory.mktemp(request.param))), dtype="bfloat16")


def _wanted(loaded: Loaded, hidden: np.ndarray) -> np.ndarray:
    """Difference of the two logits by float64 arithmetic from the states that the output layer read."""
    weight = loaded.model.get_output_embeddings().weight.double().detach().numpy()
    logits = hidden.astype(np.float64) @ weight[TOKENS].T
    return np.asarray(logits[:, 0] - logits[:, 1])


def test_two_verdict_tokens_differ_by_what_the_state_says_and_not_by_steps_of_bfloat16(loaded: Loaded) -> None:
    prompts = [(user(f"is number {n} all right?"),) for n in range(24)]
    looks = Engine(loaded).look(prompts, TOKENS)
    read = np.array([one.logprobs[0] - one.logprobs[1] for one in looks])
    wanted = _wanted(loaded, np.stack([one.hidden for one in looks]))
    np.testing.assert_allclose(read, wanted, atol=1e-4)
    inputs = encode(loaded, prompts, add_generation_prompt=True, padding_side="left")
    with torch.inference_mode():
        own = loaded.model(**inputs).logits[:, -1, TOKENS].double().numpy()
    assert np.abs(own[:, 0] - own[:, 1] - wanted).max() > 5e-4  # so that the first comparison can fail
    mass = [sum(np.exp(one.logprobs)) for one in Engine(loaded).look(prompts[:2], list(range(100)))]
    assert all(0 < each <= 1.0001 for each in mass)


def test_questions_that_share_an_image_are_read_as_exactly(loaded: Loaded) -> None:
    if not loaded.is_vlm:
        pytest.skip("a text model shares no image")
    prompts = [(user(PICTURE, f"is number {n} visible?"),) for n in range(9)]
    looks = Engine(loaded).look_shared(prompts, TOKENS)
    read = np.array([one.logprobs[0] - one.logprobs[1] for one in looks])
    np.testing.assert_allclose(read, _wanted(loaded, np.stack([one.hidden for one in looks])), atol=1e-4)


def test_what_a_model_does_to_its_logits_behind_the_layer_still_happens(tmp_path: Path) -> None:
    import transformers as t

    tok = tiny.tokenizer()
    tok.chat_template = tiny.TEMPLATE.replace("IMAGE", "")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = t.GraniteForCausalLM(tiny._text(t.GraniteConfig, tok, logits_scaling=4.0))
    model.save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), dtype="bfloat16")
    looks = Engine(loaded).look([(user(f"number {n}"),) for n in range(8)], TOKENS)
    read = np.array([one.logprobs[0] - one.logprobs[1] for one in looks])
    np.testing.assert_allclose(read, _wanted(loaded, np.stack([one.hidden for one in looks])) / 4, atol=1e-4)
