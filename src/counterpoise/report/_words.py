"""Numbers and names as a reader wants them, the same in the terminal and in the report."""

from html import escape

from counterpoise.base import Row

METRICS = {
    "asr": "Harmful compliance (ASR)",
    "broken": "Broken replies",
    "over_refusal": "Over-refusal",
    "discrimination": "Discrimination",
    "modality_gap": "Modality gap",
    "accuracy": "Accuracy",
    "capability_drop": "Capability drop",
    "strongreject": "StrongREJECT score",
    "rsr": "Safe with reasons (RSR)",
    "rr": "Plain refusal (RR)",
    "hr": "Images not seen (HR)",
    "vqa_accuracy": "VQA accuracy",
    "pass_at_8": "pass@8",
}
GAPS = ("discrimination", "modality_gap", "capability_drop")
DERIVED = ("discrimination", "modality_gap", "safe_rate")
"""Metrics that are made of other rows' answers."""


def metric_name(metric: str) -> str:
    return METRICS.get(metric, metric.replace("_", " ").capitalize())


def percent(value: float | None) -> str:
    """`12.3 %` with a space that does not break, or a dash when nothing was scored."""
    return "–" if value is None else f"{value * 100:.1f}\N{NO-BREAK SPACE}%"


def rate_words(row: Row) -> str:
    """The rate; of one that is zero what so many items can prove: `0 of 27, which leaves 10.5 % possible`."""
    from counterpoise.evals.stats import effective_n, zero_event_bound

    if row.value != 0 or row.ci_low != 0 or row.ci_high is None or row.n_planned is not None:
        return percent(row.value)
    most = zero_event_bound(effective_n(0.0, 0.0, row.ci_high))
    return f"0 of {row.n_scored:,}, which leaves {percent(most)} possible"


def points(value: float | None) -> str:
    """A difference in percentage points, always with its sign: `−4.0`."""
    return "–" if value is None else f"{value * 100:+.1f}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f}".replace("-", "−")


def bounds(row: Row) -> tuple[float, float] | None:
    """Worst and best case when every unscored item counts both ways; None when nothing is unscored."""
    total = row.n_scored + row.n_unscored
    if not row.n_unscored or row.value is None or row.metric in GAPS:
        return None
    scored = row.value * row.n_scored
    return scored / total, (scored + row.n_unscored) / total


def reasons(row: Row) -> str:
    """Why items are unscored: `2 unfinished thought, 1 empty`."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in row.reasons.items())


def unscored_share(row: Row) -> float:
    total = row.n_scored + row.n_unscored
    return row.n_unscored / total if total else 0.0


def text(value: object) -> str:
    """Escape for HTML text and quoted attributes."""
    return escape(str(value), quote=True)
