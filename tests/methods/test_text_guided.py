"""Text-guided alignment: what is bound to what, anchors in every batch, the dose on top."""

import json
from pathlib import Path

import pytest

import tiny
from counterpoise.base import InputError, read_json
from counterpoise.chat import Sample, assistant, user
from counterpoise.data import overlap_with
from counterpoise.methods import get, twin_targets
from counterpoise.methods._text_guided import TextGuidedConfig, batches, bind_answered, bound_rows, text_requests
from counterpoise.models import load
from counterpoise.train import Bound, TrainConfig, late_layers

FAST = TrainConfig(lora_rank=4, lora_alpha=8, micro_batch_tokens=4096).model_dump()


def instructions(folder: Path) -> Path:
    rows = [{"instruction": f"Name the capital of country {i}", "input": "", "output": "x"} for i in range(30)]
    rows.append({"instruction": "word " * 800, "input": "", "output": "x"})
    file = folder / "mine.json"
    file.write_text(json.dumps(rows))
    return file


def test_your_own_instructions_are_printed_and_bound_to_themselves(tmp_path: Path) -> None:
    config = TextGuidedConfig(instruction_files=(instructions(tmp_path),), page=128)
    asked = Sample("e", (user("Name the capital of country 3"),))
    rows, origin = bound_rows(config, 100, overlap_with([asked]))
    assert len(rows) == 29 and origin["overlaps"] == 1 and origin["too_long"] == 1 and origin["from"] == "files"
    for row in rows:
        image, text = row.messages[0].parts
        assert image.size == (128, 128) and "country" not in text
        assert row.meta["text_twins"][0].startswith("Name the capital of country")
    again, _ = bound_rows(config, 100, overlap_with([asked]))
    assert [row.messages for row in again] == [row.messages for row in rows]


def test_the_built_in_requests_have_twins_in_words() -> None:
    rows, origin = bound_rows(TextGuidedConfig(), 12, None)
    assert len(rows) == 12 and {len(row.meta["text_twins"]) for row in rows} <= {1, 2} and "bound" in origin["from"]
    assert [bool(row.harmful) for row in text_requests(0, 4)] == [True, False, True, False]


def test_every_step_holds_anchors_and_its_share_of_the_dose() -> None:
    config = TextGuidedConfig(steps=10, bound=3, visual=2, text=2, rejection_fraction=0.125)
    bound = [Bound(f"b{i}", (user("x"),), None) for i in range(7)]  # type: ignore[arg-type]
    shown = [Sample(f"v{i}", (user("x"), assistant("y"))) for i in range(20)]
    texts = [Bound(f"t{i}", (user("x"),), None, states=False) for i in range(4)]  # type: ignore[arg-type]
    dose = [Sample(f"r{i}", (user("x"), assistant("No"))) for i in range(config.rejections)]
    assert config.rejections == 10
    plan = batches(config, bound, shown, texts, dose)
    assert len(plan) == 10
    for step in plan:
        assert [row.id[0] for row in step] == list("bbbvvttr")
    assert [row.id for step in plan for row in step if row.id[0] == "v"] == [row.id for row in shown]
    assert [row.id for row in plan[2][:3]] == ["b6", "b0", "b1"]  # too few rows come again


def test_targets_are_kept_and_refused_texts_left_out(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("smolvlm", tmp_path / "m")), dtype="float32")
    layers = late_layers(2)
    wanted = [("What is this?",), ("Name it.", "Say it.")]
    first = twin_targets(loaded, wanted, layers, tmp_path / "t.pt")
    before = (tmp_path / "t.pt").read_bytes()
    again = twin_targets(loaded, wanted[::-1], layers, tmp_path / "t.pt")
    assert (tmp_path / "t.pt").read_bytes() == before and again[0].states.equal(first[1].states)
    token = loaded.tokenizer("I'm sorry", add_special_tokens=False)["input_ids"][0]
    p = [float(aim.logprobs[:-1].exp()[aim.tokens == token].sum()) for aim in first]
    rows = [Sample(str(i), (user("x"),)) for i in range(2)]
    assert p[0] != p[1]
    assert [each.id for each in bind_answered(loaded, rows, first, (p[0] + p[1]) / 2)] == [str(p.index(min(p)))]


def test_a_text_model_has_nothing_to_bind(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("llama", tmp_path / "m")))
    with pytest.raises(InputError, match="takes no images, so there is nothing to bind"):
        get("text-guided").align(loaded, TextGuidedConfig(), tmp_path / "run")


def test_the_method_trains_with_a_dose_and_resumes(tmp_path: Path) -> None:
    loaded = load(str(tiny.build("llava", tmp_path / "m")), dtype="float32")
    method = get("text-guided")
    config = method.config(
        steps=3, bound=2, visual=1, text=2, rejection_fraction=0.25, refused=1.0, train=FAST,
        instruction_files=[instructions(tmp_path)], page=64,
    )  # fmt: skip
    made = method.align(loaded, config, tmp_path / "run")
    run = read_json(tmp_path / "run" / "run.json")
    assert run["data"]["n_rejection"] == 5 == config.rejections and run["data"]["bound"] == 6
    assert run["train"]["steps"] == 3 and run["train"]["rows"] == 20 and made.artifact.kind == "adapter"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["distance"] > 0 and line["reply"] > 0 for line in lines if "loss" in line)
    assert method.align(loaded, config, tmp_path / "run").artifact.fingerprint == made.artifact.fingerprint
    assert method.resolve(None, {}, {"amount": 320}).steps == 20
    assert method.dose(config) == {"rejection_fraction": 0.25, "amount": 15} and method.size(config).rows == 20
