"""The multi-task safety set against section 7 of its spec, and a real training on a tiny model."""

import json
from itertools import islice
from pathlib import Path

import pytest

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data import check_leakage, overlap_with
from counterpoise.data.multitask import TASKS, intents, render, training_intents
from counterpoise.data.pocket_sets import TASK_SETS, task_rows
from counterpoise.evals.scorers import get as scorer
from counterpoise.methods import MultitaskMixConfig, get
from counterpoise.methods._multitask_mix import build_set
from counterpoise.models import load
from counterpoise.train import TrainConfig


@pytest.mark.parametrize(("dose", "rows"), [(0.105, 1050), (0.15, 1500)])
def test_a_dose_gives_as_many_refusals_in_balanced_formats(dose: float, rows: int) -> None:
    config = MultitaskMixConfig(dose=dose)
    assert config.counts == (10_000, rows, 0)
    found = build_set(config, training_intents(), rows)
    assert len(found) == rows == len({row.id for row in found}) == len({row.messages for row in found})
    counts = [sum(row.group == task for row in found) for task in TASKS]
    assert max(counts) - min(counts) <= 1
    assert found == build_set(config, training_intents(), rows)
    assert found != build_set(config.model_copy(update={"seed": 1}), training_intents(), rows)


def test_every_row_is_a_refusal_that_every_scorer_sees_and_no_prompt_of_the_audit() -> None:
    found = build_set(MultitaskMixConfig(modalities=("text", "print")), training_intents(), 200)
    rule = scorer("opening:v3")
    for row in found:
        assert row.messages[-1].role == "assistant" and rule.score(row, row.messages[-1].text).value == 1.0
    assert {row.modality for row in found} == {"text", "print"}
    asked = [render(each, task, "text", harmful=side) for each in intents("test")[:40] for task in TASKS
             for side in (True, False)]  # fmt: skip
    texts = [row for row in found if row.modality == "text"]
    assert check_leakage(texts, asked, kinds=("exact", "near", "question", "family")) == []
    copied = [Sample("x", (user(asked[3].text),)), *texts[:2]]
    assert [leak.train for leak in check_leakage(copied, asked, kinds=("exact",))] == ["x"]  # the check can fail


def test_few_rows_already_show_every_wording() -> None:
    found = build_set(MultitaskMixConfig(formats=("code",)), training_intents(), 9)
    assert {row.id[-1] for row in found} == {"1", "2", "3"} and len({row.cluster for row in found}) == 9


def test_a_set_that_is_too_small_says_what_to_do_and_overlaps_are_dropped(tmp_path: Path) -> None:
    few = [each for each in training_intents() if len(each.harmful.split()) > 7][:4]
    with pytest.raises(InputError, match="has 12 rows, 20 are wanted .8 of code lack.; lower dose"):
        build_set(MultitaskMixConfig(formats=("code",)), few, 20)
    config = MultitaskMixConfig(formats=("plain",))
    whole = build_set(config, few, 4)
    kept = build_set(config, few, 4, overlaps=overlap_with([Sample("e", (user(whole[0].text),))]))
    assert whole[0].text not in {row.text for row in kept} and len(kept) == 4
    file = tmp_path / "multitaskbench.csv"
    lines = [f'{i},"{"Translate the following text from French to English: " if i % 2 else ""}Q {i}",I cannot.' for i in
             range(20)]  # fmt: skip
    file.write_text("\n".join([",Query,Response", *lines]) + "\n")
    config = MultitaskMixConfig(published=file, formats=("plain", "translate"))
    found = build_set(config, (), 6)
    assert [sum(row.group == task for row in found) for task in ("plain", "translate")] == [3, 3]


def test_tasks_are_endless_and_their_tests_are_apart() -> None:
    for task in TASK_SETS:
        train, test = (list(islice(task_rows(task, test=side), 200)) for side in (False, True))
        assert not {row.cluster for row in train} & {row.cluster for row in test}
        assert all(row.messages[-1].role == "assistant" for row in train) and all(row.target for row in test)
        assert len({row.messages for row in train}) > 150
    mixed = list(islice(task_rows("mixed"), 8))
    assert [row.group for row in mixed] == [*TASK_SETS, *TASK_SETS]
    with pytest.raises(InputError, match="did you mean 'code'"):
        next(task_rows("cod"))


def test_it_trains_with_twins_answered_by_the_model_itself(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("smolvlm", tmp_path / "m")), dtype="float32", device="cpu")
    train = TrainConfig(epochs=1, batch_size=8, lora_rank=2, lora_alpha=4)
    config = MultitaskMixConfig(n_task=8, dose=1.0, twins=0.5, modalities=("text", "print"), train=train)
    made = get("multitask-mix").align(loaded, config, tmp_path / "out")
    data = made.run["data"]
    assert (data["n_task"], data["n_safety"], data["dose"]) == (8, 8, 1.0) and data["n_twins"] <= 4
    assert sum(data["formats"].values()) == 8 and made.artifact.kind == "adapter"
    rows = [json.loads(line) for line in (tmp_path / "out" / "data" / "mix.jsonl").read_text().splitlines()]
    assert len(rows) == 16 + data["n_twins"]
    assert load(str(tmp_path / "m"), adapter=made.artifact.path, dtype="float32", device="cpu").proof is not None
    again = get("multitask-mix").align(loaded, config, tmp_path / "out")
    assert again.artifact.fingerprint == made.artifact.fingerprint


def test_a_dose_of_nothing_is_the_plain_fine_tuning(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("llama", tmp_path / "m")), dtype="float32", device="cpu")
    train = TrainConfig(epochs=1, batch_size=8, lora_rank=2, lora_alpha=4)
    config = MultitaskMixConfig(task="code", n_task=8, dose=0, train=train)
    made = get("multitask-mix").align(loaded, config, tmp_path / "out")
    assert made.run["data"]["n_safety"] == 0 and made.run["data"]["task"]["task"] == "code"
    with pytest.raises(InputError, match="formats: give each of them once"):
        get("multitask-mix").config(None, formats=["code", "code"])
