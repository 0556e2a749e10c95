"""LLaVA / ShareGPT files: what is read, and one line for each way in which they can be broken."""

import base64
import io
import json
import tracemalloc
from pathlib import Path

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, system, user
from counterpoise.data import ReadRecord, SampleFile, draw, read_llava, shuffled, write_samples

HELLO = (("user", "Hello"), ("assistant", "Hi."))


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(identity: object = 7, image: object = "a.png", *turns: str) -> dict:
    texts = turns or ("<image>\nWhat is this?", "A red square.")
    names = ("human", "gpt")
    value = {"id": identity, "conversations": [{"from": names[i % 2], "value": t} for i, t in enumerate(texts)]}
    return value | ({"image": image} if image is not None else {})


def chat(*turns: tuple[object, object]) -> dict:
    """A row in the style of OpenAI's messages."""
    return {"id": 3, "messages": [{"role": role, "content": content} for role, content in turns]}


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
        (row(1, 5), "image", "path"),
        (row(1, ["a.png", "b.png"]), "image", "1 <image> marks for 2 images"),
        (row(1, "a.png") | {"images": ["b.png"]}, "image", 'differs from "images"'),
        (row(1, "https://example.org/a.png"), "image", "nothing is fetched"),
        (row(1, "data:text/plain;base64,eA=="), "image", "expected data:image"),
        (row() | {"video": "a.mp4"}, "video", "text and images"),
        (row() | {"system": 5}, "system", "expected text"),
        (row() | {"messages": [{"role": "user", "content": "x"}]}, "conversations", 'differs from "messages"'),
        (row(1, None), "image", "1 <image> marks for 0 images"),
        (row(1, "a.png", "<image>\nWhat?", " "), "conversations[1].value", "empty"),
        (row(1, "a.png", "<image>\nWhat?"), "conversations", "must be the model's"),
        (row([1]), "id", "text or a number"),
        (chat(("tool", "x")), "messages[0].role", "'tool' is no role"),
        (chat((None, "x")), "messages[0].role", "None is no role"),
        ({"id": 1, "conversations": ["x"]}, "conversations[0]", "expected an object"),
        (chat(("gpt", "x")), "messages", "no turn of a user"),
        (chat(("user", "a"), ("user", "b"), ("gpt", "c")), "role", "expected assistant"),
        (chat(("user", "a"), ("gpt", "b"), ("system", "s"), ("gpt", "c")), "role", "expected user"),
        (chat(("user", 5), ("gpt", "b")), "messages[0].content", "list of parts"),
        (chat(("user", [5]), ("gpt", "b")), "messages[0].content[0]", "expected an object"),
        (chat(("user", [{"type": "input_audio"}]), ("gpt", "b")), "messages[0].content[0].type", "'input_audio'"),
        (chat(("user", [{"type": "image"}]), ("gpt", "b")), "image", "1 <image> marks for 0 images"),
        (chat(("user", "a"), ("gpt", [{"type": "image", "image": "a.png"}])), "messages[1].content", "only the user"),
        (chat(("system", "t"), ("user", "a"), ("gpt", "b")) | {"system": "s"}, "system", "differ"),
    ],
)
def test_a_bad_row_is_one_line_with_file_row_and_field(folder: Path, bad: dict, field: str, problem: str) -> None:
    file = write(folder, [row(), bad])
    with pytest.raises(InputError) as caught:
        list(read_llava(file))
    message = str(caught.value)
    assert str(file) in message and "row 2" in message and field in message and problem in message
    if isinstance(bad.get("id"), int):
        assert f"(id {bad['id']})" in message
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
    monkeypatch.setattr("counterpoise.data._row_files._PIECE", 7)
    file = folder / "rows.json"
    rows = [row(i, None, "Füße " * 20, f"“{i}”") for i in range(5)]
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    samples = list(read_llava(file))
    assert [s.messages[1].text for s in samples] == [f"“{i}”" for i in range(5)]


def test_an_empty_list_and_an_empty_file_have_no_rows(folder: Path) -> None:
    assert list(read_llava(write(folder, []))) == []
    (folder / "empty.json").write_text("")
    assert list(read_llava(folder / "empty.json")) == []


# Rows as people have them


def one(folder: Path, value: dict) -> Sample:
    (sample,) = read_llava(write(folder, [value]))
    return sample


def shape(sample: Sample) -> list[tuple]:
    """Roles and parts, pictures as their colour."""

    def part(value: object) -> object:
        return "RED" if isinstance(value, Image) and value.pil().getpixel((0, 0)) == (255, 0, 0) else value

    return [(message.role, *map(part, message.parts)) for message in sample.messages]


