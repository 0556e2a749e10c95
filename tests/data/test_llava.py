"""LLaVA / ShareGPT files: what is read, and one line for each way in which they can be broken."""

import json
from pathlib import Path

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import SampleFile, draw, read_llava, shuffled, write_samples


def row(identity: object = 7, image: object = "a.png", *turns: str) -> dict:
    texts = turns or ("<image>\nWhat is this?", "A red square.")
    names = ("human", "gpt")
    value = {"id": identity, "conversations": [{"from": names[i % 2], "value": t} for i, t in enumerate(texts)]}
    return value | ({"image": image} if image is not None else {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        PIL.Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    return tmp_path


def write(folder: Path, rows: list, name: str = "rows.json") -> Path:
    file = folder / name
    text = "\n".join(json.dumps(r) for r in rows) if name.endswith("l") else json.dumps(rows, indent=1)
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_reads_rows_with_no_one_and_two_images(folder: Path, name: str) -> None:
    two = row("t", ["a.png", "b.png"], "<image>\n<image>\nCompare.", "One is red.")
    samples = list(read_llava(write(folder, [row(), row("x", None, "Hello", "Hi."), two], name)))
    assert [s.id for s in samples] == ["7", "x", "t"]
    assert [len(s.messages[0].images) for s in samples] == [1, 0, 2]
    assert samples[0].messages[0].parts[1] == "What is this?"
    assert samples[0].messages[1].text == "A red square."
    assert samples[2].meta == {"source": name, "row": 3}


def test_a_mark_in_a_later_turn_keeps_its_place(folder: Path) -> None:
    (sample,) = read_llava(write(folder, [row(1, "a.png", "Hello", "Hi.", "And this <image>\nhere?", "Red.")]))
    assert [len(m.images) for m in sample.messages] == [0, 0, 1, 0]
    assert [type(p) for p in sample.messages[2].parts] == [str, Image, str]


def test_images_without_marks_stand_before_the_first_question(folder: Path) -> None:
    (sample,) = read_llava(write(folder, [row(1, "a.png", "What is this?", "Red.")]))
    assert isinstance(sample.messages[0].parts[0], Image)


@pytest.mark.parametrize(
    ("bad", "field", "problem"),
    [
        ({"id": 1}, "conversations", "non-empty list"),
        (row(1, "none.png"), "image", "no such image file"),
        (row(1, "../../etc/passwd"), "image", "outside"),
        (row(1, "/etc/passwd"), "image", "outside"),
        (row(1, "a\0.png"), "image", "path"),
        (row(1, 5), "image", "path"),
        (row(1, ["a.png", "b.png"]), "image", "1 <image> marks for 2 images"),
        (row(1, None), "image", "1 <image> marks for 0 images"),
        (row(1, "a.png", "<image>\nWhat?", " "), "conversations[1].value", "empty"),
        (row(1, "a.png", "<image>\nWhat?"), "conversations", "must be from gpt"),
        (row([1]), "id", "text or a number"),
        ({"id": 1, "conversations": [{"from": "bot", "value": "x"}]}, "conversations[0].from", "human, gpt"),
        ({"id": 1, "conversations": [{"from": "gpt", "value": "x"}]}, "role", "expected user"),
    ],
)
def test_a_bad_row_is_one_line_with_file_row_and_field(folder: Path, bad: dict, field: str, problem: str) -> None:
    file = write(folder, [row(), bad])
    with pytest.raises(InputError) as caught:
        list(read_llava(file))
    message = str(caught.value)
    assert str(file) in message and "row 2" in message and field in message and problem in message
    assert "\n" not in message


def test_a_link_out_of_the_root_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "c.png"
    PIL.Image.new("RGB", (8, 8)).save(outside)
    (folder / "link.png").symlink_to(outside)
    with pytest.raises(InputError, match="outside"):
        list(read_llava(write(folder, [row(1, "link.png")])))


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_truncated_json_says_so(folder: Path, cut: int) -> None:
    file = write(folder, [row(i) for i in range(3)])
    file.write_text(file.read_text()[:-cut])
    with pytest.raises(InputError, match="truncated"):
        list(read_llava(file))


def test_rows_longer_than_a_piece_and_text_beyond_ascii(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterpoise.data._llava._PIECE", 7)
    file = folder / "rows.json"
    rows = [row(i, None, "Füße " * 20, f"“{i}”") for i in range(5)]
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    samples = list(read_llava(file))
    assert [s.messages[1].text for s in samples] == [f"“{i}”" for i in range(5)]


def test_an_empty_list_and_an_empty_file_have_no_rows(folder: Path) -> None:
    assert list(read_llava(write(folder, []))) == []
    (folder / "empty.json").write_text("")
    assert list(read_llava(folder / "empty.json")) == []


def samples(n: int) -> list[Sample]:
    return [Sample(str(i), (user(f"Question {i}"), assistant("Yes.")), meta={"source": "s"}) for i in range(n)]


def test_a_draw_depends_on_rows_and_seed_only() -> None:
    rows = samples(50)
    drawn = draw(rows, 10, seed=3, purpose="p")
    assert drawn == draw(reversed(rows), 10, seed=3, purpose="p") == draw(rows + rows, 10, seed=3, purpose="p")
    assert len({s.id for s in drawn}) == 10
    assert drawn != draw(rows, 10, seed=4, purpose="p") and drawn != draw(rows, 10, seed=3, purpose="q")
    assert draw(rows, 0, seed=0, purpose="p") == [] and len(draw(rows, 99, seed=0, purpose="p")) == 50
    assert shuffled(rows, seed=1) == shuffled(rows[::-1], seed=1)


def test_draws_are_uniform() -> None:
    rows = samples(20)
    counts = dict.fromkeys((s.id for s in rows), 0)
    for seed in range(400):
        for sample in draw(rows, 5, seed=seed, purpose="p"):
            counts[sample.id] += 1
    # 100 expected each, standard deviation sqrt(400 x 1/4 x 3/4) = 8.7
    assert max(abs(count - 100) for count in counts.values()) < 4 * 8.7


def test_written_samples_come_back_row_by_row(folder: Path) -> None:
    in_memory = Image.from_pil(PIL.Image.new("RGB", (9, 9), "green"))
    rows = [
        Sample("a", (user(Image.from_path(folder / "a.png"), "What?"), assistant("Red.")), meta={"source": "s"}),
        Sample("b", (user("See ", in_memory, "\nthis"), assistant("Green.")), rejection=True, meta={"source": "s"}),
        Sample("c", (user(in_memory, in_memory, "Same?"), assistant("Yes.")), meta={"source": "s"}),
    ]
    first = write_samples(folder / "one" / "mix.jsonl", rows)
    assert first == write_samples(folder / "two" / "mix.jsonl", rows)
    read = SampleFile(folder / "one" / "mix.jsonl")
    assert len(read) == 3 and [s.id for s in read] == ["a", "b", "c"]
    for old, new in zip(rows, read, strict=True):
        assert [m.text for m in old.messages] == [m.text for m in new.messages]
        assert [type(p) for p in old.messages[0].parts] == [type(p) for p in new.messages[0].parts]
        assert [i.sha256 for i in old.messages[0].images] == [i.sha256 for i in new.messages[0].images]
        assert old.rejection == new.rejection
    assert read[-1].id == "c"


def test_text_that_looks_like_a_mark_is_not_written(folder: Path) -> None:
    with pytest.raises(InputError, match="<image>"):
        write_samples(folder / "mix.jsonl", [Sample("a", (user("what is <image>?"), assistant("A tag.")))])
