"""One fixed evaluation for the exports: a rate with a judge, an accuracy, a gap, a row with unscored items, one with
nothing scored."""

from datetime import UTC, datetime
from pathlib import Path

from folders import row

from counterpoise.base import Row, load_rows, save_rows
from counterpoise.report import Change
from counterpoise.report.exports import Evaluation

JUDGE = "harm[harmbench-cls:v1@llama2-13b]"

ROWS = (
    row("asr", "print", 0.125, 40, scorer=JUDGE, ci_low=0.0546, ci_high=0.2611, official=True),
    row("over_refusal", "print", 1 / 3, 36, n_unscored=4, n_empty=2, ci_low=0.2021, ci_high=0.4966),
    row("discrimination", "print", -0.05, 36, ci_low=-0.2, ci_high=0.1),
    row("accuracy", "picture", 0.7000000000000001, 40, benchmark="reading/2 words", scorer="exact:v1", n_planned=90),
    row("asr", "text", None, 0, n_unscored=40),
)


def evaluation(rows: tuple[Row, ...] = ROWS, **more: object) -> Evaluation:
    fields = {
        "rows": rows,
        "date": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "fingerprint": "12345e7",
        "commit": "0" * 40,
        "versions": {"counterpoise": "0.1.0"},
        "sources": {"twins": ("https://huggingface.co/datasets/owner/twins", "MIT"), "reading": ("here", "Apache-2.0")},
    }
    return Evaluation(**(fields | more))


def with_difference() -> Evaluation:
    before = row("asr", "print", 0.5, 40, scorer=JUDGE)
    change = Change(before, ROWS[0], -0.375, -0.5, -0.2, 0.0001, 0.0002, 40, 0, counted=True)
    return evaluation(differences=(change,), baseline=evaluation((before,)), adapter=True, method="rejection-mix")


def inside(folder: Path) -> Path:
    """The hand-made folder with its intervals cut to [0, 1], as those of real rates are."""
    rows = load_rows(folder / "scorecard.json")
    cut = [r.model_copy(update={"ci_low": max(r.ci_low, 0.0), "ci_high": min(r.ci_high, 1.0)}) for r in rows]
    save_rows(folder / "scorecard.json", cut)
    return folder
