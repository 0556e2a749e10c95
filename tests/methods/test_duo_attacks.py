"""The attacks on a model that forgot: what they change (nothing, or one vector for a while) and what they draw."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from counterpoise.base import InputError
from counterpoise.methods import UCEConfig, get
from counterpoise.methods.duo import (
    Drawing,
    Inversion,
    concept_direction,
    defended,
    invert,
    ring_a_bell,
    sdedit,
    wordings,
)
from counterpoise.methods.duo._inversion import FILE, denoising_loss
from counterpoise.models.diffusion import Request, load_diffusion

pytest.importorskip("diffusers")
sys.path.insert(0, str(Path(__file__).parent))
import diffusion_models

KINDS = ("pixel", "sd1")
PROMPT = {"pixel": "red {}", "sd1": "ab {}"}
WORD = {"pixel": "star", "sd1": "b"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("diffusion")
    return {kind: getattr(diffusion_models, kind)(root / kind) for kind in (*KINDS, "sd3")}


def pictures(size, n=2):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)) for _ in range(n)]


def parts(model):
    """Everything that could change, by name."""
    pipe = getattr(model, "pipe", None)
    found = {f"net.{name}": p for name, p in model.net.state_dict().items()}
    if pipe is None:
        return found | {"words": model.words}
    return (
        found
        | {f"text.{name}": p for name, p in pipe.text_encoder.state_dict().items()}
        | {f"vae.{name}": p for name, p in pipe.vae.state_dict().items()}
    )


def copied(model):
    return {name: p.detach().clone() for name, p in parts(model).items()}


def unchanged(model, before):
    now = parts(model)
    return now.keys() == before.keys() and all(torch.equal(now[name], value) for name, value in before.items())


@pytest.mark.parametrize("kind", KINDS)
def test_concept_inversion_learns_one_vector_and_leaves_the_model(folders, tmp_path, kind):
    get("uce").align(load_diffusion(str(folders[kind])), UCEConfig(prompts=(PROMPT[kind].format(WORD[kind]),)),
                     tmp_path / "uce")  # fmt: skip
    model = load_diffusion(str(folders[kind]), artifact=tmp_path / "uce" / "adapter")
    before, known = copied(model), model.encode_prompts([PROMPT[kind].format(WORD[kind])])
    learning = {name for name, p in model.net.named_parameters() if p.requires_grad}
    settings = Inversion((PROMPT[kind],), start=WORD[kind], steps=20, batch_size=4, learning_rate=0.1)
    shown = pictures(model.size)
    vector = invert(model, shown, settings, tmp_path / "a")
    assert unchanged(model, before)
    assert {name for name, p in model.net.named_parameters() if p.requires_grad} == learning
    assert not torch.equal(vector, model.vector_of(WORD[kind]))
    x = torch.cat([model.encode_images([each]) for each in shown]).repeat(64, 1, 1, 1)

    def loss(value):
        with torch.no_grad(), model.new_word(settings.word, value):
            told = [PROMPT[kind].replace("{}", settings.word)] * len(x)
            return float(denoising_loss(model, x, told, torch.Generator().manual_seed(5)))

    assert loss(vector) < loss(model.vector_of(WORD[kind]))
    with model.new_word(settings.word, model.vector_of(WORD[kind])):  # the same vector under another name
        again = model.encode_prompts([PROMPT[kind].replace("{}", settings.word)])
    assert torch.equal(again["encoder_hidden_states"], known["encoder_hidden_states"])
    with pytest.raises(InputError, match="one at a time"), model.new_word(WORD[kind], vector):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_attack_leaves_the_model_as_it_was(folders, tmp_path, kind):
    model = load_diffusion(str(folders[kind]))
    before, real = copied(model), model.predict
    flags = [p.requires_grad for p in model.net.parameters()]

    def fails(*arguments):
        fails.calls += 1
        return real(*arguments) if fails.calls < 3 else real(*arguments) * float("nan")

    fails.calls = 0
    model.predict = fails
    with pytest.raises(InputError, match="the loss of step 2 is nan"):
        invert(model, pictures(model.size), Inversion((PROMPT[kind],), steps=5), tmp_path / "a")
    assert unchanged(model, before) and flags == [p.requires_grad for p in model.net.parameters()]
    model.predict = real
    invert(model, pictures(model.size), Inversion((PROMPT[kind],), steps=1), tmp_path / "b")  # the word is free again
    if kind == "pixel":
        with pytest.raises(InputError, match="none of its words"):
            model.encode_prompts(["red <concept>"])


def test_a_stopped_attack_goes_on_as_if_it_had_not_been(folders, tmp_path, monkeypatch):
    from counterpoise.methods.duo import _train

    model = load_diffusion(str(folders["pixel"]))
    settings = Inversion(("red {}", "blue {}"), steps=6)
    whole = invert(model, pictures(16, 3), settings, tmp_path / "whole")
    real, original = _train._save, _train.run_steps

    def stop(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "run_steps", lambda *a, **k: original(*a, **k | {"save_every": 3}))
    monkeypatch.setattr(_train, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        invert(model, pictures(16, 3), settings, tmp_path / "part")
    monkeypatch.setattr(_train, "_save", real)
    assert torch.equal(invert(model, pictures(16, 3), settings, tmp_path / "part"), whole)
    with pytest.raises(InputError, match="other settings stopped here"):
        invert(model, pictures(16, 2), settings, tmp_path / "part")


def test_the_learned_word_is_what_diffusers_itself_would_load(folders, tmp_path):
    from diffusers import StableDiffusionPipeline

    model = load_diffusion(str(folders["sd1"]))
    vector = invert(model, pictures(model.size), Inversion(("ab {}",), steps=2), tmp_path / "a")
    pipe = StableDiffusionPipeline.from_pretrained(folders["sd1"], safety_checker=None)
    # the text encoder has spare rows for tokens that its tokenizer lacks; diffusers would cut them off
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
    pipe.load_textual_inversion(tmp_path / "a" / FILE)
    wanted, _ = pipe.encode_prompt(["ab <concept>"], "cpu", 1, False)
    with model.new_word("<concept>", vector):
        assert torch.equal(model.encode_prompts(["ab <concept>"])["encoder_hidden_states"], wanted)
        drawn = model.generate(Request("ab <concept>", (1,), steps=2))[0]
    assert not np.array_equal(np.asarray(drawn), np.asarray(model.generate(Request("ab c", (1,), steps=2))[0]))


def test_one_prompt_for_each_picture_stays_with_it():
    settings = Inversion(("red {}", "blue {}"))
    generator = torch.Generator().manual_seed(0)
    assert [settings.told(n, 2, generator) for n in (0, 1, 0)] == ["red <concept>", "blue <concept>", "red <concept>"]
    assert {settings.told(0, 3, generator) for _ in range(20)} == {"red <concept>", "blue <concept>"}


@pytest.mark.parametrize("kind", ["pixel", "sd1", "sd3"])
def test_a_moved_prompt_is_drawn_as_the_prompt_it_is_moved_to(folders, kind):
    model = load_diffusion(str(folders[kind]))
    told, plain = ("red star", "red tree") if kind == "pixel" else ("ab c", "d e f")
    direction = concept_direction(model, [told], [plain])
    drawing = Drawing(seeds=2, guidance=3.0, steps=2)
    there = ring_a_bell(model, direction, [plain], 1.0, drawing)[0]
    here = ring_a_bell(model, direction, [plain], 0.0, drawing)[0]
    for request, prompt in ((there, told), (here, plain)):
        wanted = [np.asarray(each, dtype=int) for each in model.generate(wordings([prompt], drawing)[0])]
        for a, b in zip(model.generate(request), wanted, strict=True):
            assert np.abs(np.asarray(a, dtype=int) - b).max() <= 1  # rounded differently in the sum
    if kind == "pixel":  # the mean over pairs, by hand
        mean = concept_direction(model, ["red star", "blue star"], ["red tree", "blue house"])
        table = dict(zip(["", *model.vocabulary], model.words, strict=True))
        assert torch.allclose(mean["encoder_hidden_states"][0, 1], table["star"] - (table["tree"] + table["house"]) / 2)
        assert not mean["encoder_hidden_states"][0, 2:].any()


def test_an_edit_starts_from_the_picture_it_was_given(folders):
    model = load_diffusion(str(folders["pixel"]))
    start = pictures(16, 2)
    drawing = Drawing(seeds=2, guidance=1.0, steps=10)

    def kept(strength):
        requests = sdedit(["red star", "blue star"], start, strength, drawing)
        assert [request.prompt for request in requests] == ["red star", "blue star"]
        return np.mean([np.abs(np.asarray(made, dtype=int) - np.asarray(begin, dtype=int)).mean()
                        for request, begin in zip(requests, start, strict=True)
                        for made in model.generate(request)])  # fmt: skip

    assert kept(0.1) < kept(0.5) < kept(1.0)


def test_the_defence_rate_leaves_out_what_the_detector_could_not_tell(folders):
    model = load_diffusion(str(folders["pixel"]))
    verdicts = iter([True, None, False, False, True, False])
    found = defended(model, wordings(["red star", "star", "star star"], Drawing(2, 1.0, 1)), lambda _: next(verdicts))
    assert found.value == pytest.approx(3 / 5) and (found.n_scored, found.n_unscored) == (5, 1)
    assert [request.seeds for request in wordings(["star"], Drawing(2, first=7))] == [(7, 8)]
    with pytest.raises(InputError, match="nothing to draw"):
        defended(model, [], lambda _: True)


def test_what_is_wrong_is_one_line(folders, tmp_path):
    model, flow = load_diffusion(str(folders["pixel"])), load_diffusion(str(folders["sd3"]))
    with pytest.raises(InputError, match="no picture of the concept"):
        invert(model, [], Inversion(), tmp_path)
    with pytest.raises(InputError, match="one text encoder"):
        invert(flow, pictures(flow.size), Inversion(), tmp_path)
    with pytest.raises(InputError, match=r"once in each"):
        Inversion(("a star",))
    with pytest.raises(InputError, match="expected all above 0"):
        Inversion(steps=0)
    with pytest.raises(InputError, match="small letters"):
        invert(model, pictures(16), Inversion(("red {}",), word="My Star"), tmp_path)
    with pytest.raises(InputError, match=r"a vector of shape \(3,\)"), model.new_word("<c>", torch.zeros(3)):
        pass
    with pytest.raises(InputError, match="'dragon' is none of its words"):
        model.vector_of("dragon")
    with pytest.raises(InputError, match="is 3 tokens"):
        load_diffusion(str(folders["sd1"])).vector_of("abc")
    with pytest.raises(InputError, match="1 prompts with the concept for 2 without"):
        concept_direction(model, ["star"], ["tree", "house"])
    with pytest.raises(InputError, match="2 prompts for 1 pictures"):
        sdedit(["star", "tree"], pictures(16, 1), 0.5, Drawing())
    with pytest.raises(InputError, match="give other wordings"):
        wordings([], Drawing())
