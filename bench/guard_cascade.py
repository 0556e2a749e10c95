"""Speed of the tiny guard and of the cascade tiny -> small, on this machine.

    python bench/guard_cascade.py [--router runs/guards/router] [--n 200] [--threads 2]

Tiny guard: requests one by one, p50 and p99, text and print (aim: p50 under 15 ms). Cascade: Twins test families, at
the router's chosen threshold, against the small guard alone on the same rows in the same run (aim: at least 95 % of its
safety F1 at no more than 30 % of its seconds). Needs the trained guards, and the router of
scripts/guards/saferoute_table.py. Writes docs/results/guard-cascade.md unless --n is smaller than 100.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from counterpoise.base import InputError, atomic_write
from counterpoise.data import twins
from counterpoise.guard import Guard, make_guard
from counterpoise.guard._labelled import Labelled, from_sample
from counterpoise.guard.saferoute import Routed, load_router
from counterpoise.guard.saferoute._metrics import scores


def latencies(guard: Guard, rows: list[Labelled]) -> tuple[float, float]:
    """(p50, p99) milliseconds of one request at a time, after three to warm up."""
    for row in rows[:3]:
        guard.check([row.exchange])
    taken = []
    for row in rows:
        began = time.perf_counter()
        guard.check([row.exchange])
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 99))


def timed(guard: Guard, rows: list[Labelled]) -> tuple[float, float]:
    """(safety F1, seconds) over all rows in batches of 64; what is not safe is blocked."""
    said: list[bool] = []
    began = time.perf_counter()
    for start in range(0, len(rows), 64):
        said += [verdict.blocks() for verdict in guard.check([row.exchange for row in rows[start : start + 64]])]
    seconds = time.perf_counter() - began
    return scores(np.array([row.unsafe for row in rows]), np.array(said)).f1, seconds


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--router", type=Path, default=Path("runs/guards/router"))
    args.add_argument("--n", type=int, default=200, help="rows of each measurement")
    args.add_argument("--threads", type=int, default=torch.get_num_threads())
    a = args.parse_args()
    torch.set_num_threads(a.threads)
    router = load_router(a.router)
    if not {"small_spec", "large_spec"} <= set(router.card):
        raise InputError(f"{a.router}: does not name its guards; run scripts/guards/saferoute_table.py")
    small, large = make_guard(router.card["small_spec"]), make_guard(router.card["large_spec"])
    rows = [from_sample(sample) for sample in twins.samples("test")]
    lines = [f"Measured with {a.threads} threads by `python bench/guard_cascade.py`; nothing else ran beside it.", "",
             "| what | result | aim |", "|---|---|---|"]  # fmt: skip
    for kind in ("text", "print"):
        p50, p99 = latencies(small, [row for row in rows if row.modality == kind][: a.n])
        lines.append(
            f"| {small.id} guard, one {kind} request at a time | p50 {p50:.1f} ms, p99 {p99:.1f} ms | p50 < 15 ms |"
        )
    mixed = rows[:: max(1, len(rows) // (2 * a.n))][: 2 * a.n]
    pair = Routed(small, large, router)
    for guard in (pair, large):  # caches of images and code are warm for both
        guard.check([row.exchange for row in mixed[:8]])
    pair.looked = pair.sent = 0
    f1, seconds = timed(pair, mixed)
    alone, whole = timed(large, mixed)
    cost, share = seconds / whole, f1 / alone if alone else float("nan")
    met = "met" if share >= 0.95 and cost <= 0.30 else "**missed**"
    lines.append(
        f"| cascade on {len(mixed)} Twins rows, threshold {router.threshold:.3g} | F1 {f1:.3f} ({100 * share:.1f} % of "
        f"{alone:.3f}), {1000 * seconds / len(mixed):.1f} ms a row ({100 * cost:.1f} % of "
        f"{1000 * whole / len(mixed):.1f} ms), {100 * pair.sent / pair.looked:.1f} % sent on "
        f"| F1 >= 95 %, cost <= 30 %: {met} |"
    )
    print("\n".join(lines))
    if a.n >= 100:
        with atomic_write(Path("docs/results/guard-cascade.md")) as file:
            file.write("\n".join(["# Speed of the tiny guard and of the cascade", "", *lines, ""]))


if __name__ == "__main__":
    main()
