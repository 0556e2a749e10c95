"""Our pairs of pictures: size, disjoint splits, safe twins that differ in one picture, labels that say what is true."""

import itertools
import re
from collections import Counter

import pytest

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.data import lexicon, pairs
from counterpoise.data._leakage import normalise
from counterpoise.data.pairs._labels import thing
from counterpoise.data.pairs._situations import PRINT, check_disjoint
from counterpoise.data.render import HELD_OUT_STYLES, styles_of
from counterpoise.evals.scorers._pair import pair_class


@pytest.fixture(scope="module")
def some():
    """Three items of every situation."""
    return [item for each in pairs.situations() for item in itertools.islice(pairs.items(each), 3)]


def test_the_set_has_1344_rows_in_six_categories_and_three_splits():
    per_split = Counter(each.split for each in pairs.situations())
    assert sum(per_split.values()) * 2 * pairs.PER_SIDE == 1344 and set(per_split) == {"train", "validation", "test"}
    assert Counter(each.category for each in pairs.situations()) == dict.fromkeys(pairs.CATEGORIES, 7)
    assert per_split == {"train": 24, "validation": 6, "test": 12}
    for split in per_split:
        assert {each.category for each in pairs.situations(split)} == set(pairs.CATEGORIES)


def test_rows_have_ids_of_their_own_and_two_pictures():
    rows = list(itertools.islice(pairs.dataset(), 200))
    assert len({row.id for row in rows}) == 200
    assert all(len(row.messages[0].images) == 2 and row.messages[-1].role == "assistant" for row in rows)
    assert len({row.messages[-1].text for row in rows}) > 190  # the wording is not one sentence over and over


def test_no_question_and_no_pair_is_in_two_splits():
    seen: dict[str, str] = {}
    for each in pairs.situations():
        for item in itertools.islice(pairs.items(each), pairs.PER_SIDE):
            for harmful in (True, False):
                for key in (each.ask[item.question], " + ".join(sorted(item.things(harmful=harmful)))):
                    assert seen.setdefault(normalise(key), each.split) == each.split, key


@pytest.mark.parametrize("field", ["ask", "pair", "calm", "id"])
def test_a_shared_question_or_pair_is_found(field):
    one, two = pairs.situations("train")[0], pairs.situations("test")[0]
    change = {
        "ask": {"ask": (*two.ask, one.ask[0].upper())},
        "pair": {"risky": (one.where[0], *two.risky), "where": (one.risky[0], *two.where)},
        "calm": {"risky": (one.risky[0], *two.risky), "calm": (one.where[0],)},
        "id": {"id": one.id},
    }[field]
    check_disjoint([one, two])
    with pytest.raises(InputError, match="occurs twice" if field == "id" else one.id):
        check_disjoint([one, two.model_copy(update=change)])


def test_every_printed_word_can_be_read_and_every_icon_drawn():
    known = set(lexicon())
    for each in pairs.situations():
        for shown in (*each.risky, *each.where, *each.harmless, *each.calm):
            if shown.startswith(PRINT):
                assert set(re.findall("[a-z]+", shown)) <= known, shown
            else:
                assert styles_of(shown, held_out=False), shown


def test_a_safe_twin_has_the_same_question_and_one_other_picture(some):
    for item in some:
        one, two = pairs.sample(item, harmful=True), pairs.sample(item, harmful=False)
        assert one.text == two.text and one.cluster == two.cluster and (one.harmful, two.harmful) == (True, False)
        same = [a.sha256 == b.sha256 for a, b in zip(one.messages[0].images, two.messages[0].images, strict=True)]
        assert sum(same) == 1


def test_a_picture_alone_does_not_give_the_side_away():
    """A risky thing stands in safe twins too (in a calm place), and a place stands on both sides."""
    risky, safe = Counter(), Counter()
    for each in pairs.situations("train"):
        for item in itertools.islice(pairs.items(each), 64):
            risky.update(item.things(harmful=True))
            safe.update(item.things(harmful=False))
    both = sum(n for name, n in risky.items() if safe[name])
    assert both / sum(risky.values()) > 0.6


def test_the_order_is_swapped_with_the_question(some):
    for item in some[:20]:
        plain, other = (pairs.sample(item, harmful=True, control=c) for c in ("none", "swapped"))
        first, second = (i.sha256 for i in plain.messages[0].images)
        assert [i.sha256 for i in other.messages[0].images] == [second, first]
        assert other.text == plain.text.replace("first", "@").replace("second", "first").replace("@", "second")
        assert plain.target.split(" | ") == other.target.split(" | ")[::-1]


def test_white_pictures_leave_the_question_and_nothing_harmful():
    rows = pairs.samples("validation", "white")
    assert len(rows) == 6 * pairs.PER_SIDE and not any(row.harmful for row in rows)
    assert all(row.messages[0].images[0].pil().getextrema() == ((255, 255),) * 3 for row in rows[:3])
    assert all(row.target is None and row.meta["shown"] == () for row in rows)


def test_labels_say_what_the_pictures_show_and_the_rules_agree():
    """The renderer's truth, the label templates and the scorer are three texts; here they meet."""
    for each in pairs.situations():
        for item in itertools.islice(pairs.items(each), pairs.PER_SIDE):
            for harmful, labels in itertools.product((True, False), pairs.LABELS):
                target = " | ".join(thing(what) for what in item.things(harmful=harmful))
                said = pairs.answer(item, harmful=harmful, labels=labels)
                found = pair_class(Sample(item.id, (), target=target, harmful=harmful), said)
                if not harmful:
                    assert found == "unsafe", said  # answered
                elif labels == "rewritten":
                    assert found in ("reasoned", "refused") and not said.startswith("I'm sorry"), said
                else:
                    assert found == {"cot": "reasoned", "refusal": "refused"}[labels], said


def test_labels_name_pictures_in_their_order(some):
    for item in some:
        said = pairs.answer(item, harmful=True)
        first, second = item.things(harmful=True)[:: -1 if item.swapped else 1]
        assert said.index(pairs.perceived(first)) < said.index(pairs.perceived(second))


def test_training_rows_are_of_train_situations_in_training_styles_and_depend_on_the_seed():
    rows = list(itertools.islice(pairs.training_rows(3), 60))
    assert {row.split for row in rows} == {"train"} and all(row.harmful for row in rows)
    assert not {style for row in rows for style in row.meta["styles"]} & set(HELD_OUT_STYLES)
    assert len({row.meta["family"] for row in rows[:24]}) == 24  # every situation once before one comes again
    again = list(itertools.islice(pairs.training_rows(3), 60))
    assert [(r.id, r.messages[1].text) for r in rows] == [(r.id, r.messages[1].text) for r in again]
    other = list(itertools.islice(pairs.training_rows(4), 60))
    assert not {row.id for row in rows} & {row.id for row in other}
    twins = list(itertools.islice(pairs.training_twins(3), 60))
    assert [t.cluster for t in twins] == [r.cluster for r in rows] and not any(t.harmful for t in twins)


def test_unknown_split_or_control_is_one_line():
    with pytest.raises(InputError, match="choose train, validation or test"):
        pairs.samples("dev")
    with pytest.raises(InputError, match="choose none, swapped, white"):
        pairs.samples("test", "black")
