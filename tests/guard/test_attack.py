"""The red-team suite: every attack has its control, and what passes is counted as passing."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from counterpoise import __version__
from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.guard import Exchange, Inspected, Sees, Verdict, make_guard, unknown, unseen
from counterpoise.guard.attack import (
    FAMILIES,
    GuardTarget,
    attack,
    attacks,
    fitting,
    parse_attack_rule,
    shares,
    translations,
    unkept,
)


class Naive:
    """Knows the plain texts of the harmful requests and sees nothing else; `read` counts what it was asked."""

    id, sees, revision = "naive", Sees(images=None), "1"

    def __init__(self) -> None:
        self.known = [each.conversation[0].text for each in attacks(["plain"], None) if each.harmful]
        self.read = 0

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.read += len(exchanges)
        return [self.one(each) for each in exchanges]

    def one(self, exchange: Exchange) -> Verdict:
        if reason := unseen(self.sees, exchange):
            return unknown(self.id, exchange, reason)
        text = "\n".join(message.text for message in exchange.conversation)
        seen = Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images)
        return Verdict("unsafe" if any(each in text for each in self.known) else "safe", self.id, seen)


def test_every_attack_has_a_control_and_all_ids_differ() -> None:
    found = attacks(FAMILIES, 2)
    assert len({each.id for each in found}) == len(found)
    sides = Counter((each.family, each.variant, each.harmful) for each in found)
    for (family, variant, harmful), n in sides.items():
        assert sides[family, variant, not harmful] == n, (family, variant)
    assert {each.family for each in found} == set(FAMILIES)
    assert all(each.body is not None for each in found if each.family in ("fields", "tools", "streams"))
    # what is asked beside the request is the same on both sides
    for each in found:
        if each.family == "dilution" and each.harmful:
            twin = next(e for e in found if e.id == each.id.replace("/harmful", "/benign"))
            a, b = (e.conversation[0].text.split() for e in (each, twin))
            assert len(set(a) & set(b)) >= 5


def test_translations_are_whole() -> None:
    languages = [set(own) for own in translations().values()]
    assert all(own == languages[0] for own in languages) and len(languages[0]) >= 20
    for own in translations().values():
        assert all(len(both) == 2 and both[0] != both[1] for both in own.values())


def test_a_guard_that_reads_only_plain_text_is_talked_past_and_the_table_says_so() -> None:
    guard = Naive()
    tries = attacks(["plain", "dilution", "disguise", "turns", "fields"], 3)
    outcomes = attack(GuardTarget(guard), tries)
    found = {(each.family, each.harmful): each for each in shares(tries, outcomes)}
    assert (found["plain", True].caught, found["plain", True].passed) == (3, 0)
    assert found["dilution", True].wrong.value == 0  # it finds the words anywhere
    assert found["disguise", True].passed == found["disguise", True].n > 50 and found["disguise", True].wrong.value == 1
    assert found["disguise", True].wrong.low is not None and found["disguise", True].wrong.low < 1
    assert found["plain", False].wrong.value == 0 and found["plain", False].passed == 3
    assert found["fields", True].n == 0 and found["fields", True].not_run > 0
    lines = unkept(shares(tries, outcomes), [parse_attack_rule("passed>50%"), parse_attack_rule("over_block>0")])
    assert [line.split(":")[0] for line in lines] == ["disguise", "fields", "fields"]


def test_outcomes_are_kept_and_asked_for_once(tmp_path: Path) -> None:
    first, again = Naive(), Naive()
    tries = attacks(["plain", "turns"], 2)
    found = attack(GuardTarget(first), tries, journal=tmp_path / "a.jsonl")
    assert attack(GuardTarget(again), tries, journal=tmp_path / "a.jsonl") == found
    assert first.read == len(tries) and again.read == 0
    again.revision = "2"  # another guard: nothing of the first holds
    attack(GuardTarget(again), tries, journal=tmp_path / "a.jsonl")
    assert again.read == len(tries)


@pytest.mark.parametrize("rule", ["passed", "passed>1", "passed>120%", "caught>0.1", "passed>-1", ""])
def test_rules_that_cannot_be_read_say_how_to_write_them(rule: str) -> None:
    with pytest.raises(InputError, match="--fail-on"):
        parse_attack_rule(rule)


def test_the_command_writes_its_files_and_its_exit_code_is_a_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["guard", "attack", "keyword", "--limit", "1", "-f", "plain", "-f", "disguise", "--out", str(tmp_path)]
    assert main(command) == 0
    value = json.loads((tmp_path / "attack.json").read_text())
    assert {each["family"] for each in value["shares"]} == {"plain", "disguise"}
    assert len(value["tries"]) == sum(each["n"] for each in value["shares"] if not each["variant"])
    page = (tmp_path / "report.html").read_text()
    assert "disguise" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert "Of 22 harmful tries from 2 families keyword:list" in page and "Of 22 harmless ones in the same" in page
    assert f"Revision of the guard: {make_guard('keyword').revision}; Counterpoise {__version__}" in page
    assert main([*command, "--fail-on", "passed>0", "--fail-on", "over_block>99%"]) == 1
    assert "failed: disguise: passed>0" in capsys.readouterr().err
    again, page = json.loads((tmp_path / "attack.json").read_text()), (tmp_path / "report.html").read_text()
    assert again["shares"] == value["shares"] and again["gates"]["over_block>99%"] == []
    assert again["gates"]["passed>0"][-1].startswith("disguise: passed>0: ")
    worst = next(s for s in value["shares"] if s["family"] == "disguise" and s["harmful"] and not s["variant"])
    assert f"Most passed in disguise: {worst['passed']} of {worst['n']}" in page
    assert f"Gate passed&gt;0: broken by disguise ({worst['passed']} of {worst['n']})." in page
    assert "Gate over_block&gt;99%: kept." in page
    capsys.readouterr()
    for other, said in (  # neither a part of the tries nor another guard replaces the table
        (["guard", "attack", "keyword", "--limit", "1", "-f", "plain"], "families: plain, disguise; here: plain"),
        (["guard", "attack", "tiny", *command[3:-2]], "target: keyword:list"),
    ):
        assert main([*other, "--out", str(tmp_path)]) == 2
        assert said in (line := capsys.readouterr().err) and "choose another --out, or give --force" in line
        assert json.loads((tmp_path / "attack.json").read_text()) == again
    assert main([*other[:2], "keyword", "-f", "plain", "--limit", "1", "--out", str(tmp_path), "--force"]) == 0
    assert {each["family"] for each in json.loads((tmp_path / "attack.json").read_text())["shares"]} == {"plain"}
    assert main([*command, "--fail-on", "nothing"]) == 2
    assert main(["guard", "attack", "keyword", "-f", "fields"]) == 2
    assert main(["guard", "attack", "keyword", "-f", "nonsense"]) == 2
    assert main(["guard", "attack", "http://127.0.0.1:9", "-f", "plain"]) == 2
    capsys.readouterr()
    assert main(["guard", "attack", "127.0.0.1:9", "-f", "plain"]) == 2
    assert "write its whole address, http://127.0.0.1:9" in capsys.readouterr().err
    assert fitting(FAMILIES, GuardTarget(Naive())) == list(FAMILIES[:6])
