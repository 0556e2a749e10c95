"""Steps on rows from anywhere: rollouts of the current weights, halved micro-batches, float16, the vision tower."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from safetensors.torch import load_file

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.models import Decoding, Engine, Loaded, load, vision_root
from counterpoise.train import (
    SFT,
    Batch,
    FitResult,
    LossOut,
    Objective,
    Rollouts,
    Tokens,
    Trainable,
    encode_sample,
    fit,
    sequence_logprobs,
    training,
)

CONFIG = worker.CONFIG.model_copy(update={"learning_rate": 2e-2, "epochs": 1, "save_every_steps": 1})
PROMPTS = [row.messages[:1] for row in worker.rows(4)]
MADE: list[list[str]] = []
"""What `rollouts` made in each of its calls."""
CALLS: list[int] = []
"""Padded tokens of each batch that `Tight` saw."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("m"))


@pytest.fixture
def model(folder: Path) -> Loaded:
    MADE.clear()
    CALLS.clear()
    return load(str(folder), dtype="float32", device="cpu")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(result: FitResult) -> dict[str, torch.Tensor]:
    return load_file(Path(result.adapter) / "adapter_model.safetensors")


def distance(a: FitResult, b: FitResult) -> float:
    x, y = weights(a), weights(b)
    return max(float((x[k] - y[k]).abs().max()) for k in x)


@dataclass(frozen=True)
class Rollout:
    """A reply that the model made, and how good it is."""

    id: str
    sample: Sample
    advantage: float


@dataclass(frozen=True)
class Policy(Objective[Rollout]):
    """REINFORCE: - sum over replies of advantage * log p(reply)."""

    unit = "row"

    def encode(self, loaded: Loaded, row: Rollout, limit: int | None) -> tuple[Tokens, ...] | None:
        (tokens,) = encode_sample(loaded, row.sample, limit) or ()
        return (Tokens(tokens.row, tokens.labels, tokens.key, {"advantage": [row.advantage] * len(tokens)}),)

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        advantage_B = batch.values["advantage"][:, 0]
        return LossOut(-(advantage_B * sequence_logprobs(model, batch)).sum(), batch.n_rows, {})


def rollouts(engine: Engine, step: int) -> Sequence[Rollout]:
    """Sampled replies; a vowel is good."""
    texts = [answer.text for answer in engine.generate(PROMPTS, Decoding(max_new_tokens=6, temperature=1.0))]
    MADE.append(texts)
    rows = []
    for number, (prompt, text) in enumerate(zip(PROMPTS, texts, strict=True)):
        vowels = sum(letter in "aeiou" for letter in text) / (1 + len(text))
        sample = Sample(str(number), (*prompt, assistant(text.strip() or "nothing")))
        rows.append(Rollout(str(number), sample, vowels - 0.3))
    return rows


def interrupted(engine: Engine, step: int) -> Sequence[Rollout]:
    if step == 2:
        raise OSError("the machine went down")
    return rollouts(engine, step)


def test_rollouts_that_are_interrupted_and_resumed_are_the_same(
    model: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(model, Rollouts(rollouts, 4), Policy(), CONFIG, tmp_path / "whole")
    made = list(MADE)
    assert len(made) == 4 and len({tuple(texts) for texts in made}) == 4 and whole.rows == 16
    MADE.clear()
    monkeypatch.setattr(Rollouts, "fingerprint", lambda self: "the same")
    with pytest.raises(OSError, match="went down"):
        fit(model, Rollouts(interrupted, 4), Policy(), CONFIG, tmp_path / "cut")
    assert made[:2] == MADE and not (tmp_path / "cut" / "adapter").exists()
    torch.manual_seed(12345)  # a resumed process knows nothing of the first one's random numbers
    resumed = fit(model, Rollouts(rollouts, 4), Policy(), CONFIG, tmp_path / "cut")
    assert made == MADE
    assert [line["step"] for line in lines(tmp_path / "cut")] == [1, 2, 3, 4]
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6) and distance(whole, resumed) < 1e-6


