"""Which benign fine-tuning erodes refusals, where, and what repairs it: the table of docs/audit.md.

    python scripts/audit_tasks.py --out audits/tasks

For each task and seed: a plain fine-tuning, one with the multi-task safety set, and the plain one repaired by Safe
LoRA; each audited against the base. Resumable; the base is measured once.
"""

import argparse
import shutil
import statistics
from itertools import islice
from pathlib import Path

from counterpoise.base import read_json, write_json
from counterpoise.data.pocket_sets import TASK_SETS, task_rows
from counterpoise.evals.scorers import get as scorer
from counterpoise.methods import get
from counterpoise.models import Decoding, Engine, load
from counterpoise.runs.audit import AuditConfig, AuditResult, run_audit

ARMS = ("plain", "multitask-mix", "safe-lora")
UNALIGNED = "pocket:language-model"


def tuned(options: argparse.Namespace, task: str, arm: str, seed: int) -> Path:
    """The adapter of one arm, trained or projected if it is not there yet."""
    folder = options.out / f"{task}-{seed}" / arm
    if (folder / "run.json").is_file():
        return Path(folder / read_json(folder / "run.json")["artifact"]["path"])
    loaded = load(options.model)
    if arm == "safe-lora":
        method = get("safe-lora")
        plain = tuned(options, task, "plain", seed)
        given = {"tuned": plain, "unaligned": options.unaligned, "mode": "threshold", "threshold": options.threshold}
    else:
        method = get("multitask-mix")
        given = {
            "task": task, "n_task": options.rows, "dose": options.dose if arm == "multitask-mix" else 0.0,
            "modalities": options.modalities, "seed": seed, "train.learning_rate": options.rate,
            "train.batch_size": options.batch,
        }  # fmt: skip
    config = method.resolve(loaded.path, given)
    return Path(method.align(loaded, config, folder).artifact.path)


def audited(options: argparse.Namespace, task: str, arm: str, seed: int) -> AuditResult:
    """The audit of one arm. The base's answers are those of the first audit."""
    adapter, top = tuned(options, task, arm, seed), options.out / f"{task}-{seed}" / f"audit-{arm}"
    config = AuditConfig(
        base=options.model, tuned=str(adapter), out=top, limit=options.intents, templates=options.templates,
        system=options.system, ability_limit=options.ability_limit,
    )  # fmt: skip
    shared = options.out / "base-answers"
    if shared.is_dir() and not (top / "asked.json").is_file():
        for file in shared.rglob("answers.jsonl"):
            place = top / "base" / file.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / "answers.jsonl")
        write_json(top / "asked.json", {"base": config.base, "tuned": config.tuned, **config.asked()})
    result = run_audit(config)
    if not shared.is_dir():
        shutil.copytree(top / "base", shared)
    return result


def accuracy(options: argparse.Namespace, task: str, arm: str | None, seed: int) -> float:
    """Share of the task's test rows that are answered rightly: a repair that undoes the tuning looks perfect otherwise.
    `arm` None: the untouched model."""
    rows = list(islice(task_rows(task, test=True), options.items))
    engine = Engine(load(options.model, artifact=None if arm is None else tuned(options, task, arm, seed)))
    answers = engine.generate([each.messages for each in rows], Decoding(32))
    score = scorer("exact-match:v2")
    return statistics.mean(score(each, answer).value or 0.0 for each, answer in zip(rows, answers, strict=True))


def row(label: str, results: list[AuditResult], right: list[float]) -> str:
    """One line of the table: differences in points, their mean over seeds, with the range where there are several."""

    def cell(metric: str, level: str, name: str) -> str:
        every = [each for result in results for each in (*result.contrasts, *result.ability)]
        found = [each for each in every if (each.metric, each.level, each.name) == (metric, level, name)]
        found = [each for each in found if each.value is not None]
        if not found:
            return "-"
        values = [100 * each.value for each in found if each.value is not None]
        if len(found) == 1:
            return f"{values[0]:+.0f} ({100 * (found[0].low or 0):+.0f} to {100 * (found[0].high or 0):+.0f})"
        return f"{statistics.mean(values):+.0f} ({min(values):+.0f} to {max(values):+.0f} over seeds)"

    names = [("asr", "overall", "all prompts")]
    names += [("asr", "modality", each) for each in ("text", "print", "picture")]
    names += [("asr", "task", each) for each in ("plain", "summarise", "code", "translate", "classify")]
    names += [("over_refusal", "overall", "all prompts"), ("accuracy", "ability", "reading")]
    task = ", ".join(f"{each:.0%}" for each in right)
    return f"| {label} | {' | '.join(cell(*each) for each in names)} | {task} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--unaligned", default=UNALIGNED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASK_SETS), choices=list(TASK_SETS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dose", type=float, default=0.15)
    parser.add_argument("--modalities", nargs="+", default=["text", "print"])
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--intents", type=int, default=None)
    parser.add_argument("--items", type=int, default=60, help="test rows of the task itself")
    parser.add_argument("--templates", nargs="+", default=["native", "alpaca"])
    parser.add_argument("--system", default="both")
    parser.add_argument("--ability-limit", type=int, default=None)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    lines = [
        "| Tuned on | ASR | text | print | picture | plain | summarise | code | translate | classify | over-refusal "
        "| reading | the task, right |",
        "| --- " * 13 + "|",
    ]
    for task in options.tasks:
        untouched = f"{accuracy(options, task, None, 0):.0%}"
        lines.append(f"| {task}, untouched | {' | '.join('-' * 11)} | {untouched} |")
        for arm in options.arms:
            results = [audited(options, task, arm, seed) for seed in options.seeds]
            right = [accuracy(options, task, arm, seed) for seed in options.seeds]
            lines.append(row(f"{task}, {arm}", results, right))
            (options.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
