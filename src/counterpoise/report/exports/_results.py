"""One entry of Every Eval Ever's results: from a scorecard row or a paired difference."""

import re

from counterpoise.base import Row

from .._change import Change
from .._words import GAPS, bounds, metric_name
from ._evaluation import Evaluation, evaluation_id, row_name
from ._judges import llm_scoring
from ._schema import (
    ConfidenceInterval,
    GenerationArgs,
    GenerationConfig,
    MetricConfig,
    Result,
    ScoreDetails,
    Uncertainty,
)
from ._schema_parts import SourceData

PAIRED = "paired_difference"
_HUB = re.compile(r"(?:(?:https?://)?huggingface\.co/datasets/|hf:)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", re.ASCII)
_URL = re.compile(r"(?:https?://|(?=(?:github\.com|huggingface\.co)/))[^\s,()<>\"']+")
KINDS = {
    "asr": "attack_success_rate", "broken": "degenerate_output_rate", "over_refusal": "refusal_rate",
    "accuracy": "accuracy", "pass_at_8": "pass_rate",
}  # fmt: skip


def _source(evaluation: Evaluation, row: Row) -> SourceData:
    address, licence = evaluation.source(row)
    given = {"revision": row.revision, "split": row.split, "licence": licence}
    if source_url(address):
        given["source"] = address  # with its remark, if it has one
    details = {name: value for name, value in given.items() if value}
    if hub := hub_id(address):
        return SourceData(
            dataset_name=row.benchmark, source_type="hf_dataset", hf_repo=hub, hf_split=row.split,
            samples_number=row.n_scored + row.n_unscored, additional_details=details,
        )  # fmt: skip
    if url := source_url(address):
        return SourceData(dataset_name=row.benchmark, source_type="url", url=[url], additional_details=details)
    return SourceData(dataset_name=row.benchmark, source_type="other", additional_details=details)


def hub_id(address: str) -> str:
    """`owner/name` of `huggingface.co/datasets/owner/name` (or `hf:owner/name`), without a remark that follows
    ("owner/name (accept its terms)", "owner/name, config"); empty when it is something else."""
    found = _HUB.match(address)
    return found[1].rstrip(".-") if found else ""


def source_url(address: str) -> str:
    """The web address in a card's source, without a remark that follows; empty when it has none."""
    found = _URL.match(address)
    url = found[0].rstrip(".;") if found else ""
    return f"https://{url}" if url and "://" not in url else url


def result(evaluation: Evaluation, row: Row) -> Result:
    details = {"n_scored": str(row.n_scored), "n_unscored": str(row.n_unscored), "n_empty": str(row.n_empty)}
    details |= {"modality": row.modality, "run": row.run}
    if row.n_planned is not None:
        details["n_planned"] = str(row.n_planned)
    if row.n_cut is not None:
        details["n_cut"] = str(row.n_cut)
    if row.official:
        details["official"] = "true"
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
        generation_config=_generation(evaluation, row),
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


def _generation(evaluation: Evaluation, row: Row) -> GenerationConfig | None:
    """What is known of it; the schema has no field for shots and tries."""
    how = evaluation.how(row)
    more = {"shots": how.shots, "tries": how.tries}
    details = {name: str(value) for name, value in more.items() if value is not None}
    if all(value is None for value in how):
        return None
    known = GenerationArgs(temperature=how.temperature, top_p=how.top_p, max_tokens=how.max_new_tokens)
    return GenerationConfig(generation_args=known, additional_details=details)


def difference(evaluation: Evaluation, change: Change) -> Result:
    row = change.after
    interval = None
    if change.low is not None and change.high is not None:
        interval = ConfidenceInterval(
            lower=change.low,
            upper=change.high,
            confidence_level=0.95,
            method="paired score interval (Tango), or bootstrap over clusters",
        )
    details = {"n_pairs": str(change.n_pairs), "n_excluded": str(change.n_excluded), "modality": row.modality}
    details["baseline"] = evaluation_id(evaluation.baseline) if evaluation.baseline else ""
    if change.p_adjusted is not None:
        details["p_holm" if change.counted else "p_false_discovery_rate"] = repr(change.p_adjusted)
    return Result(
        evaluation_result_id=f"{row_name(row)}/difference",
        evaluation_name=row.benchmark,
        source_data=_source(evaluation, row),
        metric_config=_metric(row, PAIRED),
        generation_config=_generation(evaluation, row),
        score_details=ScoreDetails(
            score=change.difference or 0.0,
            details=details,
            uncertainty=Uncertainty(confidence_interval=interval, num_samples=change.n_pairs),
        ),
    )
