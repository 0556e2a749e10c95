"""What can go wrong while answers are generated, and models that are not ours."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import PIL.Image
import pytest
from inspect_ai.log import read_eval_log

from counterpoise.base import InputError, read_json
from counterpoise.chat import Image, Sample, user
from counterpoise.evals import HEADLINE_SCORER, Benchmark, Journal, evaluate, item, rows
from counterpoise.evals import _registry as registry
from counterpoise.evals import _run as run_module
from counterpoise.evals._record import added_detours
from counterpoise.evals._store import keep_images
from counterpoise.evals._target import _address, is_remote
from counterpoise.models import _engine as engine_module
from tiny import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture
def card(monkeypatch):
    """Register a benchmark of given samples for one test."""
    registry.benchmarks()  # ours must be known before the registry is copied
    monkeypatch.setattr(registry, "_own", dict(registry._own))

    def make(samples, name="mine", scorer="opening:v3", metric="asr", **more):
        made = Benchmark(
            name, "Mine", "", "text", "here", "none", "1", len(samples), (scorer,), (metric,), lambda: iter(samples),
            **more,
        )  # fmt: skip
        registry.register(made)
        return made

    return make


def questions(n):
    return [
        Sample(str(i), (user(f"Question {i}?"),), harmful=True, group=("a/x", "a/y", "b/z")[i % 3]) for i in range(n)
    ]


@pytest.mark.parametrize(
    ("name", "remote"),
    [
        ("pocket", False),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", False),
        ("google/gemma-3-4b-it", False),
        ("google/gemini-2.5-flash", True),
        ("openai/gpt-oss-20b", False),
        ("openai/gpt-5", True),
        ("vllm/Qwen/Qwen2.5-VL-7B-Instruct", True),
    ],
)
def test_hub_names_and_api_names_are_told_apart(name, remote):
    assert is_remote(name) is remote


class Server(BaseHTTPRequestHandler):
    """A server that speaks the OpenAI protocol, and refuses to answer question 2."""

    seen: ClassVar[list[dict]] = []
    model = "m"
    text = "I'm sorry, but I can't help with that."

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(body)
        bad = "Question 2?" in json.dumps(body["messages"])
        reply = {"error": {"message": "no such question", "type": "invalid_request_error"}}
        if not bad:
            message = {"role": "assistant", "content": self.text}
            usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            reply = {"id": "1", "object": "chat.completion", "created": 1, "model": self.model, "choices": [choice]}
            reply |= {"usage": usage}
        data = json.dumps(reply).encode()
        self.send_response(422 if bad else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def remote(monkeypatch):
    pytest.importorskip("openai", reason="Inspect's OpenAI-compatible provider needs the package openai")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.seen.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TESTS_BASE_URL", f"http://me:geheim@127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("TESTS_API_KEY", "none")
    yield f"openai-api/tests/model-{server.server_port}"  # Inspect keeps one client per name
    server.shutdown()
    server.server_close()


def test_a_remote_model_goes_through_inspect_unchanged(card, remote, tmp_path):
    image = Image.from_pil(PIL.Image.new("RGB", (5, 5)))
    card([Sample("i", (user(image, "Picture?"),), harmful=True), *questions(4)])
    result = evaluate(remote, ["mine"], out=tmp_path, run="r")
    row, beside = result.rows
    assert (row.model, row.value, row.n_scored, row.n_unscored, result.generated) == (remote, 0.0, 4, 1, 4)
    assert row.reasons == {"api_error": 1} == beside.reasons and (beside.metric, beside.value) == ("broken", 0.0)
    (missing,) = (one for one in result.items if one.scores["opening:v3"] is None)
    assert missing.id == "2" and missing.reasons["opening:v3"].startswith("api_error: ")
    sent = next(body for body in Server.seen if "Picture?" in json.dumps(body["messages"]))
    assert [part["type"] for part in sent["messages"][-1]["content"]] == ["image_url", "text"]
    assert sent["messages"][-1]["content"][0]["image_url"]["url"] == image.data_uri()
    address = f"http://127.0.0.1:{remote.rpartition('-')[2]}/v1"
    model = read_json(tmp_path / "run.json")["model"]
    assert model == {"name": remote, "base_url": address, "served": {"m": 4}, "servers": {address: 4}}
    assert "geheim" not in (tmp_path / "run.json").read_text() + (tmp_path / "answers.jsonl").read_text()
    asked = len(Server.seen)
    assert evaluate(remote, ["mine"], out=tmp_path, run="r").generated == 0
    assert all("Question 2?" in json.dumps(body["messages"]) for body in Server.seen[asked:])
    assert {body["temperature"] for body in Server.seen} == {0.0}


def test_an_address_is_recorded_without_what_is_secret():
    api = SimpleNamespace(base_url="https://me:geheim@host:8000/v1/?key=geheim#geheim")
    assert _address(api) == "https://host:8000/v1"
    assert _address(SimpleNamespace(client=SimpleNamespace(base_url="https://api.example.org/v1/"))) == (
        "https://api.example.org/v1"
    )
    assert _address(SimpleNamespace()) == ""


def test_two_models_behind_one_name_are_seen_and_said(card, remote, tmp_path, monkeypatch, capsys):
    """The alias was moved between two runs into one folder."""
    samples = questions(2)
    card(samples)
    card([*samples, Sample("9", (user("Question 9?"),), harmful=True)], name="more")
    evaluate(remote, ["mine"], out=tmp_path, run="r")
    assert "names of the server's" not in capsys.readouterr().err
    monkeypatch.setattr(Server, "model", "m-2026-11")
    evaluate(remote, ["mine", "more"], out=tmp_path, run="r")
    assert read_json(tmp_path / "run.json")["model"]["served"] == {"m": 4, "m-2026-11": 1}
    assert "its answers came under 2 names of the server's: m, m-2026-11" in capsys.readouterr().err


def test_odd_characters_in_a_reply_stop_nothing(card, remote, tmp_path, monkeypatch):
    """A server may send half of a surrogate pair; no file could hold it."""
    monkeypatch.setattr(Server, "text", "Sure \ud800: \0 \ud83d\ude00")
    card(questions(2))
    result = evaluate(remote, ["mine"], out=tmp_path, run="r")
    assert [one.answer for one in result.items] == ["Sure \ufffd: \ufffd \U0001f600"] * 2
    assert result.rows[0].n_scored == 2


def test_an_adapter_needs_a_local_model(card, tmp_path):
    card(questions(1))
    with pytest.raises(InputError, match="only be put on a local model"):
        evaluate("openai/gpt-5", ["mine"], out=tmp_path, run="r", adapter="x")


def test_a_corrupt_image_is_one_line_before_anything_is_generated(card, folder, tmp_path):
    file = tmp_path / "broken.png"
    PIL.Image.new("RGB", (64, 64)).save(file)
    file.write_bytes(file.read_bytes()[:60])
    card([Sample("1", (user(Image.from_path(file), "x"),), harmful=True)])
    with pytest.raises(InputError, match=r"broken\.png: corrupt or truncated") as error:
        evaluate(folder, ["mine"], out=tmp_path / "out", run="r")
    assert "\n" not in str(error.value) and not (tmp_path / "out" / "answers.jsonl").exists()


def test_images_are_kept_once_as_the_bytes_that_were_hashed(tmp_path):
    image = Image.from_pil(PIL.Image.new("RGB", (5, 5), "red"))
    kept = keep_images(Sample("1", (user(image, "x", image),)), tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == f"{image.sha256}.png" and file.read_bytes() == image.read()
    assert [part.sha256 for part in kept.messages[0].images] == [image.sha256] * 2
    assert kept.messages[0].images[0].data is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line(tmp_path):
    (tmp_path / "answers.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path / "answers.jsonl", "m")
    with pytest.raises(InputError, match="cannot write.*free some space"):
        journal.put("k", "answer", "stop")
    journal.close()


def test_a_text_model_given_images_says_so(card, tmp_path):
    folder = str(build("llama", tmp_path / "m"))
    card([Sample("1", (user(Image.from_pil(PIL.Image.new("RGB", (5, 5))), "x"),), harmful=True)])
    with pytest.raises(InputError, match="mine: .*image"):
        evaluate(folder, ["mine"], out=tmp_path / "out", run="r")


def test_shards_give_the_same_answers_and_resume_one_by_one(card, folder, tmp_path, monkeypatch):
    card(questions(7))
    whole = evaluate(folder, ["mine"], out=tmp_path / "a", run="r", max_new_tokens=3)
    monkeypatch.setattr(run_module, "SHARD", 3)
    parts = evaluate(folder, ["mine"], out=tmp_path / "b", run="r", max_new_tokens=3)
    assert [one.id for one in parts.items] == [one.id for one in whole.items] and len(parts.rows) == len(whole.rows)
    logs = sorted((tmp_path / "b" / "logs").glob("*.eval"))
    assert sum(len(read_eval_log(str(log)).samples) for log in logs) == 7 and len(logs) == 3
    logs[0].unlink()
    again = evaluate(folder, ["mine"], out=tmp_path / "b", run="r", max_new_tokens=3)
    assert again.generated == 0 and len(list((tmp_path / "b" / "logs").glob("*.eval"))) == 3


def test_groups_within_groups_and_their_mean(card):
    bench = card(questions(6), grouped="mean")
    items = [item(bench, s, "I cannot help with that." if s.group == "b/z" else "Sure!", "stop") for s in questions(6)]
    found = {row.benchmark: row for row in rows(bench, items, model="m", run="r") if row.metric == "asr"}
    assert set(found) == {"mine", "mine/a", "mine/a/x", "mine/a/y", "mine/b", "mine/b/z", "mine/mean of 3 groups"}
    assert (found["mine/a"].n_scored, found["mine/a"].value, found["mine/b"].value) == (4, 1.0, 0.0)


def test_options_are_compared_not_generated(card, folder, tmp_path):
    samples = [Sample(str(i), (user(f"{i}?"),), target="one", choices=("one", "two")) for i in range(4)]
    card(samples, scorer="option:v3", metric="accuracy")
    result = evaluate(folder, ["mine"], out=tmp_path, run="r")
    assert {one.answer for one in result.items} <= {"one", "two"}
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert all(len(line["logprobs"]) == 2 for line in lines)


def test_an_option_without_a_number_is_no_choice(card, folder, tmp_path, monkeypatch):
    """One question whose logits are no numbers is unscored with that reason; the others are answered."""
    from counterpoise.models import Engine

    real = Engine.score_options

    def spoiled(self, conversations, options):
        return [[float("nan")] * 2 if n == 1 else row for n, row in enumerate(real(self, conversations, options))]

    monkeypatch.setattr(Engine, "score_options", spoiled)
    samples = [Sample(str(i), (user(f"{i}?"),), target="one", choices=("one", "two")) for i in range(4)]
    card(samples, scorer="option:v3", metric="accuracy")
    result = evaluate(folder, ["mine"], out=tmp_path, run="r")
    (row,) = [row for row in result.rows if row.metric == "accuracy"]
    assert (row.n_scored, row.n_unscored) == (3, 1)
    assert result.items[1].answer == ""


def test_the_data_hash_is_of_the_rows_not_of_the_model(card, folder, remote, tmp_path):
    card(questions(2))
    for n, model in enumerate((folder, remote)):
        evaluate(model, ["mine"], out=tmp_path / str(n), run="r", max_new_tokens=2)
    one, two = (read_json(tmp_path / n / "run.json")["benchmarks"]["mine"]["sha256"] for n in "01")
    assert one == two


def test_inspect_finds_our_tasks_and_our_model_by_name(folder, tmp_path):
    code = """