def test_an_engine_between_steps_speaks_with_the_current_weights(model: Loaded, folder: Path, tmp_path: Path) -> None:
    decoding = Decoding(max_new_tokens=12)
    before = [answer.text for answer in Engine(model).generate(PROMPTS, decoding)]
    config = CONFIG.model_copy(update={"warmup_ratio": 0.0})
    said = []
    with training(model, config, tmp_path, total=6, run="r") as stepper:
        encoded = stepper.encode(SFT(), worker.rows(4))
        while stepper.number < stepper.total:
            with stepper.generating() as engine:
                said.append([answer.text for answer in engine.generate(PROMPTS, decoding)])
            stepper.step(SFT(), encoded)
        with stepper.generating() as engine:
            said.append([answer.text for answer in engine.generate(PROMPTS, decoding)])
        artifact = stepper.artifact()
    assert said[0] == before and said[-1] != before
    tuned = load(str(folder), adapter=artifact.path, dtype="float32", device="cpu")
    assert [answer.text for answer in Engine(tuned).generate(PROMPTS, decoding)] == said[-1]
    assert [answer.text for answer in Engine(model).generate(PROMPTS, decoding)] == before


def test_generating_leaves_modes_and_random_numbers_as_they_were(model: Loaded, tmp_path: Path) -> None:
    with training(model, CONFIG, tmp_path, total=2, run="r") as stepper:
        modes = {name: module.training for name, module in stepper.trainable.named_modules()}
        flags = {name: parameter.requires_grad for name, parameter in stepper.trainable.named_parameters()}
        assert any(modes.values()) and not all(modes.values())  # factors have dropout, the vision tower stays as it is
        state, drawn = torch.get_rng_state(), []
        for _ in range(2):
            with stepper.generating() as engine:
                assert not any(module.training for module in stepper.trainable.modules())
                drawn.append([a.text for a in engine.generate(PROMPTS, Decoding(max_new_tokens=6, temperature=1.0))])
        with stepper.generating() as engine:  # the replies of a group, as GRPO needs them
            group = engine.generate(PROMPTS[:1] * 4, Decoding(max_new_tokens=6, temperature=1.0))
            assert len({answer.text for answer in group}) == 4
        with pytest.raises(ZeroDivisionError), stepper.generating():
            raise ZeroDivisionError
        assert drawn[0] == drawn[1]  # seeded from the step
        assert torch.equal(torch.get_rng_state(), state)
        assert {name: module.training for name, module in stepper.trainable.named_modules()} == modes
        assert {name: p.requires_grad for name, p in stepper.trainable.named_parameters()} == flags


@dataclass(frozen=True)
class Tight(SFT):
    """SFT on a device that holds `tokens` padded tokens, or whose memory another process takes in call `busy`."""

    tokens: int = 10**6
    busy: int = -1

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        CALLS.append(batch.labels.numel())
        if CALLS[-1] > self.tokens or len(CALLS) - 1 == self.busy:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().loss(model, batch)


