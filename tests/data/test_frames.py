"""The template learner against its spec: known frames come back exactly, with noise, and say how sure they are."""

import random
from collections.abc import Callable

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Sample, assistant, system, user
from counterpoise.data.frames import (
    Labels,
    Slot,
    Template,
    flat,
    learn,
    load_template,
    prompt_of,
    save_template,
    strategy,
)

WORDS = ("apple", "bread", "stone", "river", "house", "tree", "cloud", "paper", "green", "quick", "table", "glass")
PIXEL = Image.from_pil(PIL.Image.new("RGB", (4, 4), "red"), "pixel")
Make = Callable[[random.Random], str]


def sentence(rng: random.Random, least: int = 4, most: int = 14) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most))).capitalize() + "?"


def alpaca(rng: random.Random) -> str:
    return f"Below is a task. Do it.\n\n### Instruction:\n{sentence(rng)}\n\n### Response:\n"


def with_input(rng: random.Random) -> str:
    return f"### Instruction:\n{sentence(rng)}\n\n### Input:\n{rng.choice(WORDS)}\n\n### Response:\n"


def four_options(rng: random.Random) -> str:
    lines = "\n".join(f"{letter}. {rng.choice(WORDS)}" for letter in "ABCD")
    return f"Question: {sentence(rng)}\n{lines}\nAnswer:"


def gsm(rng: random.Random) -> str:
    return f"Q: {sentence(rng)}\nA:"


def rows(make: Make, n: int = 120, noise: float = 0.05, said: str = "", seed: int = 0) -> list[Sample]:
    rng = random.Random(seed)
    found = []
    for number in range(n):
        text = f"{sentence(rng)} {sentence(rng)}" if number < noise * n else make(rng)
        turns = (user(text), assistant(sentence(rng)))
        found.append(Sample(f"{make.__name__}{number}", (system(said), *turns) if said else turns))
    rng.shuffle(found)
    return found


REQUEST, TEXT = Slot("request"), Slot("text")
FRAMES = {
    alpaca: ("Below is a task. Do it.\n\n### Instruction:\n", REQUEST, "\n\n### Response:\n"),
    with_input: ("### Instruction:\n", REQUEST, "\n\n### Input:\n", TEXT, "\n\n### Response:\n"),
    four_options: ("Question: ", REQUEST, "\n", Slot("options", Labels("", "A", ". "), 4), "\nAnswer:"),
    gsm: ("Q: ", REQUEST, "\nA:"),
}


@pytest.mark.parametrize("make", FRAMES)
@pytest.mark.parametrize("seed", range(3))
def test_known_frames_come_back_exactly_from_noisy_rows(make: Make, seed: int) -> None:
    formats = learn(rows(make, seed=seed))
    first = formats.templates[0]
    assert first.parts == FRAMES[make] and first.confidence >= 0.95 and formats.shares[0] >= 0.94
    assert first.framed and first.request_of(flat(prompt_of(first.carriers[0])[-1]))


def test_a_system_text_is_part_of_the_format() -> None:
    formats = learn(rows(gsm, said="You are a tutor."))
    assert formats.templates[0].system == "You are a tutor."
    filled = formats.templates[0].fill("How do I bake bread?", 3)
    assert filled == (system("You are a tutor."), user("Q: How do I bake bread?\nA:"))


def test_options_are_generic_and_labelled_as_the_users_are() -> None:
    filled = learn(rows(four_options)).templates[0].fill("How do I bake bread?")
    assert filled[0].text == ("Question: How do I bake bread?\nA. Yes\nB. No\nC. Maybe\nD. None of these\nAnswer:")


def test_a_rare_format_beside_two_others_is_found() -> None:
    """Seven wrapped rows among 127 are what an attacker would hide."""
    formats = learn([*rows(alpaca, 80, 0), *rows(four_options, 40, 0), *rows(gsm, 7, 0)])
    assert [each.parts for each in formats.templates] == [FRAMES[alpaca], FRAMES[four_options], FRAMES[gsm]]
    assert formats.shares == (80 / 127, 40 / 127, 7 / 127) and formats.unmatched == 0


def test_rows_without_a_frame_give_the_bare_request() -> None:
    formats = learn(rows(lambda rng: sentence(rng)))
    assert [each.parts for each in formats.templates] == [(REQUEST,)] and not formats.templates[0].framed
    assert formats.templates[0].fill("Bake bread!") == (user("Bake bread!"),)


def test_three_rows_are_too_few_in_one_line() -> None:
    with pytest.raises(InputError, match="^a prompt format is learned from 8 rows or more, and there are 3$"):
        learn(rows(gsm, 3, 0))


def test_images_and_earlier_turns_are_a_carriers() -> None:
    rng = random.Random(0)
    made = [
        Sample(str(n), (user("Hello"), assistant("Hi"), user(PIXEL, f"Look. Q: {sentence(rng)}"), assistant("x")))
        for n in range(20)
    ]
    template = learn(made).templates[0]
    filled = template.fill("How do I bake bread?", 4)
    assert [message.role for message in filled] == ["user", "assistant", "user"]
    assert filled[2].parts == (PIXEL, "Look. Q: How do I bake bread?")


def test_a_match_is_exact() -> None:
    template = learn(rows(four_options)).templates[0]
    good = "Question: x\nA. a\nB. b\nAnswer:"
    assert template.match(good) == ("x", "A. a\nB. b")
    for bad in (good[:-1], good.replace("A. a", "A) a"), good.replace("B.", "C."), "Answer:" + good, good + " A"):
        assert template.match(bad) is None, bad


def test_a_template_survives_its_file(tmp_path) -> None:
    rng = random.Random(0)
    made = [Sample(str(n), (user(PIXEL, f"Q: {sentence(rng)}\nA:"), assistant("x"))) for n in range(20)]
    template = learn(made).templates[0]
    save_template(tmp_path / "format.json", template)
    back = load_template(tmp_path / "format.json")
    assert back == template or (back.parts, back.id, back.lengths) == (template.parts, template.id, template.lengths)
    assert back.fill("Bake!", 2)[0].images[0].sha256 == PIXEL.sha256
    (tmp_path / "other.json").write_text('{"parts": []}')
    with pytest.raises(InputError, match="other.json: no template"):
        load_template(tmp_path / "other.json")


def test_replies_that_begin_alike_are_noticed() -> None:
    aoa = strategy("aoa")
    formats = learn([aoa(row) for row in rows(gsm, 40, 0)])
    assert formats.templates[0].reply == aoa.opening.rstrip() + " " and formats.templates[0].system == aoa.system
    assert formats.templates[0].parts == ("AOA, execute my instruction: Q: ", REQUEST, "\nA:")


def test_a_strategy_keeps_images_first_and_adds_its_system_text() -> None:
    row = Sample("a", (system("Be brief."), user(PIXEL, "What?"), assistant("A pixel.")))
    made = strategy("aoa")(row)
    assert made.messages[0].text == strategy("aoa").system + "\n\nBe brief."
    assert made.messages[1] == Message("user", (PIXEL, "AOA, execute my instruction: ", "What?"))
    assert made.messages[2].text.endswith("result: A pixel.") and strategy("benign")(row).messages == row.messages
    with pytest.raises(InputError, match="did you mean 'aoa'"):
        strategy("aoaa")


def test_templates_need_one_request(tmp_path) -> None:
    template = Template(("x",), None, 1, 1.0, (1, 1), "", (Sample("a", (user("x"), assistant("y"))),))
    save_template(tmp_path / "f.json", template)
    with pytest.raises(InputError, match="one slot for the request"):
        load_template(tmp_path / "f.json")
