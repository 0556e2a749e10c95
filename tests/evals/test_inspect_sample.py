"""What Inspect, and through it a server, gets of a sample."""

from pathlib import Path

import numpy as np
import PIL.Image

from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.evals._journal import prompt_hash
from counterpoise.evals.inspect._sample import inspect_sample
from counterpoise.models._provider import to_conversation

GREY = np.linspace(0, 255, 64).reshape(8, 8).round().astype(np.uint8)


def sent(image: Image) -> str:
    (message,) = inspect_sample(Sample("a", (user(image, "What is this?"),))).input
    return str(message.content[0].image)  # type: ignore[union-attr]


def test_a_file_that_every_server_sees_alike_stays_a_file(tmp_path: Path) -> None:
    PIL.Image.fromarray(GREY).save(tmp_path / "a.png")
    assert sent(Image.from_path(tmp_path / "a.png")) == str(tmp_path / "a.png")


def test_a_print_in_sixteen_bits_is_sent_as_the_local_model_sees_it(tmp_path: Path) -> None:
    PIL.Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "a.png")
    uri = sent(Image.from_path(tmp_path / "a.png"))
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(Image.from_data_uri(uri).pil())[..., 0], GREY)


def talk(**turn: object) -> Sample:
    return Sample("a", (user("2 + 2?"), assistant("4", **turn), user("And 3?")))  # type: ignore[arg-type]


def test_what_an_assistant_turn_thought_goes_with_it() -> None:
    found = to_conversation(inspect_sample(talk(reasoning="hm")).input)
    assert [(m.text, m.reasoning) for m in found] == [("2 + 2?", ""), ("4", "hm"), ("And 3?", "")]
    assert inspect_sample(talk()).input[1].content == "4"


def test_a_prompts_hash_knows_thoughts_and_trust() -> None:
    turns = ({}, {"reasoning": "hm"}, {"reasoning": "ha"}, {"trusted": True}, {"reasoning": "hm", "trusted": True})
    assert len({prompt_hash(talk(**turn)) for turn in turns}) == len(turns)
    # answers of before are found again: this hash is of a version that knew neither
    assert prompt_hash(talk())[:16] == "ce52dd945acef5d5"
