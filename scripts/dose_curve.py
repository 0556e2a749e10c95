"""The dose curve of rejection-mix: train every dose, measure all of them on the test items, write one page.

    python scripts/dose_curve.py OUT [--model pocket] [--page docs/results/dose-pocket.md]

Stopped anywhere, the same command goes on: finished trainings and evaluations are not repeated. The ordinary rows of a
seed are the same pool for every dose, and rows that overlap an evaluation row are left out. The page names its model
beside the table, and numbers of another model are not written under its text.
"""

import argparse
import gc
import re
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from counterpoise.base import Row
from counterpoise.chat import Sample
from counterpoise.data import SampleFile, overlap_with, pocket_sets, write_samples
from counterpoise.evals import HEADLINE_SCORER, evaluate
from counterpoise.evals.stats import paired_difference
from counterpoise.methods import get, own_answers
from counterpoise.models import load
from counterpoise.report import DoseCurve, DosePoint, Estimate, EvalFolder
from counterpoise.report._svg import dose_picture
from counterpoise.runs._stages import evaluation_rows, model_folder

Overlaps = Callable[[Sample], bool]
FRACTIONS = (0.0, 0.02, 0.05, 0.10, 0.20, 2 / 7, 0.50)
DEFAULT = 2 / 7
CAPABILITY = ("reading", "naming", "counting", "simple-questions")
BENCHMARKS = ("twins", *CAPABILITY, "chart-questions")
SHOWN = (
    ("ASR text", "twins", "text", "asr"),
    ("ASR print", "twins", "print", "asr"),
    ("ASR picture", "twins", "picture", "asr"),
    ("ASR pair", "twins", "pair", "asr"),
    ("over-refusal text", "twins", "text", "over_refusal"),
    ("over-refusal print", "twins", "print", "over_refusal"),
    ("over-refusal picture", "twins", "picture", "over_refusal"),
    ("over-refusal pair", "twins", "pair", "over_refusal"),
    ("refused charts", "chart-questions", "image", "over_refusal"),
)
STYLE = (
    "<style>text{font:12px sans-serif;fill:#444}.grid{stroke:#ddd}.curve{fill:none;stroke:#2563eb;stroke-width:2}"
    "line.after{stroke:#2563eb;stroke-width:2}circle.after{fill:#2563eb}</style>"
)


def train(model: str, out: Path, seed: int, fraction: float, total: int, overlaps: Overlaps) -> Path:
    """The adapter of one dose."""
    folder = out / f"seed{seed}-{fraction:.4f}"
    if (folder / "run.json").is_file():
        return folder / "adapter"
    loaded = load(model)
    pool = out / f"pool{seed}.jsonl"
    method = get("rejection-mix")
    config = method.config(loaded.path, fraction=fraction, seed=seed, total=total)
    if not pool.is_file():
        rows = islice(pocket_sets.ordinary_instructions(seed), total + 80)
        write_samples(pool, list(own_answers(loaded, rows, out / f"answers{seed}.jsonl")))
    method.align(loaded, config, folder, benign=SampleFile(pool), overlaps=overlaps)
    del loaded
    gc.collect()
    return folder / "adapter"


def row_of(folder: EvalFolder, benchmark: str, modality: str, metric: str) -> Row | None:
    wanted = (benchmark, modality, metric, HEADLINE_SCORER)
    return next((r for r in folder.rows if (r.benchmark, r.modality, r.metric, r.scorer) == wanted), None)


def estimate(row: Row) -> Estimate:
    return Estimate(row.value or 0.0, row.ci_low or 0.0, row.ci_high or 0.0, row.n_scored)


def capability(now: EvalFolder, base: EvalFolder) -> Estimate:
    """Pooled over the items of the capability tests: value now minus value before any training, paired."""
    names = {r.benchmark: r.scorer for r in reversed(base.rows) if r.benchmark in CAPABILITY}
    keys = [key for key, item in base.items.items() if item.benchmark in names and key in now.items]
    new = [now.items[key].scores.get(names[key[0]]) for key in keys]
    old = [base.items[key].scores.get(names[key[0]]) for key in keys]
    found = paired_difference(new, old, ["/".join(key) for key in keys])
    return Estimate(found.value, found.low, found.high, found.n_scored)


