"""Training and test sets of the pocket: deterministic, disjoint, and with answers that fit their images."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from counterpoise.base import InputError
from counterpoise.chat import Sample, conversation
from counterpoise.data import concepts, lexicon, pocket_sets
from counterpoise.data.pocket_sets._texts import expand, phrases
from counterpoise.data.render import HELD_OUT_STYLES
from counterpoise.data.twins import check_leakage, families, samples

STREAMS = [
    pocket_sets.harmless_instructions,
    pocket_sets.image_requests,
    pocket_sets.bound_requests,
    pocket_sets.system_questions,
    pocket_sets.rejection_source,
]
TEXTS = [pocket_sets.harmful_requests, pocket_sets.benign_requests]
Source = Callable[[int], Iterator[Sample]]


def fingerprint(rows: Iterator[Sample]) -> list[tuple[str, str, tuple[str, ...], str]]:
    return [
        (s.id, s.text, tuple(i.sha256 for i in s.messages[0].images), s.messages[-1].text) for s in islice(rows, 30)
    ]


@pytest.mark.parametrize("source", [*STREAMS, *TEXTS], ids=lambda source: source.__name__)
def test_the_seed_decides_everything(source: Source) -> None:
    assert fingerprint(source(3)) == fingerprint(source(3))
    assert fingerprint(source(3)) != fingerprint(source(4))


@pytest.mark.parametrize("source", [*STREAMS, *TEXTS], ids=lambda source: source.__name__)
def test_samples_are_well_formed(source: Source) -> None:
    rows = list(islice(source(0), 60))
    assert len({s.id for s in rows}) == len(rows)
    for s in rows:
        conversation(s.messages, s.id)
        assert s.split == "train" and s.harmful is not None
        assert not s.messages[0].images or isinstance(s.messages[0].parts[-1], str)


def test_no_training_sample_leaks() -> None:
    evaluation = [*samples("test"), *samples("validation")]
    train = [s for source in TEXTS for s in source(0)] + [s for source in STREAMS for s in islice(source(0), 150)]
    assert check_leakage(train, evaluation) == []


def test_capability_tests_share_no_image_and_no_question_with_training() -> None:
    tests = [
        *pocket_sets.reading_test(60),
        *pocket_sets.naming_test(60),
        *pocket_sets.counting_test(40),
        *pocket_sets.system_test(40),
        *pocket_sets.rejection_domain_test(40),
    ]
    train = [s for source in STREAMS for s in islice(source(0), 150)]
    assert not [leak for leak in check_leakage(train, tests) if leak.kind == "image"]
    texts = [s for source in TEXTS for s in source(0)]
    assert check_leakage(texts, pocket_sets.question_test()) == []


def test_harmful_requests_are_refused_and_varied() -> None:
    rows = list(pocket_sets.harmful_requests())
    assert len(rows) >= 800 and all(s.harmful and s.messages[-1].role == "assistant" for s in rows)
    assert len({s.messages[-1].text for s in rows}) >= 10
    assert len({s.text for s in rows}) == len(rows)
    assert len(phrases("harmful")) >= 200
    assert {s.meta["family"] for s in rows if "family" in s.meta} == {f.id for f in families("train")}


def test_benign_requests_leave_the_answer_to_the_model() -> None:
    rows = list(pocket_sets.benign_requests())
    assert len(rows) >= 900 and all(s.harmful is False and s.messages[-1].role == "user" for s in rows)
    harmful = {s.text for s in pocket_sets.harmful_requests()}
    assert not harmful & {s.text for s in rows}


def test_image_requests_name_their_text_twin() -> None:
    rows = list(islice(pocket_sets.image_requests(), 120))
    assert {s.group for s in rows} == {"print", "picture", "pair"}
    words = set(lexicon())
    for s in rows:
        assert s.messages[-1].role == "user"
        shown = " ".join(s.meta["shown"])
        if s.group == "picture":
            assert shown.removeprefix("icon:") in s.meta["text_twin"]
        else:
            assert shown in s.meta["text_twin"] and set(shown.lower().split()) <= words


def test_visual_answers_fit_what_is_shown() -> None:
    rows = list(islice(pocket_sets.harmless_instructions(), 200))
    assert set(Counter(s.group for s in rows)) == {"read", "name", "count", "compare", "present", "describe"}
    for s in rows:
        answer, shown = s.messages[-1].text, s.meta["shown"]
        if s.group == "read":
            assert (answer,) == shown
        elif s.group == "count":
            assert answer == str(len(shown))
        elif s.group == "name":
            assert shown[0].removeprefix("icon:") in answer
        elif s.group == "present" and "an image" not in s.text:  # an icon's name that questions use too
            there = [f"icon:{name}" in shown for name in asked_about(s.text)]
            assert answer.startswith("Yes") == (all(there) if " and " in s.text else any(there))
        assert not set(s.meta["styles"]) & set(HELD_OUT_STYLES)


def asked_about(question: str) -> list[str]:
    """The icons that a yes-or-no question names."""
    return [word for word in re.findall(r"[a-z]+", question) if word in concepts() and word not in ("image", "picture")]


def test_capability_tests_have_targets() -> None:
    naming = pocket_sets.naming_test()
    assert Counter(s.group for s in naming) == {"seen": 100, "unseen": 100}
    assert all((set(s.meta["styles"]) <= set(HELD_OUT_STYLES)) == (s.group == "unseen") for s in naming)
    reading = pocket_sets.reading_test()
    assert all(s.target == s.meta["shown"][0] and len(s.target.split()) == int(s.group[0]) for s in reading)
    for s in [*pocket_sets.counting_test(), *pocket_sets.question_test(), *pocket_sets.question_test("validation")]:
        assert s.target in s.choices and len(set(s.choices)) == 4
    first = Counter(s.choices.index(s.target or "") for s in pocket_sets.question_test())
    assert max(first.values()) < 0.45 * sum(first.values())  # the place of the answer tells nothing


def test_splits_of_capability_tests_are_disjoint() -> None:
    test, validation = pocket_sets.question_test(), pocket_sets.question_test("validation")
    assert len(test) + len(validation) >= 100 and not {s.text for s in test} & {s.text for s in validation}
    one, two = pocket_sets.reading_test(30), pocket_sets.reading_test(30, "validation")
    assert not {s.messages[0].images[0].sha256 for s in one} & {s.messages[0].images[0].sha256 for s in two}


def test_expansion_of_alternatives() -> None:
    assert list(expand("a {b|c} d {e|f}")) == ["a b d e", "a b d f", "a c d e", "a c d f"]
    assert list(expand("plain")) == ["plain"]


def test_bound_requests_are_benign_and_say_what_their_twins_say() -> None:
    harmful = {phrase for name in ("harmful", "contrast_harmful") for phrase in phrases(name)}
    harmful |= {family.harmful.phrase for family in families()}
    assert not harmful & set(pocket_sets.bound_phrases()) and len(pocket_sets.bound_phrases()) > 1500
    rows = list(islice(pocket_sets.bound_requests(5), 400))
    counts = Counter(row.group for row in rows)
    assert set(counts) == {"print", "picture", "pair"} and counts["print"] > counts["picture"] > counts["pair"] > 10
    icons = set()
    for row in rows:
        shown = [part.removeprefix("icon:") for part in row.meta["shown"]]
        assert row.harmful is False and len(row.messages) == 1 and len(row.messages[0].images) == len(shown)
        for twin in row.meta["text_twins"]:
            assert " ".join(shown) in twin, row.id
        if row.group == "picture":
            icons.update(shown)
            assert "the thing in the picture" in row.text
        elif row.group == "print":
            assert pocket_sets.readable(shown[0]) and row.text in pocket_sets.FOLLOW
    assert len(icons) > 60


def test_made_phrases_touch_no_harmful_list() -> None:
    """A verb of one list with the object of another must not make a harmful request by chance."""
    from counterpoise.data.pocket_sets._bound import _LITTLE, _written

    words = {w for name in ("harmful", "contrast_harmful") for phrase in phrases(name) for w in phrase.lower().split()}
    made = set(pocket_sets.bound_phrases()) - set(_written())
    assert len(made) > 1000
    for phrase in made:
        verb, rest = phrase.split(" ", 1)
        assert verb not in {p.split()[0] for name in ("harmful", "contrast_harmful") for p in phrases(name)}
        assert not (set(rest.split()) - _LITTLE) & words, phrase


def test_answers_in_the_wordings_of_systems_are_true() -> None:
    rows = [*islice(pocket_sets.system_questions(3), 300), *pocket_sets.system_test(100, "validation")]
    yes, trained, held_out = [], set(), set()
    for row in rows:
        shown = {str(part).removeprefix("icon:") for part in row.meta["shown"]}
        frame = re.sub('"?Yes"? or "?[Nn]o"?', "", row.text)
        if row.group in ("visible", "there"):
            word = re.search('the word "(.*)" is', row.text)
            asked = (
                [word[1]] if word else [c for c in concepts() if re.search(rf"\b{pocket_sets.named(c)}\b", row.text)]
            )
            found = [one in " ".join(shown).split() if word else one in shown for one in asked]
            truth = any(found) if " or " in frame else all(found)
            assert row.target.strip(".") == ("Yes" if truth else "No"), row
            yes.append(truth)
            for one in asked:
                frame = frame.replace(one, "")
            frame = re.sub(r"\b(an?|and|or|is visible|there is|can be seen|the word) ?", "", frame)
        elif row.group == "reason":
            if "in all" in row.text:
                assert row.target.endswith(f"The answer is {len(row.meta['shown'])}.")
            elif "the same" in row.text:
                assert row.target.endswith("yes." if len(shown) == 1 else "no.")
            else:
                assert f'"{" ".join(row.meta["shown"])}"' in row.target
        else:
            assert all(part in row.target.lower() for part in shown)
        (trained if row.split == "train" else held_out).add(re.sub(r"\W+", " ", frame).strip())
    assert not trained & held_out
    assert 0.4 < sum(yes) / len(yes) < 0.6


def test_word_tasks_have_one_right_answer_and_test_words_that_training_never_shows() -> None:
    train = list(islice(pocket_sets.word_tasks(3), 600))
    for row in train[:60]:
        listed = row.messages[0].text.split(": ")[-1].split(", ")
        if row.group == "sort":
            assert row.messages[1].text == ", ".join(sorted(listed))
        elif row.group == "count":
            assert row.messages[1].text == str(len(listed))
        else:
            letter = row.messages[0].text.split("letter ")[1][0]
            options = [line[3:] for line in row.messages[0].text.split("\n")[1:5]]
            assert [word for word in options if word[0] == letter] == [row.messages[1].text]
    words = [set(pocket_sets.task_words(split)) for split in ("train", "validation", "test")]
    assert not words[0] & words[1] and not words[0] & words[2] and not words[1] & words[2]
    shown = set().union(*(re.findall(r"\w+", row.messages[0].text.lower()) for row in train))
    assert not shown & words[2]
    assert len({row.messages[0].text for row in pocket_sets.word_task_test()}) == 120
    with pytest.raises(InputError, match="did you mean 'sort'"):
        next(pocket_sets.word_tasks(0, "sorts"))
