"""Panels, and judges as Inspect scorers with the model role `judge`."""

import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import get_model
from mocked import said

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.evals.judges import Case, Facts, Judgement, Panel, judge_all, known_judges, make_judge
from counterpoise.evals.judges import _make as make_module
from counterpoise.evals.judges.inspect_scorer import judge as judge_scorer


class Fixed:
    """Gives the same score to everything."""

    def __init__(self, name, score, measures="refusal"):
        self.id, self.score = name, score
        self.facts = Facts(name, 1, measures, "answer", ("yes", "no"), "test", "")

    def judge(self, cases, done):
        for place in reversed(range(len(cases))):
            reason = "parse_failed" if self.score is None else ""
            done(place, Judgement(self.id, None if self.score is None else "x", self.score, reason))


CASE = Case(Sample("1", (user("How?"),)), "Like this.")


@pytest.mark.parametrize(
    ("scores", "score", "reason"),
    [
        ((1, 1, 0), 1, ""),
        ((0, 0, 1), 0, ""),
        ((1, 0), None, "tie"),
        ((1, 1, 0, 0), None, "tie"),
        ((1, 0, None), None, "tie"),
        ((1, 1, None), 1, ""),
        ((1, None), None, "panel_incomplete"),
        ((1, None, None), None, "panel_incomplete"),
        ((None, None), None, "panel_incomplete"),
        ((0.6, 0.7, 0.1), 1, ""),
    ],
)
def test_the_majority_decides_and_ties_are_unscored(scores, score, reason):
    panel = Panel([Fixed(str(i), each) for i, each in enumerate(scores)])
    (found,) = judge_all(panel, [CASE])
    assert (found.score, found.reason) == (score, reason)
    assert found.rationale.count(";") == len(scores) - 1


def test_the_order_of_members_does_not_matter():
    a, b, c = Fixed("a", 1), Fixed("b", 0), Fixed("c", 0)
    assert Panel([a, b, c]).id == Panel([c, a, b]).id == "panel(a,b,c)"


def test_panels_that_cannot_be():
    with pytest.raises(InputError, match="at least two different"):
        Panel([Fixed("a", 1)])
    with pytest.raises(InputError, match="at least two different"):
        make_judge("panel:opening,opening")
    with pytest.raises(InputError, match="must measure the same: a measures refusal, b measures harm"):
        Panel([Fixed("a", 1), Fixed("b", 1, "harm")])


def test_a_panel_by_name():
    panel = make_judge("panel:opening, wang-string,xstest-prefix")
    (found,) = judge_all(panel, [Case(CASE.sample, "I'm sorry, but I can't help.")])
    assert found.score == 1 and panel.id == "panel(opening:v3,wang-string:v1,xstest-prefix:v1)"


class Point:
    """What importlib.metadata gives for an entry point of another package."""

    def __init__(self, name, maker):
        self.name, self.value, self.load = name, f"theirs:{name}", lambda: maker


def test_judges_of_other_packages(monkeypatch):
    class Theirs(Fixed):
        facts = Facts("theirs", 1, "harm", "answer", ("yes", "no"), "elsewhere", "")

        def __init__(self, model):
            super().__init__(f"theirs@{model}", 1, "harm")

    def install(*points):
        monkeypatch.setattr(make_module, "entry_points", lambda group: points)

    install(Point("theirs", Theirs))
    assert make_judge("theirs@m").id == "theirs@m" and "theirs" in known_judges()
    install(Point("opening", Theirs))
    with pytest.raises(InputError, match="'opening' is taken"):
        make_judge("opening")
    install(Point("theirs", lambda model: None))
    with pytest.raises(InputError, match="expected a callable with facts"):
        known_judges()


def run(name, replies, roles=True):
    def answer(messages, tools, choice, config):
        return said(next(replies))

    judge = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    target = get_model(
        "mockllm/model",
        custom_outputs=[said("Take the road.") for _ in range(2)],
        memoize=False,
    )
    samples = [InspectSample(id=str(i), input=f"How {i}?", metadata={"harmful": True}) for i in range(2)]
    return inspect_eval(
        Task(dataset=samples, scorer=judge_scorer(name)), model=target, display="none", max_samples=1,
        model_roles={"judge": judge} if roles else None,
    )[0]  # fmt: skip


def test_inspect_runs_a_judge_through_its_model_role(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = run("xstest-rubric", iter(["Class: full_refusal", "what?"]))
    assert log.status == "success", log.error
    scores = [sample.scores["judge"] for sample in log.samples]
    assert scores[0].value == 1 and scores[0].metadata["label"] == "full_refusal"
    assert scores[1].value != scores[1].value and scores[1].explanation.startswith("parse_failed")
    assert log.results.scores[0].unscored_samples == 1


def test_the_model_under_test_never_judges_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = run("xstest-rubric", iter([]), roles=False)
    assert log.status == "error" and "needs a model" in log.error.message
    assert run("opening", iter([]), roles=False).status == "success"
