"""SafeRoute between our two guards: the table with all baselines, three seeds, and the usage-F1 curve.

    python scripts/guards/saferoute_table.py             # about 5 minutes on two cores, less when outputs are kept
    python scripts/guards/saferoute_table.py --toy --small tiny:/tmp/toy --large small:/tmp/toy/small --out /tmp/toy

Both guards look at each row once (WORK keeps their outputs, so a stopped run goes on). Routers are trained on rows that
were kept back from the guards and on Twins validation; the table is on Twins test families, and on XSTest where its
rows are here. Writes docs/results/saferoute.md and .svg, and the router of the first seed to WORK/router.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rows import public_rows, router_rows, twins_rows

from counterpoise.base import atomic_write
from counterpoise.guard import make_guard
from counterpoise.guard._labelled import Labelled
from counterpoise.guard.saferoute import Evaluation, Observed, Router, RouterConfig, evaluate_route, observe
from counterpoise.guard.saferoute._conformal import conformal_threshold, miss_share
from counterpoise.guard.saferoute._labels import routing_labels
from counterpoise.guard.saferoute._table import against_better, markdown, where_not
from counterpoise.guard.saferoute._train import Material, gather, route_scores, train_on
from counterpoise.report import routing_picture

SEEDS = (0, 1, 2)
HEADS = ("bayes", "dropout", "ensemble")
KEEP = 0.97  # of the better guard's F1: the threshold whose cost the issue asks for


def config(seed: int, head: str, a: argparse.Namespace) -> RouterConfig:
    return RouterConfig(head=head, epochs=a.epochs, rounds=a.rounds, held_out=0.3, seed=seed)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--small", default="tiny"), args.add_argument("--large", default="small")
    args.add_argument("--out", type=Path, default=Path("docs/results"))
    args.add_argument("--work", type=Path, default=Path("runs/guards"))
    args.add_argument("--epochs", type=int, default=60, help="the paper's 1000 take hours on a CPU")
    args.add_argument("--rounds", type=int, default=1, help="paraphrases of each training row")
    args.add_argument("--text", action="store_true", help="text rows only: an hour less where cores are few")
    args.add_argument("--sets", nargs="*", default=["xstest", "harmbench-responses"], help="public sets to measure on")
    args.add_argument("--toy", action="store_true", help="a few rows: checks the script, not the guards")
    a = args.parse_args()
    cache, limit = a.work / "observed", 64 if a.toy else None
    small, large = make_guard(a.small), make_guard(a.large)

    def some(rows: list[Labelled]) -> list[Labelled]:
        return [row for row in rows if not (a.text and row.exchange.images)]

    material = gather(small, large, some(router_rows(limit)), config(0, "bayes", a), cache=cache)
    test = some(twins_rows("test", limit))
    whole = "Twins, test families, text" if a.text else "Twins, test families, all modalities"
    sets: dict[str, list[Labelled]] = {whole: test}
    sets |= {name: rows for name, rows in public_rows(limit).items() if name in a.sets}
    seen = {name: (observe(small, rows, cache), observe(large, rows, cache)) for name, rows in sets.items()}
    for kind in () if a.text else ("text", "print", "picture", "pair"):
        places = [place for place, row in enumerate(test) if row.modality == kind]
        name = f"Twins, test families, {kind}"
        sets[name] = [test[place] for place in places]
        seen[name] = (seen[whole][0].at(places), seen[whole][1].at(places))
    routers = {
        (head, seed): train_on(material, config(seed, head, a), keep_f1=KEEP)
        for head in HEADS
        for seed in (SEEDS if head == "bayes" else SEEDS[:1])
    }

    def evaluations(name: str, head: str = "bayes", paper: bool = True) -> list[Evaluation]:
        rows = sets[name]
        gold, groups = np.array([row.unsafe for row in rows]), [row.group for row in rows]
        return [
            evaluate_route(
                router, *seen[name], gold, groups, material.fitted, threshold=0.5 if paper else None, seed=seed
            )
            for (kind, seed), router in routers.items()
            if kind == head
        ]

    text = [*head_lines(a, material, test), *section(whole, evaluations(whole))]
    text += cascade_section(evaluations(whole, paper=False))
    text += heads_section(whole, {head: evaluations(whole, head) for head in HEADS})
    text += miss_section(material, routers["bayes", 0], seen[whole], np.array([row.unsafe for row in test]))
    for name in list(sets)[1:]:
        text += section(name, evaluations(name))
    first = evaluations(whole)[0]
    a.out.mkdir(parents=True, exist_ok=True)
    write(a.out / "saferoute.svg", picture(first))
    write(a.out / "saferoute.md", "\n".join(text))
    router = routers["bayes", 0]
    router.card.update(small_spec=a.small, large_spec=a.large, data="scripts/guards/saferoute_table.py")
    router.save(a.work / "router")
    write(a.work / "saferoute.json", json.dumps(first.to_json(), indent=1))
    print(f"{a.out / 'saferoute.md'}; router: {a.work / 'router'}")


def head_lines(a: argparse.Namespace, material: Material, test: list[Labelled]) -> list[str]:
    hard, train = material.hard, material.train
    return [
        "# SafeRoute between our two guards",
        "",
        f"Small: `{a.small}`, large: `{a.large}`. Command, which writes this page: "
        f"`python scripts/guards/saferoute_table.py{options(a)}`." + " Rows with images are left out." * a.text,
        "",
        f"Routers learned from {len(train)} rows ({material.n_paraphrases} of them paraphrases by rules), "
        f"{int(hard[train].sum())} of which need the large guard; {len(material.held)} rows were held out before any "
        f"paraphrase was made. {a.epochs} epochs instead of the paper's 1000. The guards were trained on none of these "
        "rows, and no router or baseline on any row below. Numbers are means over three seeds (split and paraphrases "
        "are the same; sampler, weights and random routing differ); intervals are bootstrapped over families, first "
        "seed. `unknown` verdicts count as errors on either side, and rows that the small guard cannot look at are "
        "always sent on. Tuned: the threshold of the best routing F1, of the baselines on the routers' training rows, "
        "of SafeRoute on the held-out ones. Fusion asks both guards about every row and adds their logits, 0.7 of the "
        f"better one's; tuned: {material.fitted.fusion_tuned:g} of the small one's, the best on the training rows.",
        "",
        "![Usage and safety F1](saferoute.svg)",
        "",
    ]


def options(a: argparse.Namespace) -> str:
    """Of the command, beside the defaults."""
    rounds = f" --rounds {a.rounds}" * (a.rounds != 1)
    sets = f" --sets {' '.join(a.sets)}" * (a.sets != ["xstest", "harmbench-responses"])
    return " --text" * a.text + rounds + sets


def section(name: str, runs: list[Evaluation]) -> list[str]:
    first = runs[0]
    lines = [f"## {name}", "", f"{first.n} rows; {first.hard} need the large guard (small wrong, large right); "
             f"{first.unseen} cannot be looked at by the small one. One row costs {1000 * first.seconds_small:.1f} ms "
             f"with the small guard and {1000 * first.seconds_large:.1f} ms with the large one, in batches, as "
             "measured here. Threshold of SafeRoute: 0.5.", "", markdown(runs), ""]  # fmt: skip
    for tuned, where in ((False, "at the paper's thresholds"), (True, "with tuned thresholds")):
        beaten = where_not(runs, tuned=tuned)
        lines.append(
            f"In routing F1 {where}, SafeRoute does **not** beat: {', '.join(beaten)}."
            if beaten
            else f"In routing F1 {where}, SafeRoute beats random routing and every entropy baseline."
        )
    said = against_better(runs)
    return [*lines, "", f"{said[0].upper()}{said[1:]}.", ""]


def cascade_section(runs: list[Evaluation]) -> list[str]:
    better = runs[0].better
    line = [run.line("SafeRoute") for run in runs]
    f1 = float(np.mean([x.safety.f1 for x in line]))
    share = f1 / max(float(np.mean([run.line(better.name).safety.f1 for run in runs])), 1e-9)
    cost = float(np.mean([x.cost_large for x in line]))
    verdict = "met" if share >= 0.95 and cost <= 0.30 else "**missed**"
    if better.name == "small alone":
        verdict = (
            "does not apply: the large guard is the weaker one, and a pair that asks it nothing keeps all of the F1"
        )
    return [
        "## At the chosen threshold",
        "",
        f"The threshold of least usage that keeps {100 * KEEP:.0f} % of the better guard's F1 on the held-out rows "
        f"({', '.join(f'{run.threshold:.3g}' for run in runs)} for the three seeds). On the test families the better "
        f"guard is the {better.name.split()[0]} one ({better.safety.f1:.3f}). The pair: safety F1 {f1:.3f}, "
        f"{100 * share:.1f} % of it, at {100 * cost:.1f} % of the large guard's cost, with "
        f"{100 * float(np.mean([x.usage for x in line])):.1f} % of the rows sent on. Aim (95 % of the better guard's "
        f"F1 at 30 % of the large one's cost): {verdict}.",
        "",
    ]


def heads_section(name: str, runs: dict[str, list[Evaluation]]) -> list[str]:
    lines = ["## Other heads", "", f"On {name[0].lower() + name[1:]}, threshold 0.5, first seed.", "",
             "| head | routing F1 | safety F1 | sent |", "|---|---|---|---|"]  # fmt: skip
    for head, found in runs.items():
        line = found[0].line("SafeRoute")
        assert line.routing is not None
        lines.append(f"| {head} | {line.routing.f1:.3f} | {line.safety.f1:.3f} | {100 * line.usage:.1f} % |")
    return [*lines, ""]


def miss_section(material: Material, router: Router, test: tuple[Observed, Observed], gold: np.ndarray) -> list[str]:
    held = material.held
    small, large = material.small.at(held), material.large.at(held)
    hard = routing_labels(small.label, large.label, material.gold[held])
    there = routing_labels(test[0].label, test[1].label, gold)
    lines = ["## A bound on misses", "", "`--max-miss`: conformal risk control on the held-out rows. The bound is on "
             "the expected share of requests like the held-out ones; test families are another draw: their column may "
             "exceed it.", "", "| bound | threshold | missed, held-out rows | missed, test families | sent |",
             "|---|---|---|---|---|"]  # fmt: skip
    p, q = route_scores(router, small), route_scores(router, test[0])
    for bound in (0.01, 0.02, 0.05):
        limit = conformal_threshold(p, hard, bound, small.must)
        sent = float(((q > limit) | test[0].must).mean())
        lines.append(
            f"| {100 * bound:.0f} % | {limit:.4g} | "
            f"{100 * miss_share(p, hard, limit, small.must):.2f} % of {len(held)} | "
            f"{100 * miss_share(q, there, limit, test[0].must):.2f} % of {len(gold)} | {100 * sent:.1f} % |"
        )
    return [*lines, ""]


def picture(found: Evaluation) -> str:
    line = found.line("SafeRoute")
    points = [(p.usage, p.f1) for p in found.points]
    chosen = (line.usage, line.safety.f1)
    return routing_picture("Usage and safety F1, tiny and small guard", points, found.marks, chosen)


def write(file: Path, text: str) -> None:
    with atomic_write(file) as opened:
        opened.write(text)


if __name__ == "__main__":
    main()
