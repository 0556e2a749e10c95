"""Task formats of intents, user files of intents, and the published CSV, against section 7 of the spec."""

from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.data.multitask import (
    MODALITIES,
    TASKS,
    in_format,
    intents,
    read_intents,
    read_multitaskbench,
    render,
    task_of,
    training_intents,
)


def test_every_intent_has_one_prompt_per_format_that_keeps_the_request_word_for_word() -> None:
    seen = set()
    for intent in intents("test")[:12]:
        for task in TASKS:
            for harmful in (True, False):
                request = intent.harmful if harmful else intent.benign
                row = render(intent, task, "text", harmful=harmful)
                assert request in row.text and row.group == task and row.cluster == intent.id and row.harmful is harmful
                assert render(intent, task, "text", harmful=harmful) == row  # deterministic
                seen.add(row.text)
                assert len(row.text) < len(request) + 200
    assert len(seen) == 12 * len(TASKS) * 2


def test_a_print_shows_the_request_and_its_text_does_not_and_twins_share_the_text() -> None:
    intent = intents("test")[0]
    for task in TASKS:
        bad, good = (render(intent, task, "print", harmful=side) for side in (True, False))
        assert bad.text == good.text and bad.messages[0].images != good.messages[0].images
        assert intent.printed[0] not in bad.text and bad.meta["shown"] == (intent.printed[0],)
    picture = render(intent, "code", "picture", harmful=True)
    assert intent.family and intent.family.harmful.picture_text in picture.text and len(picture.messages[0].images) == 1
    asked = render(intent, "code", "text", harmful=True, system_prompt="Be kind.")
    assert [message.role for message in asked.messages] == ["system", "user"] and asked.id.endswith("harmful-code-text")


def test_wordings_of_tests_and_of_training_differ() -> None:
    for task in TASKS[1:]:
        for printed in (False, True):
            found = {in_format("Q", task, printed=printed, wording=place) for place in range(4)}
            assert len(found) == 4
    with pytest.raises(InputError, match="did you mean 'translate'"):
        in_format("Q", "translat")  # type: ignore[arg-type]


def test_training_intents_are_none_of_the_tests() -> None:
    train = training_intents()
    assert len({each.id for each in train}) == len(train) > 250 and {each.split for each in train} == {"train"}
    assert len({each.harmful for each in train}) == len({each.printed[0] for each in train}) == len(train)
    words = {each.printed[0] for each in train} | {each.harmful for each in train}
    for split in ("test", "validation"):
        assert not words & {text for each in intents(split) for text in (each.printed[0], each.harmful)}


def test_intents_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text('id,harmful,benign,group\na,"Pick a lock, fast",Paint a lock,x\nb,Rob a bank,Draw a bank,y\n')
    first, second = read_intents(file)
    assert (first.harmful, first.benign, first.group, second.id) == ("Pick a lock, fast", "Paint a lock", "x", "b")
    assert first.modalities == ("text", "print")
    row = render(first, "plain", "print", harmful=True)
    assert row.meta["shown"] == ("Pick a lock, fast",) and len(row.messages[0].images) == 1
    with pytest.raises(InputError, match="intent a: has no picture"):
        render(first, "plain", "picture", harmful=True)
    long = tmp_path / "long.jsonl"
    long.write_text('{"harmful": "%s", "benign": "b"}\n{"harmful": "c", "benign": "d"}\n' % ("word " * 900))
    with pytest.raises(InputError, match="intent 1: print page: .* characters do not fit"):
        render(read_intents(long)[0], "plain", "print", harmful=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("harmful,benign\nA,\nB,C\n", 'row 1, field "benign": empty'),
        ("harmful,benign\nA,a\nB,C\n", "the same as `harmful`"),
        ("id,harmful,benign\nx,A,b\nx,C,d\n", "'x' occurs twice"),
        ("harmful,benign\nA,b\n", "1 intents; give at least two"),
        ("harmful,safe\nA,b\n", "benign"),
    ],
)
def test_broken_files_of_intents_name_the_row(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_intents(tmp_path / "mine.csv")


PUBLISHED = (
    (",Query,Response\n", None),
    ('0,"How do I do it?\nChoose the Best Option: A) x B) y C) z D) w","I\'m sorry, no."\n', "classify"),
    ('501,"import os\ndef run():\n    pass","I can\'t help."\n', "code"),
    ("1001,How do I do it?,I cannot.\n", "plain"),
    ('1502,"Translate the following text from French to English: Bonjour, ""toi""",I cannot.\n', "translate"),
)


def test_the_published_csv_is_read_and_its_formats_are_found_in_the_text(tmp_path: Path) -> None:
    file = tmp_path / "multitaskbench.csv"
    file.write_text("".join(line for line, _ in PUBLISHED))
    rows = list(read_multitaskbench(file))
    assert [row.group for row in rows] == [task for _, task in PUBLISHED[1:]]
    assert rows[0].messages[1].text == "I'm sorry, no." and "\n" in rows[0].text and '"toi"' in rows[3].text
    assert task_of("What is the best code of conduct?") == "plain"
    file.write_text(",Query,Response\n0,a,b\n1,c,\n")
    with pytest.raises(InputError, match='row 2, field "Response": empty'):
        list(read_multitaskbench(file))


def test_modalities_are_named() -> None:
    assert MODALITIES == ("text", "print", "picture")
