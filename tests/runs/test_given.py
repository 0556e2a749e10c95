"""A command line's settings become one config, and all that is wrong with them is said at once."""

from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.evals.stats import parse_stop_rule
from counterpoise.runs import given_config, parse_target


def test_what_every_parser_refuses_is_said_at_once() -> None:
    pairs = ["learning_rat=1", "epochs=-1", "foo"]
    with pytest.raises(InputError) as caught:
        given_config(
            "rejection-mix", pairs=pairs, doses=["fraction=2", "bar=1", "qux"], grids=["amount=x"], batch=0,
            sources=(Path("a.json"), None, None, None),
        )  # fmt: skip
    for part in (
        "'foo' is not key=value",
        "'qux'",
        "'amount=x'",
        "--benign-source is missing",
        "batch",
        "epochs: Input",
    ):
        assert part in str(caught.value), part
    with pytest.raises(InputError) as caught:
        given_config("rejection-mix", pairs=pairs, doses=["fraction=2", "bar=1"])
    for part in ("learning_rat: no such setting", "epochs: Input", "'foo'", "fraction: 2 is not", "bar: no such dose"):
        assert part in str(caught.value), part


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "NaN"])
def test_a_setting_is_a_number(number: str) -> None:
    for given, says in (
        ({"doses": [f"fraction={number}"]}, "--dose: cannot read 'fraction="),
        ({"grids": [f"fraction=0.1,{number}"]}, "--grid: cannot read 'fraction=0.1,"),
        ({"named": {"fraction": float(number)}}, "finite number"),
    ):
        with pytest.raises(InputError, match=says) as error:
            given_config("rejection-mix", **given)
        assert "\n" not in str(error.value)
    for read in (parse_target, parse_stop_rule):
        with pytest.raises(InputError, match="cannot read"):
            read(f"asr<={number}")


@pytest.mark.parametrize(
    "pair", ["train.learning_rate=NaN", "train={learning_rate: .nan}", "x=" + "[" * 100_000, "x=" + "1" * 5000,
             'x="\\ud800"', 'x="\\u0000"'],
)  # fmt: skip
def test_an_odd_value_of_set_is_one_line(pair: str) -> None:
    with pytest.raises(InputError) as error:
        given_config("rejection-mix", pairs=[pair])
    assert "\n" not in str(error.value) and f"--set {pair.partition('=')[0]}" in str(error.value)
    assert any(says in str(error.value) for says in ("NaN", "nested too deeply", "thousands of digits", "holds"))


def test_options_of_every_command_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["run", "--fraction", "nan"],
        ["align", "pocket", "--fraction", "inf"],
        ["judge", "score", "x", "--judge", "wang-string", "--timeout", "nan"],
        ["guard", "eval", "keyword", "--threshold", "nan"],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: Invalid value for") and "--" in said and said.count("\n") == 1


def test_files_and_folders_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    here = tmp_path / "here.json"
    here.write_text("[]")
    gone = [tmp_path / name for name in ("rows.json", "pictures", "adapter")]
    with pytest.raises(InputError) as caught:
        given_config(
            "rejection-mix",
            sources=(gone[0], here, gone[1], None),
            pairs=[f'groups=[{{kind: lora, start: "{gone[2]}"}}]'],
        )
    assert all(f"{path}: no such file or folder" in str(caught.value) for path in gone)
    assert str(here) not in str(caught.value)
