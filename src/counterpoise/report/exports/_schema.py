"""Every Eval Ever 0.3.0 as typed models of ours: unknown fields are errors, free data holds strings only.

Written from the published field list (evaleval, every_eval_ever/schemas); no schema text is bundled.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ._schema_parts import Details, Library, ModelInfo, SourceData, SourceMetadata, Strict, Text


class JudgeInfo(Strict):
    """The model of a judge; names of servers may have three parts."""

    name: Text
    id: Annotated[str, Field(pattern=r"^[^/\s]+(/[^/\s]+)+$")]
    additional_details: Details


class JudgeConfig(Strict):
    """One judge."""

    model_info: JudgeInfo
    temperature: float | None = None
    additional_details: Details = Field(default_factory=dict)


class LlmScoring(Strict):
    """The models that judged, and what they were asked."""

    judges: Annotated[list[JudgeConfig], Field(min_length=1)]
    input_prompt: Text
    aggregation_method: Literal["majority_vote", "average", "weighted_average", "median"] | None = None
    additional_details: Details = Field(default_factory=dict)


class MetricConfig(Strict):
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
    additional_details: Details = Field(default_factory=dict)


class ConfidenceInterval(Strict):
    """Ends of the interval."""

    lower: float
    upper: float
    confidence_level: float
    method: str


class Uncertainty(Strict):
    """Interval and number of scored items."""

    confidence_interval: ConfidenceInterval | None = None
    num_samples: Annotated[int, Field(ge=1)]


class ScoreDetails(Strict):
    """The number."""

    score: float
    details: Details
    uncertainty: Uncertainty


class GenerationArgs(Strict):
    """The settings of the answers that the schema has names for."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class GenerationConfig(Strict):
    """How the answers were made."""

    generation_args: GenerationArgs
    additional_details: Details = Field(default_factory=dict)


class Result(Strict):
    """One scorecard row, or one paired difference."""

    evaluation_result_id: Text
    evaluation_name: Text
    source_data: SourceData
    evaluation_timestamp: str | None = None
    metric_config: MetricConfig
    score_details: ScoreDetails
    generation_config: GenerationConfig | None = None

    @model_validator(mode="after")
    def _inside(self) -> "Result":
        low, high = self.metric_config.min_score, self.metric_config.max_score
        if not low <= self.score_details.score <= high:
            raise ValueError(f"score {self.score_details.score} is outside {low} to {high}")
        return self


class SampleFile(Strict):
    """The file of samples beside the aggregate."""

    format: Literal["jsonl"]
    file_path: Text
    hash_algorithm: Literal["sha256"]
    checksum: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    total_rows: int
    additional_details: Details = Field(default_factory=dict)


class Aggregate(Strict):
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
