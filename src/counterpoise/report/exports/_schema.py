"""Every Eval Ever 0.3.0 as typed models of ours: unknown fields are errors, free data holds strings only.

Written from the published field list (evaleval, every_eval_ever/schemas); no schema text is bundled.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VERSION: Literal["0.3.0"] = "0.3.0"
Text = Annotated[str, Field(min_length=1)]
Details = dict[str, str]
"""Free data; the schema allows only strings as values."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class SourceMetadata(_Strict):
    """Who measured."""

    source_type: Literal["documentation", "evaluation_run"]
    source_organization_name: Text
    evaluator_relationship: Literal["first_party", "third_party", "collaborative", "other"]
    source_name: str | None = None
    source_organization_url: str | None = None
    additional_details: Details = {}


class Library(_Strict):
    """Name and version of a piece of software."""

    name: Text
    version: Text
    additional_details: Details = {}


class ModelInfo(_Strict):
    """The model that answered; `id` in the hub's form owner/name."""

    name: Text
    id: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    developer: str | None = None
    additional_details: Details

    @model_validator(mode="after")
    def _known(self) -> "ModelInfo":
        allowed = {
            "deployment_type": {"self_deployed", "externally_managed", "unknown"},
            "model_availability": {"open_weights", "closed_weights", "unknown"},
        }
        for name, values in allowed.items():
            if self.additional_details.get(name) not in values:
                raise ValueError(f"additional_details.{name} must be one of {sorted(values)}")
        return self


class SourceData(_Strict):
    """Where the rows came from: an address, a dataset of the hub, or neither."""

    dataset_name: Text
    source_type: Literal["url", "hf_dataset", "other"]
    url: list[Text] | None = None
    hf_repo: str | None = None
    hf_split: str | None = None
    samples_number: int | None = None
    additional_details: Details = {}

    @model_validator(mode="after")
    def _complete(self) -> "SourceData":
        if (self.source_type == "url") != (self.url is not None):
            raise ValueError('a list "url" belongs to source_type "url" and to nothing else')
        if self.source_type == "hf_dataset" and not self.hf_repo:
            raise ValueError('source_type "hf_dataset" needs hf_repo')
        return self


class JudgeInfo(_Strict):
    """The model of a judge; names of servers may have three parts."""

    name: Text
    id: Annotated[str, Field(pattern=r"^[^/\s]+(/[^/\s]+)+$")]
    additional_details: Details


class JudgeConfig(_Strict):
    """One judge."""

    model_info: JudgeInfo
    temperature: float | None = None
    additional_details: Details = {}


class LlmScoring(_Strict):
    """The models that judged, and what they were asked."""

    judges: Annotated[list[JudgeConfig], Field(min_length=1)]
    input_prompt: Text
    aggregation_method: Literal["majority_vote", "average", "weighted_average", "median"] | None = None
    additional_details: Details = {}


class MetricConfig(_Strict):
    """What was counted, and which way is better."""

    lower_is_better: bool
    evaluation_description: str | None = None
    metric_id: Text
    metric_name: Text
    metric_kind: Text
    metric_unit: Literal["proportion"]
    score_type: Literal["binary", "continuous", "levels"]
    min_score: float
    max_score: float
    metric_parameters: dict[str, int] | None = None
    llm_scoring: LlmScoring | None = None
    additional_details: Details = {}


class ConfidenceInterval(_Strict):
    """Ends of the interval."""

    lower: float
    upper: float
    confidence_level: float
    method: str


class Uncertainty(_Strict):
    """Interval and number of scored items."""

    confidence_interval: ConfidenceInterval | None = None
    num_samples: Annotated[int, Field(ge=1)]


class ScoreDetails(_Strict):
    """The number."""

    score: float
    details: Details
    uncertainty: Uncertainty


class Result(_Strict):
    """One scorecard row, or one paired difference."""

    evaluation_result_id: Text
    evaluation_name: Text
    source_data: SourceData
    evaluation_timestamp: str | None = None
    metric_config: MetricConfig
    score_details: ScoreDetails

    @model_validator(mode="after")
    def _inside(self) -> "Result":
        low, high = self.metric_config.min_score, self.metric_config.max_score
        if not low <= self.score_details.score <= high:
            raise ValueError(f"score {self.score_details.score} is outside {low} to {high}")
        return self


class SampleFile(_Strict):
    """The file of samples beside the aggregate."""

    format: Literal["jsonl"]
    file_path: Text
    hash_algorithm: Literal["sha256"]
    checksum: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    total_rows: int
    additional_details: Details = {}


class Aggregate(_Strict):
    """`<uuid>.json`."""

    schema_version: Literal["0.3.0"]
    evaluation_id: Text
    evaluation_timestamp: str | None = None
    retrieved_timestamp: Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]
    source_metadata: SourceMetadata
    eval_library: Library
    model_info: ModelInfo
    evaluation_results: Annotated[list[Result], Field(min_length=1)]
    detailed_evaluation_results: SampleFile | None = None
