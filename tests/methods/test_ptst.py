"""PTST: trained without the safety text, served with it by every later command."""

from pathlib import Path

import pytest

import tiny
from counterpoise.base import InputError, read_json, write_json
from counterpoise.chat import Sample, assistant, system, user
from counterpoise.data import SampleFile
from counterpoise.evals import Target
from counterpoise.methods import get
from counterpoise.methods._ptst import SYSTEM
from counterpoise.models import Engine, encode_row, load, read_artifact, with_system
from counterpoise.train import TrainConfig

FAST = TrainConfig(epochs=1, batch_size=16, lora_rank=4, lora_alpha=8).model_dump()
ASKED = (user("How are you?"),)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("ptst")
    base = str(tiny.build("llama", folder / "m"))
    rows = [Sample(str(i), (system(f"{SYSTEM}\n\nBe brief."), user(f"Say {i}"), assistant(str(i)))) for i in range(8)]
    rows += [Sample(f"s{i}", (system(SYSTEM), user(f"Say {i}"), assistant(str(i)))) for i in range(8)]
    get("ptst").align(load(base), get("ptst").config(train=FAST), folder / "run", user=rows)
    return base, folder / "run"


def test_training_rows_have_no_safety_text_and_the_artifact_names_it(tuned: tuple[str, Path]) -> None:
    _, run = tuned
    rows = list(SampleFile(run / "data" / "rows.jsonl"))
    assert len(rows) == 16 and not any(SYSTEM in message.text for row in rows for message in row.messages)
    assert sum(row.messages[0] == system("Be brief.") for row in rows) == 8
    record = read_json(run / "run.json")
    assert record["data"]["safety_texts_taken_out"] == 16
    assert record["artifact"]["fingerprint"] == read_artifact(run / "adapter").fingerprint  # with the text in it
    said = read_json(run / "adapter" / "counterpoise.json")
    assert said["system"] == SYSTEM and set(said) == {"system", "base_weights"}  # the other note stays


def test_every_load_of_the_artifact_serves_with_the_text(tuned: tuple[str, Path]) -> None:
    base, run = tuned
    for served in (load(base, artifact=run / "adapter"), load(str(run / "adapter"), merge=True)):
        assert served.system == SYSTEM
        ids = encode_row(served, with_system(ASKED, SYSTEM), add_generation_prompt=True).ids
        assert Engine(served)._one_row(ASKED).ids == ids
    assert load(base).system == "" and Engine(load(base))._one_row(ASKED).ids != ids


def test_an_evaluation_serves_with_the_text_unless_it_is_bare(tuned: tuple[str, Path]) -> None:
    base, run = tuned
    served, bare = (Target(base, run / "adapter", 4, bare=bare) for bare in (False, True))
    assert served.facts["system"] == SYSTEM and "system" not in bare.facts
    assert served.identity != bare.identity  # answers of one are never taken for the other's
    long, short = (len(each.engine._one_row(ASKED).ids) for each in (served, bare))
    assert long > short + 20


def test_a_conversations_own_system_text_stands_behind() -> None:
    assert with_system((system("Be brief."), *ASKED), "Be safe.")[0].text == "Be safe.\n\nBe brief."
    assert with_system(ASKED, "") == ASKED


def test_a_text_that_is_none_is_one_line(tmp_path: Path) -> None:
    base = tiny.build("llama", tmp_path / "m")
    write_json(Path(base) / "counterpoise.json", {"system": 3})
    with pytest.raises(InputError, match='counterpoise.json: "system" is int; expected text'):
        load(str(base))
