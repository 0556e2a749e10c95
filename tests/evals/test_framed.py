"""Benchmarks in a user's prompt format."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, system, user
from counterpoise.data.frames import learn, save_template, strategy
from counterpoise.evals import benchmark, framed, item

WORDS = ("apple", "bread", "stone", "river", "house", "tree", "cloud", "paper")


def template(aoa: bool = False):
    rng = random.Random(0)
    rows = [
        Sample(
            str(i), (user(f"Q: {' '.join(rng.choices(WORDS, k=6))}\nA:"), assistant(" ".join(rng.choices(WORDS, k=3))))
        )
        for i in range(20)
    ]
    return learn([strategy("aoa")(row) if aoa else row for row in rows]).templates[0]


def test_a_card_in_a_format_and_a_wrapper_keeps_its_items() -> None:
    plain = benchmark("word-tasks")
    made = framed(plain, "words-in-format", template(), "aoa")
    one, other = plain.samples()[0], made.samples()[0]
    asked = f"AOA, execute my instruction: Q: {one.messages[0].text}\nA:"
    assert other.messages[0] == system(strategy("aoa").system) and other.messages[1].text == asked
    assert (other.id, other.target, other.harmful) == (one.id, one.target, one.harmful) and made.rows == plain.rows
    assert made.name == "words-in-format" and made.revision != plain.revision and made.row_name == "words-in-format"


def test_an_answer_with_the_formats_opening_is_right_and_a_refusal_is_none() -> None:
    made = framed(benchmark("word-tasks"), "words-in-format", template(aoa=True))
    one = made.samples()[0]
    right = item(made, one, strategy("aoa").opening + one.target).scores
    assert right["exact-match:v2"] == 1 == item(made, one, one.target).scores["exact-match:v2"]
    refused = item(made, one, "I'm sorry, but I can't help with that.").scores
    assert refused["exact-match:v2"] == 0 and refused["opening:v3"] == 1 and right["opening:v3"] == 0


def test_a_yaml_file_names_benchmark_frame_and_wrapper(tmp_path: Path) -> None:
    save_template(tmp_path / "run" / "format-1.json", template())
    file = tmp_path / "mine.yaml"
    file.write_text("name: words-mine\nof: word-tasks\nframe: run/format-1.json\nwrapper: autoif\n")
    card = benchmark(str(file))
    text = card.samples(1)[0].messages[-1].text
    assert text.startswith("Follow the instruction") and "Instruction: Q: " in text and card.file == str(file.resolve())
    again = tmp_path / "again.yaml"
    again.write_text("name: words-twice\nof: mine.yaml\nwrapper: aoa\n")
    with pytest.raises(InputError, match="mine.yaml: name: 'word-tasks' is the name"):
        file.write_text("name: word-tasks\nof: word-tasks\nwrapper: aoa\n")
        benchmark(str(file))
    for text, message in (
        ("name: x\nof: word-tasks\n", "neither frame nor wrapper is set"),
        ("name: X\nof: word-tasks\nwrapper: aoa\nframes: y\n", "name: .*; frames: "),
        ("name: x\nof: word-task\nwrapper: aoa\n", "did you mean 'word-tasks'"),
        ("name: x\nof: word-tasks\nwrapper: aob\n", "did you mean 'aoa'"),
        ("name: x\nof: word-tasks\nframe: none.json\n", "none.json"),
        ("name: x\nof: mine.yaml\nwrapper: aoa\n", "is this file itself"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            benchmark(str(file))


def test_items_with_images_are_refused_in_one_line() -> None:
    def read() -> Iterator[Sample]:
        yield Sample("a", (user(Image.from_pil(PIL.Image.new("RGB", (4, 4)), "x"), "What?"),))

    card = replace(benchmark("word-tasks"), read=read, rows=1)
    with pytest.raises(
        InputError, match="^mine: row a: holds images or several turns; a format takes one text request"
    ):
        framed(card, "mine", template()).samples()
