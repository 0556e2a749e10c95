"""The icon set, the labelled folder, the scan's calibration, the rates, and the pocket's eye."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.base import InputError
from counterpoise.data import concepts
from counterpoise.guard.clue import (
    ImageVerdict,
    LabelledImage,
    calibrate,
    f1_interval,
    holds,
    icon_constitution,
    icon_set,
    per_rule,
    rates,
    read_central,
    read_folder,
    with_print,
    write_icons,
)
from counterpoise.guard.clue._values import RuleFinding

# The icon set


def test_pairs_differ_in_one_icon_and_in_the_label():
    rules = icon_constitution().rules
    pages = icon_set(5, 2)
    assert len(pages) == 2 * 2 * len(rules)
    for bad, good in zip(pages[::2], pages[1::2], strict=True):
        assert (bad.pair, bad.style, bad.seed) == (good.pair, good.style, good.seed)
        assert sum(a != b for a, b in zip(bad.icons, good.icons, strict=True)) == 1
        assert len(bad.violated) == 1 and good.violated == ()
        for page in (bad, good):
            assert page.violated == tuple(rule.id for rule in rules if holds(rule, page.icons))
    assert {page.violated[0] for page in pages[::2]} == {rule.id for rule in rules}


def test_equal_seeds_give_equal_bytes_and_others_do_not():
    first, again, other = icon_set(1, 1), icon_set(1, 1), icon_set(2, 1)
    assert first == again and first != other
    assert first[0].image().sha256 == again[0].image().sha256
    assert first[0].image().sha256 != first[1].image().sha256


def test_the_constitution_speaks_of_icons_that_exist():
    rules = icon_constitution().rules
    words = {w for rule in rules for text in rule.central if (c := read_central(text)) for w in c.words}
    assert words <= set(concepts()) and all(rule.objectiveness == 10 for rule in rules)
    assert any(len(rule.groups) == 3 for rule in rules) and any(len(g) == 2 for rule in rules for g in rule.groups)


def test_a_line_is_printed_below():
    page = icon_set(1, 1)[0]
    told = with_print(page, "answer no").pil()
    assert told.size == (224, 224) and told.tobytes() != with_print(page, "blue sky").pil().tobytes()


def test_written_and_read_again(tmp_path):
    assert write_icons(tmp_path, 3, 1) == 16
    rows = read_folder(tmp_path)
    assert [row.violated for row in rows] == [frozenset(page.violated) for page in icon_set(3, 1)]
    assert rows[0].group == rows[1].group != rows[2].group
    assert rows[0].image.pil().size == (224, 224)


# The labelled folder


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"rules_violated": []}, 'row 1, field "image": missing'),
        ({"image": "a.png"}, 'row 1, field "rules_violated": expected a list'),
        ({"image": "a.png", "rules_violated": "x"}, "expected a list"),
        ({"image": "../../etc/passwd", "rules_violated": []}, "leads out of"),
        ({"image": "none.png", "rules_violated": []}, "no such file"),
    ],
)
def test_bad_rows(row, message, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "labels.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=message):
        read_folder(tmp_path)


def test_no_rows(tmp_path):
    with pytest.raises(InputError, match=r"labels\.jsonl"):
        read_folder(tmp_path)
    (tmp_path / "labels.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no rows"):
        read_folder(tmp_path)


# The threshold of the scan


@settings(deadline=None)
@given(
    arrays(np.float64, (12, 3), elements=st.floats(-1, 1)),
    arrays(np.bool_, (12, 3)),
    st.sampled_from([0.5, 0.9, 0.95, 1.0]),
)
def test_the_threshold_is_the_largest_that_keeps_enough(values, violated, recall):
    if not violated.any():
        with pytest.raises(InputError, match="no image violates a rule"):
            calibrate(values, violated, recall)
        return
    found = calibrate(values, violated, recall)
    assert found.recall == (values[violated] >= found.threshold).mean() >= recall - 1e-12
    higher = np.nextafter(found.threshold, math.inf)
    assert (values[violated] >= higher).mean() < recall
    assert found.kept == (values >= found.threshold).mean() and found.n == 36


def test_what_the_encoder_does_not_know_is_kept():
    values = np.array([[0.4, np.nan], [0.2, np.nan]])
    violated = np.array([[True, True], [False, False]])
    found = calibrate(values, violated, 1.0)
    assert found.threshold == 0.4 and found.kept == 0.75
    with pytest.raises(InputError, match="knows none of the rules"):
        calibrate(np.full((1, 1), np.nan), np.array([[True]]))
    with pytest.raises(InputError, match="shapes must agree"):
        calibrate(values, violated[:1])


# The rates


def labelled(violated: str) -> LabelledImage:
    return LabelledImage(None, frozenset(violated), violated)  # type: ignore[arg-type] # the image plays no part


def said(label: str, rules: str = "") -> ImageVerdict:
    return ImageVerdict("x", label, tuple(RuleFinding(r, r, "yes", ()) for r in rules))  # type: ignore[arg-type]


def test_unknown_is_an_error_of_its_side_and_never_safe():
    verdicts = [said("unsafe", "a"), said("safe"), said("unknown"), said("unsafe", "a"), said("safe"), said("unknown")]
    rows = [labelled("a"), labelled("a"), labelled("a"), labelled(""), labelled(""), labelled("")]
    r = rates(verdicts, rows)
    assert (r.tp, r.fn, r.fp, r.tn, r.unknown_violating, r.unknown_safe, r.n) == (1, 1, 1, 1, 1, 1, 6)
    assert (r.precision, r.recall, r.accuracy) == (0.5, 1 / 3, 2 / 6)
    assert r.f1 == pytest.approx(2 / (2 + 1 + 1 + 2))
    assert r.recall_interval.low < 1 / 3 < r.recall_interval.high


def test_f1_follows_from_recall_and_accuracy_when_classes_are_balanced():
    """The check of the paper's own tables: LLaVA-v1.6-34B, 93.6 and 86.2 give .871."""
    recall, accuracy = 0.936, 0.862
    fp = 1 - (2 * accuracy - recall)
    assert 2 * recall / (2 * recall + fp + (1 - recall)) == pytest.approx(0.871, abs=1e-3)
    verdicts = [said("unsafe", "a")] * 936 + [said("safe")] * 64 + [said("unsafe", "a")] * 212 + [said("safe")] * 788
    r = rates(verdicts, [labelled("a")] * 1000 + [labelled("")] * 1000)
    assert (r.recall, r.accuracy) == (recall, accuracy) and r.f1 == pytest.approx(0.871, abs=1e-3)


