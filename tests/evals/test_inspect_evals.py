"""Tasks of inspect_evals on our engine and scorecard, against what Inspect itself makes of them."""

import json
import sys
from pathlib import Path

import pytest

from counterpoise.base import InputError, MissingPackageError
from counterpoise.evals import benchmark, evaluate
from counterpoise.evals.inspect import _theirs as bridge
from counterpoise.evals.inspect._replay import asked, judged
from counterpoise.evals.judges import read_items
from counterpoise.evals.judges._judged_rows import cards_of
from counterpoise.evals.scorers import get, self_check
from tiny import build

ARC = [
    {"id": f"q{n}", "question": f"Which is the number {n}?", "choices": {"text": ["7", str(n), "9"], "label": labels},
     "answerKey": labels[1]}
    for n, labels in ((1, ["A", "B", "C"]), (2, ["1", "2", "3"]), (3, ["A", "B", "C"]))
]  # fmt: skip
SUMS = [{"question": f"How much is {n} and {n}?", "answer": f"Twice {n}.\n#### {2 * n}"} for n in range(1, 13)]


def lines(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """inspect_evals, installed or beside the environment (Makefile): inside it, every evaluation of Inspect would
    import all of its tasks, which takes seconds. Its rows come from folders that are named like the sets of the hub."""
    from inspect_ai._util.entrypoints import ensure_entry_points

    ensure_entry_points()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(sys.prefix) / "apart"))
        pytest.importorskip("inspect_evals", reason="inspect_evals is not installed: pip install inspect-evals")
        import datasets

        place = tmp_path_factory.mktemp("hub")
        patch.chdir(place)
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(place / "datasets"))
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        lines(place / "allenai/ai2_arc/challenge.jsonl", ARC)
        config = "configs:\n- config_name: ARC-Challenge\n  data_files:\n  - {split: test, path: challenge.jsonl}"
        (place / "allenai/ai2_arc/README.md").write_text(f"---\n{config}\n---\n")
        for split in ("train", "test"):
            lines(place / f"openai/gsm8k/main/{split}.jsonl", SUMS)
        yield place
    bridge._theirs.cache_clear()


def test_prompt_and_verdicts_are_those_of_inspect(package, tmp_path):
    """The same task, run by Inspect with answers given to it: same prompts, same scores."""
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_evals.arc import arc_challenge

    said = ["ANSWER: B", "It is B", "ANSWER: A"]
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in said]
    for each in outputs:
        each.usage = ModelUsage(total_tokens=1)  # without it Inspect counts tokens, with a file from the network
    log = inspect_eval(
        arc_challenge(), model=get_model("mockllm/model", custom_outputs=outputs), log_dir=str(tmp_path),
        display="none", max_connections=1, max_samples=1,
    )[0]  # fmt: skip
    card = benchmark("inspect_evals/arc_challenge")
    ours = {sample.id: sample for sample in card.samples()}
    card.check_scorers()
    assert log.status == "success" and len(log.samples) == card.rows == 3
    for theirs in log.samples:
        sample = ours[str(theirs.id)]
        assert sample.messages[0].text == theirs.messages[0].text and sample.target == theirs.target == "B"
        value = get(card.scorers[0])(sample, theirs.output.completion).value
        assert value == float(theirs.scores["choice"].value == "C")
    assert sorted(each.scores["choice"].value for each in log.samples) == ["C", "I", "I"]


def test_examples_stay_in_a_system_message(package):
    card = benchmark("inspect_evals/gsm8k")
    sample = card.samples()[0]
    assert [message.role for message in sample.messages] == ["system", "user"]
    assert sample.messages[0].text.count("ANSWER: ") == 10 and card.scorers == ("inspect-match-numeric:0.26.0",)
    scorer = get(card.scorers[0])
    assert scorer(sample, f"Reasoning.\nANSWER: {sample.target}").value == 1.0
    assert scorer(sample, "ANSWER: 1000").value == 0.0
    self_check(scorer)


def test_an_evaluation_with_rows_like_any_other(package, tmp_path):
    folder = build("smolvlm", tmp_path / "model")
    options = {"out": tmp_path / "out", "run": "r", "max_new_tokens": 4, "batch": 2}
    result = evaluate(str(folder), ["inspect_evals/arc_challenge"], **options)
    (row,) = result.rows
    assert (row.benchmark, row.metric, row.scorer) == (
        "inspect_evals-arc_challenge", "accuracy", "inspect-choice:0.26.0",
    )  # fmt: skip
    assert row.n_scored == 3 and row.ci_low <= row.value <= row.ci_high and "inspect_evals 0.26.0" in row.revision
    assert evaluate(str(folder), ["inspect_evals/arc_challenge"], **options).generated == 0
    items = read_items(tmp_path / "out")
    assert len(items) == 3 and list(cards_of(tmp_path / "out", items)) == [(row.benchmark, "all")]


def test_what_does_not_fit_is_one_line(package):
    with pytest.raises(InputError, match="unknown task of inspect_evals 'arc_chalenge'.*arc_challenge"):
        benchmark("inspect_evals/arc_chalenge")
    with pytest.raises(InputError, match=r"^inspect_evals/mmlu_pro: inspect_evals cannot make this task: [^\n]+$"):
        benchmark("inspect_evals/mmlu_pro")  # its rows are not here, and there is no network
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    row = Sample(input="a question", target="b")
    with pytest.raises(InputError, match=r"2 times for one answer; run it with: inspect eval inspect_evals/x --model"):
        asked("inspect_evals/x", row, [generate(), generate()])


def test_without_the_package_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_evals._registry", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'counterpoise\[inspect-evals\]'"):
        benchmark("inspect_evals/arc_easy")


def test_images_stay_where_the_task_has_them(tmp_path):
    """Two solvers that change the text around images, as MMMU's do; nothing of the package is needed."""
    import PIL.Image
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText
    from inspect_ai.scorer import choice
    from inspect_ai.solver import generate, multiple_choice, prompt_template

    file = tmp_path / "red.png"
    PIL.Image.new("RGB", (8, 8), "red").save(file)
    parts = [ContentText(text="Which colour?"), ContentImage(image=str(file))]
    row = Sample(input=[ChatMessageUser(content=parts)], choices=["red", "blue"], target="A")
    solvers = [prompt_template("Look closely.\n{prompt}"), multiple_choice()]
    (message,) = asked("inspect_evals/x", row, solvers)
    assert [image.path for image in message.images] == [file]
    assert "Look closely.\nWhich colour?" in message.text and "B) blue" in message.text
    verdicts = [judged("inspect_evals/x", row, solvers, choice(), f"ANSWER: {letter}").value for letter in "AB"]
    assert verdicts == [1.0, 0.0]
    gone = Sample(input=[ChatMessageUser(content=[ContentImage(image=str(tmp_path / "gone.png"))])], target="A")
    with pytest.raises(InputError, match=r"gone\.png: no such image file"):
        asked("inspect_evals/x", gone, generate())
