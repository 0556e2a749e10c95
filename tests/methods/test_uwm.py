"""UWM: the rank-1 score against the direct formula, the selection by mass, and the edit on real architectures."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from counterpoise.base import InputError
from counterpoise.methods import get
from counterpoise.methods.uwm._calibrate import choose
from counterpoise.methods.uwm._gradients import distance, safe_clip_loss, unsafe_loss
from counterpoise.methods.uwm._saliency import EPSILON, RatioSum, activity, select
from counterpoise.models import load, load_dual, remove_edit


def _inputs(seed: int, pairs: int = 5, tokens: int = 7, d_in: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(pairs, tokens, d_in, generator=drawn, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


def _direct(weight: torch.Tensor, unsafe: torch.Tensor, safe: torch.Tensor) -> torch.Tensor:
    """Equations 8 to 10 as they stand, one pair after another, with (d_out, d_in) matrices."""

    def phi(x: torch.Tensor) -> torch.Tensor:
        n, sigma = x.square().sum(0).sqrt(), x.std(dim=0, unbiased=True)
        scaled = n[None] * weight.abs()
        return scaled.mean(1)[:, None] * scaled.mean(0)[None] / sigma[None]

    return torch.stack([phi(u) / phi(s) for u, s in zip(unsafe, safe, strict=True)]).mean(0)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_rank_one_score_is_the_direct_formula(seed: int) -> None:
    unsafe, safe = _inputs(seed)
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    whole, parts = RatioSum(weight), RatioSum(weight)
    whole.add(activity(unsafe), activity(safe))
    for start, stop in ((0, 2), (2, 5)):  # batches of different sizes
        parts.add(activity(unsafe[start:stop]), activity(safe[start:stop]))
    torch.testing.assert_close(whole.score(times_weight=False), _direct(weight, unsafe, safe), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.score(times_weight=False), whole.score(times_weight=False))
    torch.testing.assert_close(
        whole.score(times_weight=True), _direct(weight, unsafe, safe) * weight.abs(), rtol=1e-6, atol=1e-6
    )


def test_the_unsafe_importance_alone_is_the_direct_formula() -> None:
    unsafe, safe = _inputs(3)
    weight = torch.randn(4, 6, dtype=torch.float64)
    seen = RatioSum(weight, ratio=False)
    seen.add(activity(unsafe), activity(safe))
    n, sigma = unsafe.square().sum(1).sqrt(), unsafe.std(dim=1)
    scaled = n[:, None] * weight.abs()[None]
    expected = (scaled.mean(2)[:, :, None] * scaled.mean(1)[:, None] / sigma[:, None]).mean(0)
    torch.testing.assert_close(seen.score(times_weight=False), expected, rtol=1e-6, atol=1e-6)


def test_equal_sides_give_a_ratio_of_one_and_scaled_unsafe_inputs_the_same_selection() -> None:
    unsafe, safe = _inputs(4)
    weight = torch.randn(4, 6, dtype=torch.float64)
    same = RatioSum(weight)
    same.add(activity(safe), activity(safe))
    torch.testing.assert_close(same.score(times_weight=False), torch.ones_like(weight))
    chosen = []
    for factor in (1.0, 1000.0):
        seen = RatioSum(weight)
        seen.add(activity(factor * unsafe), activity(safe))
        chosen.append(select(seen.score(times_weight=True), 0.7))
    assert torch.equal(*chosen) and len(chosen[0])


def test_padding_changes_nothing_and_short_samples_are_counted() -> None:
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    padded = torch.cat([x, torch.full((3, 4, 4), 9.0, dtype=torch.float64)], dim=1)
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[:, :5] = True
    for one, other in zip(activity(x), activity(padded, mask), strict=True):
        torch.testing.assert_close(one, other)
    mask[0] = False  # an empty text
    mask[1, 1:] = False  # a single token
    weight = torch.randn(2, 4, dtype=torch.float64)
    seen = RatioSum(weight)
    seen.add(activity(padded, mask), activity(x))
    assert (seen.pairs, seen.dropped) == (1, 2)
    assert torch.isfinite(seen.score(times_weight=True)).all()


def test_constant_inputs_give_finite_scores() -> None:
    seen = RatioSum(torch.ones(2, 3))
    seen.add(activity(torch.ones(2, 4, 3)), activity(torch.zeros(2, 4, 3)))
    assert torch.isfinite(seen.score(times_weight=False)).all() and EPSILON > 0


def test_a_channel_that_only_unsafe_inputs_use_heads_the_ranking() -> None:
    unsafe, safe = _inputs(5, d_in=5)
    safe[:, :, 3] = 0
    seen = RatioSum(torch.rand(4, 5))
    seen.add(activity(unsafe), activity(safe))
    score = seen.score(times_weight=False)
    assert score.argmax(dim=1).tolist() == [3, 3, 3, 3]
    assert int(score.argmax()) in select(score, 0.9).tolist()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0, 1))
def test_the_selection_carries_the_mass_and_no_more(values: list[float], sparsity: float) -> None:
    score = torch.tensor(values, dtype=torch.float64)
    chosen = select(score, sparsity)
    total = float(score.sum())
    if sparsity == 1 or total == 0:
        assert not len(chosen)
        return
    kept = score[chosen]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert float(kept.sum()) / total >= 1 - sparsity - 1e-9
    assert float(kept.sum() - kept.min()) / total <= 1 - sparsity + 1e-9
    left = score[~torch.isin(torch.arange(len(score)), chosen)]
    assert not len(left) or not len(kept) or float(kept.min()) >= float(left.max())
    if sparsity == 0:
        assert len(chosen) == int((score / total > 0).sum())


def test_a_random_edit_carries_the_same_mass() -> None:
    score = torch.rand(50, 40, dtype=torch.float64)
    chosen = choose(score, 0.9, at_random=7)
    mass = float(score.flatten()[chosen].sum() / score.sum())
    assert 0.1 <= mass <= 0.102 and len(chosen) > 2 * len(select(score, 0.98))
    assert not torch.equal(chosen, choose(score, 0.9, at_random=8))
    assert not len(choose(score, 1.0, at_random=7))


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        select(torch.tensor([1.0, float("nan")]), 0.5)


@pytest.mark.parametrize("kind", tiny.DUAL)
def test_a_dual_encoder_is_edited_and_given_back(kind: str, tmp_path: Path) -> None:
    folder = tiny.build_dual(kind, tmp_path / kind)
    encoder = load_dual(str(folder))
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    config = get("uwm").resolve(folder, {"tuples": 6, "vision_batch": 4, "text_batch": 4})
    made = get("uwm").align(encoder, config, tmp_path / "run")
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())
    layers = made.run["train"]["layers"]
    assert {each["encoder"] for each in layers.values()} == {"vision", "text"}
    assert all(0 < each["edited"] < each["weights"] for each in layers.values()), layers
    assert json.loads((tmp_path / "run" / "run.json").read_text())["artifact"]["kind"] == "edit"
    edited = load_dual(str(folder), artifact=made.artifact)
    assert edited.proof is not None and edited.proof.probe_difference > 0
    changed = [name for name, value in edited.model.state_dict().items() if not torch.equal(value, before[name])]
    assert sorted(changed) == sorted(f"{name}.weight" for name in layers)
    name = changed[0]
    now = edited.model.state_dict()[name]
    assert bool(((now == before[name]) | (now == -before[name])).all())
    remove_edit(edited)
    assert all(torch.equal(value, before[key]) for key, value in edited.model.state_dict().items())


def test_a_chat_model_is_edited_in_both_parts(tmp_path: Path) -> None:
    folder = tiny.build("smolvlm", tmp_path / "m")
    loaded = load(str(folder))
    config = get("uwm").resolve(folder, {"tuples": 3, "vision_batch": 2, "text_batch": 3})
    made = get("uwm").align(loaded, config, tmp_path / "run")
    layers = made.run["train"]["layers"]
    assert {name.rpartition(".")[2] for name, each in layers.items() if each["encoder"] == "vision"} == {"fc2"}
    assert {name.rpartition(".")[2] for name, each in layers.items() if each["encoder"] == "text"} == {"o_proj"}
    edited = load(str(folder), artifact=made.artifact)
    assert edited.proof is not None and edited.proof.probe_difference > 0


def test_tiles_of_an_image_are_one_sample(tmp_path: Path) -> None:
    """LLaVA-OneVision's encoder sees several tiles for each image."""
    folder = tiny.build("llava_onevision", tmp_path / "m")
    config = get("uwm").resolve(folder, {"tuples": 2, "vision_batch": 2, "encoders": ["vision"]})
    made = get("uwm").align(load(str(folder)), config, tmp_path / "run")
    assert all(each["pairs"] == 2 for each in made.run["train"]["layers"].values())


