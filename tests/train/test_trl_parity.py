"""The same batch, the same weights: our losses against TRL's SFTTrainer and DPOTrainer."""

from pathlib import Path
from typing import Any

import pytest
import torch
import worker

import tiny
from counterpoise.chat import Image
from counterpoise.models import load
from counterpoise.train import DPO, collate, pad, sft_loss
from counterpoise.train._trainable import on

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")


@pytest.mark.parametrize("arch", ["llava", "smolvlm"])
@pytest.mark.parametrize("places", [(1, 7, 13), (2,), (3, 9)])
def test_loss_equals_trls(arch: str, places: tuple[int, ...], tmp_path: Path) -> None:
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    samples = [worker.rows()[i] for i in places]
    ours_batch = collate(loaded, samples)
    with torch.no_grad():
        ours = sft_loss(loaded.model, ours_batch)
    rows = [trl_row(sample) for sample in samples]
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=len(rows), max_length=None, packing=False,
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, completion_only_loss=True, max_steps=1,
        dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False, learning_rate=0.0,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=loaded.model,
        args=settings,
        processing_class=loaded.processor,
        train_dataset=datasets.Dataset.from_list(rows),
    )
    batch = trainer.data_collator(rows)
    # ChatML's newline behind the end of turn: TRL labels it, we do not, because no one samples it
    wanted = [[t for t in row.tolist() if t != -100] for row in ours_batch.labels]
    theirs = [[t for t in row.tolist() if t != -100] for row in batch["labels"]]
    newline = loaded.tokenizer.encode("\n", add_special_tokens=False)
    assert theirs == [row + newline for row in wanted]
    keep = batch["labels"] != -100
    for row, mask in enumerate(keep):
        batch["labels"][row, torch.nonzero(mask).flatten()[-1]] = -100
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch)
    assert float(ours.loss / ours.n) == pytest.approx(float(loss), rel=1e-5)


def trl_row(sample: Any) -> dict[str, Any]:
    prompt, reply = sample.messages
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    return {
        "images": [image.pil() for image in prompt.images],
        "prompt": [{"role": "user", "content": content}],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": reply.text}]}],
    }


@pytest.mark.parametrize("arch", ["llava", "smolvlm"])
def test_dpo_loss_equals_trls(arch: str, tmp_path: Path) -> None:
    """On a policy that differs from its reference."""
    loaded = load(str(tiny.build(arch, tmp_path / "m")), dtype="float32", device="cpu")
    pairs = [pair for pair in worker.pairs(12) if len(pair.prompt[0].images) == 1]
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
        with torch.no_grad():
            ours = DPO(0.3).loss(model, pad(loaded, [row for row in encoded if row]))
        batch = trainer.data_collator(rows)
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True):
            last = torch.nonzero(mask).flatten()[-1]  # ChatML's newline, as above
            assert [int(ids[last])] == newline
            mask[last] = 0
        trainer.model.eval()
        with torch.no_grad():
            theirs = trainer.compute_loss(trainer.model, batch)
    assert float(ours.loss / ours.n) == pytest.approx(float(theirs), abs=1e-5)
    assert abs(float(theirs) - 0.6931) > 1e-3  # the policy is not the reference


def dpo_row(pair: Any) -> dict[str, Any]:
    (prompt,) = pair.prompt
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    replies = {"chosen": pair.chosen, "rejected": pair.rejected}
    return {"images": [image.pil() for image in prompt.images], "prompt": [{"role": "user", "content": content}]} | {
        name: [{"role": "assistant", "content": [{"type": "text", "text": text}]}] for name, text in replies.items()
    }
