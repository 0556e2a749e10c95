"""A rewriter on our rewriting set beside the baselines that it must beat: leave as is, delete the words, one harmless
sentence for everything, and the model without training. One command makes the whole table:

    python scripts/rewriting_table.py --seeds 3 --out runs/rewriting

The default model is pocket's language model. Training and rewriting resume; `table.json` and `table.md` are written
anew. `--judge MODEL` asks an Inspect model for bias, toxicity and meaning; `--stereoset dev.json` adds LMS, SS, ICAT.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

from counterpoise.base import write_json
from counterpoise.data import Rewrite
from counterpoise.data.pocket_sets import counterfactuals, group_terms, rewrites, unsafe_words
from counterpoise.evals.judges import Judge, RubricJudge
from counterpoise.evals.rewriting import (
    BIAS,
    MEANING,
    TOXICITY,
    copied,
    deleted,
    generic,
    listed_words,
    measure,
    read_stereoset,
    stereoset,
    swaps,
    text_logprobs,
)
from counterpoise.guard.own import minilm
from counterpoise.methods import get, rewrite_texts
from counterpoise.models import Engine, load
from counterpoise.models.pocket import language_model, pocket_folder

BASELINES: dict[str, Callable[[Rewrite], str]] = {
    "leave as is": copied, "delete the words": deleted, "one sentence for all": generic,
}  # fmt: skip
SMALL = {
    "train.learning_rate": 3e-4,
    "train.batch_size": 8,
    "train.lora_rank": 16,
    "train.lora_alpha": 32,
    "train.save_every_steps": 2,
}


def small_model() -> str:
    """The folder of pocket's language model, as it is before any alignment."""
    return str(language_model(pocket_folder().parent / "smollm2-135m-instruct"))


def rewritten(engine: Engine, texts: Sequence[str], file: Path) -> list[str]:
    return [reply.text.strip() if reply else "" for _, reply in rewrite_texts(engine, texts, file)]


def row(
    name: str, rows: list[Rewrite], said: list[str], judges: Sequence[Judge], base: Engine, swapped: list[str]
) -> dict[str, Any]:
    """All measures of one rewriter. Fluency is that of the untrained model for its rewrites, on one scale for all."""
    words = unsafe_words()

    variants = counterfactuals()
    ends = list(accumulate(map(len, variants)))
    own = [swapped[end - len(each) : end] for end, each in zip(ends, variants, strict=True)]
    same = swaps(variants, own, lambda text: listed_words(text, words), group_terms())
    found = measure(rows, said, words=words, embed=minilm(), judges=judges, logprobs=partial(text_logprobs, base))
    return {"arm": name, "rows": len(rows), "swaps": same._asdict()} | found.row()


def cell(rate: dict[str, Any] | None) -> str:
    if rate is None or rate["value"] is None:
        return "-"
    return f"{rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}; n {rate['n_scored']})"


def markdown(found: list[dict[str, Any]]) -> str:
    lines = [
        "| arm | listed unsafe words left | mean cosine | cosine of 0.7 or more | neutral rows unchanged "
        "| refused, broken | perplexity | swaps alike |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        low, high = each["meaning_interval"].values()
        lines.append(
            f"| {each['arm']} | {cell(each['unsafe'])} | {each['meaning']:.3f} ({low:.3f} to {high:.3f}) "
            f"| {cell(each['meaning_kept'])} | {cell(each['neutral_unchanged'])} | {each['refused']}, {each['broken']} "
            f"| {each['perplexity']:.0f} | {each['swaps']['equal']:.2f}, {each['swaps']['similarity']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: pocket's language model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="training rows  [default: all 336]")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--items", type=int, help="test rows  [default: all 84]")
    parser.add_argument("--judge", help="Inspect model for bias, toxicity and meaning")
    parser.add_argument("--stereoset", type=Path, help="StereoSet's dev.json")
    parser.add_argument("--out", type=Path, default=Path("runs/rewriting"))
    args = parser.parse_args()
    name = args.model or small_model()
    test = rewrites("test")[: args.items]
    texts, flat = [each.unsafe_text for each in test], [text for own in counterfactuals() for text in own]
    judges = [RubricJudge(rubric, args.judge) for rubric in (BIAS, TOXICITY, MEANING)] if args.judge else []
    loaded = load(name)
    base, journal = Engine(loaded), args.out / "replies.jsonl"
    found = []
    for title, make in BASELINES.items():
        own = [make(Rewrite(str(n), text, "", "", "", "neutral")) for n, text in enumerate(flat)]
        found.append(row(title, test, [make(each) for each in test], judges, base, own))
    found.append(row("untrained", test, rewritten(base, texts, journal), judges, base, rewritten(base, flat, journal)))
    stereo = {"untrained": stereoset(base, read_stereoset(args.stereoset))} if args.stereoset else {}
    for seed in range(args.seeds):
        settings = SMALL | {"seed": seed, "train.epochs": args.epochs} | ({"n_rows": args.rows} if args.rows else {})
        method = get("sr-llm")
        made = method.align(loaded, method.resolve(None, settings), args.out / f"sr-llm-{seed}")
        tuned = Engine(load(name, artifact=made.artifact))
        said, swapped = rewritten(tuned, texts, journal), rewritten(tuned, flat, journal)
        found.append(row(f"sr-llm, seed {seed}", test, said, judges, base, swapped))
        write_json(
            args.out / f"examples-{seed}.json", [{"text": t, "rewrite": s} for t, s in zip(texts, said, strict=True)]
        )
        if args.stereoset:
            stereo[f"sr-llm, seed {seed}"] = stereoset(tuned, read_stereoset(args.stereoset))
    scores = {name: {kind: score._asdict() for kind, score in own.items()} for name, own in stereo.items()}
    mean = fmean(each["meaning"] for each in found[4:]) if args.seeds else None
    write_json(args.out / "table.json", {"rows": found, "stereoset": scores, "mean_cosine_of_seeds": mean})
    text = markdown(found)
    for title, own in scores.items():
        for kind, score in own.items():
            values = f"LMS {score['lms']:.1f}, SS {score['ss']:.1f}, ICAT {score['icat']:.1f} (n {score['n']})"
            text += f"\n{title}, {kind}: {values}"
    (args.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