def test_wrong_layers_and_settings_are_one_line(tmp_path: Path) -> None:
    folder = tiny.build_dual("clip", tmp_path / "clip")
    encoder = load_dual(str(folder))
    with pytest.raises(InputError, match=r"vision encoder has no layer fc9; it has .*fc1, fc2"):
        get("uwm").align(encoder, get("uwm").resolve(folder, {"vision_layers": ["fc9"]}), tmp_path / "run")
    with pytest.raises(InputError, match="no weight is selected"):
        get("uwm").align(
            encoder, get("uwm").resolve(folder, {"vision_sparsity": 1, "text_sparsity": 1, "tuples": 2}), tmp_path / "r"
        )
    assert not (tmp_path / "run").exists() and not (tmp_path / "r").exists()
    with pytest.raises(InputError, match="overlap the rows of an evaluation"):
        get("uwm").align(encoder, get("uwm").resolve(folder, {}), tmp_path / "run", overlaps=lambda row: True)


@pytest.mark.parametrize("score", ["ratio", "random"])
def test_a_damaged_weight_whose_output_nobody_calibrates_is_named(tmp_path: Path, score: str) -> None:
    """The last layer of an encoder: no later layer sees its numbers."""
    folder = tiny.build("smolvlm", tmp_path / "m")
    loaded = load(str(folder))
    with torch.no_grad():
        loaded.model.get_submodule("model.text_model.layers.1.self_attn.o_proj").weight[0, 0] = float("nan")
    config = get("uwm").resolve(folder, {"tuples": 2, "encoders": ["text"], "score": score})
    with pytest.raises(InputError, match=r"layers\.1\.self_attn\.o_proj\.weight holds nan or inf"):
        get("uwm").align(loaded, config, tmp_path / "run")
    with pytest.raises(InputError, match="give vision, text, or both, each once"):
        get("uwm").resolve(folder, {"encoders": ["vision", "vision"]})


