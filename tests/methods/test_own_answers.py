"""A model's own answers to benign rows: kept as they come, so that a stopped run does not generate them again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import templates
import tiny
from counterpoise.base import InputError
from counterpoise.chat import Sample, assistant, user
from counterpoise.methods import _answers
from counterpoise.methods._answers import own_answers, whole_sentences
from counterpoise.models import Engine, encode_row, load

ROWS = [Sample(str(i), (user(f"Name fact number {i}."),)) for i in range(10)]
DONE = Sample("done", (user("Said?"), assistant("Said.")))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("llama"))), dtype="float32", device="cpu")


@pytest.fixture
def asked(monkeypatch):
    """Texts that the engine was asked, in order; `stop_at` of them, Ctrl-C comes."""
    seen: list[str] = []
    real = Engine.generate

    def generate(self, conversations, decoding, **more):
        if len(seen) >= generate.stop_at:
            raise KeyboardInterrupt
        seen.extend(conversation[0].text for conversation in conversations)
        return real(self, conversations, decoding, **more)

    generate.stop_at = 1000
    monkeypatch.setattr(Engine, "generate", generate)
    monkeypatch.setattr(_answers, "BLOCK", 4)
    monkeypatch.setattr(_answers, "whole_sentences", lambda text: text or "-")  # a random model ends no sentence
    return seen, generate


def test_a_stopped_run_generates_only_what_is_missing(loaded, asked, tmp_path: Path) -> None:
    seen, generate = asked
    journal = tmp_path / "answers.jsonl"
    generate.stop_at = 8
    with pytest.raises(KeyboardInterrupt):
        list(own_answers(loaded, [*ROWS, DONE], journal))
    assert len(seen) == 8 and len(journal.read_text().splitlines()) == 8
    generate.stop_at = 1000
    rows = list(own_answers(loaded, [*ROWS, DONE], journal))
    assert len(seen) == len(set(seen)) == len(ROWS)
    assert rows[-1] == DONE and [row.messages[0].text for row in rows[:-1]] == [row.text for row in ROWS]
    del seen[:]
    assert rows == list(own_answers(loaded, [*ROWS, DONE], journal)) and seen == []
    assert rows == list(own_answers(loaded, [*ROWS, DONE])) and len(seen) == len(ROWS)


def test_answers_of_another_model_are_not_taken(loaded, asked, tmp_path: Path) -> None:
    seen, _ = asked
    journal = tmp_path / "answers.jsonl"
    list(own_answers(loaded, ROWS[:4], journal))
    other = load(str(tiny.build("llama", tmp_path / "other", seed=1)), dtype="float32", device="cpu")
    list(own_answers(other, ROWS[:4], journal))
    assert len(seen) == 8


def test_a_journal_that_cannot_be_written_is_one_line(loaded, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write"):
        list(own_answers(loaded, ROWS, tmp_path / "data" / "answers.jsonl"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A whole first sentence here. And a hal", "A whole first sentence here."),
        ("No end at all", "No end at all"),
        ("  ", ""),
    ],
)
def test_whole_sentences(text: str, kept: str) -> None:
    assert whole_sentences(text) == kept


@pytest.mark.parametrize(("said", "kept"), [("<think>so</think>Yet.<|im_end|>", True), ("<think>so", False)])
def test_a_thinking_model_keeps_its_thoughts_apart_and_an_unfinished_one_is_no_answer(loaded, said, kept, tmp_path):
    thinking = templates.SHAPES["qwen3"].loaded(loaded)
    prompt = encode_row(thinking, (user("Why?"),), add_generation_prompt=True).ids
    ids = thinking.tokenizer(said, add_special_tokens=False)["input_ids"]
    model = templates.saying(thinking, prompt[-1], ids)
    for journal in (tmp_path / "answers.jsonl", tmp_path / "answers.jsonl", None):  # made, read again, made
        rows = list(own_answers(model, [Sample("a", (user("Why?"),))], journal))
        expected = [assistant("Yet.", reasoning="so", trusted=True)] if kept else []
        assert [row.messages[-1] for row in rows] == expected


@pytest.mark.slow
def test_processes_launched_together_make_one_set_of_rows(tmp_path: Path) -> None:
    """`counterpoise align` under a launcher: answers are generated once, both train on the same rows, one record."""
    folder = tiny.build("smolvlm", tmp_path / "model")
    out = tmp_path / "out"
    small = ["n_rejection=4", "n_benign=60", "train.epochs=1", "train.batch_size=16", "train.lora_rank=2"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "counterpoise", "align", str(folder), "--out", str(out)]
    done = subprocess.run(
        [*command, *(part for each in small for part in ("--set", each))],
        env=os.environ | {"ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("adapter:") == 1
    answers = (out / "data" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert answers and len(answers) == len({json.loads(line)["key"] for line in answers})
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["train"]["processes"] == 2