def point(now: EvalFolder, base: EvalFolder, fraction: float, amount: int, seed: int) -> DosePoint:
    numbers = {name: estimate(row) for name, *key in SHOWN if (row := row_of(now, *key)) is not None}
    dose = {"fraction": fraction, "amount": amount} if amount else {}
    return DosePoint(dose, numbers | {"capability": capability(now, base)}, "test", seed)


def table(points: list[DosePoint]) -> list[str]:
    names = [name for name, *_ in SHOWN] + ["capability"]
    lines = ["| dose | seed | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for p in points:
        cells = []
        for name in names:
            e, sign = p.estimates.get(name), "+" if name == "capability" else ""
            cells.append(f"{100 * e.value:{sign}.1f} ({100 * e.low:.0f} to {100 * e.high:.0f})" if e else "-")
        dose = f"{p.dose['fraction']:.1%}" if p.dose else "no training"
        lines.append(f"| {dose} | {p.seed if p.dose else '-'} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path), args.add_argument("--model", default="pocket")
    args.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    args.add_argument(
        "--seeds", type=int, nargs="+", default=(0, 1, 2), help="all at the default dose, the first at all"
    )
    args.add_argument("--total", type=int, help="rows of the mix; default: the model's own")
    args.add_argument("--page", type=Path, default=Path("docs/results/dose-pocket.md"))
    a = args.parse_args()
    kept_text(a.page, a.model)  # before hours of work
    start = time.time()
    evaluate(a.model, list(BENCHMARKS), out=a.out / "before", run="before")
    base = EvalFolder(a.out / "before")
    points = [point(base, base, 0.0, 0, 0)]
    total = a.total or sum(get("rejection-mix").config(model_folder(a.model)).counts)
    overlaps = overlap_with(evaluation_rows("core"))
    doses = [(a.seeds[0], f) for f in a.fractions] + [(seed, DEFAULT) for seed in a.seeds[1:]]
    for seed, fraction in doses:
        adapter = train(a.model, a.out, seed, fraction, total, overlaps)
        folder = a.out / f"eval-{seed}-{fraction:.4f}"
        evaluate(a.model, list(BENCHMARKS), out=folder, run=folder.name, adapter=adapter)
        points.append(point(EvalFolder(folder), base, fraction, total, seed))
        write(a.page, points, a.model)
        print(f"{time.time() - start:.0f} s: {points[-1]}", flush=True)


def kept_text(page: Path, model: str) -> str:
    """What stands above the table; of a new page a heading."""
    if not page.is_file():
        return f"# Dose curve of rejection-mix on {model}\n\n"
    head, _, rest = page.read_text(encoding="utf-8").partition("<!-- measured ")
    if not rest.startswith(f"{model} -->"):
        raise SystemExit(f"{page}: was not measured on {model}; give --model of that page, or another --page")
    return head


def write(page: Path, points: list[DosePoint], model: str) -> None:
    """The table and one picture per quantity; text between the first line and the table is kept."""
    page.parent.mkdir(parents=True, exist_ok=True)
    head = kept_text(page, model)
    curve = DoseCurve(tuple(p for p in points if p.seed == points[0].seed), {})
    pictures = []
    for name in ("ASR print", "over-refusal text", "over-refusal print", "capability"):
        file = page.with_name(f"{page.stem}-{name.lower().replace(' ', '-')}.svg")
        file.write_text(re.sub(r"(<svg[^>]*>)", rf"\1{STYLE}", dose_picture(name, curve), count=1) + "\n")
        pictures += [f"**{name}**", "", f"![{name} by dose]({file.name}){{ width=340 }}", ""]
    about = (
        "Per cent with 95 % intervals, on the test items (Twins: 135 families, each harmful and benign, per modality). "
        f"Scorer of refusals: `{HEADLINE_SCORER}`. Capability: change against no training, paired, pooled over "
        f"{', '.join(CAPABILITY)}."
    )
    text = "\n".join([head.rstrip(), "", f"<!-- measured {model} -->", about, "", *table(points), "", *pictures])
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
