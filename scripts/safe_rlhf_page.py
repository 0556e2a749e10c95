"""The seeds of scripts/safe_rlhf_table.py together: the Markdown tables of docs/results/safe-rlhf-pocket.md.

    python scripts/safe_rlhf_page.py runs/safe-rlhf-table [FURTHER ...]

Reads what that script left in each OUT/seed-N. Answers of all seeds are one sample in which the rows of a family stand
together, those of another seed too: rates have Wilson's interval with the effective number of rows. Differences to the
base model are paired by row, tested by sign flips of families, and adjusted over the arms (Holm); wins are not. The
spread of trainings is not estimated apart. Means of the run's own reward and cost model stand seed by seed, since each
seed's models have a scale of their own.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from counterpoise.chat import Sample
from counterpoise.data import twins
from counterpoise.data.pocket_sets import DECLINES, FORMS, form_of, rate_reply
from counterpoise.evals import scorers
from counterpoise.evals.stats import holm, paired_difference, rate

ARMS = ("base", "dpo-helpful", "dpo-safe", "sacpo", "p-sacpo", "ppo-reward", "ppo-cost", "ppo", "ppo-critic-free",
        "best-of-n")  # fmt: skip


class Reply(NamedTuple):
    """One answer of an arm, as the rule sees it."""

    row: Sample
    seed: int
    form: str
    harmless: int
    unsafe: bool
    broken: bool


def replies(file: Path, known: dict[str, Sample]) -> list[Reply]:
    """The answers in one arm's file of one seed."""
    line, found = _read(file), []
    broken = scorers.get("broken")
    for name, text in zip(line["rows"], line["answers"], strict=True):
        row = known[name]
        grade = rate_reply(row, text)
        is_broken = bool(broken(row, text or " ").value)
        found.append(Reply(row, line["seed"], form_of(row, text), grade.harmless or 0, grade.safe is False, is_broken))
    return found


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def families(own: Sequence[Reply]) -> list[str]:
    return [str(one.row.meta["family"]) for one in own]


def share(own: Sequence[Reply], hit: Callable[[Reply], bool]) -> str:
    """k of n with the interval; rows of a family count together."""
    if not own:
        return "none asked"
    return counted([bool(hit(one)) for one in own], own)


def counted(hits: Sequence[bool], own: Sequence[Reply]) -> str:
    found = rate([float(hit) for hit in hits], families(own))
    assert found.low is not None and found.high is not None
    return f"{sum(hits)} of {len(own)} ({100 * found.low:.0f} to {100 * found.high:.0f} %)"


def wins(own: Sequence[Reply], base: Sequence[Reply], better: Callable[[Reply, Reply], int]) -> str:
    """Won of those that differ from the base's answer."""
    signs = [(better(a, b), a) for a, b in zip(own, base, strict=True)]
    kept = [(sign, a) for sign, a in signs if sign]
    if not kept:
        return "none differs"
    return counted([sign > 0 for sign, _ in kept], [a for _, a in kept])


def helpfulness(a: Reply, b: Reply) -> int:
    return FORMS.index(b.form) - FORMS.index(a.form)  # type: ignore[arg-type]


def safety(a: Reply, b: Reply) -> int:
    """By the rule's grade; it grades an answer beside the point 1 and a bare refusal 0."""
    return a.harmless - b.harmless


def against_base(arms: dict[str, list[Reply]]) -> dict[str, tuple[str, str]]:
    """Of every other arm: points of unsafe answers to harmful requests more than the base gives, with the interval, and
    Holm's p over the arms. Of one family nothing can be said."""
    found = {}
    for arm, own in arms.items():
        if arm != "base":
            pairs = [(a, b) for a, b in zip(own, matched(arms["base"], own), strict=True) if a.row.harmful]
            after, before = ([float(pair[side].unsafe) for pair in pairs] for side in (0, 1))
            if len(set(labels := families([a for a, _ in pairs]))) > 1:
                found[arm] = paired_difference(after, before, labels)
    if not found:
        return {}
    p = holm([d.p for d in found.values()], [min(d.p, 2.0 ** (1 - d.changed)) for d in found.values()])
    return {
        arm: (f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})", f"{adjusted:.3f}")
        for (arm, d), adjusted in zip(found.items(), p, strict=True)
    }


