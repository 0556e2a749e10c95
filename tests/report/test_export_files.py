"""`counterpoise export` on folders as runs leave them: names, privacy, and nothing written when something is wrong."""

import hashlib
import json
from pathlib import Path

import pytest
from board_rows import JUDGE, inside
from folders import evaluation, item, row, write

from counterpoise.base import InputError, write_json
from counterpoise.cli import main
from counterpoise.report.exports import FORMATS, Options, SampleRow, export, from_every_eval_ever, load_evaluations

SECRET = "a prompt that must stay here"


@pytest.fixture
def single(tmp_path) -> Path:
    items = [item(n, "print", True, float(n < 3), prompt=SECRET, answer="and its answer") for n in range(7)]
    items.append(item(9, "print", True, None, prompt=SECRET))
    rows = [row("asr", "print", 4 / 7, 7, n_unscored=1, ci_low=0.2, ci_high=0.9)]
    folder = write(tmp_path / "evals" / "base", rows, items)
    write_json(
        folder / "run.json",
        {"model": {"name": "tiny", "path": "/secret/place", "fingerprint": "abc"}, "benchmarks": {}},
    )
    return folder


def aggregate(paths: list[Path]) -> tuple[dict, list[dict]]:
    main_file = next(path for path in paths if path.suffix == ".json")
    lines = main_file.with_name(main_file.stem + "_samples.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(main_file.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_samples_agree_with_the_aggregate_and_hold_no_text(single, tmp_path):
    paths = export(single, "every-eval-ever", tmp_path / "out")
    document, samples = aggregate(paths)
    assert from_every_eval_ever(document) == list(load_evaluations(single)[""].rows)
    detail = document["detailed_evaluation_results"]
    file = tmp_path / "out" / detail["file_path"]
    assert detail["total_rows"] == len(samples) == 7
    assert detail["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert json.loads(detail["additional_details"]["unscored_samples"]) == {
        "twins/test/print/asr[refusal[words:v1]]": {"family-9-print-harmful": "parse_failed"}
    }
    for sample in samples:
        SampleRow.model_validate(sample)
        assert sample["evaluation_id"] == document["evaluation_id"] and sample["model_id"] == "local/tiny"
        assert sample["evaluation"]["is_correct"] == (sample["evaluation"]["score"] == 0.0)
    assert sum(sample["evaluation"]["score"] for sample in samples) == 4
    written = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert SECRET not in written and "its answer" not in written and "/secret" not in written


def test_text_leaves_only_when_asked_for(single, tmp_path, capsys):
    _, samples = aggregate(export(single, "every-eval-ever", tmp_path / "out", Options(include_text=True)))
    assert samples[0]["input"]["raw"] == SECRET and samples[0]["output"]["raw"] == ["and its answer"]
    assert main(["export", str(single), "--to", "every-eval-ever", "--out", str(tmp_path / "o"), "--include-text"]) == 0
    assert "licences of their datasets apply (Apache-2.0)" in capsys.readouterr().err


def test_the_same_evaluation_is_the_same_file(single, tmp_path):
    assert export(single, "every-eval-ever", tmp_path) == export(single, "every-eval-ever", tmp_path)


@pytest.mark.parametrize("to", list(FORMATS))
def test_a_run_gives_both_sides(to, tmp_path):
    run = tmp_path / "runs" / "demo"
    inside(evaluation(run / "before", {"text": 0.9, "print": 0.1}, n=20, seed=1))
    inside(evaluation(run / "after", {"text": 0.9, "print": 0.9}, n=20, seed=2))
    for side, adapter in (("before", None), ("after", "runs/demo/adapter")):
        model = {"name": "tiny", "fingerprint": side, "adapter": adapter}
        write_json(run / side / "run.json", {"model": model, "benchmarks": {}})
    write_json(run / "run.json", {"started": "2026-01-02T03:04:05+00:00", "config": {"method": "rejection-mix"}})
    paths = export(run, to, tmp_path / "out", Options(datasets={"twins": "owner/twins"}))
    assert len(paths) == len(set(paths)) == (4 if to == "every-eval-ever" else 2)
    assert all((tmp_path / "out") in path.parents and path.stat().st_size for path in paths)
    if to == "every-eval-ever":
        after = next(p for p in paths if p.suffix == ".json" and "rejection-mix" in p.as_posix())
        results = json.loads(after.read_text(encoding="utf-8"))["evaluation_results"]
        paired = [each for each in results if each["metric_config"]["metric_kind"] == "paired_difference"]
        assert paired and paired[0]["score_details"]["details"]["baseline"] == "counterpoise/local/tiny/1767323045"
    if to == "card":
        text = (tmp_path / "out" / "card-after.md").read_text(encoding="utf-8")
        assert "Change against the model before" in text and "better" in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"scorer": ""}, "scorer"), ({"revision": "unknown"}, "revision"), ({"model": ""}, "model")],
)
def test_a_row_that_cannot_be_compared_is_refused_and_nothing_is_written(fields, says, tmp_path, capsys):
    folder = write(tmp_path / "e", [row("asr", "print", 0.5, 10, **fields)], [])
    assert main(["export", str(folder), "--to", "csv", "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert f'field "{says}"' in line and line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_mistakes(single, tmp_path, capsys):
    with pytest.raises(InputError, match="choose one of every-eval-ever"):
        export(single, "html", tmp_path / "out")
    assert main(["export", str(tmp_path / "nothing"), "--to", "csv", "--out", str(tmp_path / "out")]) == 2
    assert "no scorecard.json here" in capsys.readouterr().err
    given = ["export", str(single), "--to", "model-index", "--out", str(tmp_path / "out"), "--dataset", "twins"]
    assert main(given) == 2 and "expected NAME=owner/id" in capsys.readouterr().err
    (tmp_path / "half" / "before").mkdir(parents=True)
    write(tmp_path / "half" / "before", [row("asr", "print", 0.5, 10)], [])
    assert main(["export", str(tmp_path / "half"), "--to", "csv", "--out", str(tmp_path / "out")]) == 2
    assert "not finished" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_card_is_only_text(tmp_path):
    hostile = "<img src=x onerror=alert(1)> | [click](javascript:x)"
    folder = write(tmp_path / "e", [row("asr", "print", 0.5, 10, benchmark=hostile, scorer=JUDGE)], [])
    text = export(folder, "card", tmp_path / "out")[0].read_text(encoding="utf-8")
    body = text.split("---\n", 2)[2]
    assert (
        r"\<img" in body
        and body.count("<img") == body.count(r"\<img")
        and r"\](javascript" in body
        and r"\[click" in body
    )


@pytest.mark.parametrize("to", list(FORMATS))
def test_a_model_given_by_its_folder_leaves_no_path(to, tmp_path):
    lines = [row("asr", "print", 0.5, 10, model="/home/somebody/secret/my-model")]
    folder = write(tmp_path / "e", lines, [])
    for file in export(folder, to, tmp_path / "out", Options(datasets={"twins": "owner/twins"})):
        assert "my-model" in file.as_posix() + file.read_bytes().decode("utf-8", "replace") or to == "eval-results"
        assert b"somebody" not in file.read_bytes() and "somebody" not in file.relative_to(tmp_path).as_posix()
