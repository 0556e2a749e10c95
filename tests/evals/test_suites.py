"""Suites: `core` misses nothing that is here, caps are kept and said, one number over a suite's benchmarks."""

import json

import numpy as np
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals import Benchmark, Item, Sampling, Suite, benchmark, benchmarks, evaluate, suite, suites
from counterpoise.evals._composite import Composite
from counterpoise.evals.cards import CARDS
from counterpoise.evals.stats import macro_rate
from counterpoise.runs import eval_plan
from tiny import build

IN_GIT = {
    "figstep": "figstep-tiny", "gsm8k": "gsm8k", "harmbench": "harmbench-text", "math500": "math500",
    "mm_safetybench": "mm-safetybench-text", "xstest": "xstest",
}  # fmt: skip
"""Folders of rows that are plain files of public git repositories, each with one benchmark that it feeds."""
NOT_IN_CORE = {card.name: card.not_in_core for card in CARDS if card.not_in_core}


@pytest.fixture
def wanted(monkeypatch, tmp_path):
    """What each benchmark says it misses in an empty folder: {name: reason}, nothing for those that bring their own
    rows. A reason names the file, so each folder leads to the benchmarks it feeds, whatever this machine has."""
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    found = {name: card.available() or "" for name, card in benchmarks().items()}
    return {name: reason.replace(str(tmp_path), "ROOT") for name, reason in found.items()}


@pytest.mark.parametrize("folder", IN_GIT)
def test_what_plain_files_feed_is_in_core_or_excluded_with_a_reason(wanted, folder):
    fed = {name for name, reason in wanted.items() if f"ROOT/{folder}" in reason}
    assert IN_GIT[folder] in fed and fed & set(suite("core").benchmarks)
    assert fed - set(suite("core").benchmarks) <= set(NOT_IN_CORE)


def test_what_brings_its_own_rows_is_in_core_or_excluded_with_a_reason(wanted):
    own = {name for name, reason in wanted.items() if not reason}
    assert len(own) > 5 and own - set(suite("core").benchmarks) <= set(NOT_IN_CORE)


@pytest.mark.parametrize("folder", IN_GIT)
def test_plain_files_make_their_benchmark_available(public, data_dir, monkeypatch, folder):
    public(folder)
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    assert benchmark(IN_GIT[folder]).available() is None


def test_what_core_leaves_out_and_caps_is_known():
    known, core = benchmarks(), suite("core")
    assert len(NOT_IN_CORE) > 3 and not set(NOT_IN_CORE) & set(core.benchmarks)
    assert core.caps == {"gsm8k": 100, "math500": 50, "mm-safetybench-text": 400, "mm-safetybench-typo-reading": 200}
    assert suite("smoke").caps == {"twins-validation": 216, "reading": 50}
    for each in suites().values():
        assert set(each.caps) <= set(each.benchmarks)
        assert all(cap < known[name].rows for name, cap in each.caps.items())


def test_the_suites_are_those_that_the_cards_name():
    """Members of a suite with one number are written out: one that joins or leaves makes it another number."""
    found = {name: set(each.benchmarks) for name, each in suites().items()}
    assert {place.suite for card in CARDS for place in card.suites} == set(found) - {"full"}
    assert found["full"] == set(benchmarks())
    assert found["smoke"] == {"twins-validation", "reading", "simple-questions"}
    rated = {"salad-base", "wildjailbreak-harmful", "jailbreakbench-harmful", "wildguardtest"}
    assert found["safety"] == rated | {"wildchat-drift"} and set(suite("safety").composite) == rated
    over = {"xstest", "wildjailbreak-benign", "wildguardtest", "oktest", "or-bench-hard-1k"}
    assert found["over-refusal"] == set(suite("over-refusal").composite) == over
    reasoning = {"math500", "gpqa-diamond", "mmlu-pro", "gsm8k", "arc-challenge"}
    assert found["reasoning"] == set(suite("reasoning").composite) == reasoning


def test_a_card_of_another_package_is_in_no_suite_but_full(monkeypatch):
    from counterpoise.evals import In, register
    from counterpoise.evals import _registry as registry

    monkeypatch.setattr(registry, "_own", dict(registry._own))
    register(card("theirs", 3, suites=(In("core"),)))
    assert "theirs" not in suite("core").benchmarks and suite("full").benchmarks[-1] == "theirs"


def test_an_unknown_suite_is_one_line():
    with pytest.raises(InputError, match="unknown suite 'cor'; did you mean 'core'"):
        suite("cor")


