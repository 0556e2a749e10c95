"""The two formats of the Hugging Face hub: `model-index` of a model card, and the newer `.eval_results/*.yaml`.

Both give a metric one number and no interval. What they have no field for goes into `args` and `notes`.
"""

import re
from collections.abc import Mapping
from typing import Any

from counterpoise.base import InputError, Row

from .._words import metric_name
from ._evaluation import Evaluation, row_name, slug
from ._results import hub_id

_ARGS = ("scorer", "ci_low", "ci_high", "n_scored", "n_unscored", "n_empty", "n_cut", "n_planned", "modality",
         "run", "official", "reasons")  # fmt: skip
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def to_model_index(evaluation: Evaluation, datasets: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`{"model-index": [...]}` for the front matter of a model card. Values are proportions.

    `datasets` gives hub ids by benchmark where the benchmark's own card has none; a benchmark without one keeps its
    name as type, others are told apart by their `config`. Rows without a value are left out. Raises InputError when
    none is left.
    """
    if not evaluation.scored:
        raise InputError(f"{evaluation.model}: no row has a value; nothing to export")
    groups: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for row in evaluation.scored:
        task = "text-generation" if row.modality == "text" else "image-text-to-text"
        key = (task, row.benchmark, row.split, row.revision)
        if key not in groups:
            kind = dataset_id(evaluation, row, datasets) or slug(row.benchmark)
            dataset = {"name": row.benchmark, "type": kind, "split": row.split, "revision": row.revision}
            if dataset_id(
                evaluation, row, datasets
            ):  # two benchmarks of one dataset: the hub's library would merge them
                dataset["config"] = row.benchmark
            groups[key] = {"task": {"type": task}, "dataset": dataset, "metrics": []}
        groups[key]["metrics"].append(_metric(row))
    return {"model-index": [{"name": evaluation.model, "results": list(groups.values())}]}


def _metric(row: Row) -> dict[str, Any]:
    known = _known(row) | {"lower_is_better": row.direction == "lower"}
    name = f"{metric_name(row.metric)}, {row.modality} ({row.scorer})"
    return {"type": row.metric, "value": row.value, "name": name, "args": known}


def _known(row: Row) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in _ARGS} | {
        "reasons": row.reasons_text,
        "official": row.official or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def from_model_index(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a model-index that we wrote. Raises InputError naming what is missing."""
    rows = []
    try:
        for model in document["model-index"]:
            for result in model["results"]:
                dataset = result["dataset"]
                same = {"model": model["name"], "benchmark": dataset["name"]}
                same |= {"revision": dataset["revision"], "split": dataset["split"]}
                for metric in result["metrics"]:
                    args = dict(metric["args"])
                    direction = "lower" if args.pop("lower_is_better") else "higher"
                    own = {"metric": metric["type"], "value": metric["value"], "direction": direction}
                    rows.append(Row.model_validate({"ci_low": None, "ci_high": None} | same | args | own))
    except (KeyError, TypeError) as error:
        raise InputError(f"model-index: {error} is missing or has the wrong type") from error
    return rows


def to_eval_results(
    evaluation: Evaluation, datasets: Mapping[str, str] | None = None, source_url: str | None = None
) -> list[dict[str, Any]]:
    """The entries of `.eval_results/<name>.yaml`. Only rows whose dataset has a hub id can be entries.

    One value per entry: scorer, direction, interval and counts stand in `notes`. Raises InputError when no row's
    dataset is known, because a guessed id is accepted by the hub in silence.
    """
    entries = []
    for row in evaluation.scored:
        hub = dataset_id(evaluation, row, datasets)
        if not hub:
            continue
        entry: dict[str, Any] = {"dataset": {"id": hub, "task_id": slug(row.benchmark)}, "value": row.value}
        if re.fullmatch(r"[0-9a-f]{40}", row.revision):  # the format wants a git hash and nothing else
            entry["dataset"]["revision"] = row.revision
        entry["date"] = evaluation.date.isoformat()
        if source_url:
            entry["source"] = {"url": source_url, "name": "counterpoise"}
        entry["notes"] = _notes(row)
        entries.append(entry)
    if not entries:
        raise InputError(
            f"{evaluation.model}: no benchmark here has a dataset id of the hub; name one with --dataset NAME=owner/id"
        )
    return entries


def _notes(row: Row) -> str:
    """`key=value` pairs, the order of `_ARGS`; the benchmark's row is named in full."""
    parts = [f"row={row_name(row)}", f"direction={row.direction}_is_better", "unit=proportion"]
    parts += [f"{name}={value}" for name, value in _known(row).items()]
    return "; ".join([*parts, f"split={row.split}", f"revision={row.revision}", f"metric={row.metric}"])


def from_eval_results(entries: list[Mapping[str, Any]], model: str) -> list[Row]:
    """The rows of entries that we wrote; the format keeps no model, so its name is given."""
    rows = []
    for number, entry in enumerate(entries):
        notes = dict(part.split("=", 1) for part in str(entry.get("notes", "")).split("; ") if "=" in part)
        wanted = (*_ARGS, "split", "revision", "metric")
        fields: dict[str, Any] = {name: notes.get(name) for name in wanted} | {"official": "official" in notes}
        if None in (fields["scorer"], fields["metric"], notes.get("row"), entry.get("value")):
            raise InputError.at("eval results", "its notes were not written by counterpoise", row=number, field="notes")
        fields["benchmark"] = notes["row"].removesuffix(
            f"/{fields['split']}/{fields['modality']}/{fields['metric']}[{fields['scorer']}]"
        )
        direction = notes["direction"].removesuffix("_is_better")
        rows.append(Row.model_validate(fields | {"model": model, "direction": direction, "value": entry["value"]}))
    return rows


def dataset_id(evaluation: Evaluation, row: Row, datasets: Mapping[str, str] | None) -> str:
    """The dataset's hub id: given by hand, or the source of the benchmark's card; empty when unknown."""
    given = (datasets or {}).get(row.benchmark) or (datasets or {}).get(row.benchmark.split("/")[0])
    if given and not _HUB_ID.fullmatch(given):
        raise InputError(f"--dataset {row.benchmark}={given}: a dataset of the hub is called owner/name")
    return given or hub_id(evaluation.source(row)[0])
