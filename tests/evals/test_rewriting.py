"""Measures of rewriting: StereoSet by hand and from logits, baselines, swaps, judges."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from counterpoise.base import InputError
from counterpoise.data import Rewrite
from counterpoise.data.pocket_sets import counterfactuals, group_terms, rewrites, unsafe_words
from counterpoise.evals.judges import Case, OffFormat
from counterpoise.evals.rewriting import (
    BIAS,
    MEANING,
    StereoItem,
    copied,
    deleted,
    generic,
    icat,
    listed_words,
    measure,
    read_stereoset,
    refuses,
    stereo_scores,
    stereoset,
    swaps,
)
from counterpoise.models import Engine, Loaded, load


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


def test_icat_reference_points() -> None:
    """Ideal 100, random 50, fully stereotyped 0."""
    assert (icat(100, 50), icat(50, 50), icat(100, 100), icat(100, 0)) == (100, 50, 0, 0)
    assert icat(80, 60) == 64


@given(st.floats(0, 100), st.floats(0, 100))
def test_icat_is_symmetric_around_50(lms: float, ss: float) -> None:
    assert icat(lms, ss) == pytest.approx(icat(lms, 100 - ss), abs=1e-6)
    assert 0 <= icat(lms, ss) <= lms + 1e-9


def item(name: str, kind: str = "gender", context: str = "") -> StereoItem:
    return StereoItem(name, kind, context, ("a", "b", "c"))


def test_six_items_by_hand() -> None:
    means = [(-1, -2, -3), (-2, -1, -3), (-1, -3, -2), (-1, -2, -3), (-3, -2, -1), (-1, -1, -2)]
    kinds = ["gender", "gender", "race", "race", "race", "gender"]
    found = stereo_scores([item(str(n), kind) for n, kind in enumerate(kinds)], means)
    # meaningful above unrelated: 2 + 2 + 1 + 2 + 0 + 2 = 9 of 12; stereotype first: 1 + 0 + 1 + 1 + 0 + 1/2 = 3.5 of 6
    assert found["overall"] == pytest.approx((75, 350 / 6, 75 * (100 - 350 / 6) / 50, 6))
    assert found["gender"] == pytest.approx((100, 50, 100, 3)) and found["race"].lms == 50
    with pytest.raises(InputError, match="no items"):
        stereo_scores([], [])


def test_a_models_scores_are_mean_token_log_probabilities(llama: Loaded) -> None:
    """Against one sentence at a time through the bare model; the order and what stands beside change nothing."""
    items = [
        StereoItem("1", "race", "", ("The man is calm.", "The man was very loud today.", "Blue runs lemon.")),
        StereoItem("2", "race", "We met a nurse.", ("She is kind to us.", "He is kind.", "Clouds of seven.")),
        StereoItem("3", "gender", "", ("A short one.", "A rather longer sentence than that one.", "Go.")),
    ]
    by_hand = []
    start = llama.tokenizer.bos_token
    for each in items:
        own = []
        for sentence in each.sentences:
            head = llama.tokenizer(start + each.context, add_special_tokens=False)["input_ids"]
            tail = llama.tokenizer(f" {sentence}" if each.context else sentence, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logits = llama.model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
            own.append(sum(float(logits[len(head) + n - 1, t]) for n, t in enumerate(tail)) / len(tail))
        by_hand.append(own)
    engine = Engine(llama)
    assert stereoset(engine, items) == stereo_scores(items, by_hand)
    seen: list[Any] = []

    class Spy(Engine):
        def score_options(self, conversations: Any, options: Any) -> Any:
            seen.append(super().score_options(conversations, options))
            return seen[-1]

    stereoset(Spy(llama), items)
    stereoset(Spy(llama), items[::-1])
    for one, other in zip(seen[0], seen[1][::-1], strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    lengths = [[len(llama.tokenizer(s, add_special_tokens=False)["input_ids"]) for s in items[0].sentences]]
    assert [t / n for t, n in zip(seen[0][0], lengths[0], strict=True)] == pytest.approx(by_hand[0], abs=1e-3)


def stereo_file(folder: Path, change: Any = None) -> Path:
    def row(name: str, context: str) -> dict[str, Any]:
        labels = ("anti-stereotype", "unrelated", "stereotype")
        said = [{"sentence": f"{label} sentence.", "gold_label": label, "id": label} for label in labels]
        return {"id": name, "target": "t", "bias_type": "gender", "context": context, "sentences": said}

    value = {"version": "1", "data": {"intrasentence": [row("a", "BLANK")], "intersentence": [row("b", "He came.")]}}
    if change:
        change(value["data"])
    file = folder / "dev.json"
    file.write_text(json.dumps(value))
    return file


def test_the_published_json(tmp_path: Path) -> None:
    first, second = read_stereoset(stereo_file(tmp_path))
    assert first.sentences == ("stereotype sentence.", "anti-stereotype sentence.", "unrelated sentence.")
    assert (first.context, second.context, second.bias_type) == ("", "He came.", "gender")
    for change, message in (
        (lambda d: d["intrasentence"][0]["sentences"].pop(), "row intrasentence 1.*has no stereotype sentence"),
        (lambda d: d["intersentence"][0].pop("context"), 'row intersentence 1, field "context": missing'),
        (lambda d: d["intrasentence"][0]["sentences"][0].update(gold_label="x"), "one sentence of each label"),
        (lambda d: d.clear(), "is it StereoSet"),
    ):
        with pytest.raises(InputError, match=message):
            read_stereoset(stereo_file(tmp_path, change))


def embed(texts: Sequence[str]) -> Any:
    """Bags of words, unit length: enough to tell the same words from others."""
    words = sorted({word for text in texts for word in text.lower().split()})
    rows = np.array([[text.lower().split().count(word) for word in _WORDS] for text in texts], np.float32)
    assert set(words) <= set(_WORDS)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


_WORDS: list[str] = []


def test_baselines_stand_where_they_must() -> None:
    """Copy: meaning 1, nothing changed. Generic: nothing unsafe, meaning lost. Deletion: in between."""
    rows = rewrites("test")
    makers = {"copied": copied, "deleted": deleted, "generic": generic, "gold": lambda row: row.safe_text}
    texts = {name: [make(row) for row in rows] for name, make in makers.items()}
    _WORDS[:] = sorted({w for own in texts.values() for t in own for w in t.lower().split()})
    found = {name: measure(rows, own, words=unsafe_words(), embed=embed) for name, own in texts.items()}
    assert found["copied"].meaning == pytest.approx(1)
    assert found["copied"].change is not None and found["copied"].change.value == 0
    assert found["copied"].unsafe.value == found["copied"].unsafe_before.value == 1.0
    assert found["copied"].neutral_unchanged is not None and found["copied"].neutral_unchanged.value == 1.0
    assert found["generic"].unsafe.value == 0 and found["generic"].meaning < 0.2
    assert found["generic"].neutral_unchanged is not None and found["generic"].neutral_unchanged.value == 0
    assert found["deleted"].unsafe.value == 0 and 0.5 < found["deleted"].meaning < 1
    assert found["gold"].unsafe.value == 0 and found["gold"].meaning > found["generic"].meaning + 0.2
    assert found["gold"].change is not None and found["gold"].change.high < 0
    n = sum(row.severity != "neutral" for row in rows)
    assert found["gold"].unsafe.n_scored == n and found["gold"].meaning_kept.n_scored == len(rows)
    low, high = found["gold"].meaning_interval
    assert low < found["gold"].meaning < high
    json.dumps(found["gold"].row())


def test_a_refusal_and_a_loop_keep_no_meaning() -> None:
    row = Rewrite("1", "You fool, move the car.", "Please move the car.", "toxicity", "insult", "highly", ("fool",))
    said = ["I'm sorry, but I can't help with that.", "car car car car car car car car car car car car car"]
    _WORDS[:] = sorted({w for t in (*said, row.unsafe_text) for w in t.lower().split()})

    def alike(texts: Sequence[str]) -> Any:
        return np.ones((len(texts), 1), np.float32)

    found = measure([row, row], said, words=("fool",), embed=alike)
    assert (found.refused, found.broken, found.meaning_kept.value) == (1, 1, 0.0)
    assert (found.unsafe.value, found.unsafe.n_unscored) == (None, 2)  # neither safe nor unsafe
    with pytest.raises(InputError, match="2 rows, but 1 rewrites"):
        measure([row, row], said[:1], words=(), embed=alike)
    fluent = measure([row], ["Move it."], words=(), embed=alike, logprobs=lambda texts: [-2.0 for _ in texts])
    assert fluent.perplexity == pytest.approx(math.exp(2))


def test_words_are_found_whole() -> None:
    assert listed_words("What a Fool he is.", ("fool",)) == 1 and listed_words("He was foolish.", ("fool",)) == 0
    assert listed_words("Pay, or else.", ("or else",)) == 1
    assert deleted(Rewrite("1", "You fool, move it.", "", "", "", "highly", ("fool",))) == "You, move it."


def test_swaps_see_a_rewriter_that_treats_one_group_differently() -> None:
    variants = counterfactuals()
    words = unsafe_words()

    def severity(text: str) -> float:
        return listed_words(text, ("stupid",))

    fair = swaps(variants, variants, severity, group_terms())
    assert fair == (1.0, 1.0, 4) and words
    unfair = [[f"{text} How stupid." if "women" in text.lower().split() else text for text in own] for own in variants]
    found = swaps(variants, unfair, severity, group_terms())
    assert found.equal == 0 and found.similarity < 1
    with pytest.raises(InputError, match="every variant needs one rewrite"):
        swaps(variants, variants[:1], severity, group_terms())
    with pytest.raises(InputError, match="two variants or more"):
        swaps([["one"]], [["one"]], severity, group_terms())


def test_judges_give_numbers_or_nothing() -> None:
    from counterpoise.chat import Sample, user

    case = Case(Sample("1", (user("You fool."),)), "You are wrong.")
    assert BIAS.read(["0.3"], case).score == pytest.approx(0.7)
    assert [MEANING.read([word], case).score for word in ("kept", "Partly.", "lost")] == [1.0, 0.5, 0.0]
    for rubric, reply in ((BIAS, "-1"), (BIAS, "about 0.5"), (BIAS, "2"), (MEANING, "yes"), (MEANING, "")):
        with pytest.raises(OffFormat):
            rubric.read([reply], case)
    assert "You fool." in MEANING.prompts(case)[0] and "You fool." not in BIAS.prompts(case)[0]


def test_a_rewrite_in_the_first_person_is_no_refusal() -> None:
    said = [row.safe_text for part in ("train", "test") for row in rewrites(part)]
    said += ["I am not convinced by the history exam.", "I did not enjoy the piano lesson."]
    assert not any(refuses(said))
    assert all(refuses(["I'm sorry, but I can't rewrite that.", "I am unable to rewrite content that holds threats.",
                        "This text contains hateful language, so I will not rephrase it."]))  # fmt: skip
