"""One entry of Every Eval Ever's results: from a scorecard row or a paired difference."""

from counterpoise.base import Row

from .._change import Change
from .._words import GAPS, bounds, metric_name
from ._evaluation import Evaluation, evaluation_id, row_name
from ._judges import llm_scoring
from ._schema import ConfidenceInterval, MetricConfig, Result, ScoreDetails, Uncertainty
from ._schema_parts import SourceData

PAIRED = "paired_difference"
KINDS = {
    "asr": "attack_success_rate", "broken": "degenerate_output_rate", "over_refusal": "refusal_rate",
    "accuracy": "accuracy", "pass_at_8": "pass_rate",
}  # fmt: skip


def _source(evaluation: Evaluation, row: Row) -> SourceData:
    address, licence = evaluation.source(row)
    details = {"revision": row.revision, "split": row.split} | ({"licence": licence} if licence else {})
    if hub := hub_id(address):
        return SourceData(
            dataset_name=row.benchmark, source_type="hf_dataset", hf_repo=hub, hf_split=row.split,
            samples_number=row.n_scored + row.n_unscored, additional_details=details,
        )  # fmt: skip
    if address.startswith(("https://", "http://", "github.com/")):
        url = address if "://" in address else f"https://{address}"
        return SourceData(dataset_name=row.benchmark, source_type="url", url=[url], additional_details=details)
    return SourceData(dataset_name=row.benchmark, source_type="other", additional_details=details)


def hub_id(address: str) -> str:
    """`owner/name` of `huggingface.co/datasets/owner/name` (or `hf:owner/name`); empty when it is something else."""
    for start in ("https://huggingface.co/datasets/", "huggingface.co/datasets/", "hf:"):
        if address.startswith(start):
            return "/".join(address.removeprefix(start).split("/")[:2])
    return ""


def result(evaluation: Evaluation, row: Row) -> Result:
    details = {"n_scored": str(row.n_scored), "n_unscored": str(row.n_unscored), "n_empty": str(row.n_empty)}
    details |= {"modality": row.modality, "run": row.run}
    if row.n_planned is not None:
        details["n_planned"] = str(row.n_planned)
    if row.n_cut is not None:
        details["n_cut"] = str(row.n_cut)
    if row.reasons_text:
        details["unscored_reasons"] = row.reasons_text
    if case := bounds(row):
        details |= {"lower_bound": repr(case[0]), "upper_bound": repr(case[1])}
    interval = None
    if row.ci_low is not None and row.ci_high is not None:
        method = "confidence sequence" if row.n_planned is not None else "Wilson or bootstrap, clustered"
        interval = ConfidenceInterval(lower=row.ci_low, upper=row.ci_high, confidence_level=0.95, method=method)
    return Result(
        evaluation_result_id=row_name(row),
        evaluation_name=row.benchmark,
        source_data=_source(evaluation, row),
        evaluation_timestamp=evaluation.date.isoformat(),
        metric_config=_metric(row),
        score_details=ScoreDetails(
            score=row.value or 0.0,  # rows without a value never come here
            details=details,
            uncertainty=Uncertainty(confidence_interval=interval, num_samples=row.n_scored),
        ),
    )


def _metric(row: Row, kind: str = "") -> MetricConfig:
    signed = row.metric in GAPS or kind == PAIRED
    return MetricConfig(
        lower_is_better=row.direction == "lower",
        metric_id=f"{row.metric}[{row.scorer}]",
        metric_name=metric_name(row.metric),
        metric_kind=kind or KINDS.get(row.metric, row.metric),
        metric_unit="proportion",
        score_type="continuous",
        min_score=-1.0 if signed else 0.0,
        max_score=1.0,
        metric_parameters={"k": 8} if row.metric == "pass_at_8" else None,
        llm_scoring=llm_scoring(row.scorer),
        additional_details={"metric": row.metric, "scorer": row.scorer},
    )


def difference(evaluation: Evaluation, change: Change) -> Result:
    row = change.after
    interval = None
    if change.low is not None and change.high is not None:
        interval = ConfidenceInterval(
            lower=change.low, upper=change.high, confidence_level=0.95, method="paired bootstrap over clusters"
        )
    details = {"n_pairs": str(change.n_pairs), "n_excluded": str(change.n_excluded), "modality": row.modality}
    details["baseline"] = evaluation_id(evaluation.baseline) if evaluation.baseline else ""
    if change.p_adjusted is not None:
        details["p_holm"] = repr(change.p_adjusted)
    return Result(
        evaluation_result_id=f"{row_name(row)}/difference",
        evaluation_name=row.benchmark,
        source_data=_source(evaluation, row),
        metric_config=_metric(row, PAIRED),
        score_details=ScoreDetails(
            score=change.difference or 0.0,
            details=details,
            uncertainty=Uncertainty(confidence_interval=interval, num_samples=change.n_pairs),
        ),
    )
