"""JSON in the shape of lm-evaluation-harness, for readers that look up `results[task]["metric,filter"]`.

The filter is the scorer. No groups are built: an average over metrics of opposite direction means nothing.
"""

from collections.abc import Mapping
from typing import Any

from counterpoise.base import InputError, Row

from ._evaluation import Evaluation, slug

_COUNTS = ("ci_low", "ci_high", "n_scored", "n_unscored", "n_empty", "n_cut", "n_planned", "reasons")
_PLACE = ("benchmark", "split", "modality", "revision", "run")
_Z = 1.959963984540054


def to_lm_eval(evaluation: Evaluation) -> dict[str, Any]:
    """One task per benchmark, split and modality. Rows without a value are listed under `unscored_rows`.

    `<metric>_stderr` is half the interval divided by 1.96, or "N/A" without one. Raises InputError when two rows would
    share one key, or a scorer's id holds the comma that separates metric and filter.
    """
    results: dict[str, dict[str, Any]] = {}
    higher: dict[str, dict[str, bool]] = {}
    configs: dict[str, dict[str, Any]] = {}
    counts: dict[str, dict[str, int]] = {}
    for row in evaluation.scored:
        if "," in row.scorer or "," in row.metric:
            raise InputError(f"{row.metric}[{row.scorer}]: lm-eval's keys have no place for a comma")
        task = "__".join(slug(part) for part in (row.benchmark, row.split, row.modality))
        config = {name: getattr(row, name) for name in _PLACE}
        if configs.setdefault(task, config) != config:
            raise InputError(f"{task}: two different rows would share this task name; rename one benchmark")
        values = results.setdefault(task, {"alias": task})
        if f"{row.metric},{row.scorer}" in values:
            raise InputError(f"{task}: {row.metric}[{row.scorer}] occurs twice")
        values |= _values(row)
        higher.setdefault(task, {})[row.metric] = row.direction == "higher"
        total = row.n_planned or row.n_scored + row.n_unscored
        known = counts.setdefault(task, {"original": total, "effective": row.n_scored})
        known["original"], known["effective"] = max(known["original"], total), min(known["effective"], row.n_scored)
    return {
        "results": results,
        "group_subtasks": {task: [] for task in results},
        "configs": configs,
        "versions": {task: config["revision"] for task, config in configs.items()},
        "n-shot": dict.fromkeys(results, 0),
        "higher_is_better": higher,
        "n-samples": counts,
        "config": {
            "model": "counterpoise",
            "model_args": evaluation.model,
            "model_sha": evaluation.fingerprint,
            "gen_kwargs": {"temperature": 0.0},
        },
        "git_hash": evaluation.commit or None,
        "date": evaluation.date.timestamp(),
        "model_source": "counterpoise",
        "model_name": evaluation.model,
        "model_name_sanitized": slug(evaluation.model.replace("/", "__")),
        "unscored_rows": evaluation.without_value,
        "notes": "Values are proportions. stderr is half of the 95 % interval divided by 1.96; the interval itself is "
        "in <metric>_ci_low and _ci_high. n-samples.effective is the smallest n_scored of a task's metrics.",
    }


def _values(row: Row) -> dict[str, Any]:
    stderr: float | str = "N/A"
    if row.ci_low is not None and row.ci_high is not None and row.n_planned is None:
        stderr = (row.ci_high - row.ci_low) / 2 / _Z
    found = {f"{row.metric},{row.scorer}": row.value, f"{row.metric}_stderr,{row.scorer}": stderr}
    extra = {name: getattr(row, name) for name in _COUNTS} | {"reasons": row.reasons_text}
    return found | {f"{row.metric}_{name},{row.scorer}": value for name, value in extra.items() if value is not None}


def from_lm_eval(document: Mapping[str, Any]) -> list[Row]:
    """The rows of a document that we wrote. Raises InputError when a part is missing."""
    rows = []
    try:
        for task, values in document["results"].items():
            for key in values:
                metric, comma, scorer = key.partition(",")
                if not comma or f"{metric}_n_scored,{scorer}" not in values:
                    continue
                fields = {name: values.get(f"{metric}_{name},{scorer}") for name in _COUNTS}
                direction = "higher" if document["higher_is_better"][task][metric] else "lower"
                own = {"metric": metric, "scorer": scorer, "value": values[key], "direction": direction}
                rows.append(
                    Row.model_validate({"model": document["model_name"]} | document["configs"][task] | fields | own)
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"lm-eval document: {error} is missing or has the wrong type") from error
    return rows
