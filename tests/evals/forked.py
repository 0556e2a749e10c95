"""Two processes that evaluate into one folder at the same moment, many times over.

argv: model folder, folder of the results, number of trials. One process imports what is heavy, by an evaluation of its
own, and forks two for each trial, which start at the same moment. Prints per trial what each of the two said.
"""

import json
import os
import sys
from pathlib import Path

import torch

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.evals import Benchmark, evaluate
from counterpoise.evals import _registry as registry
from counterpoise.models import load

N = 6


def one(loaded, out: Path, start: int) -> str:
    os.read(start, 1)  # both wait here
    try:
        done = evaluate(loaded, ["mine"], out=out, run="r", max_new_tokens=2)
    except InputError as error:
        return f"no: {error}"
    return f"done: {done.generated}"


def trial(loaded, out: Path) -> list[str]:
    start, go = os.pipe()
    children = []
    for _ in range(2):
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                os.write(write, one(loaded, out, start).encode())
            finally:
                os._exit(0)
        os.close(write)
        children.append(read)
    os.write(go, b"xx")
    said = [os.fdopen(read).read() for read in children]
    for _ in children:
        os.wait()
    return said


if __name__ == "__main__":
    torch.set_num_threads(1)  # no pool of threads that a fork would lose
    registry.benchmarks()
    samples = [Sample(str(n), (user(f"Question {n}?"),), harmful=True) for n in range(N)]
    mine = Benchmark(
        "mine", "Mine", "", "text", "here", "none", "1", N, ("opening:v3",), ("asr",), lambda: iter(samples)
    )
    registry.register(mine)
    model = load(sys.argv[1], dtype="float32")
    evaluate(model, ["mine"], out=Path(sys.argv[2]) / "first", run="r", max_new_tokens=2)  # imports all that it needs
    trials = [trial(model, Path(sys.argv[2]) / str(n)) for n in range(int(sys.argv[3]))]
    print(json.dumps(trials))
