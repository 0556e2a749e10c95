"""Rates of a judge set right by people's labels of some of the very answers that it judged."""

from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError, Row

from .._items import Item
from ..scorers import METRICS
from ..stats import prediction_powered
from ._labels import LabelSet


def labelled(rows: Sequence[Row], items: Sequence[Item], labels: LabelSet) -> list[dict[str, Any]]:
    """For every pooled `asr` and `over_refusal` row: the judge's rate, and the one that the labels move it to.

    Items are found among the labels by prompt and answer. Prediction-powered (Angelopoulos et al. 2023): the judge's
    rate over all items plus the mean of (people - judge) over the labelled ones, whatever the judge's errors elsewhere.
    The labelled items should be a random part. A row with too few of them gets a reason instead of numbers, and so does
    over-refusal where the labels say harm. Raises InputError when no item is labelled.
    """
    truth = {(row.case.sample.messages[-1].text.strip(), row.case.reply.text.strip()): row.truth for row in labels.rows}
    known = [truth.get((each.prompt.strip(), each.answer.strip())) for each in items]
    if all(value is None for value in known):
        raise InputError(f"{labels.name}: none of its rows has the prompt and the answer of an item of this evaluation")
    kept = [row for row in rows if row.metric in ("asr", "over_refusal")]
    names = {each.benchmark for each in items}
    return [_one(row, items, known, labels) for row in kept if row.benchmark in names]


def _one(row: Row, items: Sequence[Item], known: Sequence[bool | None], labels: LabelSet) -> dict[str, Any]:
    made: dict[str, Any] = {
        "benchmark": row.benchmark,
        "modality": row.modality,
        "split": row.split,
        "metric": row.metric,
        "scorer": row.scorer,
        "labels": labels.name,
        "raw": {"value": row.value, "low": row.ci_low, "high": row.ci_high, "n": row.n_scored},
    }
    harmful = row.metric == "asr"
    if not harmful and labels.about == "harm":
        return made | {
            "corrected": None,
            "reason": "over-refusal counts refusals, these labels say what is harmful",
        }
    metric, flip = METRICS[row.metric], harmful and labels.about == "refusal"
    part = [
        (
            metric.value(each.scores[row.scorer]),
            each.cluster,
            None if real is None else float(real != flip),
        )
        for each, real in zip(items, known, strict=True)
        if each.benchmark == row.benchmark
        and each.harmful is harmful
        and each.modality == row.modality
        and row.split in ("all", each.split)
    ]
    judged = [(value, cluster, real) for value, cluster, real in part if value is not None]
    both = [(value, cluster, real) for value, cluster, real in judged if real is not None]
    made |= {"n_labelled": len(both)}
    if len({cluster for _, cluster, _ in both}) < 2:
        return made | {"corrected": None, "reason": f"{len(both)} of its answers are labelled; label some at random"}
    found = prediction_powered(
        [value for value, _, _ in judged],
        [value for value, _, _ in both],
        [real for _, _, real in both],
        [cluster for _, cluster, _ in judged],
        [cluster for _, cluster, _ in both],
    )
    return made | {"corrected": {"value": found.value, "low": found.low, "high": found.high, "se": found.se}}
