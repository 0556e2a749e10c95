"""Instruction files, transcripts of preferences: layouts, and what is wrong in which row."""

import json
import os
from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.data import (
    ReadRecord,
    holds_pairs,
    instruction_prompt,
    read_instructions,
    read_pairs,
    read_prompts,
    read_training,
)

ROWS = [
    {"instruction": "Name a fruit.", "input": "", "output": "An apple."},
    {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day."},
]


def write(folder: Path, value: object, name: str = "rows.json") -> Path:
    file = folder / name
    text = value if isinstance(value, str) else json.dumps(value)
    file.write_text(text)
    return file


def test_both_layouts(tmp_path: Path) -> None:
    rows = list(read_instructions(write(tmp_path, ROWS)))
    assert [[message.text for message in row.messages] for row in rows] == [
        ["Name a fruit.", "An apple."],
        ["Translate.\n\nGuten Tag", "Good day."],
    ]
    prompts = write(tmp_path, {"instructions": ["Tell me a joke.", "Translate."], "inputs": ["", "Hallo"]}, "I-X.json")
    found = list(read_instructions(prompts))
    assert [(row.id, row.text) for row in found] == [("I-X-1", "Tell me a joke."), ("I-X-2", "Translate.\n\nHallo")]
    assert all(len(row.messages) == 1 for row in found)
    bare = write(tmp_path, {"instructions": ["One."]}, "I-Y.json")
    assert [row.text for row in read_instructions(bare)] == ["One."]


def test_alpacas_frame() -> None:
    assert instruction_prompt("Do it.", style="alpaca") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nDo it.\n\n### Response:"
    )
    paired = instruction_prompt("Do it.", "Now.", "alpaca")
    assert "describes a task, paired with an input that provides further context. Write" in paired
    assert "\n\n### Instruction:\nDo it.\n\n### Input:\nNow.\n\n### Response:" in paired


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    for bad, message in (
        ([*ROWS, {"instruction": "Go."}], r'row 3, field "output": missing or empty'),
        ([{"instruction": " ", "output": "x"}], r'row 1, field "instruction": missing or empty'),
        ({"instructions": ["a", "b"], "inputs": ["c"]}, "lists of one length"),
        ({"instructions": ["a", ""]}, r'row 2, field "instructions": missing or empty'),
    ):
        with pytest.raises(InputError, match=message):
            list(read_instructions(write(tmp_path, bad)))
    with pytest.raises(InputError, match="prompts without answers"):
        list(read_training(write(tmp_path, {"instructions": ["a"]}), record=ReadRecord()))
    with pytest.raises(InputError, match="No such file"):
        list(read_instructions(tmp_path / "none.json"))


def test_training_rows_of_either_kind_and_bad_ones_skipped(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
    llava = write(tmp_path, [{"id": "1", "conversations": turns}], "llava.json")
    assert [row.text for row in read_training(llava, record=ReadRecord())] == ["Q?"]
    file, record = write(tmp_path, [*ROWS, {"instruction": "Go."}]), ReadRecord()
    assert len(list(read_training(file, skip_bad=1, record=record))) == 2
    assert record.rows == 2 and len(record.bad_rows) == 1 and "row 3" in record.bad_rows[0]
    with pytest.raises(InputError, match="row 3"):
        list(read_training(file, record=ReadRecord()))
    assert [row.id for row in read_prompts(llava)] == ["llava-1"]
    assert [[m.role for m in row.messages] for row in read_prompts(write(tmp_path, ROWS))] == [["user"], ["user"]]


def test_the_published_files_read_whole() -> None:
    folder = Path(os.environ.get("COUNTERPOISE_DATA") or "-") / "safety_tuned_llamas"
    if not folder.is_dir():
        pytest.skip("needs safety_tuned_llamas below COUNTERPOISE_DATA")
    wanted = {
        "safety_only_data_Instructions": 2483, "I-MaliciousInstructions": 100, "I-CoNa": 178, "I-Controversial": 40,
        "I-PhysicalSafetyUnsafe": 100, "I-PhysicalSafetySafe": 100, "Q-Harm": 100, "I-Alpaca": 50,
    }  # fmt: skip
    here = {name: n for name, n in wanted.items() if (folder / f"{name}.json").is_file()}
    for name, published in here.items():  # a copy may leave some rows out
        assert 0.99 * published <= sum(1 for _ in read_instructions(folder / f"{name}.json")) <= published, name


def test_pairs_in_three_layouts(tmp_path: Path) -> None:
    start = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: How do I bake?\n\nAssistant: "
    lines = [{"chosen": f"{start}Use flour.", "rejected": f"{start}No idea."}]
    file = write(tmp_path, "\n".join(map(json.dumps, lines)), "hh.jsonl")
    (pair,) = read_pairs(file)
    assert [(m.role, m.text) for m in pair.prompt] == [
        ("user", "Hi."), ("assistant", "Hello."), ("user", "How do I bake?"),
    ]  # fmt: skip
    assert (pair.chosen, pair.rejected) == ("Use flour.", "No idea.") and holds_pairs(file)
    messages = [{"role": "user", "content": "Q?"}]
    said = [[{"role": "assistant", "content": text}] for text in ("Yes.", "No.")]
    for row in (
        {"prompt": messages, "chosen": said[0], "rejected": said[1]},
        {"chosen": [*messages, *said[0]], "rejected": [*messages, *said[1]]},
        {"prompt": "Q?", "chosen": "Yes.", "rejected": "No."},
    ):
        (pair,) = read_pairs(write(tmp_path, [row]))
        assert ([m.text for m in pair.prompt], pair.chosen, pair.rejected) == (["Q?"], "Yes.", "No.")
    assert not holds_pairs(write(tmp_path, ROWS))


def test_wrong_pairs_are_named(tmp_path: Path) -> None:
    say = "\n\nHuman: {}\n\nAssistant: {}".format
    for row, message in (
        ({"chosen": say("a", "b"), "rejected": say("other", "c")}, 'row 1, field "rejected": its turns before'),
        ({"chosen": say("a", "b"), "rejected": say("a", "b")}, "two different replies"),
        ({"chosen": say("a", "b")}, 'field "rejected": missing'),
        ({"chosen": "no turns", "rejected": "none"}, 'field "chosen": expected turns of a user'),
        ({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"}, "that alternate and end in a reply"),
        ({"prompt": [{"role": "x", "content": "a"}], "chosen": [], "rejected": []}, "expected messages with a role"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_pairs(write(tmp_path, [row])))
