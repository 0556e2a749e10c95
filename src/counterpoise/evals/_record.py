"""`run.json` of an evaluation: what was measured, with which model, versions and settings, and how long it took."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from counterpoise import __version__
from counterpoise.base import InputError, read_json, write_json
from counterpoise.chat import Sample
from counterpoise.data import data_root

from ._benchmark import Benchmark, Sampling
from ._journal import Journal, data_hash
from ._pins import recorded_commits
from ._target import Target

PACKAGES = ("inspect_ai", "numpy", "peft", "pillow", "torch", "transformers")


def record(
    target: Target,
    plans: Sequence[tuple[Benchmark, Sequence[Sample]]],
    skipped: Mapping[str, str],
    journal: Journal,
    limit: int | None,
    times: Mapping[str, float],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that another person needs to make the same numbers, as JSON. `earlier` is what `detours_before` found
    in the folder: some of the answers were made then."""
    return {
        "model": {"name": target.name, **target.facts},
        "benchmarks": {
            each.name: {
                "revision": each.revision,
                **({} if each.source.startswith("counterpoise") else {"commit": each.commit}),
                "split": each.split,
                "rows": len(samples),
                **({} if each.shots is None else {"shots": each.shots}),
                "max_new_tokens": each.max_new_tokens,
                "scorers": list(each.scorers),
                **({"sampling": _sampling(each.sampling)} if each.sampling else {}),
                "sha256": data_hash(samples),
                **({"file": each.file, "source": each.source, "licence": each.licence} if each.file else {}),
            }
            for each, samples in plans
        },
        "data_commits": recorded_commits(data_root()),
        "skipped": dict(skipped),
        "decoding": {"temperature": 0.0, "tries": 1},
        "limit": limit,
        "detours": added_detours(earlier, target.detours),
        "answers": {"generated_now": journal.generated, "found": journal.found},
        "versions": _versions(),
        "seconds": {name: round(value, 2) for name, value in times.items()},
    }


def record_stop(
    file: Path, error: BaseException, target: Target, journal: Journal, limit: int | None, earlier: Mapping[str, Any]
) -> None:
    """Write to `file` that an evaluation stopped, why, and with which versions. A folder that was measured before keeps
    the record of what its rows are. Never raises: the error that is on its way says more than a full disk."""
    facts = {
        "model": {"name": target.name, **target.facts},
        "limit": limit,
        "answers": {"generated_now": journal.generated, "found": journal.found},
        "versions": _versions(),
    }
    stop: dict[str, Any] = {"message": str(error) or type(error).__name__, "versions": _versions()}
    before = _earlier(file)
    if "benchmarks" not in before or _same_model(before, target):
        facts = {**(before if "benchmarks" in before else facts), "detours": added_detours(earlier, target.detours)}
    else:
        facts = before
        stop |= {"model": target.name, "detours": target.detours}
    facts["error"] = stop
    with suppress(InputError, OSError):
        write_json(file, facts)


def detours_before(file: Path, target: Target) -> dict[str, Any]:
    """Detours of earlier evaluations of the same model in this folder, whose answers are used again; {} for none."""
    before = _earlier(file)
    found = before.get("detours")
    return found if isinstance(found, dict) and _same_model(before, target) else {}


def _same_model(before: Mapping[str, Any], target: Target) -> bool:
    model = before.get("model")
    if not isinstance(model, dict):
        return False
    return (model.get("name"), model.get("fingerprint")) == (target.name, target.facts.get("fingerprint"))


def added_detours(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Both together: counts are added, reason by reason; {} when there are none."""
    if not before or not now:
        return dict(before or now)
    reasons = Counter(before.get("reasons", {})) + Counter(now["reasons"])
    counts = {name: before.get(name, 0) + now[name] for name in ("halvings", "splits")}
    return {**counts, "reasons": dict(reasons)}


def _versions() -> dict[str, str]:
    return {
        "counterpoise": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _earlier(file: Path) -> dict[str, Any]:
    try:
        before = read_json(file)
    except InputError:  # there is none, or it is not ours to judge here
        return {}
    return before if isinstance(before, dict) else {}


def changed_rows(file: Path, now: Mapping[str, Any]) -> dict[str, str]:
    """{benchmark: one line} where the record in `file` asked the same part of a benchmark, but other rows."""
    before = _earlier(file)
    if not before or any(before.get(name) != now.get(name) for name in ("limit", "suite", "stop")):
        return {}
    old: dict[str, Any] = before.get("benchmarks") or {}
    new: dict[str, Any] = now["benchmarks"]
    names = [name for name in new if isinstance(old.get(name), dict)]
    return {
        name: f"its rows are not those of the last time here ({_version(old[name])}, now {_version(new[name])}); "
        "changed ones were asked again, and all numbers are of the rows of now"
        for name in names
        if (old[name].get("sha256"), old[name].get("revision")) != (new[name]["sha256"], new[name]["revision"])
    }


def _version(facts: Mapping[str, Any]) -> str:
    return f"{facts.get('rows')} rows, revision {facts.get('revision')}, hash {str(facts.get('sha256'))[:8]}"


def _sampling(drawn: Sampling) -> dict[str, Any]:
    """How several answers to each question were drawn; the seed of each is in the journal too."""
    return {
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "tries": drawn.n,
        "seeds": [drawn.seed + number for number in range(drawn.n)],
    }
