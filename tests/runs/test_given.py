"""A command line's settings become one config, and all that is wrong with them is said at once."""

from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.runs import given_config


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
