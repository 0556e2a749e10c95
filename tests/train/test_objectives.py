"""Objectives: what makes two runs different, how a loss is normalised, preference optimisation by hand."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worker

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Pair, Sample, assistant, user
from counterpoise.models import Loaded, load
from counterpoise.train import (
    DPO,
    SFT,
    Batch,
    FixedPlan,
    LossOut,
    Objective,
    digest,
    dpo_loss,
    fit,
    label_logprobs,
    sequence_logprobs,
    sft_loss,
)
from counterpoise.train._distributed import Processes
from counterpoise.train._loop import identity

CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0, "epochs": 1})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("smolvlm", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class PerRow(Objective[Sample]):
    """The mean loss of each reply, averaged over rows: a long reply counts as much as a short one."""

    unit = "row"
    power: float = 1.0

    def loss(self, model: Any, batch: Batch) -> LossOut:
        logprobs_N, rows_N = label_logprobs(model, batch)
        counts_B = torch.bincount(rows_N, minlength=len(batch.labels))
        means_B = logprobs_N.new_zeros(len(batch.labels)).index_add(0, rows_N, -logprobs_N) / counts_B
        return LossOut((means_B**self.power).sum(), batch.n_rows, {})


def test_a_loss_normalised_by_rows_does_not_depend_on_micro_batches(model: Loaded, tmp_path: Path) -> None:
    rows = worker.rows(8)
    for name, tokens in (("one", 1), ("all", 10**6)):
        fit(model, rows, PerRow(), CONFIG.model_copy(update={"micro_batch_tokens": tokens}), tmp_path / name)
    a, b = ([line["loss"] for line in lines(tmp_path / name)] for name in ("one", "all"))
    assert a == pytest.approx(b, rel=1e-5)
    with torch.no_grad():
        from counterpoise.train import collate

        losses = [sft_loss(model.model, collate(model, [row])) for row in rows]
    means = [float(out.loss) / out.n for out in losses]
    order = np.random.default_rng([CONFIG.seed, 0]).permutation(len(rows))[: CONFIG.batch_size]
    assert a[0] == pytest.approx(np.mean([means[i] for i in order]), rel=1e-5)


def test_a_process_without_work_adds_nothing(model: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It repeats a micro-batch with weight 0, so that all exchange gradients equally often."""
    fit(model, worker.rows(8), SFT(), CONFIG, tmp_path / "as it is")
    monkeypatch.setattr(Processes, "most", lambda self, value: value + 2 if value >= 1 else value)
    fit(model, worker.rows(8), SFT(), CONFIG, tmp_path / "with idle rounds")
    names = ("loss", "grad_norm", "labels", "rows", "tokens", "token_accuracy")
    a, b = ([[line[n] for n in names] for line in lines(tmp_path / x)] for x in ("as it is", "with idle rounds"))
    assert np.allclose(a, b, rtol=1e-6)


def test_a_loss_that_counts_other_units_than_it_says_is_told(model: Loaded, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Wrong(SFT):
        def loss(self, model: Any, batch: Batch) -> LossOut:
            return super().loss(model, batch)._replace(n=1)

    with pytest.raises(RuntimeError, match="Wrong: its loss counted 1 units"):
        fit(model, worker.rows(4), Wrong(), CONFIG, tmp_path)


def test_settings_of_a_loss_are_part_of_the_run(model: Loaded, tmp_path: Path) -> None:
    def scaled(factor: float) -> Any:
        return lambda model, batch: sft_loss(model, batch)._replace(loss=factor * sft_loss(model, batch).loss)

    plan = FixedPlan(worker.rows(4), CONFIG)
    from counterpoise.train._objective import as_objective

    objectives = [DPO(0.1), DPO(100.0), SFT(), PerRow(), PerRow(2.0), as_objective(scaled(1)), as_objective(scaled(2))]
    runs = [identity(model, plan, objective, CONFIG) for objective in objectives]
    assert len(set(runs)) == len(runs)
    assert identity(model, plan, as_objective(sft_loss), CONFIG) == runs[2]

    class Bound:
        def __init__(self, factor: float):
            self.factor = factor

        def loss(self, model: Any, batch: Batch) -> LossOut:
            return sft_loss(model, batch)._replace(loss=self.factor * sft_loss(model, batch).loss)

    functions = [
        Bound(0.1).loss, Bound(100).loss, lambda m, b: 0.1, lambda m, b: 100, lambda m, b: m, lambda m, b: b,
        lambda m, b: m.a, lambda m, b: m.b, lambda m, b: (lambda: 0.1)(), lambda m, b: (lambda: 100)(),
        lambda m, b: m in {1, 2}, lambda m, b: m in {1, 3}, lambda m, b: m[..., 1j],
    ]  # fmt: skip
    assert len({digest(function) for function in functions}) == len(functions)
    assert digest(Bound(0.1).loss) == digest(Bound(0.1).loss)
    cheaper = CONFIG.model_copy(update={"micro_batch_tokens": 7, "save_every_steps": 1})
    assert identity(model, plan, SFT(), cheaper) == runs[2]
    fit(model, worker.pairs(4), DPO(0.1), CONFIG, tmp_path)
    with pytest.raises(InputError, match="other rows, settings or model"):
        fit(model, worker.pairs(4), DPO(100.0), CONFIG, tmp_path)


def test_an_image_counts_by_its_content(tmp_path: Path) -> None:
    def row(folder: str, seed: int) -> Sample:
        (tmp_path / folder).mkdir(exist_ok=True)
        tiny.picture(seed).save(tmp_path / folder / "same-name.png")
        image = Image.from_path(tmp_path / folder / "same-name.png")
        return Sample("1", (user(image, "Q?"), assistant("A.")), meta={"source": folder})

    assert digest(row("a", 1)) == digest(row("b", 1)) != digest(row("c", 2))
    sample = row("a", 1)
    moved = Sample("1", (user("Q?", *sample.messages[0].images), assistant("A.")))
    assert digest(moved) != digest(sample)
    with pytest.raises(TypeError, match="cannot tell its content"):
        digest(object())
    assert digest(("ab", "c")) != digest(("a", "bc")) and digest(1) != digest(1.0) != digest("1.0")


def test_dpo_by_hand(model: Loaded, tmp_path: Path) -> None:
    out = dpo_loss(*map(torch.tensor, ([-1.0, -3.0], [-2.0, -1.0], [-1.5, -2.0], [-1.0, -2.0])), beta=0.5)
    margins = [0.5 * ((-1 + 1.5) - (-2 + 1)), 0.5 * ((-3 + 2) - (-1 + 2))]
    assert float(out.loss) == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins), rel=1e-6)
    assert out.n == 2 and out.metrics["accuracy"] == 1 and out.metrics["margin"] == pytest.approx(sum(margins))
    config = CONFIG.model_copy(update={"epochs": 8, "learning_rate": 1e-2})
    result = fit(model, worker.pairs(8), DPO(0.5), config, tmp_path)
    found = lines(tmp_path)
    assert found[0]["loss"] == pytest.approx(math.log(2), rel=1e-6) and found[0]["margin"] == 0
    assert found[-1]["loss"] < 0.1 and found[-1]["accuracy"] == 1 and result.rows == 64
    tuned = load(model.path, adapter=result.adapter, dtype="float32", device="cpu")
    gaps = []
    for one in (tuned, model):
        encoded = [DPO().encode(one, pair, None) for pair in worker.pairs(8)]
        from counterpoise.train import pad

        with torch.no_grad():
            logprobs = sequence_logprobs(one.model, pad(one, [row for row in encoded if row]))
        gaps.append(logprobs[0::2] - logprobs[1::2])
    assert bool((gaps[0] > gaps[1] + 1).all())