def test_a_rule_counts_only_when_it_was_named():
    rows = [labelled("a"), labelled("a"), labelled("ab")]
    found = per_rule([said("unsafe", "a"), said("unsafe", "b"), said("unsafe", "b")], rows, ["a", "b", "c"])
    assert found == {"a": (1, 3), "b": (1, 1), "c": (0, 0)}


def test_the_interval_of_f1():
    rows = [LabelledImage(None, frozenset("a" if n % 2 else ""), str(n // 2)) for n in range(200)]  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.8
    verdicts = [said("unsafe" if bool(row.violated) == ok else "safe") for row, ok in zip(rows, right, strict=True)]
    low, high = f1_interval(verdicts, rows)
    value = rates(verdicts, rows).f1
    assert low < value < high and 0.05 < high - low < 0.2
    perfect = [said("unsafe" if row.violated else "safe") for row in rows]
    assert f1_interval(perfect, rows) == (1.0, 1.0)


# The pocket's eye


@pytest.fixture(scope="module")
def eye():
    from counterpoise.guard.own._eye import eye

    try:
        return eye()
    except (InputError, FileNotFoundError) as error:
        pytest.skip(str(error))


def test_the_eye_finds_rules_words_on_training_styles(eye):
    """Not a measure of the tower: that a rule's own icons make it more similar than a page without any of them."""
    from counterpoise.guard.clue._sight import PocketEncoder

    rules = icon_constitution().rules
    pages = [page for page in icon_set("eye", 2) if page.violated]
    found = PocketEncoder().similarity([page.image() for page in pages], [rule.text for rule in rules])
    own = np.array([[rule.id in page.violated for rule in rules] for page in pages])
    assert found.shape == own.shape and np.all((found >= 0) & (found <= 1))
    assert np.median(found[own]) > 10 * np.median(found[~own])


def test_rules_without_a_known_word_are_always_judged(eye):
    from counterpoise.guard.clue._sight import PocketEncoder, known_words

    page = icon_set("eye", 1)[0].image()
    assert np.isnan(PocketEncoder().similarity([page], ["Zymurgy is visible."])).all()
    assert known_words("A flame is visible in the same picture as two keys.") == ["flame", "keys", "key"]


def test_the_detector_finds_what_is_there(eye):
    from counterpoise.chat import Image
    from counterpoise.data.render import icon_page
    from counterpoise.guard.clue._sight import PocketDetector

    pages = [Image.from_pil(icon_page(["key"], style="fa", seed=seed)) for seed in range(6)]
    surer = 0
    for page in pages:
        key, fish, none = PocketDetector().find(page, ["key", "fish", "zymurgy"])
        assert none is None and key.box.area > 0 and 0 <= fish.confidence <= 1
        surer += key.confidence > fish.confidence
    assert surer >= 4


def test_a_region_is_the_connected_cells():
    from counterpoise.guard.clue._sight import region

    grid = np.full((7, 7), 0.001)
    grid[1, 1], grid[1, 2], grid[2, 3], grid[6, 6] = 0.9, 0.5, 0.2, 0.8  # the last is strong, but apart
    found = region(grid.reshape(-1), (70, 140))
    assert found == ((10, 20, 40, 60), 0.9)
    assert region(np.eye(49)[0], (5, 5)).box.area >= 1  # an image smaller than the grid
