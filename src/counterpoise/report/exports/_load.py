"""Evaluations from the folder of a run, checked for what no format may be given."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from counterpoise import __version__
from counterpoise.base import InputError, Row

from .._change import changes
from .._folder import EvalFolder
from .._words import GAPS
from ._evaluation import Evaluation, row_name
from ._facts import EvalFacts, Measured, RunFacts, read_facts
from ._generation import generations

_UNKNOWN = ("", "unknown", "none", "null", "?")


def checked(rows: Iterable[Row], where: str | Path) -> tuple[Row, ...]:
    """The rows, if they can be exported. Raises InputError for none, unknown model, revision or scorer, several models,
    a value that is no rate, an interval that does not hold its value, or two rows under one name."""
    found = tuple(rows)
    if not found:
        raise InputError(f"{where}: no rows to export")
    for number, row in enumerate(found):
        for name in ("model", "revision", "scorer"):
            if getattr(row, name).strip().lower() in _UNKNOWN:
                raise InputError.at(where, "unknown; a number without it cannot be compared", row=number, field=name)
        _check_value(row, number, where)
    names = Counter(row_name(row) for row in found)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice:
        raise InputError(f"{where}: two rows are called {twice}; keep one of them")
    if len({row.model for row in found}) > 1:
        raise InputError(f"{where}: rows of several models; export each evaluation by itself")
    return found


def _check_value(row: Row, number: int, where: str | Path) -> None:
    lowest = -1.0 if row.metric in GAPS else 0.0
    if (row.ci_low is None) != (row.ci_high is None):
        raise InputError.at(where, "only one end of the interval is there", row=number, field="ci_low")
    for name in ("value", "ci_low", "ci_high"):
        value = getattr(row, name)
        if value is not None and (not isfinite(value) or not lowest <= value <= 1):
            raise InputError.at(where, f"{value} is outside {lowest:g} to 1", row=number, field=name)
    if row.value is None and row.ci_low is not None:
        raise InputError.at(where, "an interval without a value", row=number, field="ci_low")
    if row.value is not None and row.ci_low is not None and row.ci_high is not None:
        if not row.ci_low - 1e-9 <= row.value <= row.ci_high + 1e-9:
            raise InputError.at(where, f"{row.value} is outside its own interval", row=number, field="value")
        if row.n_scored <= 0:
            raise InputError.at(where, "a value without scored items", row=number, field="n_scored")


def load_evaluations(folder: Path) -> dict[str, Evaluation]:
    """By name: `before` and `after` of a run, or the one evaluation of an evaluation folder.

    The `after` of a run knows its baseline and the paired differences. Raises InputError for anything else, and for a
    record whose fields are not what they should be.
    """
    if not (folder / "before").is_dir():
        return {"": _load(folder, None)}
    run = read_facts(folder / "run.json", RunFacts)
    before = _load(folder / "before", run)
    if not (folder / "after" / "scorecard.json").is_file():
        raise InputError(f"{folder}: this run is not finished; give its counterpoise run command again")
    found = changes(EvalFolder(folder / "before"), EvalFolder(folder / "after"))
    method = run.config.method if run else ""
    after = _load(folder / "after", run, differences=found, baseline=before, method=method)
    return {"before": before, "after": after}


def _load(folder: Path, run: RunFacts | None, **more: Any) -> Evaluation:
    loaded = EvalFolder(folder)
    file = folder / "scorecard.json"
    rows = checked(loaded.rows, file)
    own = read_facts(folder / "run.json", EvalFacts)
    model = own.model if own else None
    started = (run and run.started) or (own and own.started)
    date = started or datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    return Evaluation(
        rows=rows,
        date=date.astimezone(UTC),
        fingerprint=model.fingerprint if model else "",
        adapter=bool(model and (model.adapter or model.artifact)),
        commit=(run.commit if run else "") or (own.commit if own else ""),
        versions={"counterpoise": __version__} | (own.versions if own else {}),
        generation=generations(own.given if own else {}),
        sources=_sources(own.benchmarks if own else {}),
        items=tuple(loaded.items.values()) if (folder / "items.jsonl").is_file() else (),
        **more,
    )


def _sources(measured: Mapping[str, Measured]) -> dict[str, tuple[str, str]]:
    from counterpoise.evals import benchmarks

    own = {name: (facts.source, facts.licence) for name, facts in measured.items() if facts.source}
    return own | {card.row_name: (card.source, card.licence) for card in benchmarks().values()}
