"""Measure every refusal scorer on human labels and write docs/results/refusal-classifier.md.

COUNTERPOISE_DATA=... python scripts/refusal_classifier/measure.py
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from groups import BLANK, table

from counterpoise.evals.scorers import (
    XSTEST_MODELS,
    Scorer,
    all_scorers,
    calibrate_harmbench,
    calibrate_xstest,
    read_harmbench_labels,
    read_xstest_labels,
    self_check,
)

OUT = Path(__file__).parents[2] / "docs" / "results" / "refusal-classifier.md"
HEAD = """# Refusal scorers against human labels

Every refusal scorer, run over completions that people have labelled. Reproduce with

    COUNTERPOISE_DATA=<folder with xstest/ and harmbench/> python scripts/refusal_classifier/measure.py

The classifier `counterpoise-refusal:v3` is trained by `scripts/refusal_classifier/train.py` on 16,000 fillings of
phrases written for it (seed 0, a minute on one core); no XSTest or HarmBench text is in its training. The rules of the
first versions were revised after looking at errors on half of the XSTest prompts (by hash of the prompt id); tables 1
and 2 show the other half, whose errors were not looked at. The second and third versions were written from wordings of
our own (`tests/evals/scorers/test_scorers_wording.py`, `test_scorers_languages.py`). Of the labelled answers, changed
verdicts of the first half were read while the classifier's phrases were extended; of the other half only the numbers of
table 5 were seen, and phrases were added until no group was worse by more than 2 points.
"""
READING = """
## Reading

- On harmless prompts our rule `opening` agrees with people better than any published list, under either truth. The
  trained classifier is better than any list against full refusals and level with `wang-string` when partial ones count.
  It does not beat the rule; its use is as a second, independent judge. Most of their false alarms are answers that
  decline first and then help. Read their over-refusal as "declines, even if it helps afterwards".
- Version 3 was made for wordings that are rare in these labels (an ordinary sentence, "Warning:" or "Here's the thing:"
  before the refusal; apologies that correct, hedges, letters, code, names, quotes), so table 5 shows above all that
  nothing was lost: no group is worse by more than 2 points. The largest rise is the classifier's on HarmBench's
  contextual behaviours, 2 answers in 112. On the held-out half of the harmless side the classifier finds more of the
  full refusals (sensitivity 0.859 before, 0.891 now) and has four more false alarms in 558 answers.
- Texts of unusual form, written by us after the code was frozen, in rounds of 60, 60 and 30: `opening` missed 11 of 20,
  8 of 20 and 4 of 10 refusals and called 1, 1 and 0 of as many compliant answers refusals; the classifier missed 5, 5
  and 1, and called 2, 1 and 0 so (other languages not counted). The kinds were mended after each round, and none
  was written after the last: a refusal in a form that nobody thought of is often missed, an answer seldom accused.
- On harmful prompts they miss about one in seven full refusals, and the lists that search the whole answer
  (`wang-string`, `vlguard-list`) do better there: people also call it a refusal when an answer only corrects the
  premise or moralises ("There is no reason why ..."), and such answers are full of "illegal" and "unethical". Our
  scorers do not let those words decide, because they hide harmful answers too; an ASR by them is therefore an upper
  estimate.
- A refusal scorer does not measure harm (table 4): its ASR counts every answer that is not a refusal, also a useless
  one. Report a harm judge beside it where one is available.
- Table 6: at 64 tokens `opening` has made up its mind, the lists that search the whole answer have not: VLGuard's list
  counts one answer in fifteen to attacks as compliance there that it calls a refusal later.
- These labels are English (two Polish answers are unscored by the classifier). The rules of `opening` for other
  languages are checked on sentences of our own only. The completions come from models of 2023; the errors on another
  model family may differ.
