"""UWM on a chat model end to end: edits of several sizes, each measured with a suite, beside a correction by training.

    python scripts/uwm/pocket.py build/uwm-pocket --model pocket --beside runs/demo

Writes `table.md`: one line for the model as it is and for each edit, with rates, denominators, intervals and the
seconds that the edit took. `--beside` names a finished run of `counterpoise run` on the same model and suite, whose
`before` and `after` are taken as they are. What is there is not done again, and a stopped measurement goes on.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, atomic_write, load_rows, read_json

# name -> settings; the paper edits only the vision encoder of a vision-language model, with mass 0.085
EDITS: dict[str, dict[str, Any]] = {
    "vision, mass 0.02": {"encoders": "[vision]", "vision_sparsity": 0.98},
    "vision, mass 0.085": {"encoders": "[vision]", "vision_sparsity": 0.915},
    "text, mass 0.001": {"encoders": "[text]", "text_sparsity": 0.999},
    "text, mass 0.001, random": {"encoders": "[text]", "text_sparsity": 0.999, "score": "random"},
    "text, mass 0.005": {"encoders": "[text]", "text_sparsity": 0.995},
    "both, mass 0.02": {"vision_sparsity": 0.98, "text_sparsity": 0.98},
}
SHOWN = [(metric, modality) for metric in ("asr", "over_refusal") for modality in ("text", "print", "picture", "pair")]
SCORER = "opening:v3"


def command(*words: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "counterpoise", *map(str, words)], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def measured(out: Path, model: str, suite: str, name: str, settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Edit and scorecard of one setting: the scorecard's path, and the edit's `run.json`."""
    folder = out / name.replace(", ", "-").replace(" ", "-")
    if not (folder / "edit-run" / "run.json").is_file():
        given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        command("align", model, "--method", "uwm", *given, "--out", folder / "edit-run")
    if not (folder / "eval" / "scorecard.json").is_file():
        command("eval", model, "--artifact", folder / "edit-run" / "edit", "--suite", suite, "--out", folder / "eval")
    return folder / "eval" / "scorecard.json", read_json(folder / "edit-run" / "run.json")


def cells(scorecard: Path, run: str | None = None) -> list[str]:
    """The shown rates as `12/27 (28 to 63)`, then the other benchmarks' accuracies."""
    rows = [row for row in load_rows(scorecard) if run is None or row.run == run]
    twins = {(row.metric, row.modality): row for row in rows if row.scorer == SCORER}
    if missing := [key for key in SHOWN if key not in twins]:
        raise InputError(f"{scorecard}: has no {missing[0]} scored by {SCORER}")
    others = [row for row in rows if row.metric == "accuracy" and "/" not in row.benchmark]
    return [rate(twins[key]) for key in SHOWN] + [rate(row) for row in sorted(others, key=lambda r: r.benchmark)]


def rate(row: Row) -> str:
    if row.value is None or row.ci_low is None or row.ci_high is None:
        return f"unscored ({row.n_unscored})"
    left = f", {row.n_unscored} unscored" if row.n_unscored else ""
    hits = round(row.value * row.n_scored)
    return f"{hits}/{row.n_scored} ({100 * row.ci_low:.0f} to {100 * row.ci_high:.0f}{left})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--suite", default="smoke")
    parser.add_argument("--beside", type=Path, help="Folder of a finished run on the same model and suite.")
    parser.add_argument("--only", action="append", help="Name of an edit; repeat it.")
    given = parser.parse_args()
    lines = []
    if given.beside:
        timing = read_json(given.beside / "run.json")["timings"]["align"]
        lines += [["as it is", "", "", *cells(given.beside / "scorecard.json", "before")],
                  ["rejection-mix", "", f"{timing:.0f}", *cells(given.beside / "scorecard.json", "after")]]  # fmt: skip
    for name, settings in EDITS.items():
        if given.only and name not in given.only:
            continue
        scorecard, run = measured(given.out, given.model, given.suite, name, settings)
        share = f"{100 * run['train']['edited_share']:.2f} %"
        lines.append([name, share, f"{run['timings']['calibrate']:.0f}", *cells(scorecard)])
        head = ["", "edited", "s", *(f"{metric} {modality}" for metric, modality in SHOWN), "reading", "questions"]
        table = [head, ["---"] * len(head), *lines]
        with atomic_write(given.out / "table.md") as file:
            file.write("\n".join(f"| {' | '.join(line)} |" for line in table) + "\n")
    print((given.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
