"""A training in a process of its own, to be killed or launched twice: worker.py MODEL OUT [SECONDS A STEP] [OBJECTIVE]

With RANK and WORLD_SIZE in the environment it is one of several; with ACCELERATE_USE_FSDP they train under FSDP2 on
CPUs (see `shard_on_cpus`). What each of several held in the end stands in OUT/held-RANK.json. Dropout is on in a run
that pauses, unless WORKER_DROPOUT says otherwise.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
from counterpoise.chat import Image, Pair, Sample, assistant, user
from counterpoise.models import Loaded, load
from counterpoise.train import DPO, SFT, Batch, LossOut, TrainConfig, fit

CONFIG = TrainConfig(
    learning_rate=3e-3, epochs=2, batch_size=4, lora_rank=4, lora_alpha=8, lora_dropout=0.1, save_every_steps=2,
    micro_batch_tokens=120,
)  # fmt: skip


def rows(n: int = 24, images: bool = True) -> list[Sample]:
    """Rows with 0, 1 and 2 images, of different lengths, every fourth a rejection."""
    result = []
    for i in range(n):
        shown = [Image.from_pil(tiny.picture(i * 3 + k)) for k in range(i % 3 if images else 0)]
        prompt = user(*shown, f"What is printed in picture {i}? " + "please " * (i % 5))
        refused = i % 4 == 0
        reply = "I'm sorry, but I cannot assist" if refused else f"It is number {i}."
        result.append(Sample(str(i), (prompt, assistant(reply)), rejection=refused))
    return result


@dataclass(frozen=True)
class Slow(SFT):
    """SFT that pauses in every micro-batch."""

    seconds: float = 0.0

    def loss(self, model: Any, batch: Batch) -> LossOut:
        time.sleep(self.seconds)
        return super().loss(model, batch)

    def fingerprint(self) -> str:
        return SFT().fingerprint()  # a pause changes no result


def pairs(n: int = 12) -> list[Pair]:
    """Preferences between two replies about a picture, or about none."""
    made = []
    for row in rows(n):
        prompt, reply = row.messages
        made.append(Pair(row.id, (prompt,), reply.text, f"Nobody knows number {row.id}, and that is that."))
    return made


def shard_on_cpus() -> None:
    """Accelerate's own FSDP2 preparation on CPU processes. It offers sharding to accelerators only and would silently
    take DDP here, so its shared state is told what the launcher asked for; everything behind that is Accelerate's."""
    from accelerate import Accelerator, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    Accelerator(cpu=True).state.fsdp_plugin = FullyShardedDataParallelPlugin()
    PartialState().distributed_type = DistributedType.FSDP


def held(loaded: Loaded) -> dict[str, int]:
    """How many processes there are, how many numbers the weights have, and how many of them are in this process."""
    import torch.distributed as dist

    weights = list(loaded.model.parameters())
    here = [w.to_local() if hasattr(w, "to_local") else w for w in weights]
    return {
        "world": dist.get_world_size(), "all": sum(w.numel() for w in weights), "here": sum(w.numel() for w in here)
    }  # fmt: skip


if __name__ == "__main__":
    model, out, pause = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    dropout = float(os.environ.get("WORKER_DROPOUT", CONFIG.lora_dropout if pause else 0.0))
    config = CONFIG.model_copy(update={"lora_dropout": dropout})
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        shard_on_cpus()
    try:
        loaded = load(model, dtype=os.environ.get("WORKER_DTYPE", "float32"), device="cpu")
        if sys.argv[4:] == ["dpo"]:
            fit(loaded, pairs(), DPO(), config, out)
        elif sys.argv[4:] == ["connector"]:
            fit(loaded, rows(), SFT(), config.model_copy(update={"train_connector": True}), out)
        else:
            fit(loaded, rows(), Slow(seconds=pause), config, out)
        if "RANK" in os.environ:
            (out / f"held-{os.environ['RANK']}.json").write_text(json.dumps(held(loaded)))
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
