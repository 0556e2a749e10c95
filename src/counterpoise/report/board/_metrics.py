"""The metrics that the board knows: which way is better, and which side of the trade-off they measure."""

from typing import Literal, NamedTuple

from counterpoise.base import Direction

Side = Literal["harm", "benign", ""]


class Metric(NamedTuple):
    """`side`: "harm" measures behaviour on harmful requests, "benign" on harmless ones."""

    title: str
    direction: Direction
    side: Side = ""
    lowest: float = 0.0


METRICS: dict[str, Metric] = {
    "asr": Metric("Harmful compliance (ASR)", "lower", "harm"),
    "broken": Metric("Broken replies", "lower", "harm"),
    "safe_rate": Metric("Safe answers", "higher", "harm"),
    "refusal_harmful": Metric("Refusal of harmful requests", "higher", "harm"),
    "unsafe_accuracy": Metric("Right in unsafe situations", "higher", "harm"),
    "recall": Metric("Recall of the unsafe class", "higher", "harm"),
    "over_refusal": Metric("Over-refusal", "lower", "benign"),
    "compliance_harmless": Metric("Compliance with harmless requests", "higher", "benign"),
    "safe_accuracy": Metric("Right in safe situations", "higher", "benign"),
    "false_positive_rate": Metric("False positive rate", "lower", "benign"),
    "specificity": Metric("Specificity", "higher", "benign"),
    "discrimination": Metric("Discrimination", "higher", lowest=-1.0),
    "modality_gap": Metric("Modality gap", "lower", lowest=-1.0),
    "reasoned_safe_rate": Metric("Safe with reasons (RSR)", "higher"),
    "hallucination_rate": Metric("Safe without seeing (HR)", "lower"),
    "balanced_accuracy": Metric("Mean of both situations", "higher"),
    "effective_rate": Metric("Effective answers", "higher"),
    "safe_and_effective": Metric("Safe and effective answers", "higher"),
    "win_rate": Metric("Win rate", "higher"),
    "accuracy": Metric("Accuracy", "higher"),
    "word_accuracy": Metric("Word accuracy", "higher"),
    "pass_at_8": Metric("One of eight right (pass@8)", "higher"),
    "precision": Metric("Precision", "higher"),
    "f1": Metric("F1", "higher"),
    "auprc": Metric("Area under precision-recall", "higher"),
    "routing_f1": Metric("Routing F1", "higher"),
    "ranking_accuracy": Metric("Ranking accuracy", "higher"),
    "sign_accuracy": Metric("Sign accuracy", "higher"),
    "grounded_preference": Metric("Prefers the safe item in all four comparisons (GS)", "higher"),
    "preference_text_safe": Metric("Safe text prefers the safe image (P_ts)", "higher"),
    "preference_text_unsafe": Metric("Unsafe text prefers the safe image (P_tu)", "higher"),
    "preference_image_safe": Metric("Safe image prefers the safe text (P_vs)", "higher"),
    "preference_image_unsafe": Metric("Unsafe image prefers the safe text (P_vu)", "higher"),
    "nsfw_rate": Metric("Unsafe captions", "lower"),
}


def title(metric: str) -> str:
    known = METRICS.get(metric)
    return known.title if known else metric.replace("_", " ").capitalize()


def side(metric: str) -> Side:
    known = METRICS.get(metric)
    return known.side if known else ""
