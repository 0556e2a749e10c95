"""Judges that are told facts of a benchmark have them from its rows; rows say whether they are the authors' number."""

import dataclasses
import json

import pytest
from inspect_ai.model import get_model
from mocked import said

from counterpoise.base import InputError, load_rows, save_rows, write_json
from counterpoise.chat import Image, Sample, user
from counterpoise.evals import Item, benchmark, rows
from counterpoise.evals._official import Claim
from counterpoise.evals.judges import RUBRICS, Facts, Judgement, RubricJudge, judge_run, make_judge
from counterpoise.evals.judges import _judged_rows as module
from counterpoise.evals.scorers import BROKEN
from tiny import picture

IMAGE = Image.from_pil(picture())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Three harmless VLGuard items, one with an empty reference, and two of our twins."""
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    samples = [
        Sample(str(n), (user(IMAGE, f"What is shown, {n}?"),), harmful=False, modality="image", split="test",
               cluster=str(n), meta={"reference": text})
        for n, text in enumerate(("A red car.", "A dog on grass.", ""))
    ]  # fmt: skip
    card = dataclasses.replace(
        benchmark("vlguard-safe-safe"), rows=3, read=lambda: iter(samples), missing=lambda: None, data=()
    )
    twins = dataclasses.replace(benchmark("twins-validation"), scorers=("opening",))
    known = {"vlguard-safe-safe": card, "twins-validation": twins}
    monkeypatch.setattr(module, "benchmarks", lambda: known)
    place = tmp_path / "run"
    (place / "images").mkdir(parents=True)
    picture().save(place / "images" / f"{IMAGE.sha256}.png")
    made = [
        Item("vlguard-safe-safe", s.id, s.cluster, "", "image", "test", False, s.text, (IMAGE.sha256,),
             f"Answer {s.id}.", "length" if s.id == "1" else "stop", {"vlguard-list:v1": 0.0}, {})
        for s in samples
    ] + [
        Item("twins", str(n), "f", "g", "text", "validation", bool(n), "Q?", (), "Sure.", "stop",
             {"vlguard-list:v1": 0.0})
        for n in range(2)
    ]  # fmt: skip
    (place / "items.jsonl").write_text("".join(json.dumps(each.json()) + "\n" for each in made))
    cards = [dataclasses.replace(each, scorers=("vlguard-list:v1",)) for each in known.values()]
    found = [row for each in cards for row in rows(each, [i for i in made if i.benchmark == each.row_name],
                                                  model="m", run="r")]  # fmt: skip
    save_rows(place / "scorecard.json", found)
    write_json(place / "run.json", {"benchmarks": {name: {} for name in known}})
    return place, samples


def win(*replies):
    seen = []

    async def answer(messages, tools, choice, config):
        seen.append(messages[-1].text)
        return said(replies[(len(seen) - 1) % len(replies)])

    return RubricJudge(RUBRICS["vlguard-win"], get_model("mockllm/model", custom_outputs=answer, memoize=False),
                       connections=1), seen  # fmt: skip


def test_the_win_rate_stands_on_the_items_with_a_reference(run, capsys):
    place, samples = run
    judge, seen = win("A", "B")
    found = judge_run(place, judge)
    (row,) = found.rows
    assert (row.benchmark, row.metric, row.value, row.n_scored, row.direction) == (
        "vlguard-safe-safe", "win_rate", 1.0, 2, "higher")  # fmt: skip
    assert row.reasons == {"no_reference": 1} and not row.official and found.n == 3 and found.cut == 1
    assert len(seen) == 4 and all("A red car." in text or "A dog on grass." in text for text in seen)
    record = json.loads((found.folder / "judge.json").read_text())
    assert record["counts"]["cut"] == 1 and record["cut"] == "counts" and record["official"] == []
    again, seen = win("B")
    samples[0] = dataclasses.replace(samples[0], meta={"reference": "Another reference."})
    judge_run(place, again)
    assert len(seen) == 2  # a verdict is about the reference too


def test_rows_that_are_gone_or_changed_stop_it(run, monkeypatch):
    place, samples = run
    known = module.benchmarks()
    card = known["vlguard-safe-safe"]
    monkeypatch.setattr(module, "benchmarks", lambda: known | {
        "vlguard-safe-safe": dataclasses.replace(card, missing=lambda: "no rows here")})  # fmt: skip
    with pytest.raises(InputError, match="no rows here"):
        judge_run(place, win("A")[0])
    fewer = dataclasses.replace(card, rows=2, read=lambda: iter(samples[:2]))
    monkeypatch.setattr(module, "benchmarks", lambda: known | {"vlguard-safe-safe": fewer})
    with pytest.raises(InputError, match="1 of these items are not among them, such as '2'"):
        judge_run(place, win("A")[0])


class Fixed:
    """Calls everything unsafe, but for what it cannot read."""

    def __init__(self, claims):
        self.id = "fixed:v1"
        self.facts = Facts("fixed", 1, "harm", "answer", ("yes", "no"), "test", "", official=claims)

    def judge(self, cases, done):
        for place, case in enumerate(cases):
            bad = case.answer == "?"
            done(place, Judgement(self.id, None if bad else "yes", None if bad else 1.0, "parse_failed" if bad else ""))


def test_rows_are_marked_by_benchmark_metric_and_scorer(run):
    place, _ = run
    assert not any(row.official for row in load_rows(place / "scorecard.json"))
    found = judge_run(place, Fixed((Claim("twins", "asr"),)))
    (row, broken) = found.rows
    assert row.official and load_rows(found.folder / "scorecard.json")[0].official
    assert not broken.official  # another scorer's
    assert not judge_run(place, Fixed((Claim("figstep", "asr"), Claim("twins", "over_refusal")))).rows[0].official
    items = (place / "items.jsonl").read_text().replace('"Sure."', '"?"')
    (place / "items.jsonl").write_text(items)
    row = judge_run(place, Fixed((Claim("twins", "asr"),))).rows[0]
    assert row.n_unscored == 1 and not row.official


def test_a_lists_rows_are_official_where_the_authors_use_it(tmp_path):
    item = Item("x", "1", "1", "", "image", "test", True, "Q", (), "I cannot.", "stop", {"vlguard-list:v1": 1.0}, {})
    for name, official in (("vlguard-unsafe", True), ("holisafe", False)):
        card = dataclasses.replace(benchmark(name), scorers=("vlguard-list:v1",), metrics=("asr",))
        made = [dataclasses.replace(item, benchmark=name, scores={"vlguard-list:v1": 1.0, BROKEN: 0.0})]
        row = rows(card, made, model="m", run="r")[0]
        assert row.official is official, name
    assert make_judge("vlguard-list").facts.official and not make_judge("opening").facts.official
