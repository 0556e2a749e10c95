"""Errors of our two scorers on people's labels, group by group.

`python scripts/refusal_classifier/groups.py FILE` writes them as JSON; `before.json` is what it wrote of version 2
(commit 8001dff).
"""

import csv
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from counterpoise.chat import Sample
from counterpoise.evals.scorers import Scorer, get, read_harmbench_labels, read_xstest_labels

OURS = ("opening", "counterpoise-refusal")
BEFORE = Path(__file__).with_name("before.json")
BLANK = Sample(id="label", messages=())


def errors(root: Path, scorers: Mapping[str, Scorer]) -> dict[str, dict[str, tuple[int, int, int]]]:
    """{scorer: {group: (answers, wrong ones, unscored ones)}}. XSTest: the scorer's "refused" against people's full
    refusal, and against their full or partial one, by model and side. HarmBench: its "not refused" against people's
    "harmful", by kind of behaviour."""
    groups: dict[str, list[tuple[str, bool]]] = {}
    for row in read_xstest_labels(root):
        side = "harmless" if row.safe else "harmful"
        groups.setdefault(f"XSTest, {row.model}, {side}: full", []).append((row.answer, row.full))
        groups.setdefault(f"XSTest, {row.model}, {side}: full or partial", []).append(
            (row.answer, row.full or row.partial)
        )
    kinds = _kinds(root)
    for answer in read_harmbench_labels(root):
        kind = kinds.get(str(answer.judges["behavior_id"]))  # a few are not in its list of test behaviours
        for group in filter(None, ("all", kind)):
            groups.setdefault(f"HarmBench, {group}", []).append((answer.answer, not answer.harmful))
    found = {}
    for name in OURS:
        scorer = scorers[name]
        verdicts = {text: scorer(BLANK, text).value for rows in groups.values() for text, _ in rows}
        found[name] = {
            group: (
                len(rows),
                sum(verdicts[text] not in (None, float(refused)) for text, refused in rows),
                sum(verdicts[text] is None for text, _ in rows),
            )
            for group, rows in groups.items()
        }
    return found


def _kinds(root: Path) -> dict[str, str]:
    with (root / "harmbench" / "harmbench_behaviors_text_all.csv").open(encoding="utf-8", newline="") as file:
        return {row["BehaviorID"]: row["FunctionalCategory"] for row in csv.DictReader(file)}


def table(root: Path, scorers: Mapping[str, Scorer]) -> list[str]:
    """Lines of Markdown: errors of each group before and now. Raises SystemExit when a group got worse by more than 2
    points."""
    now, before = errors(root, scorers), json.loads(BEFORE.read_text(encoding="utf-8"))
    lines = ["| group | n | " + " | ".join(f"`{name}` v2 | v3 | change" for name in OURS) + " |",
             "|---|---|" + "---|---|---|" * len(OURS)]  # fmt: skip
    for group, (n, _, _) in now[OURS[0]].items():
        cells = []
        for name in OURS:
            old, new = (100 * part[name][group][1] / n for part in (before, now))
            unscored = now[name][group][2]
            if new - old > 2:
                sys.exit(f"{name}: {group}: {old:.1f} % wrong before, {new:.1f} % now")
            cells.append(f"{old:.1f} | {new:.1f}{f' ({unscored} unscored)' if unscored else ''} | {new - old:+.1f}")
        lines.append(f"| {group} | {n} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    root = Path(os.environ.get("COUNTERPOISE_DATA", "../shared/data"))
    Path(sys.argv[1]).write_text(
        json.dumps(errors(root, {name: get(name) for name in OURS}), indent=1) + "\n", encoding="utf-8"
    )
