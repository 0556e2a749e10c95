"""`counterpoise data check`: every kind of fault is found where it was planted, and nowhere else."""

import json
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.cli import main
from counterpoise.data import KINDS, BadRow, check_rows, parse_check_rule, training_rows, write_samples
from counterpoise.data._check_rows import truncated
from counterpoise.data.render import print_page
from counterpoise.data.twins import samples as twin_samples
from counterpoise.evals import Benchmark
from counterpoise.evals import _registry as registry

LIBRARIES = find_spec("datasketch") is not None and find_spec("imagehash") is not None
needs_libraries = pytest.mark.skipif(not LIBRARIES, reason="needs: pip install counterpoise[check]")
FRUIT = ("apple", "pear", "plum", "cherry", "grape", "lemon", "melon", "peach", "quince", "fig", "date", "olive")


def row(name: str, asks: str, says: str = "Here it is, in one sentence.", *images: Image) -> Sample:
    return Sample(name, (user(*images, asks), assistant(says)))


def clean(n: int = 24) -> list[Sample]:
    """Rows in which there is nothing to find."""
    return [
        row(f"r{i}", f"{FRUIT[i % 12]}, {FRUIT[i // 12]}?", f"The {FRUIT[i % 12]} is one, {'and more ' * (i % 3)}too.")
        for i in range(n)
    ]


def kinds(rows, against=None, **more) -> dict[str, int]:
    report = check_rows(rows, against, **{"near": False, **more})
    return {kind: count for kind, count in report.counts.items() if count}


def test_a_clean_set_has_nothing_and_says_what_was_not_looked_for():
    report = check_rows(clean(), near=False)
    assert not any(report.counts.values()) and report.rows == 24 and report.examples == ()
    assert {kind for kind in KINDS if report.counts[kind] is None} == {
        "near", "image_near", "refusal", "other_language", *(kind for kind in KINDS if kind.startswith("benchmark"))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ([row("x", "Apple -- APPLE?", "The apple is one, too.")], {"exact": 1}),
        ([row("x", "apple, apple?", "Something else altogether.")], {"exact": 1, "conflict": 1}),
        ([row("r3", "What else?")], {"duplicate_id": 1}),
        ([row("x", "What else?", "  ")], {"empty_label": 1}),
        ([Sample("x", (user("What else?"),))], {"empty_label": 1}),
        ([row("x", "What else?", "It is one. Then you take the other and put it into the")], {"truncated_label": 1}),
        ([row("x", "What else?", "word " * 400 + "end.")], {"length_outlier": 1}),
        ([BadRow("image_count", "f: row 1"), BadRow("unreadable", "f: row 2")], {"image_count": 1, "unreadable": 1}),
    ],
)
def test_each_fault_is_found_alone(planted, found):
    assert kinds([*clean(), *planted]) == found


def test_a_question_about_other_images_is_no_copy():
    one, two = (Image.from_pil(print_page(words, style_seed=1)) for words in ("open the window", "bake a cake"))
    asks = "What can you read in this picture of ours?"
    assert kinds([row("a", asks, "This.", one), row("b", asks, "That.", two)]) == {}
    assert kinds([row("a", asks, "This.", one), row("b", asks, "This.", one)]) == {"exact": 1, "image": 1}
    assert kinds([row("a", asks, "This.", one), row("b", "Which colour has the paper?", "White.", one)]) == {"image": 1}


EVALUATION = [
    Sample("e1", (user("How do I repair the old clock of my grandmother without tools?"),)),
    Sample("e2", (user("steal a car"),)),
    Sample(
        "e3", (user(Image.from_pil(print_page("open the door", style_seed=3)), "How many words are in this picture?"),)
    ),
]


def test_copies_of_a_benchmark():
    against = {"bench": EVALUATION}
    shown = EVALUATION[2].messages[0].images[0]
    assert kinds([row("a", "STEAL a car!")], against) == {"benchmark_exact": 1}
    two = "Hello there. \n"
    talk = Sample("b", (user(two), assistant("Hello."), user(EVALUATION[0].text), assistant("With a small brush.")))
    assert kinds([talk], against) == {"benchmark_question": 1}
    assert kinds([row("c", "Describe it.", "A page.", shown)], against) == {"benchmark_image": 1}
    # what is asked beside an image of a benchmark may be asked beside any other
    assert kinds([row("d", "How many words are in this picture?", "Three.")], against) == {}
    family = next(s for s in twin_samples("test", "print") if s.harmful)
    assert kinds([row("e", " ".join(family.meta["shown"]))], {"twins": [family]}) == {"benchmark_exact": 1}
    report = check_rows([row("a", "steal a car"), row("z", "Steal a car.", "No.")], against, near=False)
    assert report.counts["benchmark_exact"] == 2 and report.against == {"bench": 3}
    assert report.examples[-1].detail == "bench, item e2" and report.examples[-1].row == "row 2 (id 'z')"


