"""A training in a process of its own, to be killed or launched twice: worker.py MODEL OUT [SECONDS A STEP]."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.models import load
from counterpoise.train import SFT, Batch, LossOut, TrainConfig, fit

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


if __name__ == "__main__":
    model, out, pause = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    config = CONFIG if pause else CONFIG.model_copy(update={"lora_dropout": 0.0})
    try:
        fit(load(model, dtype="float32", device="cpu"), rows(), Slow(seconds=pause), config, out)
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
