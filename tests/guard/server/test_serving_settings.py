"""Settings and the tables that need no running server."""

import socket
from pathlib import Path

import pytest
from serving import BLUE, Plain, data_url

from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, user
from counterpoise.cli import main
from counterpoise.guard import Exchange, Sees
from counterpoise.guard.server import read_config
from counterpoise.guard.server._categories import KEYS, TABLE, to_keys
from counterpoise.guard.server._config import Policy
from counterpoise.guard.server._judge import judge
from counterpoise.guard.server._views import parts_of, views


def write(folder: Path, text: str) -> Path:
    file = folder / "guard.yaml"
    file.write_text(text)
    return file


def test_a_port_that_is_taken_is_one_line_and_no_address_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["guard", "serve", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: 127.0.0.1:{port}: ") and said.err.count("\n") == 1


def test_defaults() -> None:
    found = read_config(None)
    assert found.host == "127.0.0.1" and found.policies["default"].guards == ("tiny", "keyword")
    assert not found.fail_open and not found.fetch.hosts
    assert read_config(None, port=17, host=None).port == 17


def test_every_wrong_entry_is_named_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path, "port: high\nqueue: 0\nnonsense: 1\npolicies: {default: {guards: [keyword], threshold: 3}}\n"
    )
    with pytest.raises(InputError) as found:
        read_config(file)
    line = str(found.value)
    assert (
        all(name in line for name in ("port", "queue", "nonsense", "policies.default.threshold")) and "\n" not in line
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("default_policy: other", "default_policy"),
        ("policies: {default: {guards: []}}", "no guards"),
        ("upstream: {base_url: localhost}", "expected http"),
        ("host: 0.0.0.0", "api_keys_env"),
        ("- a", "expected settings"),
        ("a: [", "not valid YAML"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_config(write(tmp_path, text))


def test_no_file() -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_config("nowhere.yaml")


def test_every_category_of_every_guard_is_in_the_table() -> None:
    from counterpoise.guard.adapters._families import FAMILIES

    for family in FAMILIES.values():
        for category in family.categories:
            own = next(table for start, table in TABLE.items() if family.name.startswith(start))
            assert category in own, f"{family.name}: {category}"
    lines = Path(__file__).parents[3] / "src/counterpoise/guard/adapters/keywords.txt"
    if lines.is_file():
        names = {line.partition("\t")[0] for line in lines.read_text().splitlines() if "\t" in line and line[0] != "#"}
        assert names == set(TABLE["keyword"])
    assert all(key in KEYS for table in TABLE.values() for keys in table.values() for key in keys)
    assert to_keys("llama-guard-4@x", ["S11", "S99"]) == ("self-harm",)


IMAGE = Image.from_data_uri(data_url(BLUE))
EXCHANGES = [
    Exchange((user("a"),)),
    Exchange((user("a", IMAGE), assistant("b"), user(IMAGE, IMAGE)), "answer"),
    Exchange((user(IMAGE),)),
]
SEES = [
    Sees(), Sees(images=1), Sees(images=None), Sees(texts=False, images=1, answers=False), Sees(answers=False),
    Sees(texts=False, images=None, answers=False), Sees(images=2, answers=False),
]  # fmt: skip


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_views_show_all_that_a_guard_can_see_and_claim_no_more(sees: Sees, exchange: Exchange) -> None:
    shown = views(sees, exchange)
    claimed = {part for view in shown for part in view.parts}
    wanted = {
        part for part in parts_of(exchange)
        if (isinstance(part, int) and sees.images != 0) or (part == "texts" and sees.texts)
        or (part == "answer" and sees.texts and sees.answers)
    }  # fmt: skip
    assert claimed == wanted
    for view in shown:
        assert sees.images is None or view.exchange.images <= sees.images
        assert sees.texts or not view.exchange.texts


def test_a_policy_blocks_what_its_guards_left_out() -> None:
    guard = Plain("words", Sees())
    exchange = EXCHANGES[1]
    looked = [(view, guard.one(view.exchange)) for view in views(guard.sees, exchange)]
    found = judge("p", Policy(guards=("words",)), exchange, looked)
    assert found.blocked and (found.coverage.images_checked, found.coverage.images_total) == (0, 3)
    assert found.coverage.texts_checked == found.coverage.texts_total == 3
