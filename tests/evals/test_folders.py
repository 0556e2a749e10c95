"""A folder of results: one process at a time, nothing lost, nothing replaced that nobody asked to replace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.base import LOCK, InputError, only_process, read_json, read_jsonl
from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals import Benchmark, Journal, Target, evaluate
from counterpoise.evals import _registry as registry
from counterpoise.evals._store import Logs
from counterpoise.evals.stats import parse_stop_rule
from counterpoise.models import Engine, load
from counterpoise.runs import RunConfig, default_folder, placed, run_main
from tiny import build

TRIALS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("other"), seed=1))


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    """Two benchmarks, `mine` with 8 rows and `yours` with 4."""
    registry.benchmarks()
    monkeypatch.setattr(registry, "_own", dict(registry._own))
    for name, n in (("mine", 8), ("yours", 4)):
        samples = [Sample(str(i), (user(f"{name} {i}?"),), harmful=i % 2 == 0) for i in range(n)]
        made = Benchmark(
            name, "Mine", "", "text", "here", "none", "1", n, ("opening:v3",), ("asr", "over_refusal"),
            lambda samples=samples: iter(samples),
        )  # fmt: skip
        registry.register(made)


def measure(model, out, names=("mine",), **more):
    return evaluate(model, list(names), out=out, run="r", **{"max_new_tokens": 2, **more})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start two processes at one moment")
def test_of_two_processes_at_once_one_works_and_one_says_why_not(folder, tmp_path):
    worker = str(Path(__file__).with_name("forked.py"))
    command = [sys.executable, worker, folder, str(tmp_path), str(TRIALS)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    trials = json.loads(done.stdout.splitlines()[-1])
    assert len(trials) == TRIALS
    for n, said in enumerate(trials):
        out = tmp_path / str(n)
        worked = [each for each in said if each.startswith("done: ")]
        refused = [each for each in said if each.startswith("no: ")]
        assert worked == ["done: 6"] and len(refused) == 1, said
        assert refused[0].startswith(f"no: {out}: another process works in this folder; ") and "\n" not in refused[0]
        keys = [row["key"] for _, row in read_jsonl(out / "answers.jsonl")]
        items = [row["id"] for _, row in read_jsonl(out / "items.jsonl")]
        assert len(keys) == len(set(keys)) == 6 and items == [str(i) for i in range(6)]
        assert read_json(out / "run.json")["answers"] == {"generated_now": 6, "found": 0}


def test_a_lock_is_gone_with_its_process(tmp_path):
    code = "import sys, os, signal; from pathlib import Path; from counterpoise.base import only_process\n"
    code += "with only_process(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode != 0 and (tmp_path / LOCK).is_file()
    with only_process(tmp_path), pytest.raises(InputError, match="another process"), only_process(tmp_path):
        pass
    with only_process(tmp_path):
        pass


def test_a_run_and_a_judge_hold_their_folders_too(tmp_path, folder, capsys):
    config = RunConfig(model="pocket", suite="smoke", out=tmp_path / "run")
    with only_process(config.out):
        with pytest.raises(InputError, match="run: another process works in this folder"):
            run_main(config)
        assert [each.name for each in config.out.iterdir()] == [LOCK]
    measure(folder, tmp_path / "eval")
    judged = tmp_path / "judged"
    command = ["judge", "score", str(tmp_path / "eval"), "--judge", "wang-string", "--out", str(judged)]
    with only_process(judged):
        assert main(command) == 2
        assert "judged: another process works in this folder" in capsys.readouterr().err
    assert main(command) == 0, capsys.readouterr().err


def contents(out):
    return {name: (out / name).read_bytes() for name in ("scorecard.json", "items.jsonl", "run.json")}


def test_results_of_something_else_are_never_replaced_unasked(folder, other, tmp_path):
    out = tmp_path / "out"
    measure(folder, out, ("mine", "yours"))
    before = contents(out)
    refused = {
        "limit none there, 5 now: mine, yours": {"limit": 5},
        "tokens and sampling 2 there, 3 now: mine, yours": {"max_new_tokens": 3},
        "of yours, not asked now": {"names": ("mine",)},
        "stop rule none there, asr<=0.05 now": {"stop": parse_stop_rule("asr<=0.05")},
    }
    for says, options in refused.items():
        with pytest.raises(InputError, match=says) as error:
            measure(folder, out, **{"names": ("mine", "yours"), **options})
        assert str(error.value).endswith("; choose another --out, or --force to replace them")
        assert "\n" not in str(error.value) and contents(out) == before
    with pytest.raises(InputError, match=r"holds other results \(of \S+ \w{8}, now \S+ \w{8}\)"):
        measure(other, out, ("mine", "yours"))
    assert contents(out) == before

    changed = measure(other, out, limit=2, force=True)
    assert len(changed.items) == 2 and read_json(out / "run.json")["limit"] == 2
    assert len(list((out / "logs").glob("*.eval"))) == 1  # those of the model before are gone with its results
    back = measure(folder, out, ("mine", "yours"), force=True)
    assert back.generated == 0 and len(back.items) == 12  # answers stand under the hash of what was asked of whom


def test_what_only_adds_goes_on(folder, tmp_path):
    out = tmp_path / "out"
    measure(folder, out)
    assert measure(folder, out, batch=2).generated == 0
    assert measure(folder, out, ("mine", "yours")).generated == 4
    stopped = tmp_path / "stopped"
    measure(folder, stopped, stop=parse_stop_rule("asr<=0.05"))
    assert len(measure(folder, stopped).items) == 8


def test_a_record_that_is_gone_does_not_open_the_door(folder, other, tmp_path):
    out = tmp_path / "out"
    measure(folder, out)
    (out / "run.json").write_text("{")
    with pytest.raises(InputError, match="holds other results"):
        measure(other, out)
    assert measure(folder, out).generated == 0


def test_the_same_weights_under_another_name_are_the_same_model(folder, tmp_path, monkeypatch):
    measure(folder, tmp_path / "out")
    monkeypatch.chdir(Path(folder).parent)
    assert measure(Path(folder).name, tmp_path / "out").generated == 0


def test_force_on_the_command_line(folder, other, tmp_path, capsys):
    command = ["-b", "mine", "--out", str(tmp_path / "out"), "--max-new-tokens", "2"]
    assert main(["eval", folder, *command]) == 0
    assert main(["eval", other, *command, "--limit", "5"]) == 2
    assert "--force to replace them" in capsys.readouterr().err
    assert len(list(read_jsonl(tmp_path / "out" / "items.jsonl"))) == 8
    assert main(["eval", other, *command, "--limit", "5", "--force"]) == 0
    assert len(list(read_jsonl(tmp_path / "out" / "items.jsonl"))) == 5


@pytest.mark.parametrize("record", [{"stages": {"before": True}, "config": {}}, {"method": "rejection-mix"}])
def test_the_record_of_a_run_is_never_an_evaluations(record, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(record))
    for more in ([], ["--force"]):
        command = ["eval", "pocket", "--benchmark", "twins", "--limit", "8", "--out", str(out), *more]
        assert main(command) == 2
        assert "holds a run, not an evaluation" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text()) == record


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/checkpoint-500", "b/checkpoint-500", "one/adapter", "two/adapter"):
        (tmp_path / name).mkdir(parents=True)
    made = [
        default_folder("evals", "pocket", "core"),
        default_folder("evals", "pocket", "smoke"),
        default_folder("evals", "pocket", "twins"),
        default_folder("evals", "pocket", "twins", "limit5"),
        default_folder("evals", "pocket", "twins", "asr<=0.05"),
        default_folder("evals", "pocket", "twins", "xstest"),
        default_folder("evals", "one/vlm", "core"),
        default_folder("evals", "two/vlm", "core"),
        default_folder("evals", "vllm/two/vlm", "core"),
        default_folder("evals", "a/checkpoint-500", "core"),
        default_folder("evals", "b/checkpoint-500", "core"),
        default_folder("evals", "pocket", "core", artifact=Path("one/adapter")),
        default_folder("evals", "pocket", "core", artifact=Path("two/adapter")),
        default_folder("evals", "pocket", *(f"benchmark-{n}" for n in range(20))),
        default_folder("evals", "pocket", *(f"benchmark-{n}" for n in range(21))),
    ]
    assert len({str(each).casefold() for each in made}) == len(made)
    assert all(each.parent == Path("evals") and len(each.name) <= 80 for each in made)
    for name in ("p1", "p2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.yaml").write_text("")
    assert placed(Path("p1/mine.yaml")) != placed(Path("p2/mine.yaml"))
    assert placed(Path("p1/mine.yaml")) == placed(tmp_path / "p1" / "mine.yaml")
    assert made[0] == Path("evals/pocket-core") and made[6] == Path("evals/one--vlm-core")
    assert default_folder("runs", "a/checkpoint-500", "core") == default_folder(
        "runs", str(tmp_path / "a" / "checkpoint-500"), "core"
    )


def test_two_models_of_one_name_have_folders_of_their_own(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x", "y"):
        build("smolvlm", tmp_path / name / "vlm", seed=ord(name))
        assert main(["eval", f"{name}/vlm", "-b", "yours", "--max-new-tokens", "2"]) == 0
    assert len(list((tmp_path / "evals").iterdir())) == 2


# the journal


def lines(file):
    """The keys of a journal without broken lines."""
    return [row["key"] for _, row in read_jsonl(file)]


def filled(file, keys="abc"):
    journal = Journal(file, "m")
    for key in keys:
        journal.put(key, f"answer {key}", "stop")
    return journal


@pytest.mark.parametrize(
    "bad",
    [b"garbage\n", b'{"key": "x"}\n', b'{"key": 1, "answer": "a", "finish": "stop"}\n', b"[1]\n", b"\0\0\0\0\n",
     b'{"key": "x", "ans\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n"],
)  # fmt: skip
def test_a_broken_line_costs_no_other_line(bad, tmp_path, capsys):
    file = tmp_path / "answers.jsonl"
    filled(file).close()
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(whole[0] + bad + b"".join(whole[1:]))
    journal = Journal(file, "m")
    assert journal.found == 3 and [journal.get(key)["answer"] for key in "abc"] == [f"answer {key}" for key in "abc"]
    assert "1 lines are no answers" in capsys.readouterr().err
    journal.put("d", "answer d", "stop")
    journal.close()
    assert json.loads(file.read_bytes().splitlines()[-1])["key"] == "d" and bad in file.read_bytes()
    assert Journal(file, "m").found == 4


def test_a_last_line_without_its_end_is_kept_when_it_is_whole(tmp_path):
    file = tmp_path / "answers.jsonl"
    filled(file).close()
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    journal = Journal(file, "m")
    assert journal.found == 3
    journal.put("d", "x", "stop")
    journal.close()
    assert lines(file) == ["a", "b", "c", "d"]


def test_a_row_is_returned_under_its_own_key_or_not_at_all(tmp_path):
    """Whoever else writes to the file, an answer never comes back as that of another question."""
    file = tmp_path / "answers.jsonl"
    journal = filled(file)
    whole = file.read_bytes().splitlines(keepends=True)
    same_length = whole[1].replace(b'"b"', b'"z"')
    file.write_bytes(whole[0] + same_length + whole[2])
    assert journal.get("b") is None and journal.get("z")["answer"] == "answer b"
    file.write_bytes(whole[2] + whole[0])
    assert journal.get("a")["answer"] == "answer a" and journal.get("c")["answer"] == "answer c"
    journal.close()


def test_two_journals_on_one_file_find_their_own_lines(tmp_path):
    file = tmp_path / "answers.jsonl"
    one, two = Journal(file, "m"), Journal(file, "m")
    for n in range(20):
        (one if n % 2 else two).put(str(n), f"answer {n}", "stop")
    for n in range(20):
        assert (one if n % 2 else two).get(str(n))["answer"] == f"answer {n}"
    one.close(), two.close()
    assert Journal(file, "m").found == 20


def test_half_a_surrogate_pair_is_an_answer_like_others(tmp_path):
    journal = Journal(tmp_path / "answers.jsonl", "m")
    sample = Sample("1", (user("odd \ud800 question"),))
    journal.put(journal.key(sample, "8"), "x\ud800y\0", "stop")
    assert journal.get(journal.key(sample, "8"))["answer"] == "x\ufffdy\ufffd"
    assert len(list(read_jsonl(tmp_path / "answers.jsonl"))) == 1
    journal.close()


def test_headers_of_logs_are_read_once(folder, tmp_path, monkeypatch):
    """A stop rule writes a log for each block, and asked all of them for each: the square of the number of blocks."""
    import inspect_ai.log

    real, read = inspect_ai.log.read_eval_log, []
    monkeypatch.setattr(inspect_ai.log, "read_eval_log", lambda *a, **k: read.append(a) or real(*a, **k))
    rule = parse_stop_rule("over_refusal<=0.01")
    target = Target.of(Engine(load(folder, dtype="float32")), "m")
    measure(target, tmp_path, stop=rule, batch=1)
    n_logs = len(list((tmp_path / "logs").glob("*.eval")))
    assert n_logs == 8 and not read
    logs = Logs(tmp_path / "logs")
    assert len(read) == n_logs
    assert measure(folder, tmp_path / "again", stop=rule, batch=1).generated == 8 and len(read) == n_logs
    assert len(logs._finished) == n_logs and not logs._unfinished
