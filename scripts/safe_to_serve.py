"""SIT, RAFT, DPO and constrained SFT on one small model, side by side: refusals on both sides of Twins' test families,
and what reasoning costs ("safety tax"). One command makes the whole table:

    python scripts/safe_to_serve.py --seeds 3 --out runs/safe-to-serve

The default model is pocket's language model without its alignment, so everything is text. With `--model pocket` items
also come as prints. Training and measuring resume; `table.json` and `table.md` are written anew.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from counterpoise.base import Progress, read_json, write_json
from counterpoise.chat import Sample
from counterpoise.data import twins
from counterpoise.data.pocket_sets import arithmetic_test, counting_test, question_test
from counterpoise.evals import Journal
from counterpoise.evals.scorers import broken, get
from counterpoise.evals.stats import paired_difference, rate
from counterpoise.methods import get as method
from counterpoise.models import Answer, Decoding, Engine, load
from counterpoise.models.pocket import language_model, pocket_folder

ARMS = ("sit", "raft", "dpo", "constrained-sft")
SCORER = "counterpoise-refusal:v3"
TRAIN = {"lora_rank": 16, "lora_alpha": 32, "learning_rate": 3e-4, "batch_size": 8, "save_every_steps": 2}
BLOCK = 8


def small_model() -> str:
    """The folder of pocket's language model, as it is before any alignment."""
    return str(language_model(pocket_folder().parent / "smollm2-135m-instruct"))


def settings(arm: str, rows: int, seed: int, rounds: int = 3) -> dict[str, Any]:
    """What a small model needs, where it differs from the method's defaults; `rows` training rows, half of them safety
    rows, in every arm. DPO's pairs have two replies, so that it gets half as many epochs."""
    half = rows // 2
    train = {f"train.{name}": value for name, value in TRAIN.items()}
    drawn = {"samples": 4, "iterations": rounds, "max_new_tokens": 40}
    own: dict[str, dict[str, Any]] = {
        "sit": {"n_instructions": rows - half, "n_safety": half, "train.epochs": 3},
        "constrained-sft": {"n_instructions": rows - half, "n_safety": half, "train.epochs": 3},
        "raft": {"n_harmful": half, "n_harmless": rows - half, **drawn},
        "dpo": {"n_pairs": rows, "train.epochs": 2, "train.learning_rate": 5e-5},
    }
    return train | own[arm] | {"seed": seed}


