"""`run.json` of an evaluation: what was measured, with which model, versions and settings, and how long it took."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from counterpoise import __version__
from counterpoise.base import InputError, notice, read_json, write_json
from counterpoise.chat import Sample
from counterpoise.data.sources import read_card

from ._benchmark import Benchmark, Sampling
from ._journal import Journal, data_hash
from ._target import Target

PACKAGES = ("inspect_ai", "numpy", "peft", "pillow", "torch", "transformers")


def record(
    target: Target,
    plans: Sequence[tuple[Benchmark, Sequence[Sample]]],
    skipped: Mapping[str, str],
    journal: Journal,
    asked: Mapping[str, Any],
    times: Mapping[str, float],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that another person needs to make the same numbers, as JSON. `earlier` is what `detours_before` found
    in the folder: some of the answers were made then; `asked` is what `asked_for` made."""
    return {
        "model": model_facts(target, plans, journal),
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
        "skipped": dict(skipped),
        "decoding": {"temperature": 0.0, "tries": 1},
        "limit": asked["limit"],
        "asked": dict(asked),
        "detours": added_detours(earlier, target.detours),
        "answers": {"generated_now": journal.generated, "found": journal.found},
        "versions": _versions(),
        "seconds": {name: round(value, 2) for name, value in times.items()},
    }


def model_facts(
    target: Target, plans: Sequence[tuple[Benchmark, Sequence[Sample]]], journal: Journal
) -> dict[str, Any]:
    """What is known of the model. Of a remote one: how many of the answers that count came under which model name of
    the server's, and from which server. An alias may have been moved to another model, and then they are two."""
    facts = {"name": target.name, **target.facts}
    if target.engine is not None:
        return facts
    served: Counter[str] = Counter()
    servers: Counter[str] = Counter()
    for bench, samples in plans:
        for sample in samples:
            row = journal.get(journal.key(sample, bench.settings(sample))) or {}
            served.update(filter(None, [row.get("served")]))
            servers.update(filter(None, [row.get("server")]))
    if len(served) > 1:
        notice(f"{target.name}: its answers came under {len(served)} names of the server's: {', '.join(served)}")
    return facts | {"served": dict(served), "servers": dict(servers)}


def record_stop(
    file: Path,
    error: BaseException,
    target: Target,
    journal: Journal,
    asked: Mapping[str, Any],
    earlier: Mapping[str, Any],
) -> None:
    """Write to `file` that an evaluation stopped, why, and with which versions. A folder that was measured before keeps
    the record of what its rows are. Never raises: the error that is on its way says more than a full disk."""
    facts = {
        "model": {"name": target.name, **target.facts},
        "limit": asked["limit"],
        "answers": {"generated_now": journal.generated, "found": journal.found},
        "versions": _versions(),
    }
    stop: dict[str, Any] = {"message": str(error) or type(error).__name__, "versions": _versions()}
    before = earlier_record(file)
    if "benchmarks" not in before or same_model(before, target):
        facts = {**(before if "benchmarks" in before else facts), "detours": added_detours(earlier, target.detours)}
    else:
        facts = before
        stop |= {"model": target.name, "detours": target.detours}
    facts["error"] = stop
    with suppress(InputError, OSError):
        write_json(file, facts)


def detours_before(file: Path, target: Target) -> dict[str, Any]:
    """Detours of earlier evaluations of the same model in this folder, whose answers are used again; {} for none."""
    before = earlier_record(file)
    found = before.get("detours")
    return found if isinstance(found, dict) and same_model(before, target) else {}


def same_model(before: Mapping[str, Any], target: Target) -> bool:
    """By the hash of its weights where there are such: the folder of a model may have several names."""
    model = before.get("model")
    if not isinstance(model, dict):
        return False
    then, now = model.get("fingerprint"), target.facts.get("fingerprint")
    return bool(then == now) if then and now else bool(model.get("name") == target.name)


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


def earlier_record(file: Path) -> dict[str, Any]:
    """What `file` says of an earlier evaluation; {} when it is missing or no record."""
    try:
        before = read_json(file)
    except InputError:  # there is none, or it is not ours to judge here
        return {}
    return before if isinstance(before, dict) else {}


def changed_rows(file: Path, now: Mapping[str, Any]) -> dict[str, str]:
    """{benchmark: one line} where the record in `file` asked the same part of a benchmark, but other rows."""
    before = earlier_record(file)
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


def recorded_commits(root: Path | None, benches: Sequence[Benchmark]) -> dict[str, str]:
    """{source or folder: commit} of what the benchmarks read, where it says where it was taken from: the data cards of
    `counterpoise data fetch`, a git checkout, or a download of the hub's own client, which notes the commit of every
    file. Folders with files of several commits name them all. Raises InputError for a broken data card of these
    benchmarks' sources; those of others are no business of theirs."""
    if root is None or not root.is_dir():
        return {}
    sources = [source for each in benches for source in each.data]
    cards = {source.name: read_card(root, source.name) for source in sources}
    found = {name: card.revision for name, card in cards.items() if card is not None}
    for folder in sorted(root.iterdir()):
        if known := sorted(_commits(folder) - {""}):
            found[folder.name] = ", ".join(known)
    return found


def _commits(folder: Path) -> set[str]:
    return {_git(folder)} | {_first_line(file) for file in folder.glob(".cache/huggingface/download/**/*.metadata")}


def _git(folder: Path) -> str:
    head = _first_line(folder / ".git" / "HEAD")
    return _first_line(folder / ".git" / head.removeprefix("ref: ")) if head.startswith("ref: ") else head


def _first_line(file: Path) -> str:
    try:
        line = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return line if line.startswith("ref: ") or (len(line) >= 7 and line.isalnum()) else ""