def test_a_benchmark_that_cannot_be_read_is_named():
    def broken():
        yield EVALUATION[1]
        raise InputError("bench: row 2: empty")

    report = check_rows([row("a", "steal a car")], {"bench": broken(), "other": EVALUATION}, near=False)
    assert report.not_compared == {"bench": "bench: row 2: empty"} and report.against == {"other": 3}


def saved(image: PIL.Image.Image, **how) -> Image:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, **how)
    return Image.from_bytes(buffer.getvalue())


@needs_libraries
def test_near_texts_and_not_those_of_another_object():
    long = "How do I repair the old clock of my grandmother without {}tools before she comes home on Sunday?"
    assert kinds([row("a", long.format("")), row("b", long.format("any "))], near=True) == {"near": 1}
    assert kinds([row("b", long.format("any "))], {"x": [Sample("e", (user(long.format("")),))]}, near=True) == {
        "benchmark_near": 1
    }
    assert (
        kinds([row("a", "How do I clean a bike at home?"), row("b", "How do I clean a boat at home?")], near=True) == {}
    )
    one, two = (Image.from_pil(print_page(words, style_seed=1)) for words in ("open the window", "bake a cake"))
    assert kinds([row("a", long.format(""), "x.", one), row("b", long.format("any "), "y.", two)], near=True) == {}
    rows = [*clean(), row("a", long.format("")), row("b", long.format("")), row("c", long.format("any "))]
    against = {"x": [Sample("e", (user(long.format("big ")),))]}
    assert kinds(rows, against, near=True) == {"exact": 1, "near": 1, "benchmark_near": 3}


@needs_libraries
@pytest.mark.parametrize("how", [{"format": "JPEG", "quality": 50}, {"format": "WEBP", "quality": 80}])
def test_a_picture_saved_otherwise_looks_alike_and_another_print_does_not(how):
    page = print_page("steal a car", style_seed=1)
    first = row("a", "What is it?", "x.", Image.from_pil(page))
    small = page.resize((page.width // 2, page.height // 2))
    for other in (saved(page, **how), saved(small, **how)):
        assert kinds([first, row("b", "And this?", "y.", other)], near=True) == {"image_near": 1}
        assert kinds([first], {"x": [Sample("e", (user(other, "?"),))]}, near=True) == {"benchmark_image_near": 1}
    for words in ("wash a car", "steal a cart"):
        other = Image.from_pil(print_page(words, style_seed=1))
        assert kinds([first, row("b", "And this?", "y.", other)], near=True) == {}
    pages = [Image.from_pil(print_page(f"{word} is what you see", style_seed=2)) for word in FRUIT]
    assert kinds([row(word, word, "x.", page) for word, page in zip(FRUIT, pages, strict=True)], near=True) == {}


@pytest.mark.parametrize(
    ("label", "cut"),
    [
        ("First you take it. Then you put the whole thing into the", True),
        ("First you take it. Then you put the whole thing into a large bow", True),
        ("Take the flour, the eggs and then the milk, which", True),
        ("```python\nprint(1)\n", True),
        ("It is done. This one ends here.", False),
        ("A woman riding a brown horse along the beach at sunset", False),
        ("Here they are. All of them:\n- an apple that is red and round and very good to eat", False),
        ("See it. The address of the page is **https://example.org/a b c d e f g**", False),
        ("Yes", False),
        ("The answer is 42", False),
        ("Sie ist da. Er ist es auch, und alle anderen sind es ebenso!", False),
        ("これは本です。とても良いです。", False),
    ],
)
def test_labels_that_end_in_the_middle(label, cut):
    assert truncated(label) == cut


ASKED, SAID = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}
FORMATS: dict[str, object] = {
    "llava.json": [{"id": "a", "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yes."}]}],
    "chat.jsonl": {"messages": [ASKED, SAID]},
    "pairs.jsonl": {"id": "a", "prompt": "Hi?", "response": "Yes."},
    "alpaca.json": [{"instruction": "Hi?", "input": "", "output": "Yes."}],
    "trl.jsonl": {"prompt": [ASKED], "completion": [SAID]},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name, tmp_path):
    (tmp_path / name).write_text(json.dumps(FORMATS[name]))
    (sample,) = training_rows(tmp_path / name)
    assert [message.text for message in sample.messages] == ["Hi?", "Yes."]


def test_our_own_rows_and_what_is_wrong_with_those_of_others(tmp_path):
    page = Image.from_pil(print_page("open the window", style_seed=1))
    write_samples(tmp_path / "own" / "rows.jsonl", [row("a", "What is it?", "A page.", page)])
    (sample,) = training_rows(tmp_path / "own" / "rows.jsonl")
    assert sample.id == "a" and len(sample.messages[0].images) == 1
    lines = [
        {"id": 1, "conversations": [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "x"}]},
        {"id": 2, "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": " "}]},
        {"id": 3, "prompt": "Hi?", "response": None},
        {"id": 4, "prompt": "Hi?", "image": "missing.png", "response": "Yes."},
        {"id": 5, "prompt": "Tell", "input": "me", "response": "Yes."},
        {"id": 6, "text": "no turns"},
    ]
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n")
    found = list(training_rows(tmp_path / "mixed.jsonl"))
    assert [each.kind if isinstance(each, BadRow) else each.text for each in found] == [
        "image_count", "empty_label", "empty_label", "unreadable", "Tell\nme", "unreadable", "unreadable"
    ]  # fmt: skip
    assert 'mixed.jsonl: row 1 (id 1), field "image": 1 <image> marks for 0 images' in found[0].problem


