"""Samples per second of our loop against TRL's trainers: same rows in the same batches, LoRA targets and initial
factors, precision, optimizer and labels; gradient checkpointing off in both. The first step of each is not timed. A
sample of DPO is a pair; TRL's reference is the base under its adapter, as ours is.

    python bench/train_speed.py --model pocket --rows 256
    python bench/train_speed.py --model pocket --rows 64 --batch 8 --objective dpo --modality print
    python bench/train_speed.py --model my/folder --rows 64 --batch 8 --rank 16
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from counterpoise.chat import Image, Message, Pair, Sample
from counterpoise.data.pocket_sets import harmless_instructions, preference_pairs
from counterpoise.methods import pair_of
from counterpoise.models import load
from counterpoise.train import DPO, SFT, Objective, TrainConfig, fit
from counterpoise.train._schedule import steps
from counterpoise.train._trainable import on

BETA = 0.1


class Case(NamedTuple):
    """What differs between the two trainings that are timed."""

    rows: list[Any]
    objective: Objective[Any]
    name: str
    """As TRL's trainer and its settings begin."""
    options: dict[str, Any]
    row: Callable[[Any], dict[str, Any]]
    """A row as TRL takes it."""
    labels: tuple[str, int]
    """Of TRL's batches: the tensor that says where there is loss, and its value where there is none."""


def sft(args: argparse.Namespace) -> Case:
    rows = list(islice(harmless_instructions(0), args.rows))
    options = {"packing": False, "completion_only_loss": True}
    return Case(rows, SFT(), "SFT", options, sft_row, ("labels", -100))


def dpo(args: argparse.Namespace) -> Case:
    rows = [row for row in preference_pairs("train") if row.modality == args.modality]
    pairs = [pair for row in rows if (pair := pair_of(row).pair) is not None][: args.rows]
    options = {"beta": BETA, "remove_unused_columns": False}
    return Case(pairs, DPO(BETA), "DPO", options, dpo_row, ("completion_mask", 0))


def sft_row(sample: Sample) -> dict[str, Any]:
    prompt, reply = sample.messages
    return asked(prompt, False) | {"completion": said(reply.text, False)}


def dpo_row(pair: Pair) -> dict[str, Any]:
    (prompt,) = pair.prompt
    plain = not prompt.images  # all rows of a modality are alike
    replies = {"chosen": pair.chosen, "rejected": pair.rejected}
    return asked(prompt, plain) | {name: said(text, plain) for name, text in replies.items()}


def asked(prompt: Message, plain: bool) -> dict[str, Any]:
    """`plain` rows have no parts. All rows of a set have one form."""
    if plain:
        return {"prompt": [{"role": "user", "content": prompt.text}]}
    content = [{"type": "image"} if isinstance(p, Image) else {"type": "text", "text": p} for p in prompt.parts]
    return {"images": [image.pil() for image in prompt.images], "prompt": [{"role": "user", "content": content}]}


def said(text: str, plain: bool) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text if plain else [{"type": "text", "text": text}]}]


def ours(args: argparse.Namespace, case: Case, config: TrainConfig, out: Path) -> tuple[float, list[float]]:
    loaded = load(args.model, dtype=args.dtype)
    fit(loaded, case.rows, case.objective, config, out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rate = sum(line["rows"] for line in lines[1:]) / sum(line["seconds"] for line in lines[1:])
    return rate, [line["loss"] for line in lines]


def trls(args: argparse.Namespace, case: Case, config: TrainConfig, out: Path) -> tuple[float, list[float]]:
    import datasets
    import trl
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    loaded = load(args.model, dtype=args.dtype)
    plan = steps(len(case.rows), epochs=1, batch_size=config.batch_size, seed=config.seed)
    order = [row for step in plan for row in step.rows]
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    class Trainer(getattr(trl, f"{case.name}Trainer")):  # type: ignore[misc]
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    newline = loaded.tokenizer.encode("\n", add_special_tokens=False)[-1]
    with on(loaded, config.plan(), config) as trainable:
        trainer = Trainer(
            model=trainable.model,
            processing_class=loaded.processor or loaded.tokenizer,
            train_dataset=datasets.Dataset.from_list([case.row(case.rows[i]) for i in order]),
            callbacks=[Clock()],
            args=getattr(trl, f"{case.name}Config")(
                output_dir=str(out), per_device_train_batch_size=config.batch_size, num_train_epochs=1,
                learning_rate=config.learning_rate, lr_scheduler_type="constant", weight_decay=config.weight_decay,
                max_grad_norm=config.max_grad_norm, max_length=None, gradient_checkpointing=False,
                bf16=loaded.dtype == "bfloat16", use_cpu=loaded.device.startswith("cpu"), logging_steps=1, report_to=[],
                save_strategy="no", disable_tqdm=True, optim="adamw_torch", **case.options,
            ),
        )  # fmt: skip
        collate = trainer.data_collator
        name, none = case.labels

        def same_labels(examples: list[dict[str, Any]]) -> Any:
            """TRL labels the newline ChatML writes behind the end of turn; we do not."""
            batch = collate(examples)
            for ids, labels in zip(batch["input_ids"], batch[name], strict=True):
                last = torch.nonzero(labels != none).flatten()[-1]
                if int(ids[last]) == newline:
                    labels[last] = none
            return batch

        trainer.data_collator = same_labels
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return (len(case.rows) - config.batch_size) / (times[-1] - times[0]), losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--objective", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--rows", type=int, default=256, help="rows, or pairs")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--modality", default="print", help="of DPO's prompts: text, print, picture or pair")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    case = {"sft": sft, "dpo": dpo}[args.objective](args)
    config = TrainConfig(
        epochs=1, batch_size=args.batch, lora_rank=args.rank, lora_alpha=2 * args.rank, learning_rate=2e-4,
        schedule="constant", warmup_ratio=0.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        our_rate, our_losses = ours(args, case, config, Path(folder) / "ours")
        trl_rate, trl_losses = trls(args, case, config, Path(folder) / "trl")
    gaps = [abs(a - b) for a, b in zip(our_losses, trl_losses, strict=True)]
    shown = {"modality": args.modality} if args.objective == "dpo" else {}
    result = {
        "model": args.model, "objective": args.objective, **shown, "rows": len(case.rows), "batch": args.batch,
        "rank": args.rank, "dtype": args.dtype, "threads": torch.get_num_threads(),
        "ours_rows_per_s": round(our_rate, 3), "trl_rows_per_s": round(trl_rate, 3),
        "ratio": round(our_rate / trl_rate, 3), "loss_gap_first_step": gaps[0], "loss_gap_mean": sum(gaps) / len(gaps),
        "mean_loss_gap": abs(sum(our_losses) - sum(trl_losses)) / len(gaps),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
