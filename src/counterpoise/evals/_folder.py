"""What a folder of results holds, and what may take its place."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, load_rows

from ._benchmark import Benchmark
from ._record import earlier_record, same_model
from ._target import Target

RESULTS = ("scorecard.json", "items.jsonl", "run.json", "logs")
"""What an evaluation leaves besides answers and images, which stand under the hashes of what they are."""


def asked_for(
    plans: Sequence[tuple[Benchmark, int | None]], limit: int | None, suite: str | None, stop: str | None
) -> dict[str, Any]:
    """What decides, beside the model, of what the numbers of an evaluation are. `plans` are benchmarks with their
    own limits."""
    benches = {each.name: {"limit": most, "decoding": each.decoding} for each, most in plans}
    return {"limit": limit, "suite": suite, "stop": stop, "benchmarks": benches}


def refuse_other(out: Path, asked: Mapping[str, Any], target: Target | None, *, force: bool) -> None:
    """Raises InputError when the folder holds finished results that the evaluation would replace by those of something
    else: of another model (once there is a `target`), or not of all that was asked then. More benchmarks, and all items
    where a stop rule left some out, only add. With `force` such results are removed instead, but never the record of a
    run or an alignment, which is no evaluation's."""
    before = earlier_record(out / "run.json")
    if before.keys() & {"stages", "method"}:
        raise InputError(f"{out}: holds a run, not an evaluation; choose another --out")
    if "benchmarks" not in before:  # never measured; or the record is gone, and the rows still say whose they are
        before = _from_rows(out / "scorecard.json")
    differ = list(_differences(before.get("asked") or {}, asked))
    if target is not None and before and not same_model(before, target):
        differ.insert(0, f"of {_named(before)}, now {target.name}{_print(target.facts)}")
    if not differ:
        return
    if not force:
        raise InputError(
            f"{out}: holds other results ({'; '.join(differ)}); choose another --out, or --force to replace them"
        )
    for name in RESULTS:
        part = out / name
        shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink(missing_ok=True)


def _differences(was: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    old, new = was.get("benchmarks") or {}, asked["benchmarks"]
    if gone := [name for name in old if name not in new]:
        yield f"of {', '.join(gone)}, not asked now"
    for kind, says in (("limit", "limit"), ("decoding", "tokens and sampling")):
        names: dict[tuple[Any, Any], list[str]] = {}
        for name in old:
            if name in new and old[name].get(kind) != new[name][kind]:
                names.setdefault((old[name].get(kind), new[name][kind]), []).append(name)
        yield from (
            f"{says} {then or 'none'} there, {now or 'none'} now: {', '.join(n)}" for (then, now), n in names.items()
        )
    if (rule := was.get("stop")) != asked["stop"] and not (rule and asked["stop"] is None) and old:
        yield f"stop rule {rule or 'none'} there, {asked['stop']} now"
    if (suite := was.get("suite")) and suite != asked["suite"]:
        yield f"suite {suite} there, {asked['suite'] or 'none'} now"


def _from_rows(file: Path) -> dict[str, Any]:
    """The model as a scorecard names it; {} when there is none."""
    try:
        rows = load_rows(file)
    except InputError:
        return {}
    return {"model": {"name": rows[0].model}} if rows else {}


def _named(before: Mapping[str, Any]) -> str:
    model = before["model"]
    return f"{model.get('name')}{_print(model)}"


def _print(facts: Mapping[str, Any]) -> str:
    """The fingerprint of a model, whose name may be the same."""
    return f" {facts['fingerprint'][:8]}" if facts.get("fingerprint") else ""
