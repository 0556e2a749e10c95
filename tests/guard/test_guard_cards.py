"""The numbers of the shipped guards' cards, measured again: a card that no longer describes its weights fails here."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from counterpoise.data import data_root, twins
from counterpoise.guard import Guard
from counterpoise.guard._labelled import Labelled, from_sample
from counterpoise.guard.evaluate import eval_sets
from counterpoise.guard.own import small, tiny
from counterpoise.guard.own._measure import UNKNOWN, Measured, measured
from counterpoise.guard.own._tiny import PART

LABELS = {"safe": 0, "unsafe": 1, "unknown": UNKNOWN}
LINE = re.compile(r"\| (?P<kind>[a-z, ]+) \| (?P<rates>.* of .*) \| (?P<unknown>\d+) \|")


def on_card(name: str, section: str) -> dict[str, Measured]:
    """The table of rates by kind under a heading of a card."""
    text = (Path(PART).parent / f"{name}.md").read_text(encoding="utf-8")
    rest = re.split(rf"^## {section} \(\d+ rows\)$", text, flags=re.MULTILINE)[1]
    table = rest.split("| category |")[0].split("\n## ")[0]
    found = {}
    for line in LINE.finditer(table):
        (caught, unsafe), (blocked, safe) = (map(int, each) for each in re.findall(r"(\d+) of (\d+)", line["rates"]))
        found[line["kind"]] = Measured(line["kind"], unsafe, caught, safe, blocked, int(line["unknown"]))
    return found


def again(guard: Guard, rows: Sequence[Labelled]) -> dict[str, Measured]:
    said = np.array([LABELS[each.label] for each in guard.check([row.exchange for row in rows])])
    return {each.kind: each for each in measured(rows, said)}


def agree(found: Measured, card: Measured) -> bool:
    """Every count within one row: another machine's last digits may move one that lies on the line."""
    return all(abs(a - b) <= 1 for a, b in zip(found[1:], card[1:], strict=True))


def families(*modalities: str) -> list[Labelled]:
    return [from_sample(each) for each in twins.samples("test") if each.modality in modalities]


def test_the_card_of_tiny_says_what_tiny_does_with_texts() -> None:
    found, card = again(tiny(), families("text"))["text"], on_card("tiny", "Twins, test families")["text"]
    assert found.unsafe == found.safe == 135 and agree(found, card), (found, card)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "modalities"), [("tiny", ("print", "picture", "pair")), ("small", ("text", "print"))])
def test_the_cards_say_what_the_guards_do(name: str, modalities: tuple[str, ...]) -> None:
    guard, card = {"tiny": tiny, "small": small}[name](), on_card(name, "Twins, test families")
    found = again(guard, families(*modalities))
    assert set(found) == set(modalities)
    assert all(agree(found[kind], card[kind]) for kind in modalities), (found, card)


@pytest.mark.slow
@pytest.mark.skipif(data_root() is None, reason="XSTest's rows are not here: COUNTERPOISE_DATA")
def test_the_card_of_tiny_says_what_it_does_on_xstest() -> None:
    sets, _ = eval_sets(["xstest"])
    found, card = again(tiny(), sets[0].rows)["text"], on_card("tiny", "xstest")["text"]
    assert (found.unsafe, found.safe) == (200, 250) and agree(found, card), (found, card)
