"""A third party's method through the commands: align, the main job with a target, and their plans. Nothing is faked."""

from pathlib import Path

import pytest

import tiny
from counterpoise.base import read_json
from counterpoise.cli import main
from counterpoise.report import load_curve


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("model") / "vlm")


def said(capsys, *arguments: object) -> str:
    code = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def test_align_trains_its_objective_and_its_groups(toy, model, tmp_path, capsys):
    options = ("align", model, "--method", "toy-hinge", "--set", "pairs=4", "--out", tmp_path / "out")
    plan = said(capsys, *options, "--dose", "slack=0.5", "--dry-run")
    assert "align (toy-hinge)" in plan and "4 rows, 480 tokens at most" in plan and "1 epochs" in plan
    assert "settings other than the defaults of toy-hinge: pairs 4, slack 0.5" in plan
    assert not (tmp_path / "out").exists()
    told = said(capsys, *options, "--dose", "slack=0.5", "--seed", "3")
    assert f"adapter: {tmp_path / 'out' / 'adapter'}" in told and "--artifact" in told
    run = read_json(tmp_path / "out" / "run.json")
    assert (
        run["method"] == "toy-hinge" and run["artifact"]["kind"] == "adapter" and run["artifact"]["path"] == "adapter"
    )
    assert (run["config"]["slack"], run["config"]["pairs"], run["config"]["train"]["seed"]) == (0.5, 4, 3)
    assert run["data"]["n_pairs"] == 4 and len(run["data"]["refused"]["sha256"]) == 64
    saved = read_json(tmp_path / "out" / "adapter" / "adapter_config.json")
    assert saved["r"] == 2 and any("connector" in name for name in saved["modules_to_save"])
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1 and '"gap"' in lines[0]


def test_align_goes_on_from_an_adapter_and_leaves_one_of_the_base(toy, model, tmp_path, capsys):
    options = ("--method", "toy-hinge", "--set", "pairs=4", "--out")
    said(capsys, "align", model, *options, tmp_path / "first")
    first, second = (tmp_path / name / "adapter" for name in ("first", "second"))
    told = said(capsys, "align", first, *options, tmp_path / "second")
    assert f"counterpoise eval {second} --suite" in told
    saved = read_json(second / "adapter_config.json")
    assert saved["r"] == 4 and saved["base_model_name_or_path"] == str(model)
    for more in ((), ("--dry-run",)):
        assert main([str(each) for each in ("run", first, *options, tmp_path / "run", *more)]) == 2
        assert "is an adapter; `counterpoise align" in capsys.readouterr().err
    assert not (tmp_path / "run" / "before").exists()


def test_the_main_job_searches_its_knob(toy, model, tmp_path, capsys):
    options = (
        "run", model, "--method", "toy-hinge", "--suite", "smoke", "--limit", "40", "--max-new-tokens", "3",
        "--target", "asr<=1", "--set", "pairs=4", "--grid", "slack=0.2,0.8", "--out", tmp_path / "run",
    )  # fmt: skip
    plan = said(capsys, *options, "--dry-run")
    assert "usually 2 doses of slack; at worst 2" in plan and "8 rows, 960 tokens at most" in plan
    assert not (tmp_path / "run").exists()
    said(capsys, *options)
    curve = load_curve(tmp_path / "run" / "dose.json")
    assert [knob.name for knob in curve.knobs] == ["slack"] and curve.knobs[0].direction == "falling"
    assert curve.points[0].dose == {} and {point.dose["slack"] for point in curve.points[1:]} <= {0.2, 0.8}
    assert curve.chosen.dose == {"slack": 0.8}  # the weakest one is enough for a limit that everything meets
    run = read_json(tmp_path / "run" / "run.json")
    assert run["knobs"] == {"slack": 0.8} and run["artifact"]["path"] == "adapter" and run["settings"]["pairs"] == 4
    trained = read_json(tmp_path / "run" / "dose" / "slack-0.8" / "run.json")
    assert trained["config"]["slack"] == 0.8 and trained["artifact"]["fingerprint"] == run["artifact"]["fingerprint"]
    after = read_json(tmp_path / "run" / "after" / "run.json")["model"]
    assert after["artifact"]["kind"] == "adapter" and after["adapter_proof"]["probe_difference"] > 0
    assert "slack of the hinge" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--method", "toy-plain", "--target", "asr<=0.1"], "toy-plain declares no dose knob, so --target has nothing"),
        (["--method", "toy-plain", "--fraction", "0.1"], "no such dose knob of toy-plain; it declares no knob"),
        (["--method", "toy-hinge", "--fraction", "0.1"], "fraction: no such dose knob of toy-hinge; its knobs: slack"),
        (
            ["--method", "toy-hinge", "--set", "pears=3", "--set", "slack=2"],
            "pears: no such setting; did you mean pairs",
        ),
        (["--method", "toy-plain", "--seed", "3"], "toy-plain: seed: no such setting"),
        (["--method", "toy-hinge", "--skip-bad-rows", "2"], "skip_bad_rows: no such setting"),
        (
            ["--method", "toy-hinge", "--rejection-source", "a", "--benign-source", "b"],
            "rejection_files: no such setting",
        ),
        (
            ["--method", "toy-hinge", "--target", "asr<=0.1", "--dose", "slack=0.1"],
            "slack is given and --target searches",
        ),
        (["--method", "toy-hinge", "--target", "asr<=0.1", "--grid", "slack=2"], "slack: Input should be less than"),
        (["--method", "toy-hinge", "--grid", "slack=0.1"], "--grid slack: only a search with --target"),
    ],
)
def test_what_a_method_does_not_take_is_one_line_before_anything_is_written(
    toy,
    model,
    tmp_path,
    monkeypatch,
    capsys,
    arguments,
    line,
):
    monkeypatch.chdir(tmp_path)
    for last in ([], ["--dry-run"]):
        assert main(["run", str(model), *arguments, *last]) == 2
        out, err = capsys.readouterr()
        assert out == "" and line in err and err.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_method_that_does_not_say_its_size_has_a_plan_all_the_same(toy, model, capsys):
    plan = said(capsys, "align", model, "--method", "toy-plain", "--dry-run")
    assert "unknown; the method does not say how much work it is" in plan
