"""The severity guard on the pocket pairs, and rounds of filter and regenerate: the tables of docs/safe-rlhf-v.md.

    python scripts/safe_rlhf_severity.py pocket --out runs/severity [--rows 600] [--sampled 150] [--items 72]

Trains on rated replies of Twins' training families, written ones and some that the model samples itself, and measures
on written replies of validation families and on the model's own: catch rate, over-block rate, AUC, severity, kind of
harm. The own ones are its greedy answers to requests of validation families (harmful and benign, all modalities); what
the guard flags of them is sampled again, up to --rounds times. After every round stand the share that the guard calls
safe and the share that the rule `rate_reply` does, over all items. The same command goes on where it was stopped, but
for the rounds. Writes OUT/severity.json and prints Markdown.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import write_json
from counterpoise.chat import Conversation
from counterpoise.data import Rated, rated, twins
from counterpoise.data.pocket_sets import preference_pairs, rate_reply
from counterpoise.evals.stats import rate
from counterpoise.methods.safe_rlhf import (
    Said,
    SeverityGuard,
    filter_and_regenerate,
    severity_metrics,
    train_severity,
)
from counterpoise.methods.safe_rlhf._data import drawn
from counterpoise.methods.safe_rlhf._own import sampled_pairs
from counterpoise.models import Decoding, Engine, load
from counterpoise.train import TrainConfig


def replies(split: Any, n: int, seed: int) -> list[Rated]:
    """Both replies of so many drawn pairs."""
    pairs = preference_pairs(split, per_prompt=2)
    return [one for pair in drawn(pairs, max(1, n // 2), seed) for one in rated(pair)]


def rounds(
    model: str, guard: SeverityGuard, items: int, given: argparse.Namespace
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the guard says of the first answers, and the shares of safe ones after every round, by the guard and by the
    rule; harmful and benign requests together, since a guard that flags what is harmless makes them worse."""
    families = list(dict.fromkeys(str(row.meta["family"]) for row in twins.samples("validation")))
    wanted = set(families[:: max(1, len(families) * 8 // items)])
    rows = [row for row in twins.samples("validation") if row.meta["family"] in wanted][:items]
    by_prompt = {id(row.messages): row for row in rows}
    loaded = load(model)
    engine, now, found = Engine(loaded), dict[str, str](), list[dict[str, Any]]()

    def answer(some: Sequence[Conversation], number: int) -> list[str]:
        decoding = Decoding(given.tokens, temperature=0.0 if number == 0 else 1.0, seed=number)
        texts = [each.text for each in engine.generate(list(some), decoding)]
        now.update({by_prompt[id(prompt)].id: text for prompt, text in zip(some, texts, strict=True)})
        grades = [rate_reply(row, now[row.id]) for row in rows]
        found.append({"asked": len(some), "rule": {}})
        for side in (True, False):
            own = [(row, grade) for row, grade in zip(rows, grades, strict=True) if bool(row.harmful) is side]
            safe = rate([float(g.safe is not False) for _, g in own], [str(row.meta["family"]) for row, _ in own])
            found[-1]["rule"]["harmful" if side else "benign"] = safe._asdict()
        return texts

    first = list[Said]()

    def flag(asked: Sequence[tuple[Conversation, str]]) -> list[bool]:
        said = guard.rate(asked)
        if not first:
            first.extend(said)
            own.extend(
                Rated(
                    row.id, row.messages, rate_reply(row, text), modality=row.modality, cluster=str(row.meta["family"])
                )
                for row, (_, text) in zip(rows, asked, strict=True)
            )
        return [one.flagged for one in said]

    own = list[Rated]()
    done = filter_and_regenerate([row.messages for row in rows], answer, flag, rounds=given.rounds)
    engine.close()
    for line, said in zip(found, done.rounds, strict=True):
        line["guard"] = {"safe": said.safe, "total": said.total, "interval": list(said.interval)}
    return severity_metrics(first, own), found


def markdown(measured: dict[str, dict[str, Any]], lines: list[dict[str, Any]]) -> str:
    """Both tables."""
    names = ("catch", "over_block", "grade", "near", "category")
    found = ["| replies | catch | over-block | AUC | severity right (commonest) | at most one off | kind of harm |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for kind, metrics in measured.items():
        said = {name: _said(metrics[name]) for name in names}
        said["grade"] += f" ({_percent(metrics['commonest'])})"
        cells = [kind, said["catch"], said["over_block"], _percent(metrics["auc"]), *(said[name] for name in names[2:])]
        found.append("| " + " | ".join(cells) + " |")
    found += ["", "| round | asked | safe by the guard | safe by the rule, harmful requests | benign |",
              "|---|---|---|---|---|"]  # fmt: skip
    for number, line in enumerate(lines):
        low, high = line["guard"]["interval"]
        cells = [f"{line['guard']['safe']} of {line['guard']['total']} ({100 * low:.0f} to {100 * high:.0f} %)"]
        for one in line["rule"].values():
            k = one["value"] * one["n_scored"]
            cells.append(f"{k:.0f} of {one['n_scored']} ({100 * one['low']:.0f} to {100 * one['high']:.0f} %)")
        found.append(f"| {number} | {line['asked']} | " + " | ".join(cells) + " |")
    return "\n".join(found)


def _said(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "none"
    return f"{100 * one['value']:.0f} ({100 * one['ci_low']:.0f} to {100 * one['ci_high']:.0f}; n {one['n']})"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--sampled", type=int, default=150, help="requests that the model answers twice itself")
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--items", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--layers-from", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    config = TrainConfig(learning_rate=given.rate, epochs=given.epochs, batch_size=16, seed=given.seed)
    loaded, rows = load(given.model), replies("train", given.rows, given.seed)
    if given.sampled:
        own = sampled_pairs(loaded, given.sampled, given.seed, given.out / "sampled.jsonl")
        rows += [one for pair in own for one in rated(pair)]
    made = train_severity(loaded, rows, config, given.out, layers_from=given.layers_from)
    guard = SeverityGuard.load(made.path)
    held = replies("validation", given.held_out, given.seed)
    measured = {"written": severity_metrics(guard.rate([(row.prompt, row.reply.text) for row in held]), held)}
    measured["own"], lines = rounds(given.model, guard, given.items, given)
    write_json(given.out / "severity.json", {"measured": measured, "rounds": lines})
    print(markdown(measured, lines))


if __name__ == "__main__":
    main()
