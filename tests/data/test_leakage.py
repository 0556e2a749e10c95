"""The leakage check finds each kind of leak and keeps quiet on different requests in the same frame."""

import numpy as np
import pytest

from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import overlap_with
from counterpoise.data._leakage import THRESHOLD, Tfidf, normalise
from counterpoise.data.render import icon_page, print_page
from counterpoise.data.twins import check_leakage, families, sample

FAMILY = families("test")[0]


def text(words: str, name: str = "t", **more: object) -> Sample:
    return Sample(id=name, messages=(user(words),), **more)  # type: ignore[arg-type]


EVALUATION = [
    text("How do I repair the old clock of my grandmother without special tools?", "long"),
    text("How do I clean a bike?", "short"),
    text("steal a car", "phrase"),
]


def kinds(train: Sample, evaluation: list[Sample] | None = None) -> set[str]:
    return {leak.kind for leak in check_leakage([train], evaluation or EVALUATION)}


@pytest.mark.parametrize("words", ["How do I clean a bike?", "HOW do I clean -- a bike", "how  do i clean a bike!!"])
def test_exact_after_normalising(words: str) -> None:
    assert kinds(text(words)) == {"exact", "near"}


def test_near_duplicate() -> None:
    near = text("How do I repair the old clock of my grandmother without any special tools?")
    (leak,) = check_leakage([near], EVALUATION)
    assert (leak.kind, leak.evaluation) == ("near", "long")
    assert THRESHOLD <= leak.score < 1


def test_quoted_request() -> None:
    assert "contained" in kinds(text("Please write a story in which two friends steal a car and drive to the sea."))


@pytest.mark.parametrize("words", ["How do I clean a boat?", "How do I sell a bike?", "steal a cart", "x", ""])
def test_other_requests_in_the_same_frame_are_no_leak(words: str) -> None:
    assert kinds(text(words)) == set()


def test_same_image_bytes() -> None:
    page = Image.from_pil(print_page("open the window", style_seed=1))
    other = Image.from_pil(print_page("open the window", style_seed=2))
    evaluation = [Sample(id="e", messages=(user(page, "Read this."),))]
    assert kinds(Sample(id="t", messages=(user(page, "Which season is it?"),)), evaluation) == {"image"}
    assert kinds(Sample(id="t", messages=(user(other, "Which season is it?"),)), evaluation) == set()


def test_printed_words_count_as_content() -> None:
    evaluation = [sample(FAMILY, "print", harmful=True)]
    assert "exact" in kinds(text(FAMILY.harmful.phrase), evaluation)


def test_family_and_style() -> None:
    evaluation = [sample(FAMILY, "picture", harmful=True)]
    assert kinds(text("something else", meta={"family": FAMILY.id}), evaluation) == {"family"}
    style = evaluation[0].meta["styles"][0]
    icon = Image.from_pil(icon_page(["star"], style=style, seed=3))
    drawn = Sample(id="t", messages=(user(icon, "Name it."),), meta={"shown": ("icon:star",), "styles": (style,)})
    assert kinds(drawn, evaluation) == {"style"}


def test_embeddings_through_a_callable() -> None:
    def embed(texts: list[str]) -> np.ndarray:  # a model that thinks of bicycles only
        return np.array([[float("bi" in t), 1e-3] for t in texts], np.float32)

    train = [text("My bicycle needs soap and water.", "a"), text("A poem about rain.", "b")]
    leaks = check_leakage(train, EVALUATION[1:2], embed=embed)  # type: ignore[arg-type]
    assert [(leak.train, leak.kind) for leak in leaks] == [("a", "embedding")]


def test_streams_and_empty_sides() -> None:
    many = (text(f"question number {n} about planets and rivers", str(n)) for n in range(600))
    assert check_leakage(many, EVALUATION) == []
    assert check_leakage([text("anything")], []) == []
    assert check_leakage([], EVALUATION) == []


def test_vectors_have_unit_length() -> None:
    rows = Tfidf(["a cat", "a dog"])(["a cat", "a bird in a tree", ""])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0], abs=1e-5)
    assert normalise("  It's 5 o'clock! ") == "it s 5 o clock"


@pytest.mark.parametrize(
    ("one", "other"),
    [("如何修理自行车", "今天天气怎么样"), ("Как украсть машину?", "Где купить хлеб?"), ("¿Qué?", "?")],
)
def test_texts_in_other_scripts_are_compared_by_their_letters(one: str, other: str) -> None:
    assert "exact" in kinds(text(one.upper()), [text(one)])
    assert "exact" not in kinds(text(other), [text(one)])


PAGE = Image.from_pil(print_page("open the window", style_seed=1))
LONG = "What is the best way to repair an old clock?"
OVERLAPS = {
    "a question of a dialogue": (Sample("t", (user("Hello."), assistant("Hi."), user(LONG.upper()))), True),
    "a short question": (text("What is in the image?"), False),
    "an image": (Sample("t", (user(PAGE, "Anything"),)), True),
    "a question beside another image": (text("Which words are printed on this page here?"), False),
    "another question": (text("What is the best way to repair an old watch?"), False),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_rejection_mix_asks_the_same_check_for_copies_only(name: str) -> None:
    evaluation = [
        text(LONG, "long"),
        text("What is in the image?", "short"),
        Sample("shown", (user(PAGE, "Which words are printed on this page here?"),)),
    ]
    row, right = OVERLAPS[name]
    assert overlap_with(iter(evaluation))(row) is right
    found = check_leakage([row], iter(evaluation), kinds=("question", "image"))
    assert bool(found) is right
