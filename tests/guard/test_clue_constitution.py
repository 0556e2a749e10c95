"""The constitution file, what invalidates its prepared parts, the parsers, and preparing by a model."""

import asyncio

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.guard.clue import (
    Constitution,
    Group,
    Rule,
    icon_constitution,
    inspect_asker,
    load_constitution,
    objectify,
    parse_constitution,
    prepare,
    prepare_file,
    read_central,
    read_central_line,
    read_guideline,
    read_objectiveness,
    read_preconditions,
    save_constitution,
)


def rule(**more) -> dict:
    return {
        "id": "r1",
        "text": "A dog sits at a table.",
        "preconditions": ["a dog", {"any": ["a table", "a desk"]}],
    } | more


def made(*rules: dict, **more) -> Constitution:
    return parse_constitution({"rules": list(rules), **more}, "test")


# The file


def test_round_trip(tmp_path):
    constitution = icon_constitution()
    save_constitution(tmp_path / "c.yaml", constitution)
    again = load_constitution(tmp_path / "c.yaml")
    assert again == constitution and again.hash == constitution.hash
    constitution.check_ready("icons")


def test_groups_and_central_words():
    one = made(rule(central=["[dog]", "[table]", "[desk] or [chair]"])).rules[0]
    assert one.groups == (("a dog",), ("a table", "a desk"))
    assert one.central_of(0, 0).words == ("dog",)
    assert one.central_of(1, 1) == (("desk", "chair"), "or")
    assert made(rule()).rules[0].central_of(1, 1) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rules": []}, "rules: "),
        ({"rules": [rule(), rule()]}, "rule 'r1' occurs twice"),
        ({"rules": [rule(text="  ")]}, "rule r1, text: empty"),
        ({"rules": [rule(id="../x")]}, "rule ../x, id: use letters"),
        ({"rules": [rule(objectiveness=11)]}, "rule r1, objectiveness"),
        ({"rules": [rule(central=["[dog]"])]}, "central: 1 entries for 3 precondition texts"),
        ({"rules": [rule(central=["[dog", "", ""])]}, "central words '\\[dog'"),
        ({"rules": [rule(preconditions=[{"any": []}])]}, "rule r1, preconditions"),
        ({"rules": [rule(preconditions=["a dog", " "])]}, "one is empty"),
        ({"rules": [rule(colour="red")]}, "rule r1, colour"),
        (["rules"], "expected a mapping"),
    ],
)
def test_bad_files(value, message, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(value))
    with pytest.raises(InputError, match=message) as caught:
        load_constitution(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_hostile_yaml(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_constitution(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(InputError, match="not valid YAML"):
        load_constitution(tmp_path / "x.yaml")


def test_no_preconditions_cannot_be_judged():
    with pytest.raises(InputError, match="c.yaml: rule r1: no preconditions"):
        made(rule(preconditions=[])).check_ready("c.yaml")


# The cache


def prepared(**more) -> Constitution:
    one = Rule.model_validate(rule())
    return made(rule(source_hash=one.hash_for("m", "p1")) | more, model="m", prompts="p1")


def test_prepared_parts_fit_their_text_model_and_prompts():
    fresh = prepared()
    fresh.check_ready("c")
    assert not fresh.stale(fresh.rules[0], "m", "p1")
    assert fresh.stale(fresh.rules[0], "another model", "p1")
    assert fresh.stale(fresh.rules[0], "m", "p2")
    changed = prepared(text="A cat sits at a table.")
    assert changed.stale(changed.rules[0], "m", "p1")
    with pytest.raises(InputError, match="its text changed after its preconditions were made"):
        changed.check_ready("c")
    reworded = prepared(original="No dogs at tables.")
    assert reworded.stale(reworded.rules[0], "m", "p1")


def test_parts_by_hand_are_never_stale():
    by_hand = made(rule(text="Anything else."))
    by_hand.check_ready("c")
    assert not by_hand.stale(by_hand.rules[0], "any", "any")


# The parsers


def test_preconditions_with_stray_prose_and_or_groups():
    text = """Sure! Here are the pre-conditions:
    1. a dog is visible.
    2) {a table is visible} or {a desk is visible}
    Note that all are needed.
    3. **the dog sits**
    3. a dog is visible
    Hope this helps."""
    assert read_preconditions(text) == (
        "a dog is visible",
        Group(any=("a table is visible", "a desk is visible")),
        "the dog sits",
    )
    assert read_preconditions("1. {a} or {b} or {c}") == (Group(any=("a", "b", "c")),)
    assert read_preconditions("1. {only one}") == ("only one",)


@pytest.mark.parametrize("text", ["", "There are none.", "1.", "1. none", "- N/A", "a dog is visible"])
def test_an_empty_list_is_rejected_with_a_line(text):
    with pytest.raises(InputError, match="no numbered pre-conditions"):
        read_preconditions(text)


@pytest.mark.parametrize(
    "item", ["{a} and {b}", "{a or {b}", "the {a} or {b}", "{a} or {b} visible", "{ } or {b}", "a} or b"]
)
def test_braces_that_are_no_or_group(item):
    with pytest.raises(InputError, match="with braces"):
        read_preconditions(f"1. {item}")


@settings(deadline=None)
@given(st.text())
def test_parsers_never_fail_otherwise(text):
    for parse in (read_preconditions, read_objectiveness, read_guideline, read_central):
        try:
            parse(text)
        except InputError as error:
            assert "\n" not in str(error)
    assert isinstance(read_central_line(text), str)


@settings(deadline=None)
@given(
    st.lists(st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True), min_size=1, max_size=4, unique=True),
    st.sampled_from(["and", "or"]),
)
def test_central_words_round_trip(words, joint):
    found = read_central(f" {joint} ".join(f"[{word}]" for word in words))
    assert found.words == tuple(words)
    if len(words) > 1:
        assert found.joint == joint


def test_central_words():
    assert read_central("") is None
    assert read_central("mouth") == (("mouth",), "or")
    for bad in ("[a] and [b] or [c]", "the [a]", "[a], [b]", "[]"):
        with pytest.raises(InputError):
            read_central(bad)
    assert read_central_line("The words are:\nCentral: [dog] and [table].\n") == "[dog] and [table]"
    assert read_central_line("I cannot say.") == "" == read_central_line("see [1], [2]")


def test_objectiveness():
    assert read_objectiveness("It is clear. Rating: [[3]] ... Rating: [[9]]") == 9
    for bad in ("9", "Rating: 9", "Rating: [[11]]", "Rating: [[0]]"):
        with pytest.raises(InputError, match="no rating"):
            read_objectiveness(bad)
    assert (
        read_guideline('I changed it.\n**Guideline:** "Legs open by more than 90 degrees."')
        == "Legs open by more than 90 degrees."
    )


# Preparing


class Scripted:
    """A model that says what the test wrote, by the kind of question; it counts what it was asked."""

    def __init__(self, ratings=(6, 9)):
        self.ratings, self.asked = list(ratings), []

    async def __call__(self, prompt: str) -> str:
        kinds = {"impartial judge": "rate", "Rewrite it": "rewrite", "extracting": "split", "central object": "central"}
        kind = next(name for words, name in kinds.items() if words in prompt)
        self.asked.append(kind)
        return {
            "rate": lambda: f"Clear enough. Rating: [[{self.ratings.pop(0)}]]",
            "rewrite": lambda: "Guideline: A dog's body touches a table.",
            "split": lambda: "1. a dog\n2. {a table} or {a desk}",
            "central": lambda: "Central: [dog]",
        }[kind]()


def run(constitution: Constitution, model: str, ask) -> tuple:
    return asyncio.run(prepare(constitution, model, ask))


def test_a_vague_rule_is_rewritten_split_and_kept_until_something_changes():
    raw = made({"id": "r1", "text": "No dogs near tables."})
    first = run(raw, "m", model := Scripted())
    one = first.constitution.rules[0]
    assert first.made == ("r1",) and model.asked == [
        "rate",
        "rewrite",
        "rate",
        "split",
        "central",
        "central",
        "central",
    ]
    assert (one.text, one.original, one.objectiveness) == ("A dog's body touches a table.", "No dogs near tables.", 9)
    assert one.groups == (("a dog",), ("a table", "a desk")) and one.central == ("[dog]",) * 3
    first.constitution.check_ready("c")
    again = run(first.constitution, "m", model := Scripted())
    assert again.kept == ("r1",) and not model.asked and again.constitution == first.constitution
    assert run(first.constitution, "another", Scripted((9,))).made == ("r1",)
    edited = one.model_copy(update={"text": "A cat touches a table."})
    assert run(first.constitution.model_copy(update={"rules": (edited,)}), "m", Scripted((9,))).made == ("r1",)


def test_changed_prompts_invalidate(monkeypatch):
    from counterpoise.guard.clue import _constitution

    first = run(made({"id": "r1", "text": "No dogs."}), "m", Scripted((9,))).constitution
    monkeypatch.setattr(_constitution.Rule.hash_for, "__defaults__", ("2-other",))
    assert run(first, "m", Scripted((9,))).made == ("r1",)


def test_hand_written_rules_are_left_alone():
    constitution = made(rule())
    result = run(constitution, "m", model := Scripted())
    assert result.kept == ("r1",) and not model.asked and result.constitution == constitution


def test_a_rule_that_stays_vague_fails_alone(tmp_path):
    ask = Scripted((5,) * 6)
    result = run(made({"id": "vague", "text": "Nothing ugly."}, rule(id="good")), "m", ask)
    assert result.kept == ("good",) and "rates 5 of 10 after 5 versions" in result.failed["vague"]
    assert result.constitution.rules[0].text == "Nothing ugly."
    with pytest.raises(InputError, match="2 versions"):
        asyncio.run(objectify("x", Scripted((1, 2, 3)), rounds=2))


def test_a_real_inspect_model_prepares_a_file(tmp_path):
    """Inspect's own mock provider stands for any of its providers."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    replies = ["Rating: [[10]]", "1. a dog is visible", "Central: [dog]"]
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in replies]
    for output in outputs:
        output.usage = ModelUsage()  # without it Inspect counts tokens with a tokenizer that it downloads
    model = get_model("mockllm/model", custom_outputs=outputs)
    file = tmp_path / "c.yaml"
    file.write_text("rules: [{id: r1, text: A dog is visible.}]")
    result = prepare_file(file, "mockllm/model", inspect_asker(model))
    assert result.made == ("r1",) and not result.failed
    saved = load_constitution(file)
    assert saved.model == "mockllm/model" and saved.rules[0].central == ("[dog]",)
    saved.check_ready("c")


def test_an_unknown_provider():
    with pytest.raises(InputError, match="nowhere/model"):
        inspect_asker("nowhere/model")
