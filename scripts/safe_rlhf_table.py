"""PPO-Lagrangian and its rivals on the same pairs, measured alike: the table of docs/safe-rlhf-v.md.

    python scripts/safe_rlhf_table.py pocket --out runs/safe-rlhf-table --seeds 0 1 2

Arms: base, dpo-helpful, dpo-safe, sacpo, p-sacpo, ppo-reward, ppo-cost, ppo, ppo-critic-free, best-of-n. Every arm
answers the requests of Twins' validation families (harmful and benign, all modalities; --items limits them, other
families for other seeds), greedily, and the rule `rate_reply` grades the answers: no judge. Reward and cost are those
of the run's own models, which the policies were trained on: the rule's numbers are the honest ones, and `auc` says how
well the cost model tells an arm's unsafe answers to harmful requests from its safe ones. Runs go on where
they were stopped. Writes OUT/table.json and prints a Markdown table with a line per arm and seed. `seconds` of a line
are the process's own, by part, so that a larger run can be planned.

`--layers-from` puts all factors on the upper blocks: what lies below is computed once for all roles. What arms have in
common is trained once: reward and cost model of a seed, and DPO on helpfulness, the first step of SACPO.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import sha256_bytes, write_json
from counterpoise.chat import Sample
from counterpoise.data import twins
from counterpoise.data.pocket_sets import DECLINES, FORMS, form_of, rate_reply
from counterpoise.evals import scorers
from counterpoise.evals.stats import auc, wilson
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import best_of_n
from counterpoise.methods.safe_rlhf._align import both_scores
from counterpoise.models import Decoding, Engine, load

ARMS = ("base", "dpo-helpful", "dpo-safe", "sacpo", "p-sacpo", "ppo-reward", "ppo-cost", "ppo", "ppo-critic-free",
        "best-of-n")  # fmt: skip
PPO = {"ppo-reward": {"goal": "reward"}, "ppo-cost": {"goal": "cost"}, "ppo": {},
       "ppo-critic-free": {"critic_free": True, "answers": 4}}  # fmt: skip
DPO = {"dpo-helpful": {"steps": "helpfulness"}, "dpo-safe": {"steps": "safety"}, "sacpo": {},
       "p-sacpo": {"merge": 0.5, "safety_coefficient": 0.01}}  # fmt: skip


def rows_of(items: int, seed: int) -> list[Sample]:
    """About so many of Twins' validation rows, whole families (harmful and benign, every modality); those of another
    seed are other ones, as far as there are enough."""
    families: dict[str, list[Sample]] = {}
    for row in twins.samples("validation"):
        families.setdefault(str(row.meta["family"]), []).append(row)
    each = list(families.values())
    n = min(len(each), max(1, items // len(each[0])))
    places = sorted({(i * len(each) // n + seed) % len(each) for i in range(n)})  # families stand by category
    return [row for place in places for row in each[place]]


def trained(name: str, arm: str, seed: int, out: Path, given: argparse.Namespace) -> Path | None:
    """The adapter of an arm; None of those that train no policy. Reward and cost model are trained once a seed."""
    models = {f"{kind}_model": out / "models" / kind / "adapter" for kind in ("reward", "cost")}
    if arm in ("base", "best-of-n"):
        return None
    loaded = load(name)
    common = {"seed": seed, "n_pairs": given.pairs, "layers_from": given.layers_from}
    asked = {"stage": "ppo", "sampled": 0}  # requests of the same pairs in every arm
    first = out / "dpo-helpful" / "helpfulness"
    if arm in DPO:
        if arm in ("sacpo", "p-sacpo") and first.is_dir() and not (out / arm).exists():
            shutil.copytree(first, out / arm / "helpfulness")  # the same training, finished: it is not run again
        train = {"train.epochs": given.epochs, "train.batch_size": 16, "train.learning_rate": given.dpo_rate}
        config = get("sacpo").resolve(loaded.path, common | train | DPO[arm])
        return get("sacpo").align(loaded, config, out / arm).artifact.path
    ppo = {f"ppo.{key}": value for key, value in PPO[arm].items()}
    # the same number of answers in every arm
    prompts = max(1, given.prompts // 4) if arm == "ppo-critic-free" else given.prompts
    ppo |= {
        "ppo.steps": given.steps,
        "ppo.prompts": prompts,
        "ppo.max_new_tokens": given.tokens,
        "ppo.epochs": given.ppo_epochs,
        "ppo.train.learning_rate": given.ppo_rate or given.rate,
        "ppo.critic_learning_rate": given.critic_rate,
        "ppo.constrained": given.constrained,
        "ppo.multiplier.window": given.prompts,  # costs of this update and not of earlier ones
        "ppo.multiplier.rate": given.multiplier_rate,
        "ppo.multiplier.budget": given.budget,
    }
    config = get("safe-rlhf-v").resolve(loaded.path, common | asked | ppo | models)
    return get("safe-rlhf-v").align(loaded, config, out / arm).artifact.path


def scoring_models(name: str, seed: int, out: Path, given: argparse.Namespace) -> None:
    for stage in ("reward", "cost"):
        loaded = load(name)
        n = (given.cost_pairs if stage == "cost" else None) or given.pairs
        settings = {"seed": seed, "n_pairs": n, "n_held_out": given.held_out, "stage": stage}
        settings["sampled"] = given.sampled if stage == "cost" else 0
        epochs = (given.cost_epochs if stage == "cost" else None) or given.scoring_epochs or given.epochs
        settings |= {
            "scoring.train.epochs": epochs,
            "scoring.train.batch_size": given.batch,
            "scoring.train.learning_rate": given.rate,
            "scoring.head_learning_rate": (given.cost_head_rate if stage == "cost" else None) or given.head_rate,
            "layers_from": given.layers_from,
        }
        get("safe-rlhf-v").align(loaded, get("safe-rlhf-v").resolve(loaded.path, settings), out / "models")


def answers(
    name: str, arm: str, path: Path | None, rows: Sequence[Sample], seed: int, out: Path, given: Any
) -> list[str]:
    prompts = [row.messages for row in rows]
    loaded = load(name, artifact=path, merge=True) if path else load(name)
    if arm == "best-of-n":
        folders = [out / "models" / kind / "adapter" for kind in ("reward", "cost")]
        chosen = best_of_n(
            loaded, *folders, prompts, n=given.n, budget=given.budget, max_new_tokens=given.tokens, seed=seed
        )
        return [each.text for each in chosen]
    return [answer.text for answer in Engine(loaded).generate(prompts, Decoding(given.tokens))]


def measured(rows: Sequence[Sample], texts: Sequence[str], base: Sequence[str] | None) -> dict[str, Any]:
    """By the rule: grades, unsafe answers, over-refusal by modality, broken answers, wins over the base."""
    rated = [rate_reply(row, text) for row, text in zip(rows, texts, strict=True)]
    forms = [form_of(row, text) for row, text in zip(rows, texts, strict=True)]
    broken = scorers.get("broken")

    def share(name: str, of: Callable[[int], bool], hit: Callable[[int], bool]) -> dict[str, Any]:
        own = [i for i in range(len(rows)) if of(i)]
        k = sum(map(hit, own))
        ends = wilson(k, len(own)) if own else (None, None)
        return {name: {"k": k, "n": len(own), "low": ends[0], "high": ends[1]}}

    def harmful(i: int) -> bool:
        return bool(rows[i].harmful)

    found: dict[str, Any] = {
        "helpful": sum(reply.helpful or 0 for reply in rated) / len(rated),
        "harmless": sum(reply.harmless or 0 for reply in rated) / len(rated),
    }
    found |= share("unsafe on harmful", harmful, lambda i: rated[i].safe is False)
    for kind in twins.MODALITIES:
        found |= share(
            f"over-refusal {kind}", lambda i, kind=kind: not harmful(i) and rows[i].modality == kind,
            lambda i: forms[i] in DECLINES,
        )  # fmt: skip
    found |= share("broken", lambda i: True, lambda i: bool(broken(rows[i], texts[i] or " ").value))
    if base is not None:
        before = [rate_reply(row, text) for row, text in zip(rows, base, strict=True)]
        places = [(FORMS.index(forms[i]), FORMS.index(form_of(rows[i], base[i]))) for i in range(len(rows))]
        found |= share(
            "wins helpfulness", lambda i: places[i][0] != places[i][1], lambda i: places[i][0] < places[i][1]
        )
        grades = [(a.harmless or 0, b.harmless or 0) for a, b in zip(rated, before, strict=True)]
        found |= share("wins safety", lambda i: grades[i][0] != grades[i][1], lambda i: grades[i][0] > grades[i][1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--cost-pairs", type=int, help="of the cost model, which needs most; default: --pairs")
    parser.add_argument("--sampled", type=int, default=0, help="requests whose own replies the cost model learns too")
    parser.add_argument("--held-out", type=int, default=400)
    parser.add_argument("--items", type=int, default=312)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--scoring-epochs", type=float, help="of reward and cost model; default: --epochs")
    parser.add_argument("--cost-epochs", type=float, help="of the cost model; default: --scoring-epochs")
    parser.add_argument("--batch", type=int, default=4, help="pairs of a step, of reward and cost model")
    parser.add_argument("--rate", type=float, default=3e-4, help="of reward and cost model")
    parser.add_argument("--head-rate", type=float, help="of their heads; default: a tenth of --rate")
    parser.add_argument("--cost-head-rate", type=float, help="of the cost model's head; default: --head-rate")
    parser.add_argument("--dpo-rate", type=float, default=5e-5, help="of DPO's arms")
    parser.add_argument("--layers-from", type=int, default=0, help="first block with factors, of all arms")
    parser.add_argument("--ppo-rate", type=float, help="of PPO's actor; default: --rate")
    parser.add_argument("--ppo-epochs", type=int, default=1, help="passes over the answers of an update")
    parser.add_argument("--critic-rate", type=float, default=3e-4)
    parser.add_argument("--multiplier-rate", type=float, default=0.1)
    parser.add_argument("--budget", type=float, default=0.0, help="of the mean cost; also of best of n")
    parser.add_argument("--constrained", choices=("all", "harmful"), default="all", help="prompts the budget is about")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--n", type=int, default=8, help="of best of n")
    given = parser.parse_args()
    for seed in given.seeds:
        out, rows = given.out / f"seed-{seed}", rows_of(given.items, seed)
        clock = time.process_time
        started = clock()
        scoring_models(given.model, seed, out, given)
        spent = {"models": clock() - started}
        base: list[str] | None = None
        for arm in dict.fromkeys(["base", *given.arms]):
            file, made_of = out / f"{arm}.json", identity(arm, rows, given)
            if file.is_file() and json.loads(file.read_text()).get("made_of") != made_of:
                raise SystemExit(
                    f"{file}: holds answers to other rows or with other settings; delete it, or another --out"
                )
            if not file.is_file():
                started = clock()
                path = trained(given.model, arm, seed, out, given)
                spent["training"], started = clock() - started, clock()
                texts = answers(given.model, arm, path, rows, seed, out, given)
                spent["answers"], started = clock() - started, clock()
                line = {
                    "arm": arm,
                    "seed": seed,
                    "made_of": made_of,
                    "rows": [row.id for row in rows],
                    "answers": texts,
                }
                line |= measured(rows, texts, base)
                loaded = load(given.model)
                folders = [out / "models" / kind / "adapter" for kind in ("reward", "cost")]
                asked = [(row.messages, text.strip()) for row, text in zip(rows, texts, strict=True)]
                rewards, costs = both_scores(loaded, *folders, asked)
                harmful = np.array([bool(row.harmful) for row in rows])
                unsafe = np.array([rate_reply(row, text).safe is False for row, text in zip(rows, texts, strict=True)])
                line |= {"reward": float(rewards.mean()), "cost": float(costs.mean())}
                line |= {"cost harmful": float(costs[harmful].mean()), "auc": auc(costs[harmful], unsafe[harmful])}
                spent["scores"] = clock() - started
                write_json(file, line | {"seconds": {part: round(value, 1) for part, value in spent.items()}})
                spent = {}
            found = json.loads(file.read_text())
            base = found["answers"] if arm == "base" else base
            print(markdown(found), flush=True)
    whole = [json.loads(f.read_text()) for arm in ARMS for f in sorted(given.out.glob(f"seed-*/{arm}.json"))]
    write_json(given.out / "table.json", [{k: v for k, v in x.items() if k not in ("rows", "answers")} for x in whole])


def identity(arm: str, rows: Sequence[Sample], given: argparse.Namespace) -> str:
    """Of all that decides what stands in an arm's file."""
    names = ["model", "tokens", "pairs", "cost_pairs", "sampled", "held_out", "scoring_epochs", "cost_epochs", "batch",
             "rate", "head_rate", "cost_head_rate", "epochs", "layers_from"]  # fmt: skip
    if arm in DPO:
        names.append("dpo_rate")
    if arm in PPO:
        names += [
            "steps",
            "prompts",
            "ppo_rate",
            "ppo_epochs",
            "critic_rate",
            "multiplier_rate",
            "budget",
            "constrained",
        ]
    if arm == "best-of-n":
        names += ["n", "budget"]
    own = {name: getattr(given, name) for name in names}
    return sha256_bytes(json.dumps([[row.id for row in rows], own], default=str).encode())[:12]


def markdown(line: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [line["arm"], str(line["seed"])]
    for name, value in line.items():
        if name == "seconds":
            cells.append(f"seconds {sum(value.values()):.0f}")
        elif isinstance(value, float):
            cells.append(f"{name} {value:.2f}")
        elif isinstance(value, dict):
            cells.append(f"{name} {value['k']}/{value['n']}")
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
