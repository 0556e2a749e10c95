"""Samples on disk come back as they were; a journal keeps places, not answers."""

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import twins
from counterpoise.evals import Journal
from counterpoise.evals._spool import Spool
from counterpoise.evals._store import keep_images


def test_every_field_of_a_sample_survives(tmp_path):
    rows = [keep_images(sample, tmp_path / "images") for sample in twins.samples("validation")[:12]]
    rows.append(Sample("q", (user("Which?"), assistant("B.")), target="B", choices=("A", "B"), meta={"accept": ["b"]}))
    spool = Spool(tmp_path / "s.jsonl", rows)
    assert len(spool) == len(rows) and [s.id for s in spool[2:5]] == [s.id for s in rows[2:5]]
    for before, after, again in zip(rows, spool, (spool[i] for i in range(len(rows))), strict=True):
        assert after == again
        assert after.messages == before.messages and after.choices == before.choices and after.target == before.target
        assert (after.harmful, after.cluster, after.group) == (before.harmful, before.cluster, before.group)
        assert [i.sha256 for i in after.messages[0].images] == [i.sha256 for i in before.messages[0].images]
    with pytest.raises(IndexError):
        spool[len(rows)]


def test_an_image_that_is_no_file_is_refused(tmp_path):
    sample = Sample("x", (user(Image.from_pil(PIL.Image.new("RGB", (4, 4))), "What?"),))
    with pytest.raises(InputError, match="x: its image is not a file"):
        Spool(tmp_path / "s.jsonl", [sample])
    assert not list(tmp_path.iterdir())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_a_journal_gives_back_every_answer_also_after_a_cut(tmp_path_factory, answers):
    file = tmp_path_factory.mktemp("j") / "answers.jsonl"
    journal = Journal(file, "m")
    for number, answer in enumerate(answers):
        journal.put(str(number), answer, "stop")
        journal.put(str(number), "another", "stop")  # the first one stays
    answers = [answer.replace("\0", "\ufffd") for answer in answers]  # what no reader takes
    assert [journal.get(str(n))["answer"] for n in range(len(answers))] == answers
    journal.close()
    with file.open("ab") as handle:
        handle.write(b'{"key": "half", "ans')
    again = Journal(file, "m")
    assert again.found == len(answers) and "half" not in again
    again.put("new", "é", "stop")
    assert again.get("new")["answer"] == "é" and again.get("0")["answer"] == answers[0]
    again.close()