import sys
from inspect_ai import eval
(log,) = eval("counterpoise/twins", model="counterpoise/" + sys.argv[1], limit=8, max_tokens=2, display="none",
              log_dir=sys.argv[2], log_realtime=False)
assert log.status == "success", log.error
assert len(log.samples) == 8 and len({s.metadata["cluster"] for s in log.samples}) == 1
for score in log.results.scores:
    print(score.name, *score.metrics)
"""
    done = subprocess.run([sys.executable, "-c", code, folder, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert HEADLINE_SCORER in done.stdout
    found = {
        line.split()[0]: {name.rpartition("/")[2] for name in line.split()[1:]} for line in done.stdout.splitlines()
    }
    named = {"asr", "asr_print", "over_refusal", "over_refusal_pair"}
    assert named <= found["wang-string:v1"]  # the headline scorer leaves gibberish unscored where it finds no English
    assert read_eval_log(str(next(tmp_path.glob("*.eval")))).eval.task.endswith("twins")


def test_detours_and_a_stop_are_in_the_record(card, folder, tmp_path, monkeypatch):
    """Memory runs out for more than two rows, then the machine breaks. The record has both, with the versions; the
    evaluation that continues keeps what the first one's answers went through."""
    real, calls = engine_module.generate_batch, []

    def failing(loaded, rows, decoding):
        calls.append(len(rows))
        if len(rows) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if sum(n <= 2 for n in calls) > 2:
            raise ZeroDivisionError("broken machine")
        return real(loaded, rows, decoding)

    card(questions(8))
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "generate_batch", failing)
        with pytest.raises(InputError, match="broken machine"):
            evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=2)
    stopped = read_json(tmp_path / "run.json")
    assert "broken machine" in stopped["error"]["message"] and "torch" in stopped["versions"]
    assert stopped["detours"]["halvings"] > 0 and "out of memory" in "".join(stopped["detours"]["reasons"])
    evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=2)
    done = read_json(tmp_path / "run.json")
    assert "error" not in done and done["benchmarks"]["mine"]["rows"] == 8 and done["detours"] == stopped["detours"]
    evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=2, resume=False)
    assert read_json(tmp_path / "run.json")["detours"] == {}
    card([Sample(str(n), (user(f"And {n}?"),), harmful=True) for n in range(8)], name="more")
    with monkeypatch.context() as patch:  # what was measured before stays on record
        patch.setattr(engine_module, "generate_batch", failing)
        with pytest.raises(InputError, match="broken machine"):
            evaluate(folder, ["mine", "more"], out=tmp_path, run="r", max_new_tokens=2)
    again = read_json(tmp_path / "run.json")
    assert again["benchmarks"] == done["benchmarks"] and "broken machine" in again["error"]["message"]


