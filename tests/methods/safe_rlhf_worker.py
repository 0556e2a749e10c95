"""Safe RLHF-V with all its stages in a process of its own: safe_rlhf_worker.py MODEL OUT

With RANK and WORLD_SIZE in the environment it is one of several.
"""

import sys
from pathlib import Path

from counterpoise.methods import get
from counterpoise.models import load

TRAIN = {"learning_rate": 5e-3, "epochs": 1, "batch_size": 4, "lora_rank": 2, "lora_alpha": 4, "save_every_steps": 1}
SETTINGS = {
    "n_pairs": 12, "n_held_out": 4, "n_instructions": 4,
    "scoring.train": TRAIN | {"micro_batch_tokens": 900},
    "ppo.steps": 2, "ppo.prompts": 4, "ppo.max_new_tokens": 5, "ppo.critic_learning_rate": 5e-3,
    "ppo.train": TRAIN | {"micro_batch_tokens": 900}, "ppo.multiplier": {"delay": 0, "window": 4},
}  # fmt: skip


def align(model: str, out: Path) -> None:
    method = get("safe-rlhf-v")
    method.align(load(model, dtype="float32", device="cpu"), method.resolve(None, SETTINGS), out)


if __name__ == "__main__":
    align(sys.argv[1], Path(sys.argv[2]))
