"""`inspect eval counterpoise/...`: its settings reach the model as given, and its metrics say whose rates they are."""

import math

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import read_eval_log

from counterpoise.chat import Sample, user
from counterpoise.evals import Benchmark, Sampling, evaluate
from counterpoise.evals import _registry as registry
from counterpoise.evals._target import Target
from counterpoise.evals._task import task
from counterpoise.models import Engine
from tiny import build

N = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture
def asked(monkeypatch):
    """How the engine was asked, for each request."""
    seen, real = [], Engine.submit

    def submit(self, conversation, decoding=None):
        seen.append(decoding)
        return real(self, conversation, decoding)

    monkeypatch.setattr(Engine, "submit", submit)
    return seen


def bench(samples, scorer="opening:v3", metrics=("asr", "over_refusal"), **more):
    return Benchmark(
        "mine", "Mine", "", "text", "here", "none", "1", len(samples), (scorer,), metrics, lambda: iter(samples),
        max_new_tokens=3, **more,
    )  # fmt: skip


def questions(n=N, **more):
    return [Sample(str(i), (user(f"Question {i}?"),), harmful=i % 2 == 0, **more) for i in range(n)]


def run(folder, card, samples, tmp_path, **options):
    target = Target(folder, None, 8)
    try:
        (log,) = inspect_eval(
            task(card, samples), model=target.inspect_model(), display="none", log_dir=str(tmp_path), **options
        )
    finally:
        target.close()
    assert log.status == "success", log.error
    return log


def test_temperature_and_epochs_reach_the_model_as_given(folder, asked, tmp_path):
    log = run(folder, bench(questions()), questions(), tmp_path, temperature=0.7, top_p=0.9, epochs=3, max_tokens=2)
    assert len(asked) == len(log.samples) == 3 * N
    assert {(how.temperature, how.top_p, how.max_new_tokens, how.seed) for how in asked} == {(0.7, 0.9, 2, None)}
    asked.clear()
    run(folder, bench(questions()), questions(), tmp_path)
    assert {(how.temperature, how.top_p, how.max_new_tokens, how.seed) for how in asked} == {(0.0, 1.0, 3, None)}


def test_each_epoch_draws_anew_and_can_be_drawn_again(folder, asked, tmp_path):
    def replies():
        log = run(folder, bench(questions(1)), questions(1), tmp_path, temperature=3.0, epochs=6, seed=5)
        return [sample.output.completion for sample in sorted(log.samples, key=lambda sample: sample.epoch)]

    first = replies()
    assert sorted(how.seed for how in asked) == [5, 6, 7, 8, 9, 10] and len(set(first)) > 1
    assert replies() == first


def test_a_card_that_draws_keeps_its_settings_unless_others_are_given(folder, asked, tmp_path):
    card = bench(questions(2), sampling=Sampling(2, 0.8, 0.95, seed=10), counted="clusters")
    samples = [each for sample in questions(2) for each in card.sampling.repeats(sample)]
    run(folder, card, samples, tmp_path, epochs=2)
    assert {(how.temperature, how.top_p) for how in asked} == {(0.8, 0.95)}
    assert sorted(how.seed for how in asked) == [10, 10, 11, 11, 12, 12, 13, 13]
    asked.clear()
    run(folder, card, samples, tmp_path, temperature=0.3)
    assert {(how.temperature, how.top_p) for how in asked} == {(0.3, 0.95)}
    asked.clear()
    registry.benchmarks()
    with pytest.MonkeyPatch.context() as patch:  # our own command: the card's, through the same task
        patch.setattr(registry, "_own", {**registry._own, "mine": lambda: card})
        evaluate(folder, ["mine"], out=tmp_path / "own", run="r")
    assert {(how.temperature, how.top_p, how.max_new_tokens) for how in asked} == {(0.8, 0.95, 3)}
    assert sorted(how.seed for how in asked) == [10, 10, 11, 11]


def test_a_pipeline_asks_with_the_settings_of_the_evaluation(folder, asked, tmp_path):
    async def twice(sample, ask):
        await ask((user("Describe it."),))
        return await ask(sample.messages)

    run(folder, bench(questions(), pipeline=twice), questions(), tmp_path, temperature=0.7, max_tokens=2)
    assert [(how.temperature, how.max_new_tokens) for how in asked] == [(0.7, 2)] * (2 * N)


def test_options_are_compared_unless_draws_are_wanted(folder, asked, tmp_path):
    samples = [Sample(str(i), (user(f"{i}?"),), target="one", choices=("one", "two")) for i in range(N)]
    card = bench(samples, "option:v3", ("accuracy",))
    log = run(folder, card, samples, tmp_path)
    assert not asked and {sample.output.completion for sample in log.samples} <= {"one", "two"}
    run(folder, card, samples, tmp_path, temperature=1.0, epochs=2)
    assert len(asked) == 2 * N


REFUSED = "I'm sorry, but I can't help with that."


def test_metrics_are_of_one_side_each(folder, tmp_path, monkeypatch):
    """Three of four harmful requests are answered, one of four harmless ones is refused: a mean of all says .375."""
    samples = [
        Sample(f"{side}{i}", (user(f"{side} {i}?"),), harmful=side == "bad", modality=("text", "print")[i % 2],
               cluster=str(i))
        for side in ("bad", "good") for i in range(4)
    ]  # fmt: skip
    real = Engine.submit
    refused = {"bad 1?", "good 3?"}

    def submit(self, conversation, decoding=None):
        from concurrent.futures import Future

        from counterpoise.models import Answer

        made = Future()
        text = "" if conversation[0].text == "good 2?" else REFUSED if conversation[0].text in refused else "Sure, so:"
        made.set_result(Answer(text, 1, 1, "stop", problem=None if text else "empty"))
        return made

    monkeypatch.setattr(Engine, "submit", submit)
    log = run(folder, bench(samples), samples, tmp_path)
    assert real is not submit
    found = {score.name: {name: one.value for name, one in score.metrics.items()} for score in log.results.scores}
    values = {name.rpartition("/")[2]: value for name, value in found["opening:v3"].items()}
    assert values["asr"] == 0.75 and values["over_refusal"] == pytest.approx(1 / 3)  # the empty reply is in neither
    assert values["asr_text"] == 1.0 and values["asr_print"] == 0.5
    assert values["over_refusal_text"] == 0.0 and values["over_refusal_print"] == 0.5
    assert values["asr_stderr"] == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert not {"mean", "stderr"} & set(values)
    broken = {name.rpartition("/")[2]: value for name, value in found["broken:v2"].items()}
    assert set(broken) == {"broken", "broken_stderr", "broken_text", "broken_print"}
    again = read_eval_log(log.location)
    assert again.results.scores[0].unscored_samples == 1


def test_a_scorer_of_answers_has_its_metric_and_one_of_clusters_a_mean(folder, tmp_path):
    samples = [Sample(str(i), (user(f"{i}?"),), target="one", choices=("one", "two")) for i in range(N)]
    log = run(folder, bench(samples, "option:v3", ("accuracy",)), samples, tmp_path)
    assert {name.rpartition("/")[2] for name in log.results.scores[0].metrics} == {"accuracy", "accuracy_stderr"}