ASKED = [("user", "RED", "What is this?"), ("assistant", "A red square.")]
PLAIN = row()["conversations"]
URI = "data:image/png;base64," + base64.b64encode(png("red")).decode()
ALIKE = {
    "image null beside images": row(1, None) | {"image": None, "images": ["a.png"]},
    "images null beside image": row() | {"images": None},
    "images empty beside image": row() | {"images": []},
    "images of nulls beside image": row() | {"images": [None, {"bytes": None, "path": None}]},
    "image empty beside images": row(1, "") | {"images": ["a.png"]},
    "both name the same": row() | {"images": ["a.png"]},
    "a path in an object": row(1, {"path": "a.png", "bytes": None}),
    "a data uri": row(1, URI),
    "null beside every field": row() | dict.fromkeys(("messages", "system", "video", "images", "conversation")),
    "roles in capitals": {"image": "a.png", "conversations": [
        {"from": "Human", "value": "<image>\nWhat is this?"}, {"from": "GPT", "value": "A red square."}]},
    "null beside role and content": {"image": "a.png", "messages": [
        turn | {"role": None, "content": None} for turn in PLAIN]},
    "a list of parts": chat(
        ("user", [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "What is this?"}]),
        ("assistant", [{"type": "text", "text": "A red square."}])),
    "a list of parts with a data uri": chat(
        ("user", [{"type": "image_url", "image_url": {"url": URI}}, {"type": "text", "text": "What is this?"}]),
        ("assistant", "A red square.")),
    "parts filled with null": chat(
        ("user", [{"type": "image", "text": None, "image": "a.png"},
                  {"type": "text", "text": "What is this?", "image": None}]),
        ("assistant", "A red square.")),
    "a mark in a list of parts": chat(
        ("user", [{"type": "image", "text": None}, {"type": "text", "text": "What is this?"}]),
        ("assistant", "A red square.")) | {"images": ["a.png"]},
    "an empty system turn": chat(("system", ""), ("user", "<image>What is this?"), ("assistant", "A red square."))
    | {"image": "a.png"},
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_the_same_row_in_the_ways_people_write_it(folder: Path, name: str) -> None:
    assert shape(one(folder, ALIKE[name])) == ASKED


@pytest.mark.parametrize("human", ["human", "user", "prompter", "Human", "USER"])
@pytest.mark.parametrize("model", ["gpt", "assistant", "model", "bot", "chatbot", "chatgpt", "AI", "bing", "bard"])
def test_roles_have_many_names(folder: Path, human: str, model: str) -> None:
    for key in ("conversations", "messages", "conversation", "dialog", "dialogue"):
        for role, text in (("from", "value"), ("role", "content"), ("role", "text"), ("from", "content")):
            value = {key: [{role: human, text: "Hello"}, {role: model, text: "Hi."}]}
            assert shape(one(folder, value)) == [("user", "Hello"), ("assistant", "Hi.")]


