"""The same batch, the same weights: our losses and gradients against TRL's SFTTrainer and DPOTrainer, in float32."""

from pathlib import Path
from typing import Any

import pytest
import torch
import worker

import tiny
from counterpoise.chat import Image
from counterpoise.models import load, vision_root
from counterpoise.train import DPO, FeatureStore, collate, pad, sft_loss
from counterpoise.train._trainable import on

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "llama"])
@pytest.mark.parametrize("places", [(1, 7, 13), (2,), (3, 9)])
def test_loss_equals_trls(arch: str, places: tuple[int, ...], tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    samples = [worker.rows(images=arch != "llama")[i] for i in places]
    ours_batch = collate(loaded, samples)
    ours = sft_loss(loaded.model, ours_batch)
    (ours.loss / ours.n).backward()
    gradients = gradients_of(loaded.model)
    rows = [trl_row(sample, not loaded.is_vlm) for sample in samples]
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=len(rows), max_length=None, packing=False,
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, completion_only_loss=True, max_steps=1,
        dataset_kwargs={"skip_prepare_dataset": loaded.is_vlm}, remove_unused_columns=False, learning_rate=0.0,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=loaded.model,
        args=settings,
        processing_class=loaded.processor,
        train_dataset=datasets.Dataset.from_list(rows),
    )
    batch = trainer.data_collator(rows if loaded.is_vlm else list(trainer.train_dataset))
    # ChatML's newline behind the end of turn: TRL labels it, we do not, because no one samples it
    wanted = [[t for t in row.tolist() if t != -100] for row in ours_batch.labels]
    theirs = [[t for t in row.tolist() if t != -100] for row in batch["labels"]]
    newline = loaded.tokenizer.encode("\n", add_special_tokens=False)
    assert theirs == [row + newline for row in wanted]
    keep = batch["labels"] != -100
    for row, mask in enumerate(keep):
        batch["labels"][row, torch.nonzero(mask).flatten()[-1]] = -100
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, batch)
    assert float((ours.loss / ours.n).detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
    loss.backward()
    assert_close(gradients, gradients_of(loaded.model))


def gradients_of(model: Any) -> dict[str, torch.Tensor]:
    """All gradients by name; they are taken away, for the next backward pass."""
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Every gradient within 1e-4 of the largest one of its tensor, and not all of them zero."""
    assert set(ours) == set(theirs) and len(ours) > 4
    for name, gradient in ours.items():
        size = max(float(theirs[name].abs().max()), 1e-3)
        assert float((gradient - theirs[name]).abs().max()) <= 1e-4 * size, name
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 1e-2


def trl_row(sample: Any, text_only: bool = False) -> dict[str, Any]:
    prompt, reply = sample.messages
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    if text_only:
        completion = [{"role": "assistant", "content": reply.text}]
        return {"prompt": [{"role": "user", "content": prompt.text}], "completion": completion}
    return {
        "images": [image.pil() for image in prompt.images],
        "prompt": [{"role": "user", "content": content}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": reply.text}]}],
    }


@pytest.mark.parametrize("arch", ["llava", "smolvlm", "llama"])
def test_dpo_loss_equals_trls(arch: str, tmp_path: Path) -> None:
    """On a policy that differs from its reference; ours encodes each image once for both answers, theirs twice."""
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    pairs = [pair for pair in worker.pairs(12) if len(pair.prompt[0].images) == int(loaded.is_vlm)]
    settings = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=len(pairs), max_length=None, report_to=[],
        use_cpu=True, bf16=False, gradient_checkpointing=False, max_steps=1, beta=0.3, learning_rate=0.0,
        remove_unused_columns=False,
    )  # fmt: skip
    rows = [dpo_row(pair) for pair in pairs]
    config = worker.CONFIG.model_copy(update={"lora_dropout": 0.0})
    newline = loaded.tokenizer.encode("\n", add_special_tokens=False)
    with on(loaded, config.plan(), config) as model:
        # TRL copies the adapter as it finds it to be its reference: a fresh one, which is the base
        trainer = trl.DPOTrainer(
            model=model.model,
            args=settings,
            processing_class=loaded.processor,
            train_dataset=datasets.Dataset.from_list(rows),
        )
        torch.manual_seed(0)
        for parameter in model.trained().values():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        model.eval()
        encoded = [DPO(0.3).encode(loaded, pair, None) for pair in pairs]
        model.store = FeatureStore(None, 0) if loaded.is_vlm else None
        images = images_seen(loaded)
        ours = model(DPO(0.3), pad(loaded, [row for row in encoded if row], once=loaded.is_vlm))
        assert sum(images) == (len(pairs) if loaded.is_vlm else 0)
        (ours.loss / ours.n).backward()
        gradients = gradients_of(model.model)
        model.store = None
        batch = trainer.data_collator(rows if loaded.is_vlm else list(trainer.train_dataset))
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True):
            last = torch.nonzero(mask).flatten()[-1]  # ChatML's newline, as above
            assert [int(ids[last])] == newline
            mask[last] = 0
        trainer.model.eval()
        theirs = trainer.compute_loss(trainer.model, batch)
        theirs.backward()
        assert sum(images) > 2 * len(pairs) or not loaded.is_vlm
        assert_close(gradients, {k: v for k, v in gradients_of(trainer.model).items() if k in gradients})
    assert float((ours.loss / ours.n).detach()) == pytest.approx(float(theirs.detach()), abs=1e-5)
    assert abs(float(theirs.detach()) - 0.6931) > 1e-3  # the policy is not the reference


def images_seen(loaded: Any) -> list[int]:
    """Grows by the images of every pass through the vision tower."""
    seen: list[int] = []
    if loaded.is_vlm:
        tower = loaded.model.get_submodule(vision_root(loaded.model))
        tower.register_forward_hook(
            lambda module, args, kwargs, out: seen.append(len(args[0] if args else kwargs["pixel_values"])),
            with_kwargs=True,
        )
    return seen


def dpo_row(pair: Any) -> dict[str, Any]:
    (prompt,) = pair.prompt
    if not prompt.images:
        return {"prompt": [{"role": "user", "content": prompt.text}]} | {
            name: [{"role": "assistant", "content": text}]
            for name, text in (("chosen", pair.chosen), ("rejected", pair.rejected))
        }
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    replies = {"chosen": pair.chosen, "rejected": pair.rejected}
    return {"images": [image.pil() for image in prompt.images], "prompt": [{"role": "user", "content": content}]} | {
        name: [{"role": "assistant", "content": [{"type": "text", "text": text}]}] for name, text in replies.items()
    }
