"""The published format of MIS: what is written is read back, empty labels are counted, wrong rows are one line."""

import json

import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import MISRecord, read_mis_train, write_mis_test, write_mis_train
from counterpoise.evals.cards._mis import read as read_test

IMAGES = [Image.from_pil(tiny.picture(seed), f"p{seed}") for seed in range(4)]


def row(name="7", images=(0, 1), question="What now?", answer="I see two things.", group="Violent/weapon"):
    said = (assistant(answer),) if answer is not None else ()
    asked = user(*(IMAGES[i] for i in images), question)
    return Sample(name, (asked, *said), harmful=True, modality="pair", group=group)


def rewrite(file, change):
    rows = json.loads(file.read_text())
    change(rows)
    file.write_text(json.dumps(rows))
    return file


def test_train_rows_come_back_with_images_in_order(tmp_path):
    file = write_mis_train(tmp_path, [row("a/1"), row("b", (3, 2))])
    assert file.name == "mis_train.json" and (tmp_path / "images" / "a_1" / "object2.png").is_file()
    raw = json.loads(file.read_text())
    assert raw[0]["conversations"][0] == {"from": "human", "value": "<image>\n<image>\nWhat now?"}
    record = MISRecord()
    one, two = read_mis_train(file, record=record)
    assert [i.sha256 for i in two.messages[0].images] == [IMAGES[3].sha256, IMAGES[2].sha256]
    assert one.messages[0].text.strip() == "What now?" and one.messages[1].text == "I see two things."
    assert (one.id, one.harmful, one.modality, one.group, record.rows) == ("a/1", True, "pair", "Violent/weapon", 2)


def test_test_rows_are_read_by_the_benchmark(tmp_path):
    file = write_mis_test(tmp_path, "hard", [row("x", answer=None), row("y", (2, 3), answer=None)])
    found = list(read_test(file, tmp_path, "hard"))
    assert [each.id for each in found] == ["hard/x", "hard/y"] and found[0].group == "Violent/weapon"
    assert [i.sha256 for i in found[1].messages[0].images] == [IMAGES[2].sha256, IMAGES[3].sha256]


@pytest.mark.parametrize("empty", ["", "  \n", None, "gone"])
def test_empty_labels_are_left_out_counted_and_said_once(tmp_path, capsys, empty):
    file = write_mis_train(tmp_path, [row("a"), row("b"), row("c")])

    def change(rows):
        for each in rows[:2]:
            if empty == "gone":
                del each["conversations"][1]
            else:
                each["conversations"][1]["value"] = empty

    record = MISRecord()
    assert [each.id for each in read_mis_train(rewrite(file, change), record=record)] == ["c"]
    assert record.empty_labels == ["a", "b"] and record.rows == 1
    assert capsys.readouterr().err.count("rows with an empty answer left out: 2") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1]["image"].pop(), r"row 2 \(id 'b'\).*1 images; expected two"),
        (lambda rows: rows[1].update(image=rows[1]["image"][0]), "1 images; expected two"),
        (lambda rows: rows[1]["image"].append("x.png"), "3 images; expected two"),
        (lambda rows: rows[1].pop("image"), "0 images; expected two"),
        (lambda rows: rows[1].update(image=[rows[1]["image"][0]] * 2), "the same image twice"),
        (lambda rows: rows[1].update(id="a"), "occurs twice"),
        (lambda rows: rows[1].update(image=["images/a/object1.png", "images/none.png"]), "no such image file"),
        (lambda rows: rows[1].update(image=["images/a/object1.png", "../../x.png"]), "leads outside"),
        (lambda rows: rows[1].pop("conversations"), "expected a non-empty list of turns"),
        (lambda rows: rows.append("text"), "row 3"),
    ],
)
def test_a_wrong_row_is_one_line_with_file_and_row(tmp_path, change, message):
    file = rewrite(write_mis_train(tmp_path, [row("a"), row("b")]), change)
    with pytest.raises(InputError, match=message) as caught:
        list(read_mis_train(file))
    assert "mis_train.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(images=(0,))], "1 images; expected two"),
        ([row(), row()], "its id occurs twice"),
        ([row("a/b"), row("a_b")], "its id occurs twice"),
        ([row(answer="  ")], "empty answer"),
        ([row(question="Is <image> here?")], "contains <image>"),
    ],
)
def test_nothing_is_written_of_rows_that_cannot_be_read_back(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        write_mis_train(tmp_path, rows)
    assert not (tmp_path / "mis_train.json").exists()
