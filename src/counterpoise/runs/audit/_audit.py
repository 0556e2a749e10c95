"""The drift audit: did a fine-tuning erode refusals, in which task and modality (Jan et al., arXiv 2409.15361)?"""

import shutil
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterpoise.base import (
    LOCK,
    InputError,
    atomic_write,
    environment,
    json_line,
    only_process,
    read_json,
    read_jsonl,
    save_rows,
    write_json,
)
from counterpoise.evals import HEADLINE_SCORER
from counterpoise.evals.scorers import METRICS, get
from counterpoise.report import EvalFolder, ItemRecord

from ._config import AuditConfig
from ._contrasts import Contrast, adjusted, contrast, contrasts, decisions, pairs_of
from ._gates import Decision
from ._measure import Measured, measure, tuned_artifact
from ._stress import StressConfig, StressResult, attack, stress_decisions


@dataclass(frozen=True)
class AuditResult:
    """What an audit found."""

    folder: Path
    base: str
    tuned: str
    scorer: str
    contrasts: tuple[Contrast, ...]
    ability: tuple[Contrast, ...]
    decisions: tuple[Decision, ...]
    identical: bool
    """Both have the same weights."""
    stress: StressResult | None = None
    models: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether any gate failed, or could not be decided."""
        return any(each.status != "passed" for each in self.decisions)

    def of(self, metric: str, level: str) -> list[Contrast]:
        """The contrasts of a metric at a level."""
        return [each for each in self.contrasts if each.metric == metric and each.level == level]


def run_audit(config: AuditConfig, *, force: bool = False, stress: StressConfig | None = None) -> AuditResult:
    """Measure both models on the same prompts, compare them in pairs, decide the gates; write `config.out`.

    The folder then holds `base/` and `tuned/` (each with an evaluation per template), `audit.json` and `run.json`. A
    stopped audit continues when called again; answers that exist are never generated again. Raises InputError for
    anything the user can mend, and for a folder that holds another audit unless `force` is set.
    """
    tuned_artifact(config)  # what is no model is said before anything is measured
    _refuse_foreign(config.out)
    if stress is None and any(each.quantity == "worst_asr_increase" for each in config.gates):
        raise InputError("--fail-on worst_asr_increase: nothing is attacked; add --stress")
    with only_process(config.out):
        _refuse_other(config, force=force)
        base, tuned, modalities = measure(config, force=force)
        result = compare_models(config, base, tuned)
        if stress is not None:
            found = attack(config, stress, tuned.sees, modalities, force=force)
            more = stress_decisions(config.gates, found)
            result = replace(result, stress=found, decisions=(*result.decisions, *more))
        _write(config, result)
    return result


def compare_models(config: AuditConfig, base: Measured, tuned: Measured) -> AuditResult:
    """The contrasts and decisions of two measured models."""
    first, second = base.items(config.templates), tuned.items(config.templates)
    pairs = pairs_of(first.values(), second)
    ability = ability_contrasts(first, second)
    return AuditResult(
        config.out, config.base, config.tuned, HEADLINE_SCORER, tuple(contrasts(pairs)), tuple(ability),
        tuple(decisions(config.gates, pairs, ability)), base.fingerprint == tuned.fingerprint,
        models={"base": base.facts, "tuned": tuned.facts},
    )  # fmt: skip


def ability_contrasts(
    base: dict[tuple[str, str], ItemRecord], tuned: dict[tuple[str, str], ItemRecord]
) -> list[Contrast]:
    """Accuracy on each benchmark of ability, Holm-adjusted over them. Raises InputError for one whose first scorer
    does not say what is right."""
    groups: dict[str, list[ItemRecord]] = {}
    for item in base.values():
        if not item.benchmark.startswith("audit-"):
            groups.setdefault(item.benchmark, []).append(item)
    found = []
    for name, items in groups.items():
        scorer = next(iter(items[0].scores))
        if not METRICS["accuracy"].fits(get(scorer)):
            raise InputError(f"--ability {name}: its scorer {scorer} does not say which answers are right")
        values = [(item.scores[scorer], tuned[item.key].scores[scorer]) for item in items]
        found.append(contrast("accuracy", "ability", name, values, [item.cluster or item.id for item in items]))
    return adjusted(found)


ASKED = "asked.json"
"""Written first, so that a stopped audit is known as one."""


def _refuse_foreign(out: Path) -> None:
    """Raises InputError for a folder that holds something, and no audit."""
    if not out.is_dir() or (out / ASKED).is_file():
        return
    if any(each.name != LOCK for each in out.iterdir()):
        raise InputError(f"{out}: not empty and not an audit; choose another --out")


def _refuse_other(config: AuditConfig, *, force: bool) -> None:
    """Raises InputError when the folder holds an audit that asked something else. (Other models under these names are
    refused by the evaluations.)"""
    file = config.out / ASKED
    asked = {"base": config.base, "tuned": config.tuned, **config.asked()}
    if file.is_file():
        before = read_json(file)
        differ = [name for name, value in asked.items() if before.get(name) != value]
        if differ and not force:
            raise InputError(
                f"{config.out}: holds an audit with other {', '.join(differ)}; choose another --out, or --force to "
                "replace it"
            )
        if differ:
            for name in ("base", "tuned", "stress"):
                shutil.rmtree(config.out / name, ignore_errors=True)
    write_json(file, asked)


def _write(config: AuditConfig, result: AuditResult) -> None:
    value = {
        "base": result.base,
        "tuned": result.tuned,
        "identical": result.identical,
        "scorer": result.scorer,
        "contrasts": [each.as_json() for each in (*result.contrasts, *result.ability)],
        "gates": [
            {"gate": str(each.gate), "by": each.gate.by, "of": each.name, "status": each.status,
             "message": each.message}
            for each in result.decisions
        ],
        "stress": asdict(result.stress) if result.stress else None,
    }  # fmt: skip
    write_json(config.out / "audit.json", value)
    write_json(
        config.out / "run.json",
        {
            "stages": {"audit": "done"}, "config": config.model_dump(mode="json"), "models": result.models,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"), **environment(),
        },
    )  # fmt: skip


def merged_folder(config: AuditConfig, name: str) -> EvalFolder:
    """One evaluation folder of all templates of a model, for the report."""
    top = config.out / name
    parts = [EvalFolder(top / template) for template in config.templates]
    save_rows(top / "scorecard.json", [row for part in parts for row in part.rows])
    with atomic_write(top / "items.jsonl") as file:
        for part in parts:
            file.writelines(json_line(value) for _, value in read_jsonl(part.path / "items.jsonl"))
    for part in parts:
        if (part.path / "images").is_dir():
            shutil.copytree(part.path / "images", top / "images", dirs_exist_ok=True)
    return EvalFolder(top)
