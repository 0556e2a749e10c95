"""Every Eval Ever 0.3.0, the file of samples, as typed models of ours."""

from typing import Any, Literal

from ._schema_parts import Details, Strict, Text


class SampleInput(Strict):
    """The question. `raw` holds its hash unless the text was asked for."""

    raw: str
    reference: list[str]


class SampleOutput(Strict):
    """The answer. `raw` holds its hash unless the text was asked for; a single turn must have it."""

    raw: list[str]


class Attribution(Strict):
    """Which part of the answer was scored, and how."""

    turn_idx: int
    source: str
    extracted_value: str
    extraction_method: str
    is_terminal: bool


class SampleScore(Strict):
    """`score` is the raw value of the metric; `is_correct` says whether the model behaved as wanted."""

    score: float
    is_correct: bool


class SampleRow(Strict):
    """One scored item."""

    schema_version: Literal["0.3.0"]
    evaluation_id: Text
    evaluation_result_id: Text
    model_id: Text
    evaluation_name: Text
    sample_id: Text
    interaction_type: Literal["single_turn", "multi_turn", "agentic"]
    sample_hash: str
    input: SampleInput
    output: SampleOutput
    answer_attribution: list[Attribution]
    evaluation: SampleScore
    metadata: Details


def as_json(value: Any) -> dict[str, Any]:
    """A model of this or the aggregate schema as plain JSON values; fields that were not set are left out."""
    dumped: dict[str, Any] = value.model_dump(exclude_none=True)
    return dumped
