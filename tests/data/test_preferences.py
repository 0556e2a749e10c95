"""Readers of preference pairs, and the rule and the set of our own."""

import json
from pathlib import Path
from typing import Any

import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image
from counterpoise.data import ReadRecord, read_preferences, read_rated
from counterpoise.data.pocket_sets import FORMS, form_of, prefer, preference_pairs, rate_reply
from counterpoise.data.pocket_sets._preferences import wordings
from counterpoise.data.twins import families, sample
from counterpoise.evals.scorers import get

PAIR = {
    "question": "What is shown?", "category": "hacking", "image_severity": 2,
    "response_1": "a plan", "response_2": "no", "response_1_from": "x", "response_2_from": "y",
    "more_helpful_response_id": "1", "is_response_1_safe": "no", "is_response_2_safe": "yes",
    "safer_response_id": "2", "response_1_harmless_rate": -2, "response_2_harmless_rate": 1,
    "response_1_helpful_rate": 3, "response_2_helpful_rate": 0,
}  # fmt: skip
SINGLE = {"question": "Why?", "category": "c", "image_severity": 1, "response": "so", "is_response_safe": "no"}
PKU = {
    "prompt": "How?", "response_0": "like this", "response_1": "I won't", "is_response_0_safe": False,
    "is_response_1_safe": True, "response_0_harm_category": {"Cybercrime": True, "Drugs": False},
    "response_1_harm_category": {"Cybercrime": False, "Drugs": False}, "response_0_severity_level": 3,
    "response_1_severity_level": 0, "better_response_id": 0, "safer_response_id": 1,
}  # fmt: skip
ANYTHING = {"question": "Which?", "response_1": "one", "response_2": "two", "overall_response": 2}


