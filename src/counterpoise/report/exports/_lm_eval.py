"""JSON in the shape of lm-evaluation-harness, for readers that look up `results[task]["metric,filter"]`.

The filter is the scorer. No groups are built: an average over metrics of opposite direction means nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from counterpoise.base import InputError, Row

from ._evaluation import Evaluation, Generation, slug

_COUNTS = ("ci_low", "ci_high", "n_scored", "n_unscored", "n_empty", "n_cut", "n_planned", "official", "reasons")
_PLACE = ("benchmark", "split", "modality", "revision", "run")
_Z = 1.959963984540054


def to_lm_eval(evaluation: Evaluation) -> dict[str, Any]:
    """One task per benchmark, split and modality. Rows without a value are listed under `unscored_rows`.

    `<metric>_stderr` is half the interval divided by 1.96, or "N/A" without one. Raises InputError when two rows would
    share one key, or a scorer's id holds the comma that separates metric and filter.
    """
    shots: dict[str, int] = {}
    results: dict[str, dict[str, Any]] = {}
    higher: dict[str, dict[str, bool]] = {}
    configs: dict[str, dict[str, Any]] = {}
    counts: dict[str, dict[str, int]] = {}
    for row in evaluation.scored:
        if "," in row.scorer or "," in row.metric:
            raise InputError(f"{row.metric}[{row.scorer}]: lm-eval's keys have no place for a comma")
        task = "__".join(slug(part) for part in (row.benchmark, row.split, row.modality))
        how = evaluation.how(row)
        config = {name: getattr(row, name) for name in _PLACE} | _settings(how)
        if how.shots is not None:
            shots[task] = how.shots
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
        "n-shot": shots,
        "higher_is_better": higher,
        "n-samples": counts,
        "config": {
            "model": "counterpoise",
            "model_args": evaluation.model,
            "model_sha": evaluation.fingerprint,
            "gen_kwargs": _shared([config.get("generation_kwargs", {}) for config in configs.values()]),
        },
        "git_hash": evaluation.commit or None,
        "date": evaluation.date.timestamp(),
        "model_source": "counterpoise",
        "model_name": evaluation.model,
        "model_name_sanitized": slug(evaluation.model.replace("/", "__")),
        "unscored_rows": evaluation.without_value,
        "notes": "Values are proportions. stderr is half of the 95 % interval divided by 1.96; the interval itself is "
        "in <metric>_ci_low and _ci_high. A task's own generation_kwargs and num_fewshot are in configs; what an "
        "evaluation's record does not say is left out. n-samples.effective is the smallest n_scored of a task.",
    }


def _settings(how: Generation) -> dict[str, Any]:
    """The names that lm-eval's task configuration has for them; nothing that is not known."""
    given = {"temperature": how.temperature, "top_p": how.top_p, "max_gen_toks": how.max_new_tokens}
    kwargs: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if how.temperature is not None:
        kwargs["do_sample"] = how.temperature > 0
    found = {"num_fewshot": how.shots, "repeats": how.tries, "generation_kwargs": kwargs or None}
    return {name: value for name, value in found.items() if value is not None}


def _shared(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What holds for every task."""
    first = settings[0] if settings else {}
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in settings)}


def _values(row: Row) -> dict[str, Any]:
    stderr: float | str = "N/A"
    if row.ci_low is not None and row.ci_high is not None and row.n_planned is None:
        stderr = (row.ci_high - row.ci_low) / 2 / _Z
    found = {f"{row.metric},{row.scorer}": row.value, f"{row.metric}_stderr,{row.scorer}": stderr}
    extra = {name: getattr(row, name) for name in _COUNTS}
    extra |= {"reasons": row.reasons_text, "official": row.official or None}
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
                fields["official"] = fields["official"] is True
                direction = "higher" if document["higher_is_better"][task][metric] else "lower"
                own = {"metric": metric, "scorer": scorer, "value": values[key], "direction": direction}
                place = {name: document["configs"][task][name] for name in _PLACE}
                rows.append(Row.model_validate({"model": document["model_name"]} | place | fields | own))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"lm-eval document: {error} is missing or has the wrong type") from error
    return rows
