"""Scorecard rows as Every Eval Ever JSON: the canonical exchange format, with samples beside it."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from counterpoise.base import InputError, Row, sha256_bytes

from .._change import Change
from .._words import GAPS, bounds, metric_name
from ._evaluation import COLLECTION, Evaluation, evaluation_id, row_name
from ._judges import llm_scoring
from ._sample_schema import as_json
from ._samples import sample_lines, samples_of
from ._schema import (
    VERSION,
    Aggregate,
    ConfidenceInterval,
    Library,
    MetricConfig,
    ModelInfo,
    Result,
    SampleFile,
    ScoreDetails,
    SourceData,
    SourceMetadata,
    Uncertainty,
)

KINDS = {"asr": "attack_success_rate", "over_refusal": "refusal_rate", "accuracy": "accuracy", "pass_at_8": "pass_rate"}


def file_stem(evaluation: Evaluation) -> str:
    """`data/<collection>/<developer>/<model>/<uuid>`; the uuid follows from what was measured, so that the same
    evaluation exported twice is one file."""
    content = "\n".join(row.model_dump_json() for row in evaluation.rows)
    name = uuid.uuid5(uuid.NAMESPACE_URL, evaluation_id(evaluation) + sha256_bytes(content.encode()))
    return f"data/{COLLECTION}/{evaluation.model_id}/{name}"


def to_every_eval_ever(
    evaluation: Evaluation, *, organization: str = "unknown", include_text: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(aggregate, samples), both validated. Rows without a value and unscored samples are named, never written as 0.

    Samples carry ids, hashes and scores; `include_text` adds prompts and answers. Raises InputError when no row has a
    value.
    """
    if not evaluation.scored:
        raise InputError(f"{evaluation.model}: no row has a value; nothing to export")
    samples, left_out = samples_of(evaluation, include_text)
    text = sample_lines(samples)
    stem = file_stem(evaluation)
    results = [_result(evaluation, row) for row in evaluation.scored]
    results += [_difference(evaluation, change) for change in evaluation.differences if change.difference is not None]
    details = {"rows_without_value": json.dumps(evaluation.without_value)} if evaluation.without_value else {}
    aggregate = Aggregate(
        schema_version=VERSION,
        evaluation_id=evaluation_id(evaluation),
        evaluation_timestamp=evaluation.date.isoformat(),
        retrieved_timestamp=str(int(evaluation.date.timestamp())),
        source_metadata=SourceMetadata(
            source_type="evaluation_run",
            source_organization_name=organization,
            evaluator_relationship="other",
            source_name="counterpoise scorecard",
            additional_details=details,
        ),
        eval_library=_library(evaluation.versions, evaluation.commit),
        model_info=_model(evaluation),
        evaluation_results=results,
        detailed_evaluation_results=SampleFile(
            format="jsonl",
            file_path=f"{stem}_samples.jsonl",
            hash_algorithm="sha256",
            checksum=sha256_bytes(text.encode()),
            total_rows=len(samples),
            additional_details={"unscored_samples": json.dumps(left_out)} if left_out else {},
        )
        if samples
        else None,
    )
    return as_json(aggregate), samples


def from_every_eval_ever(document: Mapping[str, Any]) -> list[Row]:
    """The rows of an aggregate that we wrote (paired differences left out). Raises InputError naming the first field
    that does not fit the schema."""
    try:
        aggregate = Aggregate.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError.at("every eval ever document", first["msg"], field=where) from error
    return [_row(aggregate, r) for r in aggregate.evaluation_results if r.metric_config.metric_kind != PAIRED]


PAIRED = "paired_difference"


def _library(versions: Mapping[str, str], commit: str) -> Library:
    others = {name: str(version) for name, version in versions.items() if name != "counterpoise"}
    if commit:
        others["commit"] = commit
    return Library(name="counterpoise", version=versions.get("counterpoise", "unknown"), additional_details=others)


def _model(evaluation: Evaluation) -> ModelInfo:
    details = {"deployment_type": "self_deployed" if evaluation.fingerprint else "unknown"}
    details |= {"model_availability": "open_weights" if evaluation.fingerprint else "unknown"}
    given = {"fingerprint": evaluation.fingerprint, "method": evaluation.method}
    details |= {name: value for name, value in given.items() if value}
    details["adapter"] = "active" if evaluation.adapter else "none"
    identity = evaluation.model_id
    return ModelInfo(name=evaluation.model, id=identity, developer=identity.split("/")[0], additional_details=details)


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


def _result(evaluation: Evaluation, row: Row) -> Result:
    details = {"n_scored": str(row.n_scored), "n_unscored": str(row.n_unscored), "n_empty": str(row.n_empty)}
    details |= {"modality": row.modality, "run": row.run}
    if row.n_planned is not None:
        details["n_planned"] = str(row.n_planned)
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


def _difference(evaluation: Evaluation, change: Change) -> Result:
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


def _row(aggregate: Aggregate, result: Result) -> Row:
    details, metric = result.score_details.details, result.metric_config
    interval = result.score_details.uncertainty.confidence_interval
    return Row(
        model=aggregate.model_info.name,
        run=details["run"],
        benchmark=result.evaluation_name,
        revision=result.source_data.additional_details["revision"],
        split=result.source_data.additional_details["split"],
        modality=details["modality"],
        metric=metric.additional_details["metric"],
        direction="lower" if metric.lower_is_better else "higher",
        scorer=metric.additional_details["scorer"],
        value=result.score_details.score,
        ci_low=interval.lower if interval else None,
        ci_high=interval.upper if interval else None,
        n_scored=int(details["n_scored"]),
        n_unscored=int(details["n_unscored"]),
        n_empty=int(details["n_empty"]),
        n_planned=int(details["n_planned"]) if "n_planned" in details else None,
    )