def questions(n, harmful=None):
    return [Sample(str(i), (user(f"Question {i}?"),), harmful=harmful, target="42") for i in range(n)]


def card(name, n, **more):
    facts = {"scorers": ("opening:v3",), "metrics": ("over_refusal",), "read": lambda: iter(questions(n, False))} | more
    return Benchmark(
        name=name, title=name, description="", modality="text", source="s", licence="l", revision="1", rows=n, **facts
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


def test_caps_and_the_composite_number_reach_scorecard_record_and_plan(folder, tmp_path, monkeypatch):
    from counterpoise.evals import _registry as registry

    cards = {"one": card("one", 30), "two": card("two", 6), "absent": card("absent", 6, missing=lambda: "no rows here")}
    for name, made in cards.items():
        monkeypatch.setitem(registry._own, name, lambda made=made: made)
    parts = dict.fromkeys(cards, "over_refusal")
    chosen = Suite("mine", "Mine", tuple(cards), {"one": 10, "two": 100}, parts)
    found = evaluate(folder, chosen.benchmarks, out=tmp_path, run="r", max_new_tokens=2, suite=chosen)
    assert found.capped == {"one": (10, 30)} and found.skipped == {"absent": "no rows here"}
    assert [each.id for each in found.items if each.benchmark == "one"] == [
        each.id for each in cards["one"].samples(10)
    ]
    assert json.loads((tmp_path / "run.json").read_text())["suite"] == {"name": "mine", "caps": {"one": 10, "two": 100}}
    row = found.rows[-1]
    assert (row.benchmark, row.revision, row.metric) == ("suite mine", "2 of 3: one, two", "over_refusal")
    assert row.n_scored + row.n_unscored == 16
    plan = str(eval_plan("nowhere", chosen.benchmarks, limit=None, max_new_tokens=2, suite=chosen))
    assert "10 rows" in plan and "of 30, evenly spread" in plan and "absent is skipped: no rows here" in plan


def item(bench, number, score, harmful=None, scorer="opening:v3"):
    return Item(bench, str(number), f"c{number // 2}", "", "text", "all", harmful, "", (), "x", "stop", {scorer: score})


def test_a_composite_is_the_mean_of_the_benchmarks_rates_and_not_pooled():
    made = Composite("safety", {"a": "asr", "b": "asr"})
    big, small = (
        [item("a", i, float(i % 10 == 0), True) for i in range(200)],
        [item("b", i, 1.0, True) for i in range(4)],
    )
    benign = [item("a", 900 + i, 1.0, False) for i in range(50)]
    for name, items in (("a", big + benign), ("b", small)):
        made.add(card(name, len(items), metrics=("asr",)), items)
    (row,) = made.rows(model="m", run="r")
    assert row.value == pytest.approx((0.1 + 1.0) / 2) and row.metric == "safe_rate" and row.direction == "higher"
    assert row.n_scored == 204 and row.ci_low < row.value < row.ci_high
    values = [each.scores["opening:v3"] for each in big + small]
    groups = [each.benchmark for each in big + small]
    expected = macro_rate(values, groups, [f"{e.benchmark}{e.cluster}" for e in big + small])
    assert (row.ci_low, row.ci_high) == pytest.approx((expected.low, expected.high))


def test_a_composite_over_one_benchmark_is_none_and_own_scorers_are_named():
    made = Composite("reasoning", {"a": "accuracy", "b": "accuracy", "c": "accuracy"})
    made.add(
        card("a", 4, scorers=("letter:v3",), metrics=("accuracy",)),
        [item("a", i, 1.0, scorer="letter:v3") for i in range(4)],
    )
    assert made.rows(model="m", run="r") == []
    numbers = [item("b", i, 0.0, scorer="math-final:v2") for i in range(4)]
    made.add(card("b", 4, scorers=("math-final:v2",), metrics=("accuracy",)), numbers)
    made.add(card("z", 4, metrics=("accuracy",)), numbers)
    (row,) = made.rows(model="m", run="r")
    assert row.value == 0.5 and row.scorer == "letter:v3 + math-final:v2" and row.revision == "2 of 3: a, b"


def test_the_revision_of_a_composite_does_not_depend_on_the_order_of_its_benchmarks():
    found = []
    for order in ("ab", "ba"):
        made = Composite("x", dict.fromkeys(order, "over_refusal"))
        for name in order:
            made.add(card(name, 4), [item(name, i, 1.0, False) for i in range(4)])
        found.append(made.rows(model="m", run="r")[0].revision)
    assert found == ["2 of 2: a, b"] * 2


def test_the_interval_of_a_composite_covers():
    """Two benchmarks of 40 and 160 items at 20 and 60 %: the mean of 40 % lies inside in about 95 of 100 draws."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        made = Composite("x", {"a": "over_refusal", "b": "over_refusal"})
        for name, n, p in (("a", 40, 0.2), ("b", 160, 0.6)):
            items = [
                Item(name, str(i), str(i), "", "text", "all", False, "", (), "x", "stop", {"opening:v3": float(v)})
                for i, v in enumerate(random.random(n) < p)
            ]
            made.add(card(name, n), items)
        (row,) = made.rows(model="m", run="r")
        inside += row.ci_low <= 0.4 <= row.ci_high
    assert 0.92 <= inside / 400 <= 0.985


def test_the_suites_of_the_literature_have_their_number():
    known = suites()
    assert {name for name, each in known.items() if each.composite} == {"safety", "over-refusal", "reasoning"}
    for name in ("safety", "over-refusal", "reasoning"):
        assert (
            set(known[name].composite) <= set(known[name].benchmarks) and len(set(known[name].composite.values())) == 1
        )
    assert "wildchat-drift" not in known["safety"].composite


# Several answers to each question


def test_repeats_have_ids_clusters_and_seeds_of_their_own():
    made = list(Sampling(3, 0.7, 0.9, seed=5).repeats(Sample("q", (user("x"),))))
    assert [each.id for each in made] == ["q#0", "q#1", "q#2"] and {each.cluster for each in made} == {"q"}
    bench = card("drawn", 1, sampling=Sampling(3, 0.7, 0.9, seed=5))
    assert [bench.settings(each) for each in made] == [f"64 T=0.7 p=0.9 seed={seed}" for seed in (5, 6, 7)]
    assert card("greedy", 1).settings(made[0]) == "64"


def test_several_answers_are_drawn_once_each_with_recorded_seeds(folder, tmp_path, monkeypatch):
    from counterpoise.evals import _registry as registry

    made = card(
        "drawn", 4, scorers=("numeric-match:v2",), metrics=("pass_at_8", "accuracy"), read=lambda: iter(questions(4)),
        sampling=Sampling(8, 1.5, seed=3), counted="clusters",
    )  # fmt: skip
    monkeypatch.setitem(registry._own, "drawn", lambda: made)
    found = evaluate(folder, ["drawn"], out=tmp_path / "a", run="r", max_new_tokens=6)
    assert found.generated == 32
    lines = [json.loads(line) for line in (tmp_path / "a" / "answers.jsonl").read_text().splitlines()]
    assert sorted(line["seed"] for line in lines) == sorted([*range(3, 11)] * 4)
    assert len({each.answer for each in found.items if each.cluster == "0"}) > 1
    facts = json.loads((tmp_path / "a" / "run.json").read_text())["benchmarks"]["drawn"]["sampling"]
    assert facts == {"temperature": 1.5, "top_p": 1.0, "tries": 8, "seeds": list(range(3, 11))}
    rows = {row.metric: row for row in found.rows}
    assert rows["pass_at_8"].n_scored == 4 and rows["accuracy"].n_scored == 32
    assert evaluate(folder, ["drawn"], out=tmp_path / "a", run="r", max_new_tokens=6).generated == 0
    again = evaluate(folder, ["drawn"], out=tmp_path / "b", run="r", max_new_tokens=6, batch=3)
    assert [e.answer for e in again.items] == [e.answer for e in found.items]  # the seed decides, not the batch


def test_gsm8k_with_eight_answers(public, data_dir, monkeypatch):
    public("gsm8k")
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    bench = benchmark("gsm8k-pass8")
    part = bench.samples(16)
    assert len(part) == 16 and len({each.cluster for each in part}) == 2
    assert [each.meta["seed"] for each in part[:8]] == list(range(8))


def test_nothing_to_measure_is_one_line_before_the_model_is_loaded(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    assert main(["eval", "no/such-model", "-b", "xstest", "-b", "oktest", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: nothing can be measured here: xstest: set COUNTERPOISE_DATA to a folder that holds")
    assert said.endswith("; and 1 more\n") and not (tmp_path / "out").exists()
    assert main(["eval", "no/such-model", "-b", "xstest", "--dry-run"]) == 0
    assert "nothing of it can be measured on this machine\n  note: xstest is skipped" in capsys.readouterr().out
