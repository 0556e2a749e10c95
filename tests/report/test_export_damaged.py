"""`counterpoise export` on a `run.json` damaged by hand: one line that names file and field, nothing written."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from board_rows import inside
from folders import evaluation

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.report.exports import FORMATS, export

EVALUATION = {
    "model": {"name": "tiny", "fingerprint": "abc", "adapter": None, "path": "/x", "artifact": {"kind": "adapter"}},
    "benchmarks": {
        "twins": {"split": "test", "shots": 0, "max_new_tokens": 64, "rows": 20, "source": "us", "licence": "CC0"},
        "reading": {
            "split": "test", "shots": 5, "max_new_tokens": 64, "label": "reading",
            "sampling": {"temperature": 0.7, "top_p": 0.95, "tries": 8, "seeds": [0, 1]},
        },
    },
    "decoding": {"temperature": 0.0, "tries": 1},
    "limit": None,
    "commit": "c" * 40,
    "versions": {"torch": "2.13", "python": "3.12"},
    "seconds": {"generate": 1.5},
}  # fmt: skip
RUN = {
    "config": {"method": "rejection-mix", "seed": 0},
    "started": "2026-01-02T03:04:05+00:00",
    "commit": "c" * 40,
    "timings": {"before": 1.0},
}
NEEDED = {("model",), ("model", "name"), ("benchmarks",), ("config",), ("config", "method"), ("started",)}
NOT_READ = {"path", "seed", "rows", "seeds", "limit", "seconds", "timings", "generate", "before", "kind"}
MISSING = object()
WRONG: tuple[Any, ...] = (MISSING, None, "x", 5, True, float("nan"))


def places(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, each in value.items() if isinstance(value, dict) else ():
        yield (*at, key)
        yield from places(each, (*at, key))


def damaged(value: dict[str, Any], place: tuple[str, ...], new: Any) -> tuple[dict[str, Any], Any]:
    """The record with one key dropped or replaced, and what stood there."""
    made = inner = deepcopy(value)
    for key in place[:-1]:
        inner = inner[key]
    old = inner.pop(place[-1])
    if new is not MISSING:
        inner[place[-1]] = new
    return made, old


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "run"
    for side, refusal in (("before", 0.1), ("after", 0.9)):
        inside(evaluation(folder / side, {"text": refusal}, n=4))
        (folder / side / "run.json").write_text(json.dumps(EVALUATION))
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


def outcome(run: Path, out: Path, capsys, to: str = "csv") -> tuple[int, str]:
    code = main(["export", str(run), "--to", to, "--out", str(out), "--dataset", "twins=owner/twins"])
    line = capsys.readouterr().err
    assert code in (0, 2) and line.count("\n") == (code == 2) and out.exists() == (code == 0), line
    return code, line


def written(run: Path, out: Path) -> tuple[int, str]:
    """The same without the command line, for the hundreds."""
    try:
        export(run, "csv", out)
    except InputError as error:
        assert not out.exists() and "\n" not in str(error)
        return 2, str(error)
    return 0, ""


@pytest.mark.parametrize("file", ["run.json", "before/run.json"])
def test_every_key_dropped_or_replaced(file, run, tmp_path):
    whole, given = (EVALUATION, run / "before") if "/" in file else (RUN, run)
    try:
        for place in places(whole):
            for new in WRONG:
                record, old = damaged(whole, place, new)
                (run / file).write_text(json.dumps(record))
                code, line = written(given, tmp_path / f"{hash((place, str(new)))}")
                # the field itself, or one within it that is missing now
                assert code == 0 or (str(run / file) in line and f'field "{".".join(place)}' in line), line
                if new is MISSING:
                    assert (code == 2) == (place in NEEDED), (place, line)
                elif new != new:
                    assert code == 2, place  # NaN is no value of anything
                elif not NOT_READ & set(place) and type(new) is not type(old):
                    other = (place[-1] == "adapter" and new == "x") or (place[-1] == "temperature" and new == 5)
                    assert (code == 0) == other, (place, new, line)
    finally:
        (run / file).write_text(json.dumps(whole))


@pytest.mark.parametrize("to", list(FORMATS))
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', '{"model": NaN}', json.dumps(EVALUATION)[:-40]])
def test_a_record_that_is_none(text, to, run, tmp_path, capsys):
    try:
        (run / "after/run.json").write_text(text)
        code, line = outcome(run, tmp_path / "out", capsys, to)
        assert code == 2 and str(run / "after" / "run.json") in line
    finally:
        (run / "after/run.json").write_text(json.dumps(EVALUATION))


@pytest.mark.parametrize("to", list(FORMATS))
def test_the_whole_record_is_taken(to, run, tmp_path, capsys):
    assert outcome(run, tmp_path / "out", capsys, to)[0] == 0
