"""Published numbers from YAML: every value with its source, the interval computed where n allows it."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterpoise.base import InputError, read_text
from counterpoise.evals.stats import wilson

from ..exports import load_yaml
from ._entry import Entry
from ._literature_file import Cell, Column, LiteratureFile, Source, Table
from ._metrics import METRICS


def read_literature(file: Path) -> list[Entry]:
    """The entries of a YAML file. Raises InputError naming table, row and column of the first mistake."""
    return parse_literature(read_text(file), str(file))


def packaged() -> list[Entry]:
    """The published numbers that ship with this package."""
    return [entry for name, text in packaged_texts().items() for entry in parse_literature(text, name)]


def packaged_texts() -> dict[str, str]:
    """By file name, in order."""
    folder = files("counterpoise.report.board").joinpath("literature")
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)
    return {each.name: each.read_text(encoding="utf-8") for each in found}


def parse_literature(text: str, where: str) -> list[Entry]:
    """As `read_literature`, from text."""
    value = load_yaml(text, where)
    if isinstance(value, Mapping) and not value.get("source"):
        raise InputError(f"{where}: no source; a published number needs a title and arxiv, or url and date")
    try:
        document = LiteratureFile.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError.at(where, first["msg"], field=".".join(map(str, first["loc"]))) from error
    return [entry for table in document.tables for entry in _entries(document.source, table, where)]


def _entries(source: Source, table: Table, where: str) -> list[Entry]:
    found = []
    for number, row in enumerate(table.rows, 1):
        place = f"{where}: table {table.table!r}"
        model, method, *values = [*row, None, None][: max(len(row), 2)]
        if not isinstance(model, str) or not model.strip() or not isinstance(method, str | None):
            raise InputError.at(place, "expected [model, method, value, ...]", row=number)
        if len(values) != len(table.columns):
            raise InputError.at(place, f"{len(values)} values for {len(table.columns)} columns", row=number)
        for column, cell in zip(table.columns, values, strict=True):
            if cell is not None:
                found.append(_entry(source, table, column, (model, method or "", cell), place, number))
    return found


def _entry(source: Source, table: Table, column: Column, row: tuple[str, str, Any], place: str, number: int) -> Entry:
    model, method, cell = row
    note, value = (cell.note, cell.value) if isinstance(cell, Cell) else (table.note, cell)
    if isinstance(value, str):
        raise InputError.at(place, f"{value!r} is no number", row=number, field=column.metric)
    known = METRICS.get(column.metric)
    direction = column.direction or (known.direction if known else None)
    if direction is None:
        raise InputError.at(place, "unknown metric; say direction: lower or higher", row=number, field=column.metric)
    if known and direction != known.direction:
        raise InputError.at(place, f"is known as {known.direction} is better", row=number, field=column.metric)
    value = value / 100 if table.unit == "percent" else value
    if not (known.lowest if known else -1.0) <= value <= 1:
        raise InputError.at(
            place, f"{value:g} is outside its range; is the unit right?", row=number, field=column.metric
        )
    low, high, how = _interval(value, table, column)
    try:
        return Entry(
            model=model, method=method, benchmark=column.benchmark or table.benchmark,
            revision=column.revision or table.revision, split=column.split or table.split,
            modality=column.modality or table.modality, metric=column.metric, direction=direction,
            scorer=column.scorer or table.scorer, value=round(value, 10), ci_low=low, ci_high=high, ci_method=how,
            n=column.n or column.items, kind="reported", source=source.title, table=table.table, url=source.address,
            date=source.day, note=note,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError.at(place, first["msg"], row=number, field=str(first["loc"][0])) from error


def _interval(value: float, table: Table, column: Column) -> tuple[float | None, float | None, str]:
    if column.n is None or not 0 <= value <= 1:
        return None, None, ""
    if table.decimals is not None:
        step = 10.0**-table.decimals / (100 if table.unit == "percent" else 1)
        if abs(round(value * column.n) / column.n - value) > step / 2 + 1e-9:
            return None, None, f"none: no count out of {column.n:,} rounds to this value"
    m = column.clusters or column.n
    low, high = wilson(value * m, m)
    units = f"{m:,} clusters" if column.clusters else f"n = {m:,}"
    return low, high, f"Wilson from {units}, computed here"
