"""Plans of parameter groups: what moves, what stays, what is saved, and what is loaded again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from safetensors.torch import load_file
from torch import Tensor

import tiny
from counterpoise.base import Artifact, InputError
from counterpoise.chat import Pair, Sample
from counterpoise.models import Loaded, TensorEdit, connector_modules, load, save_edit
from counterpoise.train import (
    DPO,
    SFT,
    Batch,
    Group,
    Head,
    Layers,
    Lora,
    LossOut,
    Objective,
    Projector,
    Trainable,
    TrainConfig,
    collate,
    fit,
    pair_sample,
    sequence_logprobs,
    sft_loss,
)
from counterpoise.train._trainable import on

CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0, "epochs": 1})
SMALL = {"rank": 4, "alpha": 8}


def planned(*groups: Group, **changes: Any) -> TrainConfig:
    return CONFIG.model_copy(update={"groups": groups, **changes})


def logits(model: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model(**batch.inputs).logits


@dataclass(frozen=True)
class Reward(Objective[Pair]):
    """Bradley-Terry on a score head, as reward models are trained."""

    unit = "row"
    role: str | None = None
    head: str = "reward"

    def samples(self, row: Pair) -> list[Sample]:
        return [pair_sample(row, row.chosen), pair_sample(row, row.rejected)]

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        scores_B = model.scores(self.head, batch)[:, 0]
        margin_P = scores_B[0::2] - scores_B[1::2]
        loss = -torch.nn.functional.logsigmoid(margin_P).sum()
        return LossOut(loss, len(margin_P), {"right": float((margin_P > 0).sum())})


def test_a_trained_bf16_connector_moves_in_all_its_entries(folder: Path, tmp_path: Path) -> None:
    """Updated in bfloat16 at this rate, 1.4 % of the entries of a real one did."""
    loaded = load(str(folder), dtype="bfloat16", device="cpu")
    (path,) = connector_modules(loaded.model)
    before = {k: v.clone() for k, v in loaded.model.get_submodule(path).state_dict().items()}
    rows = [row for row in worker.rows() if row.messages[0].images]
    config = planned(Lora(**SMALL), Projector(learning_rate=2e-5), epochs=1)
    result = fit(loaded, rows, SFT(), config, tmp_path)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert result.precision == "bf16"
    for name, old in before.items():
        new = saved[f"base_model.model.{path}.{name}"]
        assert new.dtype == torch.float32
        moved = (new - old.float()).abs()
        assert float((moved > 0).float().mean()) > 0.99 and float(moved.max()) < 2e-5 * result.steps * 1.01
        assert torch.equal(loaded.model.get_submodule(path).state_dict()[name], old)


def test_each_group_has_its_own_rate_and_decay(model: Loaded) -> None:
    config = planned(
        Lora(**SMALL), Projector(learning_rate=1e-5, weight_decay=0.3), Head(name="value", learning_rate=1e-2),
        learning_rate=1e-3, weight_decay=0.1,
    )  # fmt: skip
    with on(model, config.plan(), config) as trainable:
        groups = trainable.parameter_groups()
        assert [(g["peak"], g["weight_decay"]) for g in groups] == [(1e-3, 0.1), (1e-5, 0.3), (1e-2, 0.1)]
        together = [p for g in groups for p in g["params"]]
        flagged = [p for p in trainable.parameters() if p.requires_grad]
        assert {id(p) for p in together} == {id(p) for p in flagged} == {id(p) for p in trainable.trained().values()}


def test_roles_share_a_backbone_and_do_not_touch_each_other(model: Loaded) -> None:
    batch = collate(model, worker.rows(3))
    base = logits(model.model, batch)
    config = planned(Lora(name="actor", **SMALL), Lora(name="critic", **SMALL))
    with on(model, config.plan(), config) as trainable:
        trainable.eval()
        for name, parameter in trainable.trained().items():
            if ".critic." in name:
                parameter.data.add_(0.1)
        inner = trainable.get_base_model()
        assert torch.equal(logits(inner, batch), base)  # a fresh actor changes nothing
        with trainable.using("critic"):
            assert float((logits(inner, batch) - base).abs().max()) > 1e-3
            with trainable.reference():
                assert torch.equal(logits(inner, batch), base)
            sft_loss(trainable, batch).loss.backward()
        given = {name for name, p in trainable.trained().items() if p.grad is not None}
        assert given and all(".critic." in name for name in given)
        with trainable.reference():
            pass
        assert all(p.requires_grad for p in trainable.trained().values())  # PEFT freezes as it switches
        with pytest.raises(InputError, match="unknown role 'actr'; did you mean 'actor'"), trainable.using("actr"):
            pass
    assert torch.equal(logits(model.model, batch), base) and not hasattr(model.model, "peft_config")


def test_the_reference_is_the_base_with_a_trained_projector_and_layer_too(model: Loaded) -> None:
    batch = collate(model, worker.rows(3))
    base = logits(model.model, batch)
    layer = "model.text_model.layers.1"
    config = planned(Lora(**SMALL), Projector(), Layers(modules=(layer,)))
    with on(model, config.plan(), config) as trainable:
        assert not any(path.startswith(layer) for path in trainable.lora_targets)
        for parameter in trainable.trained().values():
            parameter.data.add_(0.05)
        trainable.eval()
        assert float((logits(trainable.get_base_model(), batch) - base).abs().max()) > 1e-2
        with trainable.reference():
            assert torch.equal(logits(trainable.get_base_model(), batch), base)
    assert torch.equal(logits(model.model, batch), base)


def test_layers_and_projector_are_saved_with_the_adapter_and_loaded_again(
    model: Loaded, folder: Path, tmp_path: Path
) -> None:
    config = planned(Lora(**SMALL), Projector(), Layers(modules=("model.text_model.layers.1",)), learning_rate=1e-2)
    result = fit(model, worker.rows(8), SFT(), config, tmp_path)
    assert result.artifact == Artifact("adapter", tmp_path / "adapter", result.fingerprint)
    batch = collate(model, worker.rows(8))
    tuned = load(str(folder), adapter=result.adapter, dtype="float32", device="cpu")
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    with torch.no_grad():
        assert float(sft_loss(tuned.model, batch).loss) < 0.97 * float(sft_loss(model.model, batch).loss)
    assert last["loss"] > 0 and result.features == "not used: the connector is trained"


def test_layers_alone_make_weights(folder: Path, tmp_path: Path) -> None:
    loaded = load(str(folder), dtype="bfloat16", device="cpu")
    before = {k: v.clone() for k, v in loaded.model.state_dict().items()}
    config = planned(Layers(modules=("language_model",)), learning_rate=1e-2)
    result = fit(loaded, worker.rows(8), SFT(), config, tmp_path)
    assert result.kind == "weights" and result.adapter == str(tmp_path / "weights")
    after = loaded.model.state_dict()
    assert all(torch.equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in before)
    tuned = load(result.adapter, dtype="bfloat16", device="cpu")
    changed = {k for k, v in tuned.model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all("text_model" in name for name in changed)
    config = planned(Layers(modules=("model.text_model.layer.1",)))
    with pytest.raises(InputError, match=r"cannot train 'model.text_model.layer.1' in full; modules: model.text_model"):
        fit(loaded, worker.rows(8), SFT(), config, tmp_path / "2")
    with pytest.raises(InputError, match="trains weights in place"):
        fit(loaded, worker.pairs(4), DPO(), planned(Layers(modules=("all",))), tmp_path / "3")
    assert all(torch.equal(before[k], v) for k, v in loaded.model.state_dict().items())


@pytest.mark.parametrize("side", ["left", "right"])
def test_scores_are_read_at_the_last_token_that_is_no_padding(model: Loaded, side: str) -> None:
    from counterpoise.models import collate_rows

    rows = [SFT().encode(model, row, None) for row in worker.rows(3)]
    flat = [row[0] for row in rows if row]
    config = planned(Lora(**SMALL), Head(name="reward"))
    with on(model, config.plan(), config) as trainable, torch.no_grad():
        trainable.eval()
        inputs = collate_rows(model, [one.row for one in flat], padding_side=side)  # type: ignore[arg-type]
        together = trainable.scores("reward", Batch(inputs, inputs["input_ids"]))
        for place, one in enumerate(flat):
            alone = collate_rows(model, [one.row], padding_side="right")
            values = trainable.values("reward", Batch(alone, alone["input_ids"]))
            assert torch.allclose(values[0, -1], together[place], atol=1e-5)
        assert together.shape == (3, 1) and together.dtype == torch.float32


def test_a_reward_model_is_trained_saved_and_started_from(model: Loaded, tmp_path: Path) -> None:
    config = planned(Lora(name="reward", **SMALL), Head(name="reward"), learning_rate=1e-2, epochs=6)
    result = fit(model, worker.pairs(8), Reward(), config, tmp_path / "rm")
    lines = [json.loads(line) for line in (tmp_path / "rm" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"] / 2 and lines[-1]["right"] == 1
    folder = Path(result.adapter)
    frozen = planned(
        Lora(name="actor", **SMALL), Lora(name="reward", start=folder, frozen=True),
        Head(name="reward", start=folder, frozen=True),
    )  # fmt: skip
    objective = Reward(role="reward")
    encoded = [objective.encode(model, pair, None) for pair in worker.pairs(8)]
    from counterpoise.train import pad

    batch = pad(model, [row for row in encoded if row])
    with on(model, frozen.plan(), frozen) as trainable, torch.no_grad():
        trainable.eval()
        assert all(".actor." in name for name in trainable.trained())
        with trainable.using("reward"):
            inside = float(objective.loss(trainable, batch).loss) / 8
        assert inside < 0.1 < float(objective.loss(trainable, batch).loss) / 8
    with pytest.raises(InputError, match="unknown head 'cost'"):
        on(model, (Lora(**SMALL), Head(name="cost", start=folder)), config).__enter__()
    assert not hasattr(model.model, "peft_config")
    # the saved role alone is an ordinary adapter
    assert load(model.path, adapter=folder, dtype="float32", device="cpu").proof is not None


def test_every_trained_role_is_saved(model: Loaded, tmp_path: Path) -> None:
    config = planned(Lora(name="actor", **SMALL), Lora(name="critic", **SMALL), learning_rate=1e-2)
    fit(model, worker.rows(4), SFT(), config, tmp_path)
    actor, critic = (load_file(tmp_path / p / "adapter_model.safetensors") for p in ("adapter", "roles/critic"))
    assert list(actor) == list(critic)
    assert any(bool(v.any()) for k, v in actor.items() if "lora_B" in k)
    assert not any(bool(v.any()) for k, v in critic.items() if "lora_B" in k)


def test_a_merged_adapter_is_trained_on_and_the_two_become_one(folder: Path, tmp_path: Path) -> None:
    """SFT, then DPO whose reference is the SFT model; the result is one adapter of the base."""
    base = load(str(folder), dtype="float32", device="cpu")
    first = fit(base, worker.rows(8), SFT(), CONFIG.model_copy(update={"learning_rate": 1e-2}), tmp_path / "sft")
    apart = load(str(folder), adapter=first.adapter, dtype="float32", device="cpu")
    with pytest.raises(InputError, match="already carries the adapter"):
        fit(apart, worker.pairs(8), DPO(), CONFIG, tmp_path / "no")
    merged = load(str(folder), adapter=first.adapter, dtype="float32", device="cpu", merge=True)
    layers = tuple(path for path in first.lora_targets if path.endswith("q_proj"))
    config = planned(Lora(rank=2, alpha=6, targets=layers), learning_rate=1e-2, epochs=3)
    second = fit(merged, worker.pairs(8), DPO(0.5), config, tmp_path / "dpo")
    assert second.lora_targets == layers
    lines = [json.loads(line) for line in (tmp_path / "dpo" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["margin"] == 0 and lines[-1]["margin"] > 0
    tuned = load(str(folder), adapter=second.adapter, dtype="float32", device="cpu")
    batch = collate(base, worker.rows(8))
    with on(merged, config.plan(), config) as trainable:  # the second factors put on the merged model by hand
        joined = load_file(Path(second.adapter) / "adapter_model.safetensors")
        for name, parameter in trainable.trained().items():
            key = name.removeprefix("model.").replace(".default", "")
            own = joined[key][-2:] if "lora_A" in key else joined[key][:, -2:] / (6 / 2)
            parameter.data.copy_(own)
        trainable.eval()
        with torch.no_grad():
            expected = sequence_logprobs(trainable, batch)
    with torch.no_grad():
        assert torch.allclose(sequence_logprobs(tuned.model, batch), expected, atol=2e-3)
        assert not torch.allclose(sequence_logprobs(apart.model, batch), expected, atol=2e-2)
    ranks = {k: len(v) for k, v in joined.items() if "lora_A" in k}
    assert {rank for k, rank in ranks.items() if "q_proj" in k} == {6} and set(ranks.values()) == {4, 6}


def test_an_adapter_names_a_base_that_has_what_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    name = "model.text_model.norm.weight"
    base = load(str(folder), dtype="float32", device="cpu")
    save_edit(tmp_path / "edit", base, [TensorEdit(name, "scale", torch.full((32,), -1.0))])
    for merge in (False, True):
        edited = load(str(folder), artifact=tmp_path / "edit", dtype="float32", device="cpu", merge=merge)
        with pytest.raises(InputError, match="carries the edit .*train the base"):
            fit(edited, worker.rows(4), SFT(), CONFIG, tmp_path / "no")
    tuned = tiny.build("smolvlm", tmp_path / "tuned", seed=1)
    whole = load(str(folder), artifact=tuned, dtype="float32", device="cpu")
    first = fit(whole, worker.rows(4), SFT(), CONFIG, tmp_path / "first")
    named = load(first.adapter, dtype="float32", device="cpu", merge=True)
    assert named.path == str(tuned)
    second = fit(named, worker.rows(4), SFT(), CONFIG, tmp_path / "second")
    assert load(second.adapter, dtype="float32", device="cpu").path == str(tuned)


def test_a_plan_that_cannot_be_is_told(model: Loaded, tmp_path: Path) -> None:
    text = load(str(tiny.build("llama", tmp_path / "llama")), dtype="float32", device="cpu")
    for loaded, groups, message in (
        (text, (Lora(**SMALL), Projector()), "has no projector"),
        (model, (Lora(**SMALL), Lora(**SMALL)), "two are called 'default'"),
        (model, (Lora(frozen=True, **SMALL),), "nothing is trained"),
        (model, (Lora(**SMALL), Projector(role="actor")), "unknown role 'actor'"),
        (model, (Lora(**SMALL), Layers(modules=("all",))), "cannot train 'all' in full"),
    ):
        with pytest.raises(InputError, match=message):
            fit(loaded, worker.rows(4, images=False), SFT(), planned(*groups), tmp_path / "out")
        assert all(p.requires_grad for p in loaded.model.parameters())