@pytest.mark.parametrize("arch", ["smolvlm", "qwen2_5_vl", "qwen3_vl"])
def test_a_pair_shows_its_image_to_the_vision_tower_once(arch: str, tmp_path: Path) -> None:
    from counterpoise.models import vision_root

    model = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    tower, seen = model.model.get_submodule(vision_root(model.model)), []
    handle = tower.register_forward_hook(lambda module, args, kwargs, out: seen.append(1), with_kwargs=True)
    shapes = {"1": ((32, 32),), "2": ((64, 32), (32, 64)), "3": ((64, 64),)}  # distinct grids, so that order matters
    images = {id: [Image.from_pil(tiny.picture(int(id), shape)) for shape in own] for id, own in shapes.items()}
    pairs = [Pair(id, (user(*own, "Q?"),), "Yes.", "No, never.") for id, own in images.items()]
    config = CONFIG.model_copy(update={"epochs": 1, "micro_batch_tokens": 10**6, "batch_size": 3})
    try:
        result = fit(model, pairs, DPO(), config, tmp_path / "once")
    finally:
        handle.remove()
    assert result.features == "not kept, each image is seen once: 0 hits, 3 computed" and len(seen) == 1
    anew = fit(model, pairs, DPO(), config.model_copy(update={"feature_cache_mb": 0}), tmp_path / "anew")
    norms = [lines(Path(each.adapter).parent)[0]["grad_norm"] for each in (result, anew)]
    assert anew.features.startswith("not used") and norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_what_is_left_out_is_decided_row_by_row(model: Loaded, tmp_path: Path) -> None:
    long = Sample("long", (user("word " * 300), assistant("The reply is lost.")))
    rows = [*worker.rows(7), long]
    for tokens in (1, 10**6):
        config = CONFIG.model_copy(update={"micro_batch_tokens": tokens, "max_length": 120})
        result = fit(model, rows, SFT(), config, tmp_path / str(tokens))
        assert result.n_left_out == 1 and result.rows == 7 and result.max_length == 120
    unset = fit(model, rows, SFT(), CONFIG, tmp_path / "unset")
    assert unset.max_length == 2048 and unset.n_left_out == 0  # as many as the model has positions
    wordy = Sample("wordy", (user("Q?"), assistant("word " * 300)))
    cut = fit(model, [*worker.rows(7), wordy], SFT(), config.model_copy(update={"epochs": 2}), tmp_path / "cut")
    assert (cut.n_cut, cut.n_left_out, unset.n_cut) == (2, 0, 0)
    with pytest.raises(InputError, match="no row fits max_length 120"):
        fit(model, [long], SFT(), CONFIG.model_copy(update={"max_length": 120}), tmp_path / "none")


def test_every_image_counts_by_its_own_tokens(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("llava_onevision", tmp_path / "m")), dtype="float32", device="cpu")
    sizes = []
    for shape in ((32, 32), (64, 32), (64, 64)):
        sample = Sample("1", (user(Image.from_pil(tiny.picture(1, shape)), "Q?"), assistant("A.")))
        row = SFT().encode(loaded, sample, None)
        assert row is not None
        sizes.append(SFT().size(row))
    assert len(set(sizes)) == 3
