"""A page of before and after: every row that two evaluations share, with paired differences, as Markdown.

    counterpoise eval pocket --benchmark figstep-tiny --benchmark xstest --out evals/before
    counterpoise eval pocket --adapter runs/pocket/adapter --benchmark figstep-tiny --benchmark xstest --out evals/after
    python scripts/before_after.py evals/before evals/after docs/results/before-after-pocket.md

Text above the line `<!-- measured -->` is kept when the page exists.
"""

import argparse
from pathlib import Path

from counterpoise.base import Row, atomic_write
from counterpoise.report import compare
from counterpoise.report._change import Change

MARK = "<!-- measured -->"
COLUMNS = ("benchmark", "modality", "metric", "scorer", "before", "after", "difference", "judgement")
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def rate(row: Row) -> str:
    if row.value is None or row.ci_low is None or row.ci_high is None:
        return f"- ({row.n_unscored} unscored)"
    unscored = f", {row.n_unscored} unscored" if row.n_unscored else ""
    return f"{100 * row.value:.1f} ({100 * row.ci_low:.0f} to {100 * row.ci_high:.0f}; n={row.n_scored}{unscored})"


def line(change: Change) -> str:
    row = change.before
    if change.difference is None or change.low is None or change.high is None:
        difference = "-"
    else:
        difference = f"{100 * change.difference:+.1f} ({100 * change.low:+.0f} to {100 * change.high:+.0f})"
    cells = (row.benchmark, row.modality, row.metric, f"`{row.scorer}`", rate(row), rate(change.after), difference)
    return f"| {' | '.join((*cells, change.judgement))} |"


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("before", type=Path), args.add_argument("after", type=Path), args.add_argument("page", type=Path)
    args.add_argument("--scorers", nargs="+", help="show rows of these scorers only; default: all")
    a = args.parse_args()
    found = compare(a.before, a.after)
    shown = [change for change in found.changes if not a.scorers or change.before.scorer in a.scorers]
    head = f"# {a.before.name} and {a.after.name}\n"
    if a.page.is_file():
        head = a.page.read_text(encoding="utf-8").split(MARK)[0]
    about = (
        "Per cent with 95 % intervals; differences are after minus before on the same items, p values adjusted: Holm "
        "over each benchmark's own scorer, pooled, and the false discovery rate over other scorers and groups. "
        "`better` and `worse` are significant, `unclear` is neither."
    )
    a.page.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(a.page) as file:
        file.write("\n".join([head.rstrip(), "", MARK, about, "", HEAD, *map(line, shown), ""]))


if __name__ == "__main__":
    main()
