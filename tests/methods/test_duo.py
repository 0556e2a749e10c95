"""DUO, ESD and UCE on tiny random models of the real architectures: what is trained, kept, resumed and refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.methods import DUOConfig, ESDConfig, UCEConfig, get
from counterpoise.methods.duo import (
    PairPlan,
    Prompts,
    evaluate,
    make_pairs,
    preserved,
    read_pairs,
    ssim,
    ssim_similarity,
)
from counterpoise.methods.duo._duo import levels, predictions, pure_level
from counterpoise.methods.duo._esd import partly_drawn
from counterpoise.methods.duo._uce import edited
from counterpoise.models import read_artifact
from counterpoise.models.diffusion import Request, add_lora, load_diffusion, put_adapter, without_adapter

pytest.importorskip("diffusers")
sys.path.insert(0, str(Path(__file__).parent))
import diffusion_models

KINDS = ("pixel", "sd1", "sd3")
CONCEPT, SAFE = {"pixel": "red star", "sd1": "ab c", "sd3": "ab c"}, {"pixel": "blue tree", "sd1": "d e", "sd3": "d e"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("diffusion")
    return {kind: getattr(diffusion_models, kind)(root / kind) for kind in KINDS}


def pairs(folder, size, n=3):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(n):
        for side in ("safe", "unsafe"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            array = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / side / f"{number}.png")
        rows.append({"id": str(number)})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def config(folder, **fields):
    return DUOConfig(pairs=folder, **{"steps": 2, "batch_size": 2, "rank": 2, "base_rate": 1.0} | fields)


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_save_load_and_only_self_attention_learns(folders, tmp_path, kind):
    model = load_diffusion(str(folders[kind]))
    frozen = {name: p.detach().clone() for name, p in model.net.named_parameters()}
    folder = pairs(tmp_path / "pairs", model.size)
    made = get("duo").align(model, config(folder), tmp_path / "out")
    assert made.run["data"]["pairs"] == 3 and made.run["train"]["preference"] > 0
    trained = {name for name, p in model.net.named_parameters() if p.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    assert all(".attn2." not in name for name in trained if kind != "sd3")
    kept = dict(model.net.base_model.model.named_parameters())
    for name, value in frozen.items():
        now = kept.get(
            name, kept.get(name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias"))
        )
        assert torch.equal(now, value), name
    again = load_diffusion(str(folders[kind]), artifact=tmp_path / "out" / "adapter")
    x, u, c = torch.randn(1, *model.shape), torch.tensor([0.5]), model.encode_prompts([CONCEPT[kind]])
    plain = load_diffusion(str(folders[kind]))
    with torch.no_grad():
        assert torch.allclose(again.predict(x, u, c), model.predict(x, u, c), atol=1e-5)
        assert not torch.equal(again.predict(x, u, c), plain.predict(x, u, c))
        with without_adapter(again):
            assert torch.equal(again.predict(x, u, c), plain.predict(x, u, c))


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_is_the_same_for_the_same_seed_and_an_edit_keeps_what_its_strength_leaves(folders, kind):
    model = load_diffusion(str(folders[kind]))
    one, two = model.generate(Request(CONCEPT[kind], (3, 4), steps=4))
    again = model.generate(Request(CONCEPT[kind], (3, 4), steps=4))[0]
    assert np.array_equal(np.asarray(one), np.asarray(again)) and not np.array_equal(np.asarray(one), np.asarray(two))
    assert one.size == (model.size, model.size)
    edit = model.generate(Request(SAFE[kind], (9,), CONCEPT[kind], 7.5, 4, (one,), 0.75))[0]
    assert edit.size == one.size and not np.array_equal(np.asarray(edit), np.asarray(one))


def test_the_pair_shares_its_noise_and_levels_are_in_range(folders):
    model = load_diffusion(str(folders["sd3"]))
    settings = DUOConfig(pairs=Path("x"), highest=0.75, lowest=0.25)
    drawn = levels(model, settings, 500, torch.Generator().manual_seed(0))
    assert float(drawn.min()) >= 0.25 and float(drawn.max()) <= 0.75 and float(drawn.std()) > 0.1
    assert pure_level(model, settings, 2).tolist() == [1, 1]
    legacy = settings.model_copy(update={"legacy_index": True})
    assert float(levels(model, legacy, 500, torch.Generator().manual_seed(0)).min()) >= 0.25
    assert pure_level(model, legacy, 1).tolist() == [pytest.approx(0.001, rel=1e-3)]
    add_lora(model, model.self_attention, rank=2, alpha=2, seed=0)
    seen = []
    model.predict = lambda noisy, level, condition: seen.append((noisy, level)) or noisy
    x = torch.zeros(2, *model.shape)
    predictions(model, settings, x, x, model.encode_prompts([""]), torch.Generator().manual_seed(1))
    noisy, level = seen[0]
    sigma = model.scheme.sigma(level).view(-1, 1, 1, 1)
    noise = noisy / sigma  # of black latents only noise is left
    assert torch.allclose(noise[:2], noise[2:4], atol=1e-5) and torch.allclose(noise[:2], noise[4:], atol=1e-5)
    assert level[4:].tolist() == [1, 1] and not torch.equal(level[:2], level[2:4])


def test_a_killed_training_goes_on_as_if_it_had_not_been(folders, tmp_path, monkeypatch):
    from counterpoise.methods.duo import _train

    folder = pairs(tmp_path / "pairs", 16)
    whole = load_diffusion(str(folders["pixel"]))
    get("duo").align(whole, config(folder, steps=6), tmp_path / "whole")
    real, steps = _train._save, []

    def save(*args):
        real(*args)
        steps.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "_save", save)
    original = _train.run_steps
    monkeypatch.setattr(_train, "run_steps", lambda *a, **k: original(*a, **k | {"save_every": 3}))
    with pytest.raises(KeyboardInterrupt):
        get("duo").align(load_diffusion(str(folders["pixel"])), config(folder, steps=6), tmp_path / "part")
    monkeypatch.setattr(_train, "_save", real)
    part = load_diffusion(str(folders["pixel"]))
    get("duo").align(part, config(folder, steps=6), tmp_path / "part")
    assert len((tmp_path / "part" / "training" / "log.jsonl").read_text().splitlines()) == 6
    for (name, a), (_, b) in zip(whole.net.named_parameters(), part.net.named_parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name
    with pytest.raises(InputError, match="other settings stopped here"):
        other = load_diffusion(str(folders["pixel"]))
        get("duo").align(other, config(folder, steps=6, beta=7.0), tmp_path / "part")


def test_merging_adds_the_changes_of_the_weights(folders, tmp_path):
    folder = pairs(tmp_path / "pairs", 16)
    made = []
    for seed in (0, 1):
        model = load_diffusion(str(folders["pixel"]))
        get("duo").align(model, config(folder, seed=seed, rank=2 + seed), tmp_path / str(seed))
        made.append(tmp_path / str(seed) / "adapter")
    base = load_diffusion(str(folders["pixel"]))
    get("duo").align(base, DUOConfig(merge=tuple(made)), tmp_path / "both")

    def weights(adapter):
        return put_adapter(load_diffusion(str(folders["pixel"])), adapter).net.merge_and_unload().state_dict()

    start = base.net.state_dict()
    one, two, both = (weights(path) for path in (*made, tmp_path / "both" / "adapter"))
    for name, value in start.items():
        assert torch.allclose(both[name] - value, one[name] + two[name] - 2 * value, atol=1e-6), name


@pytest.mark.parametrize("kind", ["pixel", "sd1"])
@pytest.mark.parametrize("variant", ["x", "u"])
def test_esd_trains_what_reads_the_prompt_or_what_does_not(folders, tmp_path, kind, variant):
    model = load_diffusion(str(folders[kind]))
    settings = ESDConfig(prompts=(CONCEPT[kind],), steps=2, draw_steps=4, rank=2, variant=variant, learning_rate=1e-2)
    get("esd").align(model, settings, tmp_path / "out")
    trained = [name for name, p in model.net.named_parameters() if p.requires_grad]
    assert trained and all((".attn2." in name) == (variant == "x") for name in trained)
    load_diffusion(str(folders[kind]), artifact=tmp_path / "out" / "adapter")
    # stopped behind the adapter, it goes on: PEFT reads the card that it wrote, and a path in it is not readable
    get("esd").align(load_diffusion(str(folders[kind])), settings, tmp_path / "out")


def test_esd_draws_what_the_models_own_sampler_passes_through(folders):
    """Unclipped, the first step from pure noise gave pictures of size 100, where all prompts predict alike."""
    model = load_diffusion(str(folders["pixel"]))
    seen = []
    hook = model.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:1].clone()))
    model.generate(Request("red star", (0,), guidance=3.0, steps=5))
    hook.remove()
    told, free = model.encode_prompts(["red star"]), model.encode_prompts([""])
    for stop in range(1, 5):
        x, level = partly_drawn(model, told, free, 3.0, 5, stop, torch.Generator().manual_seed(0))
        assert torch.allclose(x, seen[stop], atol=1e-4), stop
        assert float(level) == pytest.approx(1 - stop / 5)


def test_uce_equals_the_published_formula():
    g = torch.Generator().manual_seed(0)
    w, c, p = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((5, 4), (2, 4), (3, 4)))
    guide = torch.randn(4, generator=g, dtype=torch.float64)
    b, a = edited(w, c, guide, p, 0.5)
    right = 0.5 * torch.eye(4, dtype=torch.float64) + c.T @ c + p.T @ p
    left = 0.5 * w + torch.outer(w @ guide, c.sum(0)) + w @ p.T @ p
    assert torch.allclose(w + b @ a, left @ torch.linalg.inv(right), atol=1e-10)
    one = torch.ones(1, 1)
    b, a = edited(one, one, torch.zeros(1), torch.zeros(0, 1), 0.5)
    assert float(one + b @ a) == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", ["pixel", "sd1"])
def test_uce_changes_keys_and_values_of_the_prompt_alone(folders, tmp_path, kind):
    model = load_diffusion(str(folders[kind]))
    settings = UCEConfig(prompts=(CONCEPT[kind],), guide=SAFE[kind])
    get("uce").align(model, settings, tmp_path / "out")
    merged = (
        load_diffusion(str(folders[kind]), artifact=tmp_path / "out" / "adapter").net.merge_and_unload().state_dict()
    )
    changed = {name for name, value in model.net.state_dict().items() if not torch.equal(value, merged[name])}
    assert changed and all(".attn2.to_k." in name or ".attn2.to_v." in name for name in changed)


def test_uce_with_its_own_prompt_as_guide_and_flow_matching_are_refused(folders, tmp_path):
    model = load_diffusion(str(folders["pixel"]))
    with pytest.raises(InputError, match="nothing would change"):
        get("uce").align(model, UCEConfig(prompts=("red star",), guide="red star"), tmp_path / "a")
    flow = load_diffusion(str(folders["sd3"]))
    with pytest.raises(InputError, match="ESD is for models with timesteps"):
        get("esd").align(flow, ESDConfig(prompts=("ab",)), tmp_path / "b")
    with pytest.raises(InputError, match="UCE is for models with cross-attention"):
        get("uce").align(flow, UCEConfig(prompts=("ab",)), tmp_path / "c")


def test_pairs_are_drawn_until_the_detector_agrees_and_a_stopped_drawing_goes_on(folders, tmp_path):
    model = load_diffusion(str(folders["pixel"]))
    asked = []

    def detector(picture):
        asked.append(picture)
        return len(asked) % 3 == 1

    plan = PairPlan(("red star",), ("blue tree",), 6, steps=2)
    made = make_pairs(model, plan, tmp_path / "p", detector)
    assert len(made) == 6 and made[0].prompt == "red star"  # one prompt gives them all
    rows = [json.loads(line) for line in (tmp_path / "p" / "pairs.jsonl").read_text().splitlines()]
    (tmp_path / "p" / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    before = len(asked)
    make_pairs(model, plan, tmp_path / "p", detector)
    assert before < len(asked) <= before + 12
    with pytest.raises(InputError, match="pairs of another plan"):
        make_pairs(model, PairPlan(("red star",), ("blue house",), 6, steps=2), tmp_path / "p")
    with pytest.raises(InputError, match="no picture with the concept in 20 draws"):
        make_pairs(model, plan, tmp_path / "q", lambda picture: False)


def test_bad_pairs_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no pairs\.jsonl"):
        read_pairs(tmp_path)
    folder = pairs(tmp_path / "pairs", 16)
    (folder / "safe" / "1.png").unlink()
    with pytest.raises(InputError, match=r"row 2.*each pair needs its twin"):
        read_pairs(folder)
    (folder / "pairs.jsonl").write_text('{"id": "0"}\n{"id": "0"}\n')
    with pytest.raises(InputError, match=r"row 2.*'0' is there twice"):
        read_pairs(folder)
    (folder / "pairs.jsonl").write_text('{"id": "0", "safe": "../../etc/passwd"}\n')
    with pytest.raises(InputError, match="lies outside of"):
        read_pairs(folder)
    with pytest.raises(InputError, match="2 prompts for 1 base prompts"):
        PairPlan(("a", "b"), ("c",), 3)


def test_what_is_wrong_is_one_line(folders, tmp_path, capsys):
    code = main(["align", str(folders["pixel"]), "--method", "duo", "--out", str(tmp_path / "o")])
    assert code == 2 and "give pairs, a folder; or prompts" in capsys.readouterr().err
    model = load_diffusion(str(folders["pixel"]))
    with pytest.raises(InputError, match="'dragon' is none of its words"):
        get("esd").align(model, ESDConfig(prompts=("dragon",)), tmp_path / "a")
    with pytest.raises(InputError, match="its own have 16 x 16"):
        get("duo").align(model, config(pairs(tmp_path / "pairs", 8)), tmp_path / "b")


def test_pickled_weights_and_other_pipelines_are_refused(folders, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    with pytest.raises(InputError, match="a KandinskyPipeline; known are StableDiffusionPipeline"):
        load_diffusion(str(tmp_path / "m"))
    (tmp_path / "n").mkdir()
    with pytest.raises(InputError, match=r"no model_index\.json there"):
        load_diffusion(str(tmp_path / "n"))


def test_an_adapter_that_changes_nothing_is_refused(folders, tmp_path):
    model = load_diffusion(str(folders["pixel"]))
    add_lora(model, model.self_attention, rank=2, alpha=2, seed=0)
    model.net.save_pretrained(tmp_path / "zero", safe_serialization=True)
    with pytest.raises(InputError, match="changes nothing"):
        put_adapter(load_diffusion(str(folders["pixel"])), read_artifact(tmp_path / "zero"))


def test_the_evaluation_counts_unknown_apart_and_the_base_keeps_everything(folders):
    base, same = (load_diffusion(str(folders["pixel"])) for _ in range(2))
    verdicts = iter([True, False, None, False])
    prompts = Prompts(("red star",), ("blue star",), ("tree", "house"), seeds=4, steps=2)
    found = evaluate(base, same, prompts, lambda picture: next(verdicts), ssim_similarity())
    assert found.dsr.value == pytest.approx(2 / 3) and found.dsr.n_unscored == 1
    assert found.near.value == found.other.value == pytest.approx(1) and found.other.n == 8
    assert found.reference.value < 0.999 and found.distance == "SSIM, window 7"


def test_ssim_equals_the_one_of_a_reference_library():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 24, 24, 3)).astype(float)
    assert ssim(a, a) == pytest.approx(1) and ssim(a, b) < 0.3
    metrics = pytest.importorskip("skimage.metrics")
    wanted = metrics.structural_similarity(a, b, data_range=255, channel_axis=2, win_size=7)
    assert ssim(a, b) == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(InputError, match="window of 7"):
        ssim(a[:5], b[:5])
    with pytest.raises(InputError, match="no picture"):
        preserved([])
