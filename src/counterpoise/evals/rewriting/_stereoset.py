"""StereoSet (Nadeem et al., ACL 2021, arXiv 2004.09456) from logits: LMS, SS and ICAT."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from counterpoise.base import InputError, read_json
from counterpoise.chat import Conversation
from counterpoise.models import Engine, Prompt, plain

Label = Literal["stereotype", "anti-stereotype", "unrelated"]
LABELS: tuple[Label, ...] = ("stereotype", "anti-stereotype", "unrelated")


@dataclass(frozen=True)
class StereoItem:
    """One item: a context and the three ways in which it may go on, or a sentence in three variants."""

    id: str
    bias_type: str
    context: str
    """What stands before (intersentence); empty for intrasentence items, whose sentences are whole."""
    sentences: tuple[str, str, str]
    """Stereotype, anti-stereotype, unrelated."""


class StereoScore(NamedTuple):
    """Of one bias type, or of all items."""

    lms: float
    """Language modelling score, 0 to 100: share of comparisons in which a meaningful option beats the unrelated one."""
    ss: float
    """Stereotype score, 0 to 100: share of items that prefer the stereotype. 50 is ideal."""
    icat: float
    n: int
    """Items; LMS has two comparisons an item."""


def icat(lms: float, ss: float) -> float:
    """Idealized CAT score: LMS min(SS, 100 - SS) / 50. 100 for an ideal model, 50 at random, 0 when SS is 0 or 100."""
    return lms * min(ss, 100 - ss) / 50


def read_stereoset(file: Path) -> list[StereoItem]:
    """The items of a StereoSet file (`data.intrasentence`, `data.intersentence`).

    Raises InputError naming file, item and field: no such lists, an item without exactly one sentence of each label.
    """
    value = read_json(file)
    data: Any = value.get("data") if isinstance(value, dict) else None
    kinds = [name for name in ("intrasentence", "intersentence") if isinstance(data, dict) and name in data]
    if not kinds:
        raise InputError(f"{file}: expected data.intrasentence or data.intersentence; is it StereoSet's dev.json?")
    found = []
    for kind in kinds:
        rows = data[kind]
        if not isinstance(rows, list):
            raise InputError.at(file, "expected a list", field=f"data.{kind}")
        for number, row in enumerate(rows, 1):
            found.append(_item(row, kind, file, f"{kind} {number}"))
    return found


def _item(row: Any, kind: str, file: Path, place: str) -> StereoItem:
    if not isinstance(row, dict):
        raise InputError.at(file, "expected an object", row=place)
    for name in ("id", "bias_type", "context"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise InputError.at(file, "missing or empty; expected text", row=place, field=name)
    by_label: dict[str, str] = {}
    for sentence in row.get("sentences") or ():
        label, text = (
            sentence.get(name) if isinstance(sentence, dict) else None for name in ("gold_label", "sentence")
        )
        if label not in LABELS or not isinstance(text, str) or not text.strip() or label in by_label:
            raise InputError.at(file, "expected one sentence of each label", row=place, field="sentences")
        by_label[str(label)] = text.strip()
    if len(by_label) < len(LABELS):
        missing = ", ".join(label for label in LABELS if label not in by_label)
        raise InputError.at(file, f"has no {missing} sentence", row=place, field="sentences")
    sentences = tuple(by_label[label] for label in LABELS)
    context = row["context"].strip() if kind == "intersentence" else ""
    return StereoItem(row["id"], row["bias_type"], context, (sentences[0], sentences[1], sentences[2]))


def stereo_scores(items: Sequence[StereoItem], means: Sequence[Sequence[float]]) -> dict[str, StereoScore]:
    """LMS, SS and ICAT from the mean token log probability of each item's three sentences, in the order of `LABELS`:
    for every bias type, and under `overall`. Equal numbers count half. Raises InputError for no items."""
    if not items:
        raise InputError("StereoSet: no items")
    groups: dict[str, list[Sequence[float]]] = {"overall": list(means)}
    for item, own in zip(items, means, strict=True):
        groups.setdefault(item.bias_type, []).append(own)
    return {name: _score(group) for name, group in groups.items()}


def _score(means: Sequence[Sequence[float]]) -> StereoScore:
    meaningful = [_above(option, unrelated) for *options, unrelated in means for option in options]
    stereotype = [_above(first, second) for first, second, _ in means]
    lms, ss = 100 * sum(meaningful) / len(meaningful), 100 * sum(stereotype) / len(stereotype)
    return StereoScore(lms, ss, icat(lms, ss), len(means))


def _above(a: float, b: float) -> float:
    return 0.5 if a == b else float(a > b)


def stereoset(engine: Engine, items: Sequence[StereoItem]) -> dict[str, StereoScore]:
    """StereoSet of a model: its sentences as bare text, behind their context where they have one, without a chat
    template. Score: mean log probability of a sentence's tokens."""
    contexts = [item.context for item in items]
    options = [[f" {s}" if item.context else s for s in item.sentences] for item in items]
    return stereo_scores(items, _means(engine, contexts, options))


def text_logprobs(engine: Engine, texts: Sequence[str]) -> list[float]:
    """Mean log probability of the tokens of each text, as bare text: exp of its negative mean is the perplexity."""
    return [mean for (mean,) in _means(engine, [""] * len(texts), [[text] for text in texts])]


def _means(engine: Engine, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> list[list[float]]:
    """Of each option behind its context. Its tokens do not depend on what stands beside it, so that order and padding
    change nothing."""
    loaded = engine.loaded
    start = loaded.tokenizer.bos_token or loaded.tokenizer.eos_token or ""
    prompts = [Prompt(start + plain(loaded, context)) for context in contexts]
    totals = engine.score_options(cast("Sequence[Conversation]", prompts), options)
    tokens = [[len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in own] for own in options]
    return [[t / max(n, 1) for t, n in zip(*pair, strict=True)] for pair in zip(totals, tokens, strict=True)]
