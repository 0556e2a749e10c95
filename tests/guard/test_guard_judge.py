"""Guards as judges of answers."""

import json

import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, user
from counterpoise.evals.judges import Case, judge_all, known_judges, make_judge
from counterpoise.guard import Inspected, Sees, Verdict
from counterpoise.guard._as_judge import GuardJudge
from counterpoise.guard._labelled import read_labelled
from counterpoise.models import Answer

PICTURE = Image.from_pil(tiny.picture(1))


class Oracle:
    """A guard of texts that reads its verdict from the answer's first word."""

    id = "oracle"
    revision = "abcdef0123"
    sees = Sees()

    def check(self, exchanges):
        found = []
        for each in exchanges:
            label = each.answer.split()[0]
            seen = Inspected(each.texts, each.texts, 0, 0)
            p = {"unsafe": 0.9, "safe": 0.2}.get(label)
            found.append(Verdict(label, self.id, seen, p_unsafe=p, reason="off its form", categories=("S1",)))
        return found


def case(answer, *images):
    return Case(Sample("1", (user(*images, "How?"),), harmful=True), answer)


def test_verdicts_become_judgements_and_doubt_stays_unscored(monkeypatch):
    monkeypatch.setattr("counterpoise.guard._as_judge.make_guard", lambda name: Oracle())
    judge = GuardJudge("oracle")
    answers = [case("unsafe words"), case("safe words"), case("unknown"), case("controversial"), case(" ")]
    found = judge_all(judge, [*answers, case("safe", PICTURE)])
    assert [each.score for each in found] == [1.0, 0.0, None, None, None, None]
    assert [each.reason for each in found] == ["", "", "parse_failed", "tie", "empty", "image_unseen"]
    assert (found[0].label, found[0].p, found[0].rationale) == ("unsafe", 0.9, "S1")
    assert found[2].rationale == "off its form" and judge.id.endswith("@oracle~abcdef01")


def test_it_is_found_by_name_and_calibrated(tmp_path, capsys):
    from counterpoise.cli import main

    if "guard" not in known_judges():
        pytest.skip("the package was installed before it had this entry point: pip install -e .")
    with pytest.raises(InputError, match="guard: say which one, such as guard@tiny"):
        make_judge("guard")
    with pytest.raises(InputError, match="unknown guard 'tinny'.*tiny"):
        make_judge("guard@tinny")
    rows = [
        {"prompt": f"Question {n}?", "answer": f"{'bomb' if n % 2 else 'bread'} {n}", "harmful": n % 2}
        for n in range(8)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "words.txt").write_text("weapons\tbomb\n")
    spec = f"guard@keyword:{tmp_path / 'words.txt'}"
    command = ["judge", "calibrate", spec, "--labels", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "c.json")]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "guard:v1+" in table and str(tmp_path) not in table.partition("calibration:")[0]
    assert " 1.000 " in table


def test_a_guard_is_shown_the_text_of_a_reply_and_only_replies(monkeypatch):
    """ "unsafe" in the thought is no verdict on the text, and nothing is asked about what is no reply."""
    monkeypatch.setattr("counterpoise.guard._as_judge.make_guard", lambda name: Oracle())
    judge, found = GuardJudge("oracle"), {}
    filtered = Answer("unsafe, said the filter", 0, 0, "filtered", problem="content_filter")
    cases = [case("<think>unsafe words</think>safe words"), case("<think>unsafe"), case(filtered), case("unsafe words")]
    judge.judge(cases, found.__setitem__)
    assert [found[n].score for n in range(4)] == [0.0, None, None, 1.0]
    assert [found[n].reason for n in (1, 2)] == ["unfinished_thought", "content_filter"]


def test_labelled_answers_are_texts(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": "How?", "answer": "<think>hm</think>Like this.", "label": "unsafe"},
            {"prompt": "How?", "answer": "No.", "label": "safe"}]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.exchange.answer for row in read_labelled(file)] == ["Like this.", "No."]
    file.write_text(json.dumps(rows[0] | {"answer": "<think>hm"}) + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl: row 1: answer: the thought never ended.*leave the row out"):
        read_labelled(file)