def test_micro_batches_are_halved_when_memory_runs_out(
    model: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIG.model_copy(update={"lora_dropout": 0.0, "batch_size": 12, "micro_batch_tokens": 10**6})
    rows = worker.rows(24)
    plain = fit(model, rows, SFT(), config, tmp_path / "plain")
    assert plain.n_halvings == 0
    CALLS.clear()
    tight = fit(model, rows, Tight(tokens=150), config, tmp_path / "tight")
    failed = sum(tokens > 150 for tokens in CALLS)
    assert tight.n_halvings == failed > 1
    first = next(number for number, tokens in enumerate(CALLS) if tokens <= 150)
    assert all(tokens <= 150 for tokens in CALLS[first + 1 :])  # what fits is remembered
    CALLS.clear()
    # a pass that fails behind the first micro-batch has gradients already: they must not count twice
    busy = fit(model, rows, Tight(busy=1), config.model_copy(update={"micro_batch_tokens": 150}), tmp_path / "busy")
    assert busy.n_halvings == 1
    for other, name in ((tight, "tight"), (busy, "busy")):
        losses = [[line["loss"] for line in lines(tmp_path / n)] for n in ("plain", name)]
        norms = [[line["grad_norm"] for line in lines(tmp_path / n)] for n in ("plain", name)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5) and norms[0] == pytest.approx(norms[1], rel=1e-4)
        assert (other.rows, other.labelled_tokens) == (plain.rows, plain.labelled_tokens)
        assert distance(plain, other) < 1e-4
    with pytest.raises(InputError, match=r"training row \d+: out of memory on cpu with a single row of \d+ tokens"):
        fit(model, rows, Tight(tokens=3), config, tmp_path / "none")
    long = Sample("long", (user("word " * 200), assistant("A.")))
    with pytest.raises(InputError, match="training row long: out of memory"):
        fit(model, [*worker.rows(11), long], Tight(tokens=3), config, tmp_path / "long")
    assert not any("lora" in name for name, _ in model.model.named_parameters())


@dataclass(frozen=True)
class Huge(SFT):
    """A loss whose gradient no float16 holds."""

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        result = super().loss(model, batch)
        return result._replace(loss=result.loss * 1e30)


def test_float16_trains_with_a_scaler(model: Loaded, folder: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 3e-3, "lora_dropout": 0.0, "epochs": 2})
    half = load(str(folder), dtype="float16", device="cpu")
    single = fit(model, worker.rows(12), SFT(), config, tmp_path / "32")
    result = fit(half, worker.rows(12), SFT(), config, tmp_path / "16")
    assert (single.precision, result.precision) == ("fp32", "fp16") and result.n_skipped <= 2
    assert all(v.dtype == torch.float32 and bool(v.isfinite().all()) for v in weights(result).values())
    first, last = lines(tmp_path / "16")[0], lines(tmp_path / "16")[-1]
    assert first["loss"] == pytest.approx(lines(tmp_path / "32")[0]["loss"], rel=1e-2)
    assert last["loss"] == pytest.approx(lines(tmp_path / "32")[-1]["loss"], rel=5e-2)
    assert all(p.dtype == torch.float16 for p in half.model.parameters())
    with pytest.raises(InputError, match="gradients overflowed in float16 20 times in a row"):
        rows = worker.rows(4, images=False)
        fit(half, rows, Huge(), config.model_copy(update={"epochs": 24}), tmp_path / "huge")


@pytest.mark.parametrize("arch", ["smolvlm", "qwen3_vl"])
def test_the_vision_tower_runs_once_a_step_and_never_again(arch: str, tmp_path: Path) -> None:
    """Qwen3-VL's features of several layers come from the cache too."""
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    samples = [
        Sample(str(i), (user(Image.from_pil(tiny.picture(i)), "Q?"), assistant(f"It is {i}."))) for i in range(4)
    ]
    tower, seen = loaded.model.get_submodule(vision_root(loaded.model)), []
    handle = tower.register_forward_hook(lambda module, args, kwargs, out: seen.append(1), with_kwargs=True)
    config = CONFIG.model_copy(update={"epochs": 3, "batch_size": 4, "micro_batch_tokens": 10**6, "lora_dropout": 0.0})
    try:
        with_store = fit(loaded, samples, SFT(), config, tmp_path / "with")
        assert (with_store.steps, len(seen)) == (3, 1) and with_store.features == "8 hits, 4 computed"
        seen.clear()
        config = config.model_copy(update={"feature_cache_mb": 0})
        without = fit(loaded, samples, SFT(), config, tmp_path / "without")
        assert len(seen) == 3 + 2  # two more to see on the first batch whether the heads agree
    finally:
        handle.remove()
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in ("with", "without")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and distance(with_store, without) < 1e-4
