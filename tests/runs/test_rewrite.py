"""SR_LLM and `counterpoise rewrite`: no reference in a prompt, rows in order, pages escaped, nothing made twice."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.data import Rewrite
from counterpoise.data.pocket_sets import rewrites
from counterpoise.methods import _sr_llm as method_module
from counterpoise.methods import get
from counterpoise.methods._sr_llm import conversation, prompt, reply_limit, rewrite_texts
from counterpoise.models import Answer, Engine, Loaded, load
from counterpoise.runs import rewrite_file
from counterpoise.runs._rewrite import _cosines, _status, difference

SMALL = {"epochs": 1, "batch_size": 4, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny.build("llama", tmp_path_factory.mktemp("m"))), dtype="float32", device="cpu")


@pytest.fixture
def bag(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedding that needs no weights: counts of letters, unit length."""

    def embed(texts: list[str]) -> Any:
        rows = np.array([[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    import counterpoise.guard.own as own

    monkeypatch.setattr(own, "minilm", lambda: embed, raising=False)


def test_no_reference_reaches_a_prompt() -> None:
    """Over all rows of our set: what is asked does not depend on the reference, and does not hold it."""
    for row in (*rewrites("train"), *rewrites("test")):
        sample = conversation(row)
        assert sample.messages[:-1] == prompt(row.unsafe_text) and sample.messages[-1].text == row.safe_text
        blank = Rewrite(row.id, row.unsafe_text, "", row.dimension, row.aspect, row.severity)
        assert conversation(blank).messages[:-1] == sample.messages[:-1]
        if row.severity != "neutral":
            assert row.safe_text not in sample.messages[0].text


def test_sr_llm_trains_on_files_and_the_built_in_set(llama: Loaded, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    lines = [f'"You fool, do {i}.","Please do {i}.",highly' for i in range(5)] + ["x,TOREMOVE,highly"]
    file.write_text("unsafe_text,safe_text,severity\n" + "\n".join(lines) + "\n")
    method, train = get("sr-llm"), {f"train.{key}": value for key, value in SMALL.items()}
    labels = {}
    for loss_on in ("reply", "all"):
        config = method.resolve(None, train | {"rewrite_files": file, "loss_on": loss_on})
        result = method.align(llama, config, tmp_path / loss_on)
        record = result.run["data"]["rewrite_record"]
        assert (record["rows"], record["removed"], result.run["data"]["n_rows"]) == (5, 1, 5)
        labels[loss_on] = result.run["train"]["labelled_tokens"]
    assert labels["all"] > 3 * labels["reply"]
    built_in = method.align(llama, method.resolve(None, train | {"n_rows": 8}), tmp_path / "own")
    assert built_in.run["data"]["n_rows"] == 8 and built_in.artifact.path.is_dir()
    file.write_text("unsafe_text,safe_text,severity\nx,TOREMOVE,highly\n")
    with pytest.raises(InputError, match="no rows to train on"):
        method.align(llama, method.resolve(None, train | {"rewrite_files": file}), tmp_path / "none")
    defaults = method.config().train
    assert (defaults.lora_rank, defaults.lora_alpha, defaults.schedule, defaults.weight_decay) == (
        64,
        16,
        "constant",
        0.001,
    )


def test_replies_get_room_for_their_text_and_none_is_generated_twice(
    llama: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reply_limit(llama, "short") == 32 and reply_limit(llama, "word " * 60) in (128, 256, 512)
    assert reply_limit(llama, "x" * 100_000) is None
    monkeypatch.setattr(method_module, "BLOCK", 2)
    texts = ["One.", "Two.", "One.", "A longer text " * 5, "y" * 100_000, "Three."]
    engine, put, made = Engine(llama), method_module.Journal.put_reply, []

    def stop(self: Any, key: str, reply: Answer, **more: Any) -> None:
        made.append(key)
        put(self, key, reply, **more)
        if len(made) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(method_module.Journal, "put_reply", stop)
    with pytest.raises(KeyboardInterrupt):
        list(rewrite_texts(engine, texts, tmp_path / "cut.jsonl"))
    found = dict(rewrite_texts(engine, texts, tmp_path / "cut.jsonl"))
    assert len(made) == len(set(made)) == 4 and found[4] is None
    assert list(found) == list(range(6)) and found[0] == found[2]
    whole = dict(rewrite_texts(engine, texts, tmp_path / "whole.jsonl"))
    assert {n: r and r.text for n, r in whole.items()} == {n: r and r.text for n, r in found.items()}


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        csv.field_size_limit(1 << 20)
        return list(csv.DictReader(handle))


def test_a_table_with_hard_cells(llama: Loaded, tmp_path: Path, bag: None, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Go away, you <b>fool</b>.", "", "x" * 100_000, 'He said "no",\nthen left.', "Go away, you <b>fool</b>."]
    file = tmp_path / "in.csv"
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "text", "severity"])
        writer.writerows([[str(n), text, "highly"] for n, text in enumerate(texts)])
    said = {texts[0]: "Please go, <i>friend</i>.", texts[3]: 'He said "no",\nthen left.'}

    def replies(engine: Engine, asked: list[str], journal: Path) -> Any:
        for place, text in enumerate(asked):
            yield place, Answer(said[text], 3, 3, "stop") if text in said else None

    import counterpoise.methods as methods

    monkeypatch.setattr(methods, "rewrite_texts", replies)
    found = rewrite_file(file, Engine(llama), tmp_path / "out")
    rows = rows_of(found.table)
    assert [row["text"] for row in rows] == texts and [row["id"] for row in rows] == list("01234")
    assert [row["rewrite_status"] for row in rows] == ["rewritten", "empty", "too_long", "unchanged", "rewritten"]
    assert rows[0]["rewrite"] == said[texts[0]] and rows[2]["rewrite"] == "" and rows[1]["meaning"] == ""
    assert float(rows[3]["meaning"]) == pytest.approx(1) and 0 < float(rows[0]["meaning"]) < 1
    assert found.counts == {"empty": 1, "rewritten": 2, "too_long": 1, "unchanged": 1}
    page = found.page.read_text()
    assert "<b>" not in page and "<i>" not in page and "&lt;" in page and "<del>fool</del>" in page
    assert "<script" not in page and "cut on this page" in page and len(page) < 20_000
    record = json.loads((tmp_path / "out" / "rewrite.json").read_text())
    assert record["finished"] and record["rows"] == 5 and 0 < record["meaning"] <= 1


def test_the_model_itself_and_running_again(llama: Loaded, tmp_path: Path, bag: None) -> None:
    file = tmp_path / "in.csv"
    file.write_text("unsafe_text\nYou fool.\nA fine day.\n")
    first = rewrite_file(file, Engine(llama), tmp_path / "out")
    table = first.table.read_bytes()
    journal = (tmp_path / "out" / "replies.jsonl").read_bytes()
    again = rewrite_file(file, Engine(llama), tmp_path / "out")
    assert again.table.read_bytes() == table and (tmp_path / "out" / "replies.jsonl").read_bytes() == journal
    assert sum(again.counts.values()) == 2
    file.write_text("unsafe_text\nOther.\n")
    with pytest.raises(InputError, match="holds the rewrites of another file, column, model or judge"):
        rewrite_file(file, Engine(llama), tmp_path / "out")


def test_wrong_tables_are_one_line(llama: Loaded, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    for text, column, message in (
        ("a,b\n1,2\n", None, "has no column unsafe_text or biased_text or text; give --column, one of a, b"),
        ("a,b\n1,2\n", "c", 'field "c": no such column'),
        ("text,rewrite\n1,2\n", None, "has a column rewrite already"),
        ("text\n", None, "no rows"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            rewrite_file(file, Engine(llama), tmp_path / "out", column=column)
    assert not (tmp_path / "out").exists()


def test_what_a_reply_is() -> None:
    def answer(text: str, finish: Any = "stop", problem: Any = None) -> Answer:
        return Answer(text, 3, 3, finish, problem=problem)

    assert _status("a  b", answer("a b")) == "unchanged" and _status("a", None) == "too_long"
    assert _status("You fool.", answer("I'm sorry, but I can't help with that.")) == "refused"
    apology = "I'm sorry, but I can't help with that."
    assert _status(f"{apology} You fool.", answer(apology)) == "rewritten"  # the text itself declines
    assert _status("a", answer("b c d", "length")) == "cut" and _status("a", answer("", problem="empty")) == "no_reply"
    assert _status("a", answer("go " * 30)) == "broken"


def test_a_judge_fills_its_columns_and_its_failures_are_empty(
    llama: Loaded, tmp_path: Path, bag: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that finds texts with "fool" toxic, and whose word on meaning is none."""
    import counterpoise.evals.judges as judges
    import counterpoise.methods as methods

    file = tmp_path / "in.csv"
    file.write_text("text\nA fine day.\nYou fool.\nLost.\n")

    def replies(engine: Engine, asked: list[str], journal: Path) -> Any:
        said = ["A fine day.", "You are wrong.", ""]
        for place, text in enumerate(said):
            yield place, Answer(text, 3, 3, "stop", problem=None if text else "empty")

    class Scripted(judges.RubricJudge):
        async def _ask(self, prompt: str, images: Any) -> Any:
            from inspect_ai.model import ModelOutput

            meaning = "kept, partly" in prompt
            return ModelOutput.from_content("m", "hm" if meaning else "0.8" if "You fool" in prompt else "0.1")

    monkeypatch.setattr(methods, "rewrite_texts", replies)
    monkeypatch.setattr(judges, "RubricJudge", Scripted)
    found = rewrite_file(file, Engine(llama), tmp_path / "out", judge="mockllm/model")
    assert found.judges == ("meaning_judged", "unbiased_after", "unbiased_before", "untoxic_after", "untoxic_before")
    rows = rows_of(found.table)
    assert [row["untoxic_before"] for row in rows] == ["0.900", "0.200", ""]
    assert [row["untoxic_after"] for row in rows] == ["0.900", "0.900", ""]
    assert [row["meaning_judged"] for row in rows] == ["", "", ""] and rows[2]["rewrite_status"] == "no_reply"
    asked = len((tmp_path / "out" / "verdicts.jsonl").read_text().splitlines())
    rewrite_file(file, Engine(llama), tmp_path / "out", judge="mockllm/model")
    assert asked == len((tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()) > 0


def test_differences_are_by_word() -> None:
    assert list(difference("You fool, go.", "You go.")) == [("same", "You"), ("del", " fool,"), ("same", " go.")]
    assert list(difference("Go.", "Go.")) == [("same", "Go.")]
    assert "".join(text for kind, text in difference("a b c", "a x c d") if kind != "del") == "a x c d"


def test_meaning_of_long_texts_is_measured_in_pieces(bag: None) -> None:
    long = "The garden was warm and the children played. " * 80
    cosines = _cosines([(long, long), (long, "z " * 300), ("x" * 3000, "x")])
    assert cosines is not None and cosines[0] == pytest.approx(1, abs=1e-5) and cosines[1] < 0.5


def test_the_command(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from counterpoise.cli._app import app

    model = tiny.build("llama", tmp_path / "m")
    (tmp_path / "in.csv").write_text("text\nYou fool.\n")
    done = CliRunner().invoke(
        app, ["rewrite", str(tmp_path / "in.csv"), "--model", str(model), "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 0, done.output
    assert "table: " in done.output and (tmp_path / "o" / "differences.html").is_file()