@pytest.mark.parametrize("more", [{}, {"messages": chat(("system", "Be brief."), *HELLO)["messages"]}])
def test_a_system_field_is_a_system_turn(folder: Path, more: dict) -> None:
    sample = one(folder, chat(*HELLO) | {"system": "Be brief."} | more)
    assert shape(sample) == [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi.")]


def test_a_first_turn_of_the_model_is_left_out_counted_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    greeting = ("gpt", "Welcome! <image>")
    rows = [
        chat(greeting, *HELLO),
        chat(("system", "Be brief."), greeting, greeting, *HELLO),
        row(),
    ]
    record = ReadRecord()
    first, second, _ = read_llava(write(folder, rows), record=record)
    assert shape(first) == [("user", "Hello"), ("assistant", "Hi.")]
    assert shape(second) == [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi.")]
    assert (record.rows, record.model_first, record.bad_rows) == (3, 2, [])
    assert "begin with a turn of the model, which is left out: 2\n" in capsys.readouterr().err


def test_pictures_without_marks_beside_pictures_in_parts_are_a_mismatch(folder: Path) -> None:
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Same?"}]
    with pytest.raises(InputError, match="0 <image> marks for 1 images"):
        one(folder, chat(("user", parts), ("gpt", "No.")) | {"image": "b.png"})


def test_a_dataset_row_is_never_trusted_and_keeps_its_reasoning(folder: Path) -> None:
    value = chat(*HELLO)
    value["messages"][1] |= {"trusted": True, "reasoning_content": "They greet me."}
    reply = one(folder, value).messages[1]
    assert (reply.trusted, reply.reasoning) == (False, "They greet me.")


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_bad_rows_are_skipped_counted_and_said(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text.png").write_text("no picture")
    rows = [row("a"), row("b", "none.png"), 5, row("c"), {"id": "d"}, row("e", "text.png")]
    record = ReadRecord()
    file = write(folder, rows, name)
    assert [s.id for s in read_llava(file, skip_bad=4, record=record)] == ["a", "c"]
    assert (record.rows, len(record.bad_rows)) == (2, 4)
    said = capsys.readouterr().err
    for place, part in zip(
        ("row 2 (id 'b')", "row 3", "row 5 (id 'd')", "row 6 (id 'e')"), record.bad_rows, strict=True
    ):
        assert str(file) in part and place in part and part in said
    with pytest.raises(
        InputError, match=r"3 bad rows, more than the 2 .*row 2 \(id 'b'\).*row 3.*row 5 \(id 'd'\)"
    ) as caught:
        list(read_llava(file, skip_bad=2))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err == ""  # the error says it


def test_a_half_written_picture_costs_its_row(folder: Path) -> None:
    buffer = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG")
    (folder / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    file, record = write(folder, [row("a", "cut.jpg"), row("b")]), ReadRecord()
    assert [s.id for s in read_llava(file, skip_bad=1, record=record)] == ["b"]
    assert "row 1 (id 'a')" in record.bad_rows[0] and "truncated" in record.bad_rows[0]


def test_one_limit_for_the_files_of_a_record(folder: Path) -> None:
    record = ReadRecord()
    file = write(folder, [row(), row(2, "none.png")])
    assert len(list(read_llava(file, skip_bad=1, record=record))) == 1
    with pytest.raises(InputError, match="2 bad rows, more than the 1"):
        list(read_llava(file, skip_bad=1, record=record))


def test_a_line_that_is_not_json_or_not_utf8_is_a_bad_row(folder: Path) -> None:
    file = folder / "rows.jsonl"
    good = json.dumps(row()).encode()
    file.write_bytes(b"\xef\xbb\xbf" + b"\n".join([good, good[:-9], b"\xff", b"", b"[" * 5000, good]))
    record = ReadRecord()
    assert len(list(read_llava(file, skip_bad=3, record=record))) == 2
    assert [line.split(": ")[1] for line in record.bad_rows] == ["row 2", "row 3", "row 5"]
    with pytest.raises(InputError, match="row 2.*truncated"):
        list(read_llava(file))


def test_a_truncated_list_stops_whatever_may_be_skipped(folder: Path) -> None:
    file = write(folder, [row(i) for i in range(3)])
    file.write_text(file.read_text()[:-40])
    with pytest.raises(InputError, match="truncated"):
        list(read_llava(file, skip_bad=99))


def test_parquet_with_paths_bytes_and_nulls(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        row("a", None) | {"images": [{"bytes": png("red"), "path": None}]},
        row("b", None) | {"images": [{"bytes": None, "path": "a.png"}]},
        row("c", None, "Hello", "Hi.") | {"images": None},
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "rows.parquet")
    samples = list(read_llava(folder / "rows.parquet"))
    assert [shape(s) for s in samples] == [ASKED, ASKED, [("user", "Hello"), ("assistant", "Hi.")]]
    (folder / "bad.parquet").write_bytes(b"PAR1")
    for name, problem in (("bad.parquet", "not readable as Parquet"), ("none.parquet", "no such file")):
        with pytest.raises(InputError, match=problem) as caught:
            list(read_llava(folder / name))
        assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_rows(folder: Path) -> None:
    for name in ("rows.jsonl", "rows.json"):
        file = write(folder, [row(i, None, "x" * 20_000, "y") for i in range(1000)], name)
        tracemalloc.start()
        assert sum(1 for _ in read_llava(file)) == 1000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8_000_000  # of 20 MB


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


def test_a_written_reply_keeps_its_reasoning_and_its_trust(folder: Path) -> None:
    reply = assistant("Hi.", reasoning="They greet me.", trusted=True)
    write_samples(folder / "mix.jsonl", [Sample("a", (system("Be brief."), user("Hello"), reply))])
    (sample,) = SampleFile(folder / "mix.jsonl")
    assert sample.messages == (system("Be brief."), user("Hello"), reply)


def test_text_that_looks_like_a_mark_is_not_written(folder: Path) -> None:
    with pytest.raises(InputError, match="<image>"):
        write_samples(folder / "mix.jsonl", [Sample("a", (user("what is <image>?"), assistant("A tag.")))])
