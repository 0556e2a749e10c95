"""The same batch, the same weights: our loss against TRL's SFTTrainer."""

from pathlib import Path
from typing import Any

import pytest
import torch
import worker

import tiny
from counterpoise.chat import Image
from counterpoise.models import load
from counterpoise.train import collate, sft_loss

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
