"""The trunk: what roles say and learn from shared states of the lower blocks is what they say and learn without."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from torch import Tensor

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.models import Loaded, decoder_layers, load
from counterpoise.train import (
    DPO,
    SFT,
    Batch,
    Head,
    Layers,
    Lora,
    Projector,
    Stepper,
    TrainConfig,
    encode_sample,
    fit,
    hidden_states,
    label_logits,
    pad,
    training,
)
from counterpoise.train._attach import adapter_config

CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0})
UPPER = (
    Lora(name="actor", rank=2, alpha=8, layers_from=1), Lora(name="critic", rank=2, alpha=8, layers_from=1),
    Head(name="value"),
)  # fmt: skip
VLMS = ("llava", "smolvlm", "gemma3", "qwen2_5_vl", "qwen3_vl")


@contextmanager
def stepping(loaded: Loaded, place: Path, *groups: Any, **changes: Any) -> Iterator[Stepper]:
    """With factors that say something: fresh ones are all zero."""
    config = CONFIG.model_copy(update={"groups": groups or UPPER, **changes})
    with training(loaded, config, place, total=4, run="x", keep_features=True) as stepper:
        torch.manual_seed(5)
        for name, parameter in stepper.trainable.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.3)
        yield stepper


def batch_of(stepper: Stepper, rows: list[Sample], columns: int = 0) -> Batch:
    """Padded by `columns` more, features of images in place."""
    loaded, model = stepper.loaded, stepper.trainable
    rows_of_tokens = [encode_sample(loaded, row, None) for row in rows]
    batch = pad(loaded, [row for row in rows_of_tokens if row], once=model.store is not None)
    if model.store is not None:
        inputs = model.store.apply(model.get_base_model(), batch.inputs, batch.keys)
        batch = dataclasses.replace(batch, inputs=inputs)
    fill = {"input_ids": loaded.tokenizer.pad_token_id}
    wide = {
        name: torch.nn.functional.pad(value, (0, columns), value=fill.get(name, 0))
        if name in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids") else value
        for name, value in batch.inputs.items()
    }  # fmt: skip
    return dataclasses.replace(
        batch, inputs=wide, labels=torch.nn.functional.pad(batch.labels, (0, columns), value=-100)
    )


def said(stepper: Stepper, batch: Batch) -> dict[str, Tensor]:
    """What every role says, at places that are no padding."""
    model, found = stepper.trainable, dict[str, Tensor]()
    keep = batch.inputs["attention_mask"].bool()
    for role in ("actor", "critic"):
        with model.using(role):
            found[role], found[f"{role} states"] = label_logits(model, batch)[0], hidden_states(model, batch)[keep]
            found[f"{role} score"] = model.scores("value", batch)
    with model.reference():
        found["reference"] = label_logits(model, batch)[0]
    return {name: value.detach() for name, value in found.items()}


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            value, other[name], atol=2e-5, rtol=2e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def counted(stepper: Stepper) -> tuple[list[int], list[Any]]:
    """How often each block of the language model computes from now on; the hooks to remove."""
    blocks = decoder_layers(stepper.loaded.model)
    counts = [0] * len(blocks)

    def count(number: int) -> Any:
        def hook(*_: Any) -> None:
            counts[number] += 1

        return hook

    return counts, [block.self_attn.register_forward_hook(count(number)) for number, block in enumerate(blocks)]


@pytest.mark.parametrize("arch", [*VLMS, "llama"])
def test_every_role_says_the_same_from_shared_states(arch: str, tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    rows = worker.rows(4, images=arch != "llama")
    with stepping(loaded, tmp_path / "plain", trunk_cache_mb=0) as stepper:
        assert stepper.trainable.trunk is None
        stepper.trainable.eval()
        whole = said(stepper, batch_of(stepper, rows))
    with stepping(loaded, tmp_path / "shared") as stepper:
        stepper.trainable.eval()
        trunk = stepper.trainable.trunk
        assert trunk is not None and trunk.depth == 1 and trunk.apart == ()
        batch = batch_of(stepper, rows)
        with stepper.trainable.using("actor"):
            hidden_states(stepper.trainable, batch)
        assert trunk.why is None, trunk.why
        counts, hooks = counted(stepper)
        close(said(stepper, batch), whole)
        close(said(stepper, batch_of(stepper, rows, columns=5)), whole)
        for hook in hooks:
            hook.remove()
    assert counts[0] == 0 and counts[1] >= 14, "the shared block computed again"
    assert not any("forward" in vars(block) for block in decoder_layers(loaded.model))


def test_nothing_is_taken_from_another_sequence(model: Loaded, tmp_path: Path) -> None:
    """Other words, another picture under the same words, another place of the padding: computed anew."""
    shown, other = (Image.from_pil(tiny.picture(seed)) for seed in (1, 2))
    rows = [Sample("a", (user(shown, "What is this?"), assistant("A cat.")))]
    same_words = [Sample("a", (user(other, "What is this?"), assistant("A cat.")))]
    longer = [Sample("a", (user(shown, "What is this?"), assistant("A cat. Or a dog.")))]
    with stepping(model, tmp_path) as stepper:
        trainable, trunk = stepper.trainable.eval(), stepper.trainable.trunk
        assert trunk is not None
        states = {}
        for name, each in (("rows", rows), ("same words", same_words), ("longer", longer)):
            batch = batch_of(stepper, each)
            before = trunk.misses
            states[name] = hidden_states(trainable, batch).detach()
            assert trunk.misses == before + 1
            trainable.trunk = None
            torch.testing.assert_close(states[name], hidden_states(trainable, batch).detach(), atol=1e-5, rtol=1e-5)
            trainable.trunk = trunk
        assert not torch.allclose(states["rows"], states["same words"])
        # a batch whose images are not named, or with an input that is not known, is never taken from the store
        batch = batch_of(stepper, rows)
        assert trunk.sequences(dataclasses.replace(batch, keys=[()])) is None
        assert trunk.sequences(dataclasses.replace(batch, inputs=batch.inputs | {"position_ids": batch.labels})) is None
        hole = batch.inputs["attention_mask"].clone()
        hole[:, 3] = 0
        assert trunk.sequences(dataclasses.replace(batch, inputs=batch.inputs | {"attention_mask": hole})) is None
        # padding on the left moves the sequence: a state of its own
        left = {name: torch.nn.functional.pad(value, (2, 0)) for name, value in batch.inputs.items()
                if name in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")}  # fmt: skip
        moved = dataclasses.replace(batch, inputs=batch.inputs | left)
        found = trunk.sequences(moved)
        assert found is not None and found[0].start == 2 and trunk._states(found, moved) is None


@pytest.mark.parametrize(("objective", "checkpointing"), [(SFT(), True), (DPO(0.5), False)])
def test_training_learns_the_same(objective: Any, checkpointing: bool, model: Loaded, tmp_path: Path) -> None:
    rows: Any = worker.rows(8) if isinstance(objective, SFT) else worker.pairs(8)
    config = CONFIG.model_copy(
        update={"groups": (Lora(rank=4, alpha=8, layers_from=1),), "gradient_checkpointing": checkpointing}
    )
    shared = fit(model, rows, objective, config, tmp_path / "shared")
    plain = fit(model, rows, objective, config.model_copy(update={"trunk_cache_mb": 0}), tmp_path / "plain")
    assert shared.trunk.startswith("blocks 0 to 0 computed once") and plain.trunk == "not shared: trunk_cache_mb is 0"
    from safetensors.torch import load_file

    one, other = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("shared", "plain"))
    assert one and all(".layers.1." in name for name in one)
    assert sum(float(value.abs().sum()) for name, value in one.items() if ".lora_B." in name) > 0
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-4, rtol=1e-3)
    assert shared.loss == pytest.approx(plain.loss, rel=1e-4)


def test_later_passes_over_the_rows_start_behind_the_trunk(model: Loaded, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"groups": (Lora(rank=4, alpha=8, layers_from=1),), "epochs": 3})
    found = fit(model, worker.rows(8), SFT(), config, tmp_path / "lasting")
    assert "once: 8 sequences," in found.trunk
    once = fit(model, worker.pairs(8), DPO(), config.model_copy(update={"epochs": 1}), tmp_path / "once")
    assert "once: 16 sequences," in once.trunk  # by the reference, and taken by the policy


def test_a_full_store_keeps_the_latest_batch_only(model: Loaded, tmp_path: Path) -> None:
    rows = worker.rows(4)
    with stepping(model, tmp_path) as stepper:
        trainable, trunk = stepper.trainable.eval(), stepper.trainable.trunk
        assert trunk is not None
        trunk.limit = 0
        batches = [batch_of(stepper, rows[:2]), batch_of(stepper, rows[2:])]
        for batch in (batches[0], batches[0], batches[1], batches[1], batches[0]):
            hidden_states(trainable, batch)
        assert (trunk.misses, trunk.used, trunk.kept) == (6, 0, {})


def test_beginnings_share_the_states_of_the_whole(model: Loaded, tmp_path: Path) -> None:
    long = [Sample("a", (user("Hi"), assistant("One two three four"))), Sample("b", (user("Ho"), assistant("One two")))]
    with stepping(model, tmp_path) as stepper:
        trainable, trunk = stepper.trainable.eval(), stepper.trainable.trunk
        assert trunk is not None
        whole = batch_of(stepper, long)
        n = int(whole.inputs["attention_mask"].sum(1).min()) - 2
        short = dataclasses.replace(
            whole, inputs={name: value[:, :n] for name, value in whole.inputs.items()}, labels=whole.labels[:, :n]
        )
        hidden_states(trainable, whole)
        trunk.shorten(whole, short)
        before = trunk.misses
        taken = hidden_states(trainable, short)
        assert trunk.misses == before
        trainable.trunk = None
        torch.testing.assert_close(taken, hidden_states(trainable, short), atol=1e-5, rtol=1e-5)
        trunk.clear()
        trunk.shorten(whole, short)  # nothing known, nothing made up
        assert trunk.kept == {}


def test_roles_that_change_lower_blocks_are_computed_by_themselves(model: Loaded, tmp_path: Path) -> None:
    groups = (
        Lora(name="actor", rank=2, alpha=8, layers_from=1),
        Lora(name="critic", rank=2, alpha=8),
        Head(name="value"),
    )
    rows = worker.rows(3)
    with stepping(model, tmp_path / "shared", *groups) as stepper:
        trunk = stepper.trainable.eval().trunk
        assert trunk is not None and trunk.apart == ("critic",) and trunk.roles == {"actor", None}
        ours = said(stepper, batch_of(stepper, rows))
        assert stepper.trainable.sharing.endswith("each by itself: critic")
    with stepping(model, tmp_path / "plain", *groups, trunk_cache_mb=0) as stepper:
        stepper.trainable.eval()
        close(ours, said(stepper, batch_of(stepper, rows)))


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ((Lora(rank=2, alpha=4),), "the lowest block is trained"),
        ((Lora(rank=2, alpha=4, layers_from=1), Projector()), None),
        ((Layers(modules=("model.text_model.layers.1",)),), "shared"),
        ((Layers(modules=("model.text_model",)),), "the lowest block is trained"),
    ],
)
def test_what_is_trained_decides_what_is_shared(groups: Any, why: str | None, model: Loaded, tmp_path: Path) -> None:
    with stepping(model, tmp_path, *groups) as stepper:
        trunk = stepper.trainable.trunk
        if why == "shared":
            assert trunk is not None and trunk.roles == {""} and trunk.depth == 1
        elif why is None:  # a role with a projector of its own has other image tokens than the reference
            assert trunk is None or "default" not in trunk.roles
        else:
            assert trunk is None and why in stepper.trainable.sharing


def test_a_pass_that_fails_leaves_the_blocks_as_they_were(model: Loaded, tmp_path: Path) -> None:
    with stepping(model, tmp_path) as stepper:
        trainable, trunk = stepper.trainable.eval(), stepper.trainable.trunk
        assert trunk is not None
        batch = batch_of(stepper, worker.rows(2))
        hidden_states(trainable, batch)

        def fails() -> Tensor:
            raise ValueError("in between")

        with pytest.raises(ValueError, match="in between"):
            trunk.run(trainable, batch, fails)
        trunk.clear()
        with pytest.raises(ValueError, match="in between"):
            trunk.run(trainable, batch, fails)
        trainable.train()
        assert [block.training for block in trunk.blocks] == [False, True], "dropout would make shared states differ"
        blocks = decoder_layers(model.model)
        assert not any("forward" in vars(block) or block._forward_hooks for block in blocks)


def test_a_model_whose_passes_differ_is_told_and_not_shared(model: Loaded, tmp_path: Path) -> None:
    """Blocks that pass on more than their states: what a lower one leaves behind is missing in a pass that skips it."""
    lower, upper = decoder_layers(model.model)
    seen: list[Tensor] = []
    first = lower.self_attn.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    second = upper.register_forward_hook(lambda _, args, output: output + 5 * seen.pop() if seen else output)
    try:
        with stepping(model, tmp_path) as stepper:
            trainable, trunk = stepper.trainable.eval(), stepper.trainable.trunk
            assert trunk is not None
            batch = batch_of(stepper, worker.rows(2))
            first_pass = hidden_states(trainable, batch)
            assert "differ" in trainable.sharing
            torch.testing.assert_close(first_pass, hidden_states(trainable, batch))
    finally:
        first.remove()
        second.remove()


def test_blocks_that_are_not_there_are_told(model: Loaded, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"layers_from 2: \w+ has 2 blocks, 0 to 1"),
        stepping(model, tmp_path, Lora(rank=2, alpha=4, layers_from=2)),
    ):
        pass


def test_factors_from_a_block_on(model: Loaded) -> None:
    everywhere, upper = (adapter_config(model, Lora(layers_from=first), ())[2] for first in (0, 1))
    assert set(upper) == {name for name in everywhere if ".layers.0." not in name} and 0 < len(upper) < len(everywhere)
    assert all(model.model.get_submodule(name).weight.ndim == 2 for name in upper)


def test_a_plan_without_it_is_recorded_as_before() -> None:
    assert "layers_from" not in Lora().model_dump() and "trunk_cache_mb" not in TrainConfig().model_dump()
    assert Lora(layers_from=3).model_dump()["layers_from"] == 3