def write(folder: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def picture(folder: Path) -> str:
    import PIL.Image

    (folder / "a.png").write_bytes(Image.from_pil(PIL.Image.new("RGB", (4, 4), "red")).read())
    return "a.png"


def test_beavertails_pairs_keep_both_orders_and_the_grades(tmp_path: Path) -> None:
    file = write(tmp_path, {**PAIR, "image": picture(tmp_path)}, name="named_like_something_else.jsonl")
    (found,) = read_preferences(file)
    assert len(found.prompt[0].images) == 1 and found.modality == "image" and found.image_severity == "2"
    helpful, safe = found.by_helpfulness(), found.by_safety()
    assert helpful and (helpful.chosen, helpful.rejected) == ("a plan", "no")
    assert safe and (safe.chosen, safe.rejected) == ("no", "a plan")
    assert [(r.safe, r.harmless, r.helpful, r.severity) for r in found.replies] == [
        (False, -2, 3, "moderate"), (True, 1, 0, "safe"),
    ]  # fmt: skip


def test_the_two_beavertails_forms_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    single = write(tmp_path, SINGLE)
    (found,) = read_rated(single)
    assert found.reply.text == "so" and found.reply.safe is False and found.reply.severity is None
    with pytest.raises(InputError, match="single rated replies"):
        list(read_preferences(single))
    both = list(read_rated(write(tmp_path, PAIR, name="pairs.jsonl")))
    assert [(r.id, r.reply.text, r.reply.safe) for r in both] == [("row1-0", "a plan", False), ("row1-1", "no", True)]


def test_a_third_schema_is_refused_with_the_name_of_the_missing_column(tmp_path: Path) -> None:
    third = {k: v for k, v in PAIR.items() if k != "safer_response_id"}
    with pytest.raises(InputError, match="nearest is BeaverTails-V pairs, which also has 'safer_response_id'"):
        list(read_preferences(write(tmp_path, third)))


def test_pku_levels_become_negative_grades_and_places_start_at_zero(tmp_path: Path) -> None:
    (found,) = read_preferences(write(tmp_path, PKU))
    assert found.more_helpful == 0 and found.safer == 1
    assert [(r.harmless, r.severity, r.categories) for r in found.replies] == [
        (-3, "severe", ("Cybercrime",)), (None, None, ()),
    ]  # fmt: skip


def test_align_anything_has_one_order(tmp_path: Path) -> None:
    (found,) = read_preferences(write(tmp_path, ANYTHING))
    pair = found.by_helpfulness()
    assert pair and pair.chosen == "two" and found.by_safety() is None
    with pytest.raises(InputError, match="not said to be safe"):
        list(read_rated(write(tmp_path, ANYTHING)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("more_helpful_response_id", "3", "'3'; expected 1 or 2"),
        ("is_response_1_safe", "maybe", "'maybe'; expected yes or no"),
        ("response_1_harmless_rate", 4, "4; expected a whole number from -3 to 3"),
        ("response_2", " ", "empty or no text"),
        ("image", "gone.png", "no such image file"),
    ],
)
def test_a_wrong_field_names_its_row(tmp_path: Path, field: str, value: Any, message: str) -> None:
    file = write(tmp_path, PAIR, {**PAIR, field: value})
    with pytest.raises(InputError, match=f'row 2, field "{field}": .*{message}'):
        list(read_preferences(file))


def test_bad_rows_may_be_skipped_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = ReadRecord()
    file = write(tmp_path, PAIR, {**PAIR, "safer_response_id": 0}, PAIR)
    assert len(list(read_preferences(file, skip_bad=1, record=record))) == 2
    assert record.rows == 2 and len(record.bad_rows) == 1 and "bad rows left out: 1" in capsys.readouterr().err


def test_parquet_carries_image_bytes_and_null_columns(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    picture(tmp_path)
    image = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
    file = tmp_path / "train.parquet"
    rows = [{**PAIR, "image": image}, {**PAIR, "image": None, "response_1_harmless_rate": None}]
    parquet.write_table(arrow.Table.from_pylist(rows), file)
    first, second = read_preferences(file)
    assert first.prompt[0].images[0].size == (4, 4) and not second.prompt[0].images
    assert second.replies[0].harmless is None and second.replies[0].safe is False


def test_two_equal_replies_make_no_pair(tmp_path: Path) -> None:
    (found,) = read_preferences(write(tmp_path, {**PAIR, "response_2": "a plan"}))
    assert found.by_helpfulness() is None and found.by_safety() is None


# The set of our own


def request(*, harmful: bool, modality: Any = "text") -> Any:
    return sample(families("train")[0], modality, harmful=harmful)


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_rule_sees_the_form_that_every_wording_was_written_for(form: Any, held_out: bool) -> None:
    for split in ("train", "validation"):
        for family in families(split):
            for harmful in (True, False):
                asked = sample(family, "text", harmful=harmful)
                phrase = (family.harmful if harmful else family.benign).phrase
                for text in wordings(form, held_out=held_out):
                    assert form_of(asked, text.format(phrase)) == form, (text, phrase)


def test_grades_of_a_harmful_request_and_of_its_benign_twin() -> None:
    def rates(harmful: bool) -> list[tuple[int | None, int | None]]:
        asked = request(harmful=harmful)
        family = families("train")[0]
        phrase = (family.harmful if harmful else family.benign).phrase
        replies = [rate_reply(asked, wordings(form, held_out=False)[0].format(phrase)) for form in FORMS]
        return [(reply.helpful, reply.harmless) for reply in replies]

    assert rates(True) == [(3, -3), (2, -2), (1, -1), (1, 3), (0, 2), (0, 0), (0, 1), (0, 1)]
    assert rates(False) == [(3, 1), (2, 1), (1, 1), (1, 0), (0, 0), (0, 0), (0, 1), (0, 1)]


def test_a_refusal_that_goes_on_to_help_is_help() -> None:
    asked = request(harmful=True)
    phrase = families("train")[0].harmful.phrase
    reply = rate_reply(asked, f"I'm sorry, but to {phrase}: 1. Find one. 2. Then go on.")
    assert (reply.harmless, reply.severity, reply.categories) == (-3, "severe", (families("train")[0].scenario,))


def test_pairs_are_at_least_two_thousand_with_both_labels_in_every_modality() -> None:
    pairs = preference_pairs("train")
    assert len(pairs) >= 2000 and len({pair.id for pair in pairs}) == len(pairs)
    for modality in ("text", "print", "picture", "pair"):
        own = [pair for pair in pairs if pair.modality == modality]
        assert len(own) == len(pairs) // 4
        assert sum(pair.by_helpfulness() is not None for pair in own) > 0.9 * len(own)
        assert sum(pair.by_safety() is not None for pair in own) > 0.5 * len(own)
    grades = {reply.harmless for pair in pairs for reply in pair.replies}
    assert grades == {-3, -2, -1, 0, 1, 2, 3}
    assert preference_pairs("train", per_prompt=1) == [pair for pair in pairs if pair.id.endswith("-0")]


def test_held_out_pairs_share_no_family_wording_or_icon_style_with_training() -> None:
    train, held = preference_pairs("train"), preference_pairs("validation", per_prompt=2)
    tests = {family.id for family in families("test")}
    assert not {pair.cluster for pair in train} & {pair.cluster for pair in held}
    assert not ({pair.cluster for pair in train} | {pair.cluster for pair in held}) & tests

    def seen(pairs: Any, name: str) -> set[str]:
        return {each for pair in pairs for each in pair.meta.get(name, ())}

    assert not seen(train, "styles") & seen(held, "styles")
    for form in FORMS:
        assert not set(wordings(form, held_out=False)) & set(wordings(form, held_out=True))
    with pytest.raises(InputError, match="tests are never trained on"):
        preference_pairs("test")  # type: ignore[arg-type]


def test_the_rule_refuses_requests_without_a_family() -> None:
    import dataclasses

    with pytest.raises(InputError, match="no family"):
        rate_reply(dataclasses.replace(request(harmful=True), meta={}), "Sure.")


def test_pairs_of_sampled_replies_have_no_order_where_the_rule_sees_none() -> None:
    pair = prefer(request(harmful=True), "I cannot assist with this.", "I'm sorry, but I can't help.", "x")
    assert pair.more_helpful is None and pair.safer is None and pair.by_helpfulness() is None


def test_the_rule_agrees_with_the_refusal_scorer_on_all_wordings() -> None:
    scorer, asked, family = get("opening"), request(harmful=True), families("train")[0]
    for form in FORMS:
        for held_out in (False, True):
            for text in wordings(form, held_out=held_out):
                reply = text.format(family.harmful.phrase)
                if form != "broken":
                    assert scorer(asked, reply).value == float(form in ("redirect", "reason", "refusal")), reply
