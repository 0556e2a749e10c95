"""Constrained SFT by hand, the whole-text loss, and rows that are never cut."""

import json
import math
from pathlib import Path

import pytest
import torch
import worker

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Sample, assistant, user
from counterpoise.models import Loaded, load
from counterpoise.train import (
    DPO,
    SFT,
    ConstrainedSFT,
    Uncut,
    WholeText,
    collate,
    constrained_loss,
    fit,
    pad,
    reply_places,
    sft_loss,
)
from counterpoise.train._trainable import on

CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0, "epochs": 1})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("smolvlm", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


def test_weights_by_hand() -> None:
    """The published form: w = 1 at the reference for every beta; beta 2: .2384 at D = 1, 1.7616 at D = -1."""
    zero = torch.zeros(3)
    for beta in (0.1, 2.0, 50.0):
        assert constrained_loss(zero, zero, torch.full((3,), beta)).metrics["weight"] == pytest.approx(3)
    for drift, weight in ((1.0, 0.2384), (-1.0, 1.7616)):
        out = constrained_loss(torch.tensor([-1.0]), torch.tensor([-1.0 - drift]), torch.tensor([2.0]))
        assert out.metrics["weight"] == pytest.approx(weight, abs=1e-4)
        assert float(out.loss) == pytest.approx(weight, abs=1e-4)  # w times cross-entropy, which is 1
        assert out.metrics["drift"] == pytest.approx(drift)
        assert out.metrics["objective"] == pytest.approx(math.log1p(math.exp(-2 * drift)), rel=1e-6)
    far = constrained_loss(torch.tensor([-1.0]), torch.tensor([-40.0]), torch.tensor([2.0]))
    assert float(far.loss) == pytest.approx(1e-3)


def test_its_gradient_is_that_of_the_formula() -> None:
    """-(2/beta) log sigmoid(beta D), differentiated by autograd."""
    torch.manual_seed(0)
    logits = torch.randn(7, 11, requires_grad=True)
    reference, targets = torch.randn(7, 11).log_softmax(-1)[:, 3], torch.full((7,), 3)
    beta = torch.tensor([0.5, 2.0, 2.0, 2.0, 2.0, 0.1, 0.1])
    constrained_loss(
        -torch.nn.functional.cross_entropy(logits, targets, reduction="none"), reference, beta
    ).loss.backward()
    ours, logits.grad = logits.grad, None
    drift = logits.log_softmax(-1)[:, 3] - reference
    (-2 / beta * torch.nn.functional.logsigmoid(beta * drift)).sum().backward()
    assert torch.allclose(ours, logits.grad, atol=1e-6)


def test_betas_follow_the_places_of_each_reply() -> None:
    x = -100
    labels = torch.tensor([[x, x, 1, 2, x, x, 3, 4, 5, 6, 7, 8, 9], [9, 9, 9, x, x, x, x, x, x, x, x, x, 4]])
    places = reply_places(labels)
    assert places.tolist() == [1, 2, 1, 2, 3, 4, 5, 6, 7, 1, 2, 1]
    found = ConstrainedSFT().betas(torch.arange(1, 8)).tolist()
    assert found == pytest.approx([0.5, 2, 2, 2, 2, 0.1, 0.1])


def test_the_first_token_is_the_replys_own(model: Loaded) -> None:
    """Not the template's opening of the turn; and a dialogue counts each reply anew."""
    turns = (user("Q?"), assistant("One two."), user("And?"), assistant("Three."))
    batch = collate(model, [Sample("1", turns)])
    places = reply_places(batch.labels).tolist()
    targets = batch.labels[:, 1:][batch.labels[:, 1:] != -100].tolist()
    starts = [n for n, place in enumerate(places) if place == 1]
    assert len(starts) == 2
    assert [model.tokenizer.decode(targets[n:]).startswith(text) for n, text in zip(starts, ("O", "T"), strict=True)]
    first = model.tokenizer.decode([targets[n] for n in starts])
    assert first[0] == "O" and "T" in first


def test_at_the_start_it_is_sft_and_later_it_holds_the_first_tokens(model: Loaded, tmp_path: Path) -> None:
    rows = [Sample(str(i), (user(f"Question {i}?"), assistant("Of course, here it is."))) for i in range(8)]
    config = CONFIG.model_copy(update={"epochs": 12, "learning_rate": 1e-2, "batch_size": 8})
    lines = {}
    for name, objective in (("sft", SFT()), ("held", ConstrainedSFT(first=20, early=20, later=0.1))):
        fit(model, rows, objective, config, tmp_path / name)
        lines[name] = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    assert lines["held"][0]["loss"] == pytest.approx(lines["sft"][0]["loss"], rel=1e-5)
    assert lines["held"][0]["grad_norm"] == pytest.approx(lines["sft"][0]["grad_norm"], rel=1e-4)
    assert lines["held"][0]["weight"] == pytest.approx(1) and lines["held"][0]["drift"] == pytest.approx(0, abs=1e-6)
    gains = {}
    for name in lines:
        tuned = load(model.path, adapter=str(tmp_path / name / "adapter"), dtype="float32", device="cpu")
        first = []
        for one in (tuned, model):
            batch = collate(one, rows)
            with torch.no_grad():
                logits = one.model(**batch.inputs).logits[:, :-1]
            scores = logits.log_softmax(-1).gather(-1, batch.labels[:, 1:].clamp_min(0)[..., None])[..., 0]
            first.append(scores[batch.labels[:, 1:] != -100][reply_places(batch.labels) == 1].mean())
        gains[name] = float(first[0] - first[1])
    assert gains["held"] < 0.5 * gains["sft"]


def test_wrong_settings_are_one_line() -> None:
    for settings in ({"first": 0.0}, {"later": -1}, {"length": 0}):
        with pytest.raises(InputError, match="every beta must be above 0"):
            ConstrainedSFT(**settings)


def test_the_whole_text_loss_is_the_models_own(model: Loaded) -> None:
    """Equal to transformers' language-model loss; the reply's loss has no gradient at the prompt's logits."""
    row = Sample("1", (user("Say it kindly: you are slow."), assistant("You may need more time.")))
    objective = WholeText()
    encoded = objective.encode(model, row, None)
    assert encoded is not None
    batch = pad(model, [encoded])
    with torch.no_grad():
        ours = objective.loss(model.model, batch)
        theirs = model.model(**batch.inputs, labels=batch.inputs["input_ids"]).loss
    assert float(ours.loss / ours.n) == pytest.approx(float(theirs), abs=1e-5)
    assert ours.n == objective.count(encoded) == len(encoded[0]) - 1
    only = SFT().encode(model, row, None)
    assert only is not None and ours.n > 2 * SFT().count(only)
    seen = []

    def keep(module: object, args: object, out: torch.Tensor) -> None:
        out.retain_grad()
        seen.append(out)

    handle = model.model.get_output_embeddings().register_forward_hook(keep)
    try:
        sft_loss(model.model, pad(model, [only]).with_full_logits()).loss.backward()
    finally:
        handle.remove()
        model.model.zero_grad()
    labelled = torch.tensor(only[0].labels)[1:] != -100
    rows = seen[0].grad[0, :-1].abs().sum(-1)
    assert bool((rows[~labelled] == 0).all()) and bool((rows[labelled] > 0).all())


def test_image_tokens_carry_no_loss(model: Loaded) -> None:
    encoded = WholeText().encode(model, worker.rows(3)[1], None)
    assert encoded is not None
    image = model.model.config.image_token_id
    assert image in encoded[0].row.ids and image not in encoded[0].labels


def test_rows_are_whole_or_left_out(model: Loaded, tmp_path: Path) -> None:
    wordy = Sample("wordy", (user("Q?"), assistant("word " * 300)))
    config = CONFIG.model_copy(update={"max_length": 120})
    cut = fit(model, [*worker.rows(7), wordy], SFT(), config, tmp_path / "cut")
    whole = fit(model, [*worker.rows(7), wordy], Uncut(SFT()), config, tmp_path / "whole")
    assert (cut.n_cut, cut.n_left_out) == (1, 0) and (whole.n_cut, whole.n_left_out, whole.rows) == (0, 1, 7)
    assert Uncut(DPO(0.1)).fingerprint() != Uncut(DPO(0.2)).fingerprint() != DPO(0.2).fingerprint()
    result = fit(model, worker.pairs(4), Uncut(DPO(0.1)), config, tmp_path / "pairs")
    line = json.loads((tmp_path / "pairs" / "metrics.jsonl").read_text().splitlines()[0])
    assert result.rows == 4 and line["loss"] == pytest.approx(math.log(2), rel=1e-6)


def test_the_reference_is_the_model_that_came_in(model: Loaded) -> None:
    """With dropout on: the reference has none."""
    config = CONFIG.model_copy(update={"lora_dropout": 0.5})
    batch = collate(model, worker.rows(3))
    with on(model, config.plan(), config) as trainable:
        torch.manual_seed(0)
        for parameter in trainable.trained().values():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        trainable.train()
        with torch.no_grad():
            drift = [ConstrainedSFT().loss(trainable, batch).metrics["drift"] for _ in range(2)]
            trainable.eval()
            with trainable.reference():
                assert ConstrainedSFT().loss(trainable, batch).metrics["drift"] == pytest.approx(0, abs=1e-4)
    assert abs(drift[0]) > 1e-3 and drift[0] != drift[1]
