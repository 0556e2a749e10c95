"""The samples file of Every Eval Ever: one line per scored item and row. Unscored items are named, not written."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from counterpoise.base import Row, sha256_bytes

from .._folder import ItemRecord
from .._values import item_values, reproduces
from .._words import GAPS
from ._evaluation import Evaluation, evaluation_id, row_name
from ._sample_schema import Attribution, SampleInput, SampleOutput, SampleRow, SampleScore, as_json
from ._schema_parts import VERSION


def sample_lines(samples: Iterable[Mapping[str, Any]]) -> str:
    """The samples as JSON Lines, exactly as they are written and hashed: in ASCII, because readers split lines at more
    characters than the line feed (U+2028, U+0085), and answers hold them."""
    return "".join(json.dumps(sample) + "\n" for sample in samples)


def samples_of(evaluation: Evaluation, include_text: bool) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """One line per item and row whose value the items reproduce; and the unscored items with their reasons."""
    items = {item.key: item for item in evaluation.items}
    by_id = {(item.benchmark, item.id): item for item in evaluation.items}
    found: list[dict[str, Any]] = []
    left_out: dict[str, dict[str, str]] = {}
    for row in evaluation.scored:
        if row.metric in GAPS:
            continue
        values = item_values(row, items)
        if not reproduces(row, values):
            continue
        for identity, (value, _) in values.items():
            item = by_id[next(key for key in _keys(row, identity) if key in by_id)]
            if value is None:
                left_out.setdefault(row_name(row), {})[identity] = _code(item.reasons.get(row.scorer, ""))
            else:
                found.append(as_json(_sample(evaluation, row, item, value, include_text)))
    return found, left_out


def _keys(row: Row, identity: str) -> list[tuple[str, str]]:
    """A row of a group "name/part" belongs to the items of "name"."""
    parts = (row.benchmark, row.benchmark.split("/")[0], row.benchmark.split(":")[0])
    return [(name, identity) for name in parts]


def _sample(evaluation: Evaluation, row: Row, item: ItemRecord, value: float, include_text: bool) -> SampleRow:
    digest = sha256_bytes("\n".join((item.prompt, *item.images)).encode())
    answer = sha256_bytes(item.answer.encode())
    wanted = value < 0.5 if row.direction == "lower" else value >= 0.5
    return SampleRow(
        schema_version=VERSION,
        evaluation_id=evaluation_id(evaluation),
        evaluation_result_id=row_name(row),
        model_id=evaluation.model_id,
        evaluation_name=row.benchmark,
        sample_id=item.id,
        interaction_type="single_turn",
        sample_hash=digest,
        input=SampleInput(raw=item.prompt if include_text else f"sha256:{digest}", reference=[]),
        output=SampleOutput(raw=[item.answer if include_text else f"sha256:{answer}"]),
        answer_attribution=[
            Attribution(
                turn_idx=0, source="output.raw", extracted_value=f"{value:g}", extraction_method=row.scorer,
                is_terminal=True,
            )
        ],
        evaluation=SampleScore(score=value, is_correct=wanted),
        metadata={
            "is_correct": "the model behaved as wanted; score is the raw value of the metric",
            "modality": item.modality,
            "answer_sha256": answer,
        },
    )  # fmt: skip


def _code(reason: str) -> str:
    """The reason's own name; what follows a colon may quote an answer, and answers stay here."""
    return reason.split(":")[0].strip()[:60] or "no reason given"
