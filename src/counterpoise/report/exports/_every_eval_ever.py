"""Scorecard rows as Every Eval Ever JSON: the canonical exchange format, with samples beside it."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from counterpoise.base import InputError, Row, sha256_bytes

from ._evaluation import COLLECTION, Evaluation, evaluation_id
from ._results import PAIRED, difference, result
from ._sample_schema import as_json
from ._samples import sample_lines, samples_of
from ._schema import Aggregate, Result, SampleFile
from ._schema_parts import VERSION, Library, ModelInfo, SourceMetadata


def file_stem(evaluation: Evaluation) -> str:
    """`data/<collection>/<developer>/<model>/<uuid>`; the uuid follows from what was measured, so that the same
    evaluation exported twice is one file. The validator takes version 4 only, so the hash has the form of one."""
    content = "\n".join((evaluation_id(evaluation), *(row.model_dump_json() for row in evaluation.rows)))
    name = uuid.UUID(hex=sha256_bytes(content.encode())[:32], version=4)
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
    results = [result(evaluation, row) for row in evaluation.scored]
    results += [difference(evaluation, change) for change in evaluation.differences if change.difference is not None]
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
        official=details.get("official") == "true",
        reasons=details.get("unscored_reasons"),  # type: ignore[arg-type] # a Row reads text
        n_planned=int(details["n_planned"]) if "n_planned" in details else None,
        n_cut=int(details["n_cut"]) if "n_cut" in details else None,
    )
