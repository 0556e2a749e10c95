"""Memory of a six-role PPO update beside a step of supervised fine-tuning, and rollouts beside plain generation.

    python bench/safe_rlhf.py [--model pocket] [--rows 8] [--tokens 32] [--clock cpu] [--layers-from 20]

Both trainings run in processes of their own, on the same prompts, with replies of as many words as PPO samples tokens.
Peaks are those of the whole process (maximum resident set size on a CPU). Rollouts are timed against the engine on the
same prompts without any adapter; the first of each is not counted. `--clock cpu` counts the process's own seconds, for
a machine on which others work (the ratio of the two is then steadier than that of wall times). With `--layers-from`
PPO is measured twice, with factors on all blocks and on those from that one on, part by part.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from counterpoise.chat import Sample, assistant
from counterpoise.data import Preference, twins
from counterpoise.data.pocket_sets import prefer
from counterpoise.methods.safe_rlhf import PPOConfig
from counterpoise.train import SFT, Head, Lora, TrainConfig, fit, training

TIMES = 2
TRAIN = TrainConfig(learning_rate=1e-5, epochs=1, batch_size=64, lora_rank=8, lora_alpha=16, save_every_steps=1000)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def requests(n: int) -> list[Sample]:
    """Half texts, half prints."""
    kinds = twins.samples("train", "text")[: n // 2], twins.samples("train", "print")[: n - n // 2]
    return [*kinds[0], *kinds[1]]


def pairs(n: int) -> list[Preference]:
    replies = "I can't help with that, because it could cause harm.", "Sure! First get ready, then begin."
    return [prefer(request, *replies, request.id) for request in requests(n)]


def sft(model: str, rows: int, tokens: int, out: Path) -> dict[str, Any]:
    from counterpoise.models import load

    loaded = load(model)
    base = peak_mb()
    reply = "word " * (tokens - 1)
    samples = [Sample(r.id, (*r.messages, assistant(reply.strip()))) for r in requests(rows)]
    started = time.monotonic()
    fit(loaded, samples * 2, SFT(), TRAIN.model_copy(update={"batch_size": rows}), out)
    return {"loaded_mb": base, "peak_mb": peak_mb(), "seconds": (time.monotonic() - started) / 2}


def ppo(
    model: str, rows: int, tokens: int, out: Path, clock: Callable[[], float] = time.monotonic, first: int = 0
) -> dict[str, Any]:
    from counterpoise.methods.safe_rlhf._episodes import estimate, look, with_estimates
    from counterpoise.methods.safe_rlhf._ppo import Loop, mixed, roles
    from counterpoise.methods.safe_rlhf._rollouts import Ask, roll_out
    from counterpoise.methods.safe_rlhf._scores import CostModel, RewardModel
    from counterpoise.models import Decoding, Engine, load

    loaded = load(model)
    base = peak_mb()
    for name, objective in (("reward", RewardModel()), ("cost", CostModel())):
        groups = (Lora(name=name, rank=8, alpha=16, layers_from=first), Head(name=name))
        fit(loaded, pairs(2), objective, TRAIN.model_copy(update={"groups": groups}), out / name)
    asks = [Ask(request.id, request.messages) for request in requests(rows)]

    def plain() -> int:
        answers = Engine(loaded).generate([ask.prompt for ask in asks], Decoding(tokens, 1.0, seed=1))
        return sum(answer.n_new for answer in answers)

    def rate(make: Callable[[], int]) -> float:
        make()  # what is read, compiled and cached once
        started = clock()
        made = sum(make() for _ in range(TIMES))
        return made / (clock() - started)

    without = rate(plain)
    print(f"plain generation: {without:.1f} tokens a second", file=sys.stderr)
    config = PPOConfig(steps=TIMES + 1, prompts=rows, max_new_tokens=tokens, train=TRAIN)
    actor = Lora(rank=8, alpha=16, layers_from=first)
    plan = roles(out / "reward" / "adapter", out / "cost" / "adapter", actor, config)
    settings = TRAIN.model_copy(update={"groups": plan})
    with training(loaded, settings, out / "ppo", total=TIMES + 1, run="bench", keep_features=True) as stepper:
        loop = Loop(stepper, config, asks, [], 0)
        parts, rolled = dict.fromkeys(("rollout", "scoring", "update"), 0.0), 0
        for step in range(TIMES + 1):  # the first is not counted
            times = [clock()]
            episodes, _ = roll_out(stepper, asks, config, step)
            times.append(clock())
            looked = look(stepper, episodes, loop.end)
            times.append(clock())
            estimates = estimate(looked, config, [episode.group for episode in episodes])
            loop.learn(
                with_estimates(episodes, looked, estimates, mixed(estimates, 1.0, "both", [True] * len(episodes)))
            )
            times.append(clock())
            if stepper.trainable.trunk is not None:
                stepper.trainable.trunk.clear()
            if step:
                for name, before, after in zip(parts, times, times[1:], strict=False):
                    parts[name] += (after - before) / TIMES
                rolled += sum(episode.tokens.n_labels for episode in episodes)
        print(stepper.trainable.sharing, file=sys.stderr)
    seconds = {f"{name}_seconds": value for name, value in parts.items()} | {"seconds": sum(parts.values())}
    return {"loaded_mb": base, "peak_mb": peak_mb(), **seconds, "plain_rate": without,
            "rollout_rate": rolled / TIMES / parts["rollout"]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--layers-from", type=int, default=0, help="first block with factors, measured too")
    parser.add_argument("--only", choices=("sft", "ppo"))
    given = parser.parse_args()
    if given.only:
        clock = {"wall": time.monotonic, "cpu": time.process_time}[given.clock]
        with tempfile.TemporaryDirectory() as folder:
            common = (given.model, given.rows, given.tokens, Path(folder))
            found = sft(*common) if given.only == "sft" else ppo(*common, clock, given.layers_from)
        print("RESULT " + json.dumps(found))
        return
    results = {}
    parts = {"sft": ("sft", 0), "ppo": ("ppo", 0)}
    if given.layers_from:
        parts["ppo, upper blocks"] = ("ppo", given.layers_from)
    for name, (only, first) in parts.items():
        command = [sys.executable, __file__, "--only", only, "--model", given.model, "--layers-from", str(first)]
        command += ["--rows", str(given.rows), "--tokens", str(given.tokens), "--clock", given.clock]
        # what fails, and how far it is, is seen at once
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        results[name] = json.loads(next(line for line in said.splitlines() if line.startswith("RESULT "))[7:])
        print(name, {key: round(value, 1) for key, value in results[name].items()}, flush=True)
    one, six = results["sft"], results["ppo"]
    print(f"memory, six roles / SFT: {six['peak_mb'] / one['peak_mb']:.2f} (at most 1.6 wanted)")
    rates = six["rollout_rate"] / six["plain_rate"]
    print(f"rollout / plain generation, tokens a second: {rates:.2f} (at least 0.7 wanted)")
    if given.layers_from:
        upper = results["ppo, upper blocks"]
        for part in ("rollout_seconds", "scoring_seconds", "update_seconds", "seconds"):
            print(f"{part}: {six[part]:.1f} with all blocks, {upper[part]:.1f} from {given.layers_from} on, "
                  f"{six[part] / upper[part]:.1f} times less")  # fmt: skip


if __name__ == "__main__":
    main()
