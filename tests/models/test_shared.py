"""Questions that share their image, against one pass each, on every architecture, in fp32."""

import numpy as np
import pytest
import torch

import tiny
from counterpoise.chat import Image, user
from counterpoise.models import Engine, Loaded, load


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(arch: str) -> Loaded:
        if arch not in made:
            made[arch] = load(str(tiny.build(arch, root / arch)), dtype="float32", device="cpu")
        return made[arch]

    return get


@pytest.fixture(params=(*tiny.ARCHITECTURES, *tiny.QWEN, *tiny.HYBRID))
def loaded(request, models):
    return models(request.param)


def picture(seed: int) -> Image:
    return Image.from_pil(tiny.picture(seed, (40 + 20 * seed, 60)))


def questions(loaded: Loaded) -> list:
    """Three images and no image, with several questions each, mixed; one image stands behind its question."""
    texts = ["is a dog visible? Content: a dog", "is a dog visible? Content: a very large and old cat", "is a", "who?"]
    rows = [(user(text),) for text in texts]
    if loaded.is_vlm:
        rows += [(user(picture(n), text),) for text in texts for n in range(3)]
        rows += [(user(text, picture(0)),) for text in texts[:2]]
    return rows


def test_equals_one_pass_each(loaded):
    rows, tokens, engine = questions(loaded), [5, 17, 40], Engine(loaded)
    shared, single = engine.look_shared(rows, tokens), engine.look(rows, tokens)
    assert np.allclose([s.logprobs for s in shared], [s.logprobs for s in single], atol=2e-4)
    assert np.allclose([s.hidden for s in shared], [s.hidden for s in single], atol=2e-4)
    assert len({round(s.logprobs[0], 3) for s in shared}) > 3  # images and questions matter


def test_small_batches_give_the_same(loaded):
    rows, tokens = questions(loaded), [5, 17]
    small = Engine(loaded, max_batch=3).look_shared(rows, tokens)
    assert np.allclose([s.logprobs for s in small], [s.logprobs for s in Engine(loaded).look(rows, tokens)], atol=2e-4)


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "internvl"])
def test_an_image_is_encoded_once_for_all_its_questions(arch, models):
    loaded = models(arch)
    encoded: list[int] = []
    name = "vision_tower" if hasattr(loaded.model.model, "vision_tower") else "vision_model"
    tower = getattr(loaded.model.model, name)
    hook = tower.register_forward_hook(lambda *_: encoded.append(1))
    passes: list[torch.Size] = []
    outer = loaded.model.get_output_embeddings().register_forward_hook(lambda m, i, o: passes.append(o.shape))
    try:
        Engine(loaded).look_shared([(user(picture(0), f"is number {n} visible?"),) for n in range(12)], [5])
    finally:
        hook.remove()
        outer.remove()
    assert len(encoded) == 1 and len(passes) == 2


def test_out_of_memory_halves_the_batch(models, monkeypatch):
    from counterpoise.models import _engine

    loaded, real, sizes = models("smolvlm"), _engine.look_shared_batch, []

    def tight(loaded, rows, tokens):
        sizes.append(len(rows))
        if len(rows) > 4:
            raise RuntimeError("CUDA out of memory")
        return real(loaded, rows, tokens)

    rows = questions(loaded)
    expected = [s.logprobs for s in Engine(loaded).look(rows, [5])]
    monkeypatch.setattr(_engine, "look_shared_batch", tight)
    found = Engine(loaded).look_shared(rows, [5])
    assert np.allclose([s.logprobs for s in found], expected, atol=2e-4) and max(sizes) > 4


def test_nothing_asked(models):
    assert Engine(models("llama")).look_shared([], [5]) == []
