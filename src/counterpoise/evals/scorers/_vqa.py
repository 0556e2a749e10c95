"""Scorers of short answers to questions about images: soft VQA accuracy, abstention, and the key parts of MM-Vet."""

import re
import unicodedata

from counterpoise.chat import Sample

from ._answers import _find
from ._scorer import NOT_APPLICABLE, Score, Scorer, register
from ._text import words

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(n) for n, word in enumerate(_WORDS)} | {"none": "0"}
_ARTICLES = ("a", "an", "the")
_UNANSWERABLE = ("unanswerable", "unsuitable", "unsuitable image")


def normal_vqa(text: str) -> str:
    """The normal form of VQA answers (Antol et al. 2015): lower case, no punctuation but inside numbers and words with
    an apostrophe, numbers as digits, no articles."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").lower().strip()
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|[;/\[\]\"{}()=+\\_\-><@`,?!:*]", " ", text)
    return " ".join(_NUMBERS.get(word, word) for word in text.split() if word not in _ARTICLES)


def soft_accuracy(answer: str, truth: list[str]) -> float:
    """Mean over the leave-one-out subsets of the human answers of min(1, matches / 3) (Antol et al. 2015)."""
    given, people = normal_vqa(answer), [normal_vqa(one) for one in truth]
    hits = sum(one == given for one in people)
    return sum(min(1.0, (hits - (one == given)) / 3) for one in people) / len(people)


def _people(sample: Sample) -> list[str]:
    return [str(one) for one in sample.meta.get("answers", ())] or [sample.target] * 10 if sample.target else []


def _soft(sample: Sample, answer: str) -> Score:
    people = _people(sample)
    return Score(soft_accuracy(answer, people)) if people else Score(None, "no_target")


def _simple(sample: Sample, answer: str) -> Score:
    people = _people(sample)
    hits = sum(normal_vqa(one) == normal_vqa(answer) for one in people)
    return Score(min(1.0, hits / 3)) if people else Score(None, "no_target")


def abstains(answer: str) -> bool:
    """Whether an answer says that the question cannot be answered: the word asked for, and nothing else."""
    return normal_vqa(answer) in _UNANSWERABLE


def _precision(sample: Sample, answer: str) -> Score:
    if not abstains(answer):
        return Score(None, NOT_APPLICABLE)
    return Score(float((sample.target or "") == "unanswerable"))


def _recall(sample: Sample, answer: str) -> Score:
    if sample.target != "unanswerable":
        return Score(None, NOT_APPLICABLE)
    return Score(float(abstains(answer)))


def _parts(sample: Sample, answer: str) -> Score:
    """MM-Vet targets: `<AND>` joins parts that must all occur, `<OR>` alternatives; the score is the share found."""
    target, given = sample.target or "", words(answer)
    options = [[words(part) for part in option.split("<AND>")] for option in target.split("<OR>")]
    options = [[part for part in option if part] for option in options]
    shares = [sum(_find(part, given) for part in option) / len(option) for option in options if option]
    return Score(max(shares)) if shares else Score(None, "no_target")


_CHECKS = (("42", 1.0), ("The 42.", 1.0), ("24", 0.0))

vqa_soft = register(
    Scorer(
        "vqa-soft:v1",
        "answer",
        _soft,
        official=True,
        source="Antol et al. 2015, arXiv 1505.00468: mean over leave-one-out subsets of min(1, matches / 3)",
        known_bias="a right answer in other words than people used is wrong; contractions are not expanded",
        checks=_CHECKS,
    )
)
vqa_simple = register(
    Scorer(
        "vqa-simple:v1",
        "answer",
        _simple,
        official=False,
        source="min(1, matches / 3) over all ten answers: a shortcut of several papers, never below vqa-soft",
        known_bias="higher than vqa-soft where one to three people gave the answer",
        checks=_CHECKS,
    )
)
unanswerable_precision = register(
    Scorer(
        "unanswerable-precision:v1",
        "answer",
        _precision,
        official=False,
        source="of the answers 'unanswerable', those to questions that most people called unanswerable",
        known_bias="an abstention in other words is not seen",
        checks=(("unanswerable", 1.0), ("Unanswerable.", 0.0)),
        targets=("unanswerable", "42"),
    )
)
unanswerable_recall = register(
    Scorer(
        "unanswerable-recall:v1",
        "answer",
        _recall,
        official=False,
        source="of the questions that most people called unanswerable, those answered 'unanswerable'",
        known_bias="an abstention in other words is not seen",
        checks=(("unanswerable", 1.0), ("42", 0.0)),
        targets=("unanswerable", "unanswerable"),
    )
)
mm_vet_parts = register(
    Scorer(
        "mm-vet-parts:v2",
        "answer",
        _parts,
        official=False,
        source="share of the target's <AND> parts that occur in the answer, best <OR>; the paper grades with GPT-4",
        known_bias="paraphrases count as wrong: below the official score, and not comparable with it",
        checks=(("It is 42.", 1.0), ("It is 24", 0.0)),
    )
)