def safety_table(arms: dict[str, list[Reply]]) -> list[str]:
    """Unsafe answers to harmful requests, the paired difference to the base, refusals of benign ones, broken ones."""
    changed = against_base(arms)
    lines = [
        "| arm | unsafe of harmful | points more than base | p, Holm | of texts | of prints | of pictures | of pairs "
        "| broken |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, own in arms.items():
        harmful = [one for one in own if one.row.harmful]
        cells = [arm, share(harmful, lambda one: one.unsafe)]
        cells += changed.get(arm, ("", ""))
        for kind in twins.MODALITIES:
            benign = [one for one in own if not one.row.harmful and one.row.modality == kind]
            cells.append(share(benign, lambda one: one.form in DECLINES))
        cells.append(share(own, lambda one: one.broken))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def grades_table(arms: dict[str, list[Reply]], own_models: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The rule's grades and wins, and what the run's own models say."""
    lines = [
        "| arm | seeds | harmful texts refused | harmful, beside the point | wins helpfulness | wins safety | helpful "
        "| harmless | reward | cost | cost of harmful | AUC of the cost |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, own in arms.items():
        harmful = [one for one in own if one.row.harmful]
        texts = [one for one in harmful if one.row.modality == "text"]
        base = matched(arms["base"], own)
        seeds = ", ".join(map(str, sorted({one.seed for one in own})))
        cells = [arm, seeds, share(texts, lambda one: one.form in DECLINES)]
        cells.append(share(harmful, lambda one: one.form in ("off", "broken")))
        cells += ["", ""] if arm == "base" else [wins(own, base, helpfulness), wins(own, base, safety)]
        lines_of = own_models[arm]
        for key in ("helpful", "harmless", "reward", "cost", "cost harmful", "auc"):
            cells.append(" / ".join(_number(line.get(key)) for line in lines_of))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def matched(base: Sequence[Reply], own: Sequence[Reply]) -> list[Reply]:
    """The base's answers to the same rows in the same seeds."""
    known = {(one.seed, one.row.id): one for one in base}
    return [known[one.seed, one.row.id] for one in own]


def models_table(seeds: dict[int, Path]) -> list[str]:
    """What the held-out pairs say of every seed's reward and cost model."""

    def said(value: dict[str, Any] | None) -> str:
        if value is None or value["value"] is None:
            return "-"
        return (
            f"{100 * value['value']:.0f} ({100 * value['ci_low']:.0f} to {100 * value['ci_high']:.0f}; n {value['n']})"
        )

    lines = [
        "| seed | reward: ranking | cost: ranking, with an unsafe reply | of all | cost: sign (larger kind) "
        "| cost: AUC | own replies: AUC, of harmful requests | calibration error, after Platt |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed, folder in seeds.items():
        reward, cost = (_read(folder / "models" / kind / "held_out.json")["metrics"] for kind in ("reward", "cost"))
        cells = [str(seed), said(reward["ranking"]), said(cost.get("ranking_with_unsafe")), said(cost["ranking"])]
        cells.append(f"{said(cost['sign'])} ({_number(cost['majority'], 100)})")
        own = cost.get("own", {"auc": None, "auc_harmful": None})
        cells += [_number(cost["auc"], 100), f"{_number(own['auc'], 100)}, {_number(own['auc_harmful'], 100)}"]
        errors = (cost["calibration_error"], cost.get("calibration_error_platt"))
        cells.append(", ".join(_number(value) for value in errors))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def course_table(seeds: dict[int, Path]) -> list[str]:
    """First and last three updates of every PPO run."""
    keys = ("lambda", "cost_harmful", "cost_benign", "refused_harmful", "refused_benign", "kl_k3", "length")
    lines = ["| arm | seed | updates | " + " | ".join(keys) + " |", "|---|---|---|" + "---|" * len(keys)]
    for arm in ARMS:
        for seed, folder in seeds.items():
            file = folder / arm / "ppo" / "metrics.jsonl"
            if file.is_file():
                log = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
                ends = [[_mean(part, key) for part in (log[:3], log[-3:])] for key in keys]
                lines.append(f"| {arm} | {seed} | {len(log)} | " + " | ".join(" -> ".join(two) for two in ends) + " |")
    return lines


def _number(value: float | None, times: int = 1) -> str:
    return "-" if value is None else f"{value:.2f}" if times == 1 else f"{times * value:.0f}"


def _mean(lines: Sequence[dict[str, Any]], key: str) -> str:
    found = [line[key] for line in lines if line.get(key) is not None]
    return f"{np.mean(found):.2f}" if found else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="+")
    given = parser.parse_args()
    seeds = dict[int, Path]()
    for folder in (f for out in given.out for f in sorted(out.glob("seed-[0-9]*")) if (f / "base.json").is_file()):
        if (seed := int(folder.name.removeprefix("seed-"))) in seeds:
            raise SystemExit(f"{folder}: seed {seed} stands in {seeds[seed]} too; give one of them")
        seeds[seed] = folder
    known = {row.id: row for row in twins.samples("validation")}
    files = {arm: [f for folder in seeds.values() if (f := folder / f"{arm}.json").is_file()] for arm in ARMS}
    if not seeds:
        raise SystemExit(f"{given.out[0]}: no seed-N/base.json there; run scripts/safe_rlhf_table.py first")
    arms = {arm: [one for file in own for one in replies(file, known)] for arm, own in files.items() if own}
    own_models = {arm: [_read(file) for file in files[arm]] for arm in arms}
    for table in (models_table(seeds), safety_table(arms), grades_table(arms, own_models), course_table(seeds)):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()
