"""Running a guard over labelled exchanges: resumable, in batches, and one by one for its latency."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import InputError, Progress
from counterpoise.evals import Journal

from .._labelled import Labelled
from .._values import Exchange, Guard, Verdict, identity
from ._calibration import Calibration, calibration
from ._ranking import Auc, ranking
from ._rates import Policy, category_rows, rate_rows
from ._result import Checked, GuardResult, Latency
from ._sets import EvalSet

BATCH = 64


def evaluate_guard(
    guard: Guard, sets: Sequence[EvalSet], *, spec: str = "", run: str = "guard-eval", policy: Policy | None = None,
    journal: Path | None = None, settings: str = "", latency: int = 100, batch: int = BATCH,
    progress: Progress | None = None,
) -> GuardResult:  # fmt: skip
    """Rates, calibration and latency of one guard. Verdicts are kept in `journal`, and a second call asks for no
    exchange twice; `settings` names what else a verdict depends on. `latency` exchanges per modality are timed.
    """
    if batch < 1 or latency < 0:
        raise InputError(f"batch {batch}, latency {latency}: batch must be at least 1, latency at least 0")
    rule = policy or Policy()
    settings = f"{settings}\n{getattr(guard, 'path', '')}"
    whose = f"{identity(guard)}\n{settings}"
    kept = Journal(journal, whose) if journal is not None else None
    facts: dict[str, Any] = {}
    found: list[Checked] = []
    try:
        for each in sets:
            for start in range(0, len(each.rows), batch):
                rows = each.rows[start : start + batch]
                found += _batch(guard, each, rows, kept, facts, whose)
                if progress is not None:
                    progress.advance(len(rows))
    finally:
        if kept is not None:
            kept.close()
    return GuardResult(
        guard=guard.id,
        spec=spec or guard.id,
        revision=facts.get("revision"),
        template=facts.get("template"),
        rows=tuple(rate_rows(found, sets, guard.id, run, rule)),
        by_category=tuple(category_rows(found, sets, guard.id, run, rule)),
        ranking=_rankings(found),
        calibration=_calibrations(found),
        latency=_latencies(guard, sets, latency),
        unknown=dict(Counter(_short(one.reason) for one in found if one.label == "unknown").most_common()),
        labels=dict(Counter(one.label for one in found)),
        detours=dict(getattr(guard, "detours", {})),
    )


def _batch(guard: Guard, each: EvalSet, rows: Sequence[Labelled], kept: Journal | None, facts: dict[str, Any],
           whose: str) -> list[Checked]:  # fmt: skip
    keys = [_key(row.exchange, whose) for row in rows]
    known: dict[str, dict[str, Any]] = {key: got for key in keys if kept is not None and (got := kept.get(key))}
    todo = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}  # equal exchanges once
    verdicts = guard.check([row.exchange for row in todo.values()]) if todo else []
    if len(verdicts) != len(todo):
        raise InputError(f"{guard.id}: {len(verdicts)} verdicts for {len(todo)} exchanges; the guard is broken")
    for key, verdict in zip(todo, verdicts, strict=True):
        known[key] = _fields(verdict)
        if kept is not None:
            kept.put(key, verdict.label, "checked", **known[key])
    for value in known.values():
        facts.setdefault("revision", value["revision"])
        facts.setdefault("template", value["template"])
    return [_checked(each.name, row, known[key]) for key, row in zip(keys, rows, strict=True)]


def _key(exchange: Exchange, whose: str) -> str:
    digest = hashlib.sha256(whose.encode("utf-8", "replace"))
    for message in exchange.conversation:
        digest.update(f"\n{message.role}".encode())
        for part in message.parts:
            digest.update(b"\0" + (part if isinstance(part, str) else part.sha256).encode("utf-8", "replace"))
    digest.update(f"\n\n{exchange.answer!r}".encode("utf-8", "replace"))
    return digest.hexdigest()[:32]


def _fields(verdict: Verdict) -> dict[str, Any]:
    return {
        "label": verdict.label,
        "p": verdict.p_unsafe,
        "mass": verdict.mass,
        "categories": list(verdict.categories),
        "reason": verdict.reason,
        "revision": verdict.revision,
        "template": verdict.template,
        "inspected": asdict(verdict.inspected),
    }


def _checked(name: str, row: Labelled, value: dict[str, Any]) -> Checked:
    return Checked(
        name, row.id, row.group, row.modality, row.mode, row.unsafe, value["label"], value["p"], value["mass"],
        tuple(value["categories"]), value["reason"], row.category,
    )  # fmt: skip


def _short(reason: str | None) -> str:
    """Reasons that differ in numbers only are one reason."""
    return re.sub(r"\d+(\.\d+)?", "#", reason or "")[:120]


def _rankings(found: Sequence[Checked]) -> dict[str, Auc]:
    """By modality, over exchanges with a probability, those of an unknown verdict included."""
    made = {}
    for modality in dict.fromkeys(one.modality for one in found):
        own = [(one.p, one) for one in found if one.modality == modality and one.p is not None]
        value = ranking([p for p, _ in own], [one.unsafe for _, one in own], [one.group for _, one in own])
        if value is not None:
            made[modality] = value
    return made


def _calibrations(found: Sequence[Checked]) -> dict[str, Calibration]:
    """By modality, over exchanges with a probability and a verdict."""
    usable = [one for one in found if one.p is not None and one.label != "unknown"]
    modalities = list(dict.fromkeys(one.modality for one in usable))
    made = {}
    for modality in [*modalities, *(["all"] if len(modalities) > 1 else [])]:
        part = [one for one in usable if modality in ("all", one.modality)]
        value = calibration([one.p or 0.0 for one in part], [one.unsafe for one in part])
        if value is not None:
            made[modality] = value
    return made


def _latencies(guard: Guard, sets: Sequence[EvalSet], n: int) -> dict[str, Latency]:
    if not n:
        return {}
    loaded = getattr(guard, "loaded", None)
    device = str(getattr(loaded, "device", "cpu"))
    rows = [row for each in sets for row in each.rows]
    made = {}
    for modality in dict.fromkeys(row.modality for row in rows):
        own = [row.exchange for row in rows if row.modality == modality]
        step = max(1, len(own) // n)
        chosen = own[::step][:n]
        guard.check(chosen[:1])  # warm-up
        times = []
        for exchange in chosen:
            began = time.perf_counter()
            guard.check([exchange])
            times.append(1000 * (time.perf_counter() - began))
        p50, p95, p99 = (float(value) for value in np.percentile(times, (50, 95, 99)))
        made[modality] = Latency(len(times), p50, p95, p99, device)
    return made