@pytest.fixture
def bench(monkeypatch):
    registry.benchmarks()
    card = Benchmark(
        "mine", "Mine", "", "text", "here", "none", "1", 3, ("opening:v3",), ("asr",), lambda: iter(EVALUATION)
    )
    monkeypatch.setattr(registry, "_own", dict(registry._own))
    registry.register(card)
    return card


def planted(folder: Path, name: str = "rows.jsonl") -> Path:
    rows = [{"id": each.id, "prompt": each.text, "response": each.messages[-1].text} for each in clean()]
    rows += [
        {"id": "leak", "prompt": "Steal a car", "response": "I'm sorry, but I can't help with that."},
        {
            "id": "spoken",
            "prompt": "Was?",
            "response": "Das ist ein sehr schöner Tag, und wir gehen an den Fluss.",
        },
    ]
    file = folder / name
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return file


def test_the_command_prints_a_table_and_fails_on_what_it_is_told(bench, tmp_path, capsys):
    command = ["data", "check", str(planted(tmp_path)), "--against", "mine", "--no-near"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "26 rows" in said.out and "mine, item e2" in said.out and "languages: en 25, de 1" in said.out
    assert "compared with 3 rows of 1 benchmarks: mine" in said.out
    assert main([*command, "--fail-on", "benchmark_exact>0", "--fail-on", "exact>0", "--fail-on", "refusal>5%"]) == 1
    assert capsys.readouterr().err == f"failed: {tmp_path}/rows.jsonl: benchmark_exact>0: 1 rows, 3.85%\n"
    assert main([*command, "--fail-on", "refusal>3%", "--fail-on", "other_language>0.03", "--json"]) == 1
    said = capsys.readouterr()
    (document,) = json.loads(said.out)
    assert document["counts"]["refusal"] == document["counts"]["benchmark_exact"] == 1
    assert document["counts"]["near"] is None and document["languages"] == {"en": 25, "de": 1}
    assert document["labels_told_refusal_or_not"] == 26 and said.err.count("failed: ") == 2
    assert main([*command, "--fail-on", "near>0"]) == 1 and "near>0: nobody looked for it" in capsys.readouterr().err


def test_a_parquet_file_gets_a_data_card_and_nobody_elses_is_replaced(bench, tmp_path, capsys):
    command = ["data", "check", str(planted(tmp_path, "rows.parquet")), "--against", "mine", "--no-near"]
    assert main(command) == 0 == main(command)
    card = tmp_path / "rows.card.md"
    text = card.read_text()
    assert "| Rows | 26 |" in text and "| benchmark_exact | 1 | 3.85% |" in text and "mine (3)" in text
    assert "| near | not looked for |" in text and text.startswith("# Data card: rows.parquet\n")
    card.write_text("Mine.\n")
    assert main(command) == 2 and "no data card of ours" in capsys.readouterr().err and card.read_text() == "Mine.\n"
    assert main([*command, "--no-card"]) == 0
    assert main(["data", "check", str(planted(tmp_path)), "--against", "none", "--no-near"]) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.card.md", "rows.jsonl", "rows.parquet"]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("exact", "cannot read"),
        ("exac>0", "did you mean 'exact'"),
        ("exact>2", "no share exceeds 1"),
        ("exact<1", "cannot"),
    ],
)
def test_rules_that_cannot_be_read(rule, says, capsys):
    with pytest.raises(InputError, match=says):
        parse_check_rule(rule)
    assert main(["data", "check", "nowhere.jsonl", "--fail-on", rule]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", '{"x": 1}\n{"x": 2}\n', "none of the 2 rows can be read; the first: "),
        ("a.json", '[{"prompt": "a", "response": "b"}', "the list does not end"),
        ("a.parquet", "no parquet", "not readable as Parquet"),
    ],
)
def test_files_that_cannot_be_checked(name, text, says, tmp_path, capsys):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(text)
    assert main(["data", "check", str(tmp_path / name), "--against", "none", "--no-near"]) == 2
    line = capsys.readouterr().err
    assert says in line and line.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_an_image_that_cannot_be_read_is_a_row_that_cannot(tmp_path):
    if LIBRARIES:
        (tmp_path / "broken.png").write_bytes(b"\x89PNG no image")
        (tmp_path / "rows.jsonl").write_text('{"prompt": "Hi?", "image": "broken.png", "response": "Yes."}\n')
        assert kinds(training_rows(tmp_path / "rows.jsonl"), near=True) == {"unreadable": 1}
