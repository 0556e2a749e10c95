"""MIRage beside its baselines: train every arm with every seed, measure all of them, write one table.

    python scripts/mirage_table.py OUT [--model pocket] [--rows 600] [--seeds 0 1 2] [--limit N] [--arms mirage ...]

All arms have the same number of training rows and the same training settings. Seeds are pooled: a cell is the rate
over all items of all seeds, with an interval that counts an item seen by three trainings as one cluster. Stopped
anywhere, the same command goes on: finished trainings and answers are not repeated.
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import Row
from counterpoise.chat import Sample
from counterpoise.data import overlap_with
from counterpoise.evals import Item, benchmark, evaluate, rows
from counterpoise.methods import get
from counterpoise.models import load
from counterpoise.report import EvalFolder
from counterpoise.runs._stages import evaluation_rows

ARMS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "mirage": ("mirage", lambda n: {"total": n}),
    "mirage, a third safe twins": ("mirage", lambda n: {"total": n, "twin_share": 1 / 3}),
    "mirage*, no general rows": ("mirage", lambda n: {"total": n, "general_share": 0.0}),
    "refusal labels": ("mirage", lambda n: {"total": n, "labels": "refusal"}),
    "rewritten labels": ("mirage", lambda n: {"total": n, "labels": "rewritten"}),
    "textual-sft": ("textual-sft", lambda n: {"total": n}),
    "rejection-mix": ("rejection-mix", lambda n: {"total": n}),
}
BENCHMARKS = (
    "mis-pocket", "mis-pocket-swapped", "mis-pocket-white", "one-word/mis-pocket", "reading", "naming", "counting",
    "simple-questions",
)  # fmt: skip
SHOWN = (
    ("ASR", "mis-pocket", "asr", "pair-caution:v1"),
    ("RSR", "mis-pocket", "rsr", "pair-reasoned:v1"),
    ("RR", "mis-pocket", "rr", "pair-refused:v1"),
    ("HR", "mis-pocket", "hr", "pair-unread:v1"),
    ("caution on safe twins", "mis-pocket", "over_refusal", "pair-caution:v1"),
    ("names both", "mis-pocket", "perception", "pair-named:v1"),
    ("ASR swapped", "mis-pocket-swapped", "asr", "pair-caution:v1"),
    ("caution on white", "mis-pocket-white", "over_refusal", "pair-caution:v1"),
    ("ASR What, K=1", "one-word-mis-pocket", "asr_any_1", "pair-caution:v1"),
    ("ASR What, K=3", "one-word-mis-pocket", "asr_any_3", "pair-caution:v1"),
    ("caution on safe Share", "one-word-mis-pocket", "over_refusal", "pair-caution:v1"),
    ("reading", "reading", "accuracy", "exact-match:v2"),
    ("naming", "naming", "accuracy", "contains-match:v2"),
    ("counting", "counting", "accuracy", "numeric-match:v2"),
    ("questions", "simple-questions", "accuracy", "option:v3"),
)


def train(model: str, out: Path, arm: str, seed: int, n: int, more: dict[str, Any], overlaps: Any) -> Path:
    """The adapter of one arm and seed."""
    folder = out / f"{slug(arm)}-{seed}"
    if not (folder / "run.json").is_file():
        name, settings = ARMS[arm]
        loaded, method = load(model), get(name)
        config = method.config(loaded.path, seed=seed, **settings(n), **more)
        method.align(loaded, config, folder, overlaps=overlaps)
        del loaded
        gc.collect()
    return folder / "adapter"


def slug(arm: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in arm.replace("*", "-star"))


def pooled(folders: Sequence[EvalFolder]) -> list[Row]:
    """The rows of several evaluations of the same items as one."""
    made: list[Row] = []
    for name in BENCHMARKS:
        bench = benchmark(name)
        found: list[Item] = [
            item for folder in folders for item in folder.items.values() if item.benchmark == bench.row_name
        ]
        made += rows(bench, found, model="m", run="r") if found else []
    return made


def cell(found: Sequence[Row], name: str, metric: str, scorer: str) -> str:
    row = next((r for r in found if (r.benchmark, r.metric, r.scorer) == (name, metric, scorer)), None)
    if row is None or row.value is None or row.ci_low is None or row.ci_high is None:
        return "-"
    left = f", {row.n_unscored} unscored" if row.n_unscored else ""
    return f"{100 * row.value:.1f} ({100 * row.ci_low:.0f} to {100 * row.ci_high:.0f}; n={row.n_scored}{left})"


def write(page: Path, measured: dict[str, list[Row]], n: int, seeds: Sequence[int]) -> None:
    """The table; text in front of the mark is kept."""
    page.parent.mkdir(parents=True, exist_ok=True)
    head = "# MIRage on pocket\n\n"
    if page.is_file():
        head = page.read_text(encoding="utf-8").split("<!-- measured -->")[0]
    lines = [
        "<!-- measured -->",
        f"Per cent with 95 % intervals; {n:,} training rows an arm, seeds {', '.join(map(str, seeds))} pooled. "
        "Scorers: "
        + "; ".join(f"{title} `{scorer}`" for title, _, _, scorer in SHOWN) + ".",
        "",
        "| | " + " | ".join(measured) + " |",
        "|---|" + "---|" * len(measured),
    ]  # fmt: skip
    for title, *key in SHOWN:
        lines.append(f"| {title} | " + " | ".join(cell(found, *key) for found in measured.values()) + " |")
    page.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path), args.add_argument("--model", default="pocket")
    args.add_argument("--rows", type=int, default=600, help="training rows of every arm")
    args.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    args.add_argument("--limit", type=int, help="items of each benchmark; default: all")
    args.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    args.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a training setting of every arm")
    args.add_argument("--page", type=Path, default=Path("docs/results/mirage-pocket.md"))
    a = args.parse_args()
    from counterpoise.methods import given_settings

    more, start = given_settings(None, a.set), time.time()
    evaluate(a.model, list(BENCHMARKS), out=a.out / "before", run="before", limit=a.limit)
    measured = {"base": pooled([EvalFolder(a.out / "before")])}
    test: list[Sample] = list(evaluation_rows("core"))
    overlaps = overlap_with(test)
    for arm in a.arms:
        folders = []
        for seed in a.seeds:
            adapter = train(a.model, a.out, arm, seed, a.rows, more, overlaps)
            folder = a.out / f"eval-{slug(arm)}-{seed}"
            evaluate(a.model, list(BENCHMARKS), out=folder, run=folder.name, adapter=adapter, limit=a.limit)
            folders.append(EvalFolder(folder))
            measured[arm] = pooled(folders)
            write(a.page, measured, a.rows, a.seeds)
            print(f"{time.time() - start:.0f} s: {arm}, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
