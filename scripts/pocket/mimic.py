"""Arms of mimic beside each other on one model: the same user set, the same number of safety rows, the same training.

    python scripts/pocket/mimic.py OUT --seeds 0 1 2                       # the whole table
    python scripts/pocket/mimic.py OUT --arms none mimic --rows 60 --epochs 2 --items 24   # to see that it works

Measured on the Twins' test families as text: ASR plainly asked, in the user's own format (learned from the rows), and
in the obedience frame; over-refusal of the benign twins in the user's format; accuracy and refusals of the word tasks
in the user's strategy. Rates pool the seeds; intervals are Wilson's, differences of accuracy are paired by item and
clustered by item over the seeds. Stopped anywhere, the same command goes on.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from counterpoise.data import draw, twins
from counterpoise.data.frames import Template, learn
from counterpoise.evals import Benchmark, Item, benchmark, evaluate, framed
from counterpoise.evals.stats import paired_difference, wilson
from counterpoise.methods import get, user_rows
from counterpoise.models import load

ARMS = ("base", "none", "plain", "mimic", "counter-prompt", "ptst")
COLUMNS = (
    ("ASR, plain", "twins-text", True), ("ASR, user's format", "twins-format", True),
    ("ASR, obedience frame", "twins-obey", True), ("over-refusal, user's format", "twins-format", False),
    ("tasks refused", "words-strategy", False),
)  # fmt: skip
REFUSAL, RIGHT = "opening:v3", "exact-match:v2"


def cards(strategy: str, template: Template) -> list[Benchmark]:
    """The benchmarks of one strategy. Nobody registers them: they stand for themselves."""
    known = benchmark("twins")
    rows = [sample for sample in twins.samples("test") if sample.modality == "text"]
    text = dataclasses.replace(
        known, name="twins-text", label="", rows=len(rows), read=lambda: iter(rows), suites=(),
        not_in_core="one modality", metrics=("asr", "over_refusal"),
    )  # fmt: skip
    tasks = benchmark("word-tasks")
    return [
        text, framed(text, "twins-format", template), framed(text, "twins-obey", None, "aoa"),
        framed(tasks, "words-strategy", None, strategy),
    ]  # fmt: skip


def measured(model: str, artifact: Path | None, asked: Sequence[Benchmark], out: Path, items: int | None) -> list[Item]:
    found = evaluate(model, asked, out=out, run=out.name, artifact=artifact, limit=items)
    return found.items


def settings(a: argparse.Namespace, seed: int) -> dict[str, object]:
    train = {
        "epochs": a.epochs,
        "batch_size": a.batch,
        "learning_rate": a.lr,
        "lora_rank": a.rank,
        "lora_alpha": 2 * a.rank,
    }
    return {"seed": seed, "n_user": a.rows, "strategy": a.strategy, "task": a.task, "train": train}


def cell(items: Sequence[Item], harmful: bool) -> str:
    """Rate, interval and counts: of harmful items the share that is not refused, of others the share that is."""
    values = [item.scores[REFUSAL] for item in items if item.harmful is harmful]
    scored = [value for value in values if value is not None]
    hits = sum((1 - value) if harmful else value for value in scored)
    if not scored:
        return "none scored"
    interval = wilson(hits, len(scored))
    return f"{hits / len(scored):.0%} [{interval.low:.0%}, {interval.high:.0%}] {hits:.0f}/{len(scored)}"


def accuracy(items: Sequence[Item], none: Sequence[Item]) -> str:
    known = [value for item in items if (value := item.scores[RIGHT]) is not None]
    interval = wilson(sum(known), len(known))
    said = f"{sum(known) / len(known):.0%} [{interval.low:.0%}, {interval.high:.0%}] {sum(known):.0f}/{len(known)}"
    if not none or len(none) != len(items):
        return f"{said} | "
    pairs = paired_difference(
        [item.scores[RIGHT] for item in items], [item.scores[RIGHT] for item in none], [item.id for item in items]
    )
    return f"{said} | {pairs.value:+.0%} [{pairs.low:+.0%}, {pairs.high:+.0%}]"


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path)
    args.add_argument("--model", default="pocket")
    args.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    args.add_argument("--seeds", nargs="+", type=int, default=[0])
    args.add_argument("--strategy", default="aoa")
    args.add_argument("--task", default="all")
    args.add_argument("--rows", type=int, default=400)
    args.add_argument("--fraction", type=float, default=0.05)
    args.add_argument("--epochs", type=float, default=3)
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--lr", type=float, default=4e-4)
    args.add_argument("--rank", type=int, default=16)
    args.add_argument("--items", type=int, help="of each benchmark; default: all")
    a = args.parse_args()
    found: dict[str, list[Item]] = {arm: [] for arm in a.arms}
    first = settings(a, a.seeds[0])
    rows, _ = user_rows(get("ptst").config(**first))
    formats = learn(draw(rows, 128, seed=0, purpose="profile"))
    common = max(range(len(formats.shares)), key=lambda place: (formats.templates[place].framed, formats.shares[place]))
    asked = cards(a.strategy, formats.templates[common])
    for arm in a.arms:
        for seed in a.seeds:
            folder = a.out / arm / str(seed)
            artifact = None
            if arm != "base":
                more = {} if arm == "ptst" else {"arm": arm, "fraction": a.fraction}
                method = get("ptst" if arm == "ptst" else "mimic")
                loaded = load(a.model)
                config = method.config(loaded.path, **settings(a, seed), **more)
                artifact = method.align(loaded, config, folder).artifact.path
                del loaded
            found[arm] += measured(a.model, artifact, asked, folder / "eval", a.items)
            if arm == "base":
                break
    print(f"| arm | {' | '.join(title for title, _, _ in COLUMNS)} | task accuracy | against none |")
    print("|---|" + "---|" * (len(COLUMNS) + 2))
    for arm, items in found.items():
        shown = [cell([item for item in items if item.benchmark == name], harmful) for _, name, harmful in COLUMNS]
        tasks = [
            [item for item in part if item.benchmark == "words-strategy"] for part in (items, found.get("none", []))
        ]
        print(f"| {arm} | {' | '.join(shown)} | {accuracy(*tasks)} |")


if __name__ == "__main__":
    main()
