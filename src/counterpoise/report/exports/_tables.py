"""CSV and Parquet: one line per row, every field of it, and a few facts about the model."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterpoise.base import InputError, Row, require

from ._evaluation import Evaluation

FIELDS = tuple(Row.model_fields)
FACTS = ("model_id", "fingerprint", "method", "date", "commit")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_NUMBERS = {"value", "ci_low", "ci_high"}
_COUNTS = {"n_scored", "n_unscored", "n_empty", "n_planned", "n_cut"}


def to_records(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The rows as flat objects. A row without a value keeps its counts and has None there, never 0."""
    facts = {name: str(getattr(evaluation, name)) for name in FACTS if name != "date"}
    facts["date"] = evaluation.date.isoformat()
    return [row.model_dump() | {"reasons": row.reasons_text} | facts for row in evaluation.rows]


def to_csv(evaluation: Evaluation) -> str:
    """UTF-8 text with a header; an empty cell is None. A text that a spreadsheet would run as a formula gets a leading
    apostrophe, which `from_csv` takes off again."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*FIELDS, *FACTS))
    for record in to_records(evaluation):
        writer.writerow([_cell(record[name]) for name in (*FIELDS, *FACTS)])
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value)


def from_csv(text: str) -> list[Row]:
    """The rows of a CSV that we wrote. Raises InputError naming row and field."""
    lines = []
    for line in csv.DictReader(io.StringIO(text)):
        lines.append({name: _parsed(name, value or "") for name, value in line.items() if name in FIELDS})
    return _rows(lines, "csv")


def _parsed(name: str, cell: str) -> str | None:
    if name in _NUMBERS | _COUNTS and cell == "":
        return None
    return cell[1:] if cell.startswith("'") else cell


def write_parquet(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records with fixed types, so that a column without any value keeps its type. Raises MissingPackageError."""
    arrow = require("pyarrow", purpose="the Parquet export", install="counterpoise[parquet]")
    parquet = require("pyarrow.parquet", purpose="the Parquet export", install="counterpoise[parquet]")
    kinds = dict.fromkeys(_NUMBERS, arrow.float64()) | dict.fromkeys(_COUNTS, arrow.int64())
    kinds |= {name: arrow.bool_() for name, field in Row.model_fields.items() if field.annotation is bool}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in (*FIELDS, *FACTS)])
    parquet.write_table(arrow.Table.from_pylist([dict(each) for each in records], schema=schema), file)


def read_parquet(file: Path) -> list[Row]:
    """The rows of a Parquet file that we wrote."""
    parquet = require("pyarrow.parquet", purpose="reading Parquet", install="counterpoise[parquet]")
    lines = parquet.read_table(file).to_pylist()
    return _rows([{name: line.get(name) for name in FIELDS} for line in lines], file)


def _rows(lines: list[dict[str, Any]], where: str | Path) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(Row.model_validate(line))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError.at(where, first["msg"], row=number, field=".".join(map(str, first["loc"]))) from error
    return rows