"""


LIMITS = (16, 32, 64, 128, 256)


def cuts(scorers: Mapping[str, Scorer], xstest: Sequence[str], harmbench: Sequence[str]) -> list[str]:
    """Per scorer and limit the share of answers whose verdict on so many tokens (by pocket's tokenizer) is not that on
    the whole answer, on XSTest and on HarmBench; and the tokens that the scorer states."""
    from tokenizers import Tokenizer

    from counterpoise.models.pocket import ensure

    tokenizer = Tokenizer.from_file(str(ensure() / "tokenizer.json"))
    lines = [
        "| scorer | " + " | ".join(f"{limit}" for limit in LIMITS) + " | states |",
        "|---" * (len(LIMITS) + 2) + "|",
    ]
    sets = [[(text, tokenizer.encode(text).offsets) for text in texts] for texts in (xstest, harmbench)]
    for name, scorer in scorers.items():
        cells = [[f"{share:.1f}" for share in _changed(scorer, rows)] for rows in sets]
        lines.append(f"| `{name}` | " + " | ".join(map(", ".join, zip(*cells, strict=True))) + f" | {scorer.tokens} |")
    return lines


def _remembered() -> dict[str, Scorer]:
    """The refusal scorers; each looks at a text only once."""

    def remembering(scorer: Scorer) -> Scorer:
        known = cache(lambda text: scorer.score(BLANK, text))
        return replace(scorer, score=lambda _, text: known(text))

    return {name: remembering(scorer) for name, scorer in all_scorers("refusal").items()}


def _changed(scorer: Scorer, rows: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> Iterator[float]:
    """Per limit the share of answers, in %, whose verdict changes."""
    whole = [scorer(BLANK, text).value for text, _ in rows]
    for limit in LIMITS:
        changed = sum(
            scorer(BLANK, text[: ends[limit - 1][1]]).value != verdict
            for (text, ends), verdict in zip(rows, whole, strict=True)
            if len(ends) > limit
        )
        yield 100 * changed / len(rows)


def main() -> None:
    root = Path(os.environ.get("COUNTERPOISE_DATA", "../shared/data"))
    if not root.is_dir():
        sys.exit("set COUNTERPOISE_DATA to the folder that holds xstest/ and harmbench/")
    rows, harm, scorers = read_xstest_labels(root), read_harmbench_labels(root), _remembered()
    half = [row for row in rows if row.measuring_half]
    lines = [HEAD]
    for number, (title, partial) in enumerate((("full refusal", False), ("full or partial refusal", True)), 1):
        lines.append(f"\n## Table {number}. XSTest, held-out half of the prompts, five models; truth: {title}\n")
        lines.append("| scorer | side | n | accuracy | sensitivity | specificity | kappa | reported | true | bias |")
        lines.append("|---|---|---|---|---|---|---|---|---|---|")
        for name, scorer in scorers.items():
            self_check(scorer)
            for side, safe in (("harmless", True), ("harmful", False)):
                c = calibrate_xstest(scorer, [r for r in half if r.safe == safe], partial_refuses=partial)
                lines.append(
                    f"| `{name}` | {side} | {c.n} | {c.accuracy:.3f} | {c.sensitivity:.3f} | {c.specificity:.3f} "
                    f"| {c.kappa:.3f} | {100 * c.reported:.1f} % | {100 * c.true_rate:.1f} % | {100 * c.bias:+.1f} |"
                )
    lines.append("\n## Table 3. Over-refusal rate on XSTest's 250 harmless prompts, per model, in %\n")
    lines.append("| | " + " | ".join(XSTEST_MODELS) + " |\n|---|" + "---|" * len(XSTEST_MODELS))
    safe_rows = {model: [r for r in rows if r.safe and r.model == model] for model in XSTEST_MODELS}
    for title, truth in (
        ("people: full", lambda r: r.full),
        ("people: full or partial", lambda r: r.full or r.partial),
    ):
        shares = [100 * sum(map(truth, part)) / len(part) for part in safe_rows.values()]
        lines.append(f"| {title} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
    for name, scorer in scorers.items():
        shares = [100 * calibrate_xstest(scorer, part).reported for part in safe_rows.values()]
        lines.append(f"| `{name}` | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
    people = 100 * sum(row.harmful for row in harm) / len(harm)
    lines.append(
        f'\n## Table 4. HarmBench text completions (n = {len(harm)}): "not refused" against people\'s "harmful" '
        f"({people:.1f} %)\n\nThe {len(harm)} labelled completions of the data folder, about half of the published set."
        "\n\n| scorer | accuracy | precision | recall | specificity | reported ASR |"
    )
    lines.append("|---|---|---|---|---|---|")
    for name, scorer in scorers.items():
        c = calibrate_harmbench(scorer, harm)
        lines.append(
            f"| `{name}` | {c.accuracy:.3f} | {c.precision:.3f} | {c.sensitivity:.3f} | {c.specificity:.3f} "
            f"| {100 * c.reported:.1f} |"
        )
    lines.append(
        "\n## Table 5. Wrong verdicts by group, in %, version 2 and now\n\n"
        'XSTest: "refused" against people\'s full refusal, and against their full or partial one. HarmBench:\n'
        '"not refused" against people\'s "harmful". Version 2 was measured before it was replaced\n'
        "(`scripts/refusal_classifier/before.json`).\n"
    )
    lines += table(root, {name.partition(":")[0]: scorer for name, scorer in scorers.items()})
    lines.append("\n## Table 6. Verdicts that change when an answer ends early, in %\n")
    lines += cuts(scorers, [row.answer for row in rows[::6]], [answer.answer for answer in harm])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n" + READING, encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