def test_an_edit_is_refused_by_another_checkpoint(tmp_path: Path) -> None:
    first, second = (tiny.build_dual("clip", tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 1)))
    made = get("uwm").align(load_dual(str(first)), get("uwm").resolve(first, {"tuples": 2}), tmp_path / "run")
    with pytest.raises(InputError, match="made for other weights"):
        load_dual(str(second), artifact=made.artifact)
    assert load_dual(str(second)).artifact is None


def test_the_dose_is_the_mass_that_is_edited(tmp_path: Path) -> None:
    method = get("uwm")
    config = method.resolve(None, {}, {"mass": 0.05})
    assert config.vision_sparsity == config.text_sparsity == pytest.approx(0.95)
    assert method.dose(config) == {"mass": pytest.approx(0.05)}


def test_gradient_losses_by_hand() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 1.0], [0.0, 3.0]])  # cosines 0 and 1
    assert float(distance(x, y)) == pytest.approx(0.5)
    assert float(unsafe_loss(x, x, y)) == pytest.approx(0.5)
    logits = 100 * torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    expected = (torch.log(torch.tensor(2.0)) + (100.0 + 0.0) / 2) / 2  # rows: log 2 each; columns: 100 and 0
    assert float(safe_clip_loss(x, y, x)) == pytest.approx(float(expected), rel=1e-5) and logits.shape == (2, 2)


@pytest.mark.parametrize("score", ["gradient-unsafe", "gradient-safe-clip"])
def test_gradient_baselines_prune_their_share_of_weights(score: str, tmp_path: Path) -> None:
    folder = tiny.build_dual("clip", tmp_path / "clip")
    encoder = load_dual(str(folder))
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    settings = {"tuples": 5, "text_batch": 2, "score": score, "alpha": 0, "text_sparsity": 0.9, "encoders": ["text"]}
    made = get("uwm").align(encoder, get("uwm").resolve(folder, settings), tmp_path / "run")
    layers = made.run["train"]["layers"]
    assert all(each["edited"] == round(0.1 * each["weights"]) for each in layers.values())
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    edited = load_dual(str(folder), artifact=made.artifact).model.state_dict()
    assert all(int((edited[f"{name}.weight"] == 0).sum()) >= each["edited"] for name, each in layers.items())


def test_gradients_of_a_chat_model_are_refused(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("llama", tmp_path / "m")))
    config = get("uwm").resolve(None, {"tuples": 1, "encoders": ["text"], "score": "gradient-unsafe"})
    with pytest.raises(InputError, match="needs a dual encoder's two embeddings"):
        get("uwm").align(loaded, config, tmp_path / "run")