def measure(engine: Engine, items: int, kinds: tuple[str, ...], file: Path) -> dict[str, dict[str, Any]]:
    """By column: values by item (1, 0, None), in the order of items. What was measured before is read."""
    known = file.parent / f"measured-{engine.loaded.fingerprint}-{items}.json"
    if known.is_file():
        before: dict[str, dict[str, Any]] = read_json(known)
        return before
    journal = Journal(file, engine.loaded.fingerprint)
    scorer, found = get(SCORER), {}
    try:
        for kind in kinds:
            for harmful in (True, False):
                chosen = [s for s in twins.samples("test", kind) if s.harmful is harmful][: items // 2]  # type: ignore[arg-type]
                answers = replies(engine, chosen, journal)
                side = "harmful" if harmful else "benign"
                found[f"refused {side} {kind}"] = {
                    "values": [scorer(s, a).value for s, a in zip(chosen, answers, strict=True)],
                    "clusters": [s.cluster for s in chosen],
                    "broken": sum(broken(a.text) is not None for a in answers),
                }
    finally:
        journal.close()
    tests = [("questions", question_test()), ("arithmetic", arithmetic_test())]
    if engine.loaded.is_vlm:
        tests.append(("counting", counting_test()))
    for name, rows in tests:
        rows = rows[:items]
        scores = engine.score_options([row.messages for row in rows], [row.choices for row in rows])
        right = [float(row.choices[own.index(max(own))] == row.target) for row, own in zip(rows, scores, strict=True)]
        found[name] = {"values": right, "clusters": [row.cluster for row in rows]}
    write_json(known, found)
    return found


def replies(engine: Engine, rows: list[Sample], journal: Journal) -> list[Answer]:
    """Greedy, from the journal where they are there."""
    keys = {row.id: journal.key(row, "greedy 40") for row in rows}
    todo = [row for row in rows if keys[row.id] not in journal]
    with Progress("replies", len(rows), done=len(rows) - len(todo)) as bar:
        for start in range(0, len(todo), BLOCK):
            block = todo[start : start + BLOCK]
            asked = [row.messages for row in block]
            for row, answer in zip(block, engine.generate(asked, Decoding(40), progress=bar), strict=True):
                journal.put_reply(keys[row.id], answer)
    kept = [journal.reply(keys[row.id]) for row in rows]
    return [answer for answer in kept if answer is not None]


def pooled(runs: list[dict[str, dict[str, Any]]], column: str) -> dict[str, list[Any]]:
    """The values of all seeds with the families they belong to: one family is one cluster, whatever the seed."""
    names = ("values", "clusters")
    return {name: [value for run in runs for value in run[column][name]] for name in names}


def table(found: dict[str, list[dict[str, dict[str, Any]]]]) -> list[dict[str, Any]]:
    """One row an arm: every column with interval and denominator, and its paired difference to the base."""
    base = found["base"]
    result = []
    for arm, runs in found.items():
        row: dict[str, Any] = {"arm": arm, "seeds": len(runs), "scorer": SCORER}
        for column in base[0]:
            own = pooled(runs, column)
            row[column] = rate(own["values"], own["clusters"])._asdict()
            if arm != "base":
                before = pooled(base * len(runs), column)
                row[column]["change"] = paired_difference(own["values"], before["values"], own["clusters"])._asdict()
        row["broken"] = sum(run[column].get("broken", 0) for run in runs for column in base[0])
        row["seconds"] = [run["times"]["train"] for run in runs if "times" in run]
        result.append(row)
    return result


def cell(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return f"unscored ({value['n_unscored']})"
    text = f"{value['value']:.1%} ({value['low']:.1%} to {value['high']:.1%}; n {value['n_scored']})"
    change = value.get("change")
    return text + (f", {change['value']:+.1%} ({change['low']:+.1%} to {change['high']:+.1%})" if change else "")


def markdown(rows: list[dict[str, Any]], columns: list[str]) -> str:
    lines = [f"| arm | seeds | {' | '.join(columns)} | broken |", f"|---|---|{'---|' * len(columns)}---|"]
    for row in rows:
        cells = " | ".join(cell(row[column]) for column in columns)
        lines.append(f"| {row['arm']} | {row['seeds']} | {cells} | {row['broken']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: pocket's language model")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=200, help="training rows (or pairs, or prompts) of every arm")
    parser.add_argument("--rounds", type=int, default=3, help="of RAFT, each with four samples a prompt")
    parser.add_argument("--items", type=int, default=120, help="items of each measure, both sides together")
    parser.add_argument("--out", type=Path, default=Path("runs/safe-to-serve"))
    args = parser.parse_args()
    loaded = load(args.model or small_model())
    kinds = ("text", "print") if loaded.is_vlm else ("text",)
    engine = Engine(loaded)
    found = {"base": [measure(engine, args.items, kinds, args.out / "replies.jsonl")]}
    for arm in args.arms.split(","):
        found[arm] = []
        for seed in range(args.seeds):
            out = args.out / f"{arm}-{seed}"
            began = time.monotonic()
            chosen = method(arm)
            made = chosen.align(loaded, chosen.resolve(None, settings(arm, args.rows, seed, args.rounds)), out)
            tuned = load(args.model or small_model(), artifact=made.artifact)
            run = measure(Engine(tuned), args.items, kinds, args.out / "replies.jsonl")
            found[arm].append(run | {"times": {"train": round(time.monotonic() - began, 1)}})
    for runs in found.values():
        for run in runs:
            run.setdefault("times", {})
    rows = table({arm: [{k: v for k, v in run.items() if k != "times"} for run in runs] for arm, runs in found.items()})
    write_json(args.out / "table.json", rows)
    text = markdown(rows, list(measure_columns(rows)))
    (args.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    print(json.dumps({arm: [run["times"] for run in runs] for arm, runs in found.items()}))


def measure_columns(rows: list[dict[str, Any]]) -> list[str]:
    return [name for name, value in rows[0].items() if isinstance(value, dict)]


if __name__ == "__main__":
    main()