def test_detours_of_two_evaluations_are_added():
    first = {"halvings": 2, "splits": 0, "reasons": {"a": 2}}
    both = added_detours(first, {"halvings": 1, "splits": 1, "reasons": {"a": 1, "b": 1}})
    assert both == {"halvings": 3, "splits": 1, "reasons": {"a": 3, "b": 1}}
    assert added_detours(first, {}) == first == added_detours({}, first) and added_detours({}, {}) == {}


def test_an_option_without_a_number_is_no_choice_without_a_journal_too(folder, card, tmp_path, monkeypatch):
    """NaN is never the largest, so that the first option would seem to be chosen."""
    from counterpoise.models import Engine

    real = Engine.score_options

    def spoiled(self, conversations, options):
        first = conversations[0][0].text == "1?"
        return [[float("nan"), -1.0]] if first else real(self, conversations, options)

    monkeypatch.setattr(Engine, "score_options", spoiled)
    samples = [Sample(str(i), (user(f"{i}?"),), target="one", choices=("one", "two")) for i in range(2)]
    bench = card(samples, scorer="option:v3", metric="accuracy")
    log = inspect_task(folder, bench, samples, tmp_path)
    assert log.status == "success" and [bool(one.output.completion) for one in log.samples] == [True, False]


def inspect_task(folder, bench, samples, tmp_path):
    from inspect_ai import eval as inspect_eval

    from counterpoise.evals._target import Target
    from counterpoise.evals._task import task

    target = Target(folder, None, 8)
    try:
        return inspect_eval(
            task(bench, samples), model=target.inspect_model(), display="none", log_dir=str(tmp_path / "logs"),
            max_tokens=2,
        )[0]  # fmt: skip
    finally:
        target.close()


async def describe(sample, ask):
    return await ask(sample.messages)


@pytest.mark.parametrize("way", ["direct", "pipeline", "options", "inspect"])
def test_a_picture_that_the_processor_refuses_is_named_with_its_row(way, card, tmp_path):
    """Qwen-VL takes no sides of 1 to 500. Whichever way the question goes, the row and the file are named."""
    model = str(build("qwen2_5_vl", tmp_path / "model"))
    PIL.Image.new("RGB", (500, 1)).save(tmp_path / "line.png")
    picture = Image.from_path(tmp_path / "line.png")
    choices = ("one", "two") if way == "options" else ()
    samples = [Sample("seven", (user(picture, "What is it?"),), harmful=True, choices=choices)]
    bench = card(samples, **({"pipeline": describe} if way == "pipeline" else {}))
    if way == "inspect":
        log = inspect_task(model, bench, samples, tmp_path)
        said = log.error.message
    else:
        with pytest.raises(InputError) as error:
            evaluate(model, ["mine"], out=tmp_path / "out", run="r", max_new_tokens=2)
        said = str(error.value)
    assert "row seven: " in said and said.count("row seven") == 1 and "refused by the processor" in said, said
    assert (".png" if way != "inspect" else "line.png") in said
