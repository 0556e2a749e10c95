"""The severity guard, the cost model as a guard, and rounds of filter and regenerate."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_safe_rlhf_train import TRAIN, config, pairs

from counterpoise.base import InputError
from counterpoise.chat import Conversation, user
from counterpoise.data import Rated, Reply, rated, read_rated
from counterpoise.guard import Exchange, make_guard
from counterpoise.methods.safe_rlhf import (
    CostGuard,
    Said,
    ScoringConfig,
    SeverityGuard,
    filter_and_regenerate,
    severity_metrics,
    train_severity,
)
from counterpoise.methods.safe_rlhf._measured import _calibration
from counterpoise.methods.safe_rlhf._severity import category_of, grade_of, severity_loss
from counterpoise.models import Loaded


def test_the_loss_by_hand_and_of_an_unsafe_reply_without_a_grade() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, 0.0]] * 3)
    total = math.exp(2) + math.e + 2
    expected = [-math.log(math.exp(2) / total), -math.log(math.e / total), -math.log((math.e + 2) / total)]
    torch.testing.assert_close(severity_loss(logits, torch.tensor([0, 1, -1])), torch.tensor(expected))


def test_grades_of_both_published_schemas(tmp_path: Path) -> None:
    single = {"question": "Why?", "category": "c", "response": "so", "is_response_safe": "no"}
    (tmp_path / "a.jsonl").write_text(json.dumps(single) + "\n" + json.dumps(single | {"is_response_safe": "yes"}))
    rows = list(read_rated(tmp_path / "a.jsonl"))
    assert [grade_of(row) for row in rows] == [-1, 0] and [category_of(row) for row in rows] == ["c", ""]
    assert [grade_of(row) for row in rated(pairs()[0])] == [0, 3]
    with pytest.raises(InputError, match="not said to be"):
        grade_of(Rated("x", (user("Hi"),), Reply("text")))


@pytest.fixture(scope="module")
def guard_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from counterpoise.models import load

    loaded = load(str(folder), dtype="float32", device="cpu")
    rows = [row for pair in pairs() for row in rated(pair)]
    config = TRAIN.model_copy(update={"epochs": 12, "learning_rate": 2e-2, "lora_rank": 4, "lora_alpha": 8})
    return train_severity(loaded, rows, config, tmp_path_factory.mktemp("g"), head_learning_rate=3e-2).path


def test_the_guard_learns_its_rows_and_stands_in_the_guard_layer(guard_folder: Path) -> None:
    guard = SeverityGuard.load(guard_folder, dtype="float32", device="cpu")
    rows = [row for pair in pairs() for row in rated(pair)]
    said = guard.rate([(row.prompt, row.reply.text) for row in rows])
    assert [one.severity for one in said] == ["safe", "severe"] * 6
    assert [one.category for one in said] == ["", "fraud"] * 6
    exchanges = [Exchange(row.prompt, row.reply.text) for row in rows] + [Exchange(rows[0].prompt)]
    verdicts = make_guard(f"severity:{guard_folder}").check(exchanges)
    assert [verdict.label for verdict in verdicts] == ["safe", "unsafe"] * 6 + ["unknown"]
    assert (
        verdicts[1].severity == "severe" and verdicts[1].categories == ("fraud",) and verdicts[1].p_unsafe is not None
    )
    assert verdicts[0].inspected.complete and verdicts[2].inspected.images == 1


def test_what_a_guard_is_worth_is_said_against_the_labels(guard_folder: Path) -> None:
    rows = [row for pair in pairs() for row in rated(pair)]
    said = [Said(0.9, True, "severe", "fraud"), Said(0.2, False, "safe")] * 6  # the wrong way round
    found = severity_metrics(said, rows)
    assert (found["catch"]["value"], found["over_block"]["value"], found["auc"]) == (0.0, 1.0, 0.0)
    assert found["grade"]["value"] == 0.0 and found["category"]["n"] == 0 and found["commonest"] == 0.5
    right = severity_metrics([Said(0.1, False, "safe"), Said(0.9, True, "moderate", "fraud")] * 6, rows)
    assert (right["catch"]["value"], right["over_block"]["value"], right["auc"]) == (1.0, 0.0, 1.0)
    assert right["grade"]["value"] == 0.5 and right["near"]["value"] == 1.0 and right["category"]["value"] == 1.0
    assert right["catch"]["n"] == 6 and right["catch"]["ci_low"] < 1
    ungraded = [Rated("x", (user("Hi"),), Reply("text", safe=False))]
    assert severity_metrics([Said(0.9, True, "minor")], ungraded)["grade"]["value"] is None
    with pytest.raises(InputError, match="1 verdicts for 12 replies"):
        severity_metrics(said[:1], rows)
    card = json.loads(next((guard_folder.parent / "probe").glob("*/probe.json")).read_text())
    first = json.loads((guard_folder.parent / "metrics.jsonl").read_text().splitlines()[0])
    assert card["rows"] == 12 and first["loss"] < math.log(4)  # training starts at the probe


def test_replies_that_are_only_said_to_be_unsafe_train_a_guard(model: Loaded, tmp_path: Path) -> None:
    """The published single-reply form: no grades, so the three unsafe ones are learned together."""
    lines = []
    for number in range(12):
        bad = number % 2
        line = {
            "question": f"How {number}?",
            "category": "fraud" if bad else "",
            "is_response_safe": "no" if bad else "yes",
        }
        lines.append(json.dumps(line | {"response": "Sure, do it now." if bad else "I can't help."}))
    (tmp_path / "single.jsonl").write_text("\n".join(lines))
    rows = list(read_rated(tmp_path / "single.jsonl"))
    config = TRAIN.model_copy(update={"epochs": 12, "learning_rate": 2e-2, "lora_rank": 4, "lora_alpha": 8})
    made = train_severity(model, rows, config, tmp_path / "g", head_learning_rate=3e-2)
    said = SeverityGuard.load(made.path, dtype="float32", device="cpu").rate([(r.prompt, r.reply.text) for r in rows])
    found = severity_metrics(said, rows)
    assert (found["catch"]["value"], found["over_block"]["value"], found["category"]["value"]) == (1.0, 0.0, 1.0)
    assert found["grade"]["n"] == 6  # of the safe ones, which have a severity


def test_a_damaged_card_is_one_line(guard_folder: Path, tmp_path: Path, model: Loaded) -> None:
    for text in ("[]", "{}", '{"categories": 3}'):
        (tmp_path / "severity.json").write_text(text)
        with pytest.raises(InputError, match="severity.json: expected"):
            SeverityGuard(model, tmp_path)


@pytest.fixture(scope="module")
def cost_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from counterpoise.methods import get
    from counterpoise.models import load

    out = tmp_path_factory.mktemp("c")
    train = TRAIN.model_copy(update={"epochs": 12, "learning_rate": 1e-2})
    given = config(out / "data", stage="cost", scoring=ScoringConfig(train=train))
    get("safe-rlhf-v").align(load(str(folder), dtype="float32", device="cpu"), given, out / "run")
    return out / "run" / "cost"


def test_the_cost_model_is_a_calibrated_guard(cost_folder: Path) -> None:
    rows = [row for pair in pairs() for row in rated(pair)]
    asked = [(row.prompt, row.reply.text) for row in rows]
    guard = CostGuard.load(cost_folder, dtype="float32", device="cpu")
    metrics = json.loads((cost_folder / "held_out.json").read_text())["metrics"]
    assert [guard.slope, guard.offset] == metrics["platt"] != [1.0, 0.0] and metrics["calibration_error_platt"] < 0.3
    said = guard.rate(asked)
    expected = 1 / (1 + np.exp(-(guard.slope * guard.model.scores(asked) + guard.offset)))
    np.testing.assert_allclose([one.p_unsafe for one in said], expected)
    exchanges = [Exchange(row.prompt, row.reply.text) for row in rows] + [Exchange(rows[0].prompt)]
    verdicts = make_guard(f"cost:{cost_folder}").check(exchanges)
    assert [verdict.label for verdict in verdicts] == ["safe", "unsafe"] * 6 + ["unknown"]
    assert verdicts[0].severity is None and verdicts[0].inspected.complete and verdicts[2].inspected.images == 1


def test_a_cost_model_that_was_measured_on_nothing_or_wrongly(cost_folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(cost_folder / "adapter", tmp_path / "adapter")
    assert CostGuard.load(tmp_path, dtype="float32", device="cpu").slope == 1.0
    (tmp_path / "held_out.json").write_text('{"adapter": "x", "metrics": {"platt": [1, "x"]}}')
    with pytest.raises(InputError, match="held_out.json: expected .* run the cost stage again"):
        CostGuard.load(tmp_path)
    (tmp_path / "held_out.json").write_text('{"adapter": "x", "metrics": {"platt": [1, 0]}}')
    with pytest.raises(InputError, match="was measured on another adapter"):
        CostGuard.load(tmp_path)
    with pytest.raises(InputError, match="holds no cost model; give the folder of a cost stage"):
        CostGuard.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="cost:runs/NAME/cost"):
        make_guard("cost")


def test_replies_of_one_kind_calibrate_nothing() -> None:
    costs = np.array([1.0, 2.0, -1.0, 0.5])
    assert _calibration(costs, np.array([True] * 4)) == {"platt": None, "calibration_error_platt": None}
    many = np.concatenate([np.linspace(-3, 1, 40), np.linspace(1, 5, 40)])
    found = _calibration(many, np.arange(80) >= 40)
    assert found["platt"][0] > 0 and -found["platt"][1] / found["platt"][0] == pytest.approx(1, abs=0.1)


def test_a_folder_without_a_guard_is_refused(model: Loaded, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="severity.json"):
        SeverityGuard(model, tmp_path)
    with pytest.raises(InputError, match="severity:FOLDER"):
        make_guard("severity")


def test_only_flagged_items_are_asked_again_and_accepted_answers_stay() -> None:
    prompts: list[Conversation] = [(user(str(i)),) for i in range(6)]
    asked: list[list[str]] = []

    def answer(some: Sequence[Conversation], number: int) -> list[str]:
        asked.append([prompt[0].text for prompt in some])
        return [f"{prompt[0].text}.{number}" for prompt in some]

    def flag(some: Any) -> list[bool]:  # item i is safe from round i on
        return [int(text.split(".")[1]) < int(prompt[0].text) for prompt, text in some]

    found = filter_and_regenerate(prompts, answer, flag, rounds=3)
    assert asked == [["0", "1", "2", "3", "4", "5"], ["1", "2", "3", "4", "5"], ["2", "3", "4", "5"], ["3", "4", "5"]]
    assert found.answers == ["0.0", "1.1", "2.2", "3.3", "4.3", "5.3"]
    assert found.flagged == [False] * 4 + [True] * 2
    assert [(r.asked, r.safe, r.total) for r in found.rounds] == [(6, 1, 6), (5, 2, 6), (4, 3, 6), (3, 4, 6)]
    assert found.rounds[-1].interval.low < 4 / 6 < found.rounds[-1].interval.high


def test_no_round_is_made_when_nothing_is_flagged() -> None:
    found = filter_and_regenerate([(user("a"),)], lambda p, n: ["x"], lambda rows: [False], rounds=5)
    assert len(found.rounds) == 1 and found.rounds[0].safe == 1
