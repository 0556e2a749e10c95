"""DPO samples per second of our loop against TRL's DPOTrainer: same pairs in the same batches, LoRA targets and initial
factors, precision, optimizer and labels; gradient checkpointing off in both. The first step of each is not timed. A
sample is a pair. TRL's reference is the base under its adapter, as ours is.

    python bench/dpo.py --model pocket --pairs 64
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from counterpoise.chat import Image, Pair
from counterpoise.data.pocket_sets import preference_pairs
from counterpoise.methods import pair_of
from counterpoise.models import load
from counterpoise.train import DPO, TrainConfig, fit
from counterpoise.train._plan import steps
from counterpoise.train._trainable import on

BETA = 0.1


def ours(args: argparse.Namespace, pairs: list[Pair], config: TrainConfig, out: Path) -> tuple[float, list[float]]:
    loaded = load(args.model, dtype=args.dtype)
    fit(loaded, pairs, DPO(BETA), config, out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rate = sum(line["rows"] for line in lines[1:]) / sum(line["seconds"] for line in lines[1:])
    return rate, [line["loss"] for line in lines]


def trls(args: argparse.Namespace, pairs: list[Pair], config: TrainConfig, out: Path) -> tuple[float, list[float]]:
    import datasets
    import trl
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    loaded = load(args.model, dtype=args.dtype)
    plan = steps(len(pairs), epochs=1, batch_size=config.batch_size, seed=config.seed)
    order = [row for step in plan for row in step.rows]
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    class Trainer(trl.DPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    newline = loaded.tokenizer.encode("\n", add_special_tokens=False)[-1]
    with on(loaded, config.plan(), config) as trainable:
        trainer = Trainer(
            model=trainable.model,
            processing_class=loaded.processor or loaded.tokenizer,
            train_dataset=datasets.Dataset.from_list([trl_row(pairs[i]) for i in order]),
            callbacks=[Clock()],
            args=trl.DPOConfig(
                output_dir=str(out), per_device_train_batch_size=config.batch_size, num_train_epochs=1, beta=BETA,
                learning_rate=config.learning_rate, lr_scheduler_type="constant", weight_decay=config.weight_decay,
                max_grad_norm=config.max_grad_norm, max_length=None, gradient_checkpointing=False,
                bf16=loaded.dtype == "bfloat16", use_cpu=loaded.device.startswith("cpu"), logging_steps=1, report_to=[],
                save_strategy="no", disable_tqdm=True, optim="adamw_torch", remove_unused_columns=False,
            ),
        )  # fmt: skip
        collate = trainer.data_collator

        def same_labels(examples: list[dict[str, Any]]) -> Any:
            """TRL counts the newline ChatML writes behind the end of turn; we do not."""
            batch = collate(examples)
            for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True):
                last = torch.nonzero(mask).flatten()[-1]
                if int(ids[last]) == newline:
                    mask[last] = 0
            return batch

        trainer.data_collator = same_labels
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return (len(pairs) - config.batch_size) / (times[-1] - times[0]), losses


def trl_row(pair: Pair) -> dict[str, Any]:
    (prompt,) = pair.prompt
    replies = {"chosen": pair.chosen, "rejected": pair.rejected}
    if not prompt.images:
        said = {name: [{"role": "assistant", "content": text}] for name, text in replies.items()}
        return {"prompt": [{"role": "user", "content": prompt.text}]} | said
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    return {"images": [image.pil() for image in prompt.images], "prompt": [{"role": "user", "content": content}]} | {
        name: [{"role": "assistant", "content": [{"type": "text", "text": text}]}] for name, text in replies.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--modality", default="print", help="text, print, picture or pair: the prompts of the pairs")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    rows = [row for row in preference_pairs("train") if row.modality == args.modality]
    pairs = [pair for row in rows if (pair := pair_of(row).pair) is not None][: args.pairs]
    config = TrainConfig(
        epochs=1, batch_size=args.batch, lora_rank=args.rank, lora_alpha=2 * args.rank, learning_rate=2e-4,
        schedule="constant", warmup_ratio=0.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        our_rate, our_losses = ours(args, pairs, config, Path(folder) / "ours")
        trl_rate, trl_losses = trls(args, pairs, config, Path(folder) / "trl")
    gaps = [abs(a - b) for a, b in zip(our_losses, trl_losses, strict=True)]
    result = {
        "model": args.model, "pairs": len(pairs), "modality": args.modality, "batch": args.batch, "rank": args.rank,
        "dtype": args.dtype, "threads": torch.get_num_threads(), "ours_pairs_per_s": round(our_rate, 3),
        "trl_pairs_per_s": round(trl_rate, 3), "ratio": round(our_rate / trl_rate, 3),
        "loss_gap_first_step": gaps[0], "loss_gap_mean": sum(gaps) / len(gaps),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
