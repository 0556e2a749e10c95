"""Readers of capability benchmarks on hand-made files of their schemas, and MATH-500 on its rows."""

import base64
import dataclasses
import json

import pytest
from card_files import as_csv, as_json, kinds, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.evals import benchmark, item, rows
from counterpoise.evals._scorecard import combined
from counterpoise.evals.cards import _choice_text, _math500, _mm_vet, _mmbench, _mmlu_pro, _mmmu, _vizwiz
from counterpoise.evals.scorers import METRICS, get


def jsonl(path, values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def test_math500_rows(public, data_dir, monkeypatch):
    file = public("math500/test.jsonl")
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    card, score = benchmark("math500"), get("math-final:v2")
    samples = card.samples()
    assert len(samples) == 500 and len({s.group for s in samples}) == 7
    solutions = [json.loads(line)["solution"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(score(s, solution).value == 1.0 for s, solution in zip(samples, solutions, strict=True))
    # the next problem's solution is wrong, except where two problems have one answer
    shifted = solutions[1:] + solutions[:1]
    wrong = [s for s, other in zip(samples, shifted, strict=True) if score(s, other).value == 1.0]
    assert len(wrong) < 10
    assert "\\boxed{}" in samples[0].messages[0].text


def test_math500_broken_row(tmp_path):
    row = {"problem": "1+1?", "solution": "2", "answer": "2", "subject": "Algebra", "level": 1, "unique_id": "a"}
    with pytest.raises(InputError, match='row 1, field "answer": missing or empty'):
        list(_math500.read(jsonl(tmp_path / "m.jsonl", [row | {"answer": " "}])))


def test_arc_letters_options_by_place(tmp_path):
    row = {"id": "q", "question": "Which is wet?", "choices": {"text": ["sand", "sea"], "label": ["1", "2"]},
           "answerKey": "2"}  # fmt: skip
    (sample,) = _choice_text.read_arc(jsonl(tmp_path / "a.jsonl", [row]))
    assert sample.target == "B" and sample.choices == ("A", "B") and "\nA. sand\nB. sea\n" in sample.messages[0].text
    with pytest.raises(InputError, match='row 1, field "answerKey": .E.; expected one of 1, 2'):
        list(_choice_text.read_arc(jsonl(tmp_path / "a.jsonl", [row | {"answerKey": "E"}])))


GPQA = {"Question": "Which?", "Correct Answer": "right", "Incorrect Answer 1": "w1", "Incorrect Answer 2": "w2",
        "Incorrect Answer 3": "w3", "Record ID": "rec"}  # fmt: skip


def test_gpqa_orders_are_seeded_distinct_and_keep_the_answer(tmp_path):
    file = as_csv(tmp_path / "g.csv", [GPQA])
    samples = list(_choice_text.read_gpqa(file))
    assert samples == list(_choice_text.read_gpqa(file)) != list(_choice_text.read_gpqa(file, seed=1))
    assert len({s.messages[0].text for s in samples}) == 4 and {s.cluster for s in samples} == {"rec"}
    for s in samples:
        assert f"{s.target}) right" in s.messages[0].text
        assert get("letter:v3")(s, f"Because of that.\nAnswer: {s.target}").value == 1.0
    with pytest.raises(InputError, match='row 1, field "Incorrect Answer 3": missing or empty'):
        list(_choice_text.read_gpqa(as_csv(file, [GPQA | {"Incorrect Answer 3": ""}])))


def test_mmlu_pro_takes_the_first_examples_of_its_subject(tmp_path):
    row = {"question_id": 1, "question": "Which?", "options": ["x", "y", "N/A"], "answer": "B", "category": "law",
           "cot_content": "A: Let's think step by step. It is y. The answer is (B)."}  # fmt: skip
    shots = [row | {"question": f"Example {n}?"} for n in range(6)]
    validation = jsonl(tmp_path / "validation.jsonl", [row | {"category": "math"}, *shots])
    (sample,) = _mmlu_pro.read_mmlu_pro(jsonl(tmp_path / "test.jsonl", [row]), validation)
    text = sample.messages[0].text
    assert "Example 4?" in text and "Example 5?" not in text and text.endswith("Answer: Let's think step by step.")
    assert sample.meta["options"] == 2 and "N/A" not in text
    with pytest.raises(InputError, match='row 1, field "category": .law. has 0 examples'):
        list(_mmlu_pro.read_mmlu_pro(tmp_path / "test.jsonl", jsonl(validation, [row | {"category": "math"}])))


def test_mmmu_images_stand_at_their_placeholders(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    def cell(colour):
        return {"bytes": picture(tmp_path / "p.png", colour).read_bytes(), "path": "p.png"}

    base = {f"image_{n}": None for n in range(3, 8)} | {"image_1": cell("red"), "image_2": cell("blue")}
    chosen = base | {"id": "a", "question": "Compare <image 1> with this.", "options": "['it\\'s <image 2>', 'none']",
                     "answer": "A", "question_type": "multiple-choice"}  # fmt: skip
    free = base | {"id": "b", "question": "<image 1> How many? See <image 1>", "options": "[]",
                   "answer": "['42', 'forty-two']", "question_type": "open"}  # fmt: skip

    def write(table):
        pq.write_table(pa.Table.from_pylist(table), tmp_path / "v.parquet")
        return list(_mmmu.read(tmp_path / "v.parquet", "Art"))

    first, second = write([chosen, free])
    assert kinds(first) == ["str", "Image", "str", "Image", "str"] and first.choices == ("A", "B")
    assert kinds(second)[0] == "Image" and len(second.messages[0].images) == 1 and second.target == "42"
    score = get("mmmu-rules:v3")
    assert [score(first, "A").value, score(first, "B").value, score(first, "?").label] == [1.0, 0.0, "no_option"]
    assert [score(second, text).value for text in ("It is 42.", "forty-two", "41")] == [1.0, 0.0, 0.0]
    with pytest.raises(InputError, match=r'row 1, field "image_3": missing; expected an image'):
        write([chosen | {"question": "See <image 3>"}])
    with pytest.raises(InputError, match=r'row 1, field "options": expected a list'):
        write([chosen | {"options": "__import__('os').getcwd()"}])


def test_vizwiz(tmp_path):
    picture(tmp_path / "val/1.png")
    answers = [{"answer": "unanswerable"}] * 6 + [{"answer": "soup"}] * 4
    row = {"image": "1.png", "question": "What is this?", "answers": answers}
    (sample,) = _vizwiz.read(as_json(tmp_path / "val.json", [row]))
    assert sample.target == "unanswerable" and sample.id == "1.png" and "'Unanswerable'" in sample.messages[0].text
    with pytest.raises(InputError, match='row 1, field "answers": expected 10 texts'):
        list(_vizwiz.read(as_json(tmp_path / "val.json", [row | {"answers": answers[:9]}])))


def test_vizwiz_precision_and_recall_have_their_own_denominators():
    card = benchmark("vizwiz-vqa")
    gold_and_answers = [("unanswerable", "Unanswerable"), ("soup", "unanswerable"), ("soup", "soup"),
                        ("unanswerable", "soup"), ("unanswerable", "")]  # fmt: skip
    items = [
        item(card, Sample(str(n), (user("q"),), target=gold, meta={"answers": [gold] * 10}), answer, "stop")
        for n, (gold, answer) in enumerate(gold_and_answers)
    ]
    made = {(r.metric, r.scorer): r for r in rows(card, items, model="m", run="r")}
    assert set(made) == {
        ("vqa_accuracy", "vqa-soft:v1"), ("vqa_accuracy", "vqa-simple:v1"),
        ("unanswerable_precision", "unanswerable-precision:v1"), ("unanswerable_recall", "unanswerable-recall:v1"),
    }  # fmt: skip
    precision = made["unanswerable_precision", "unanswerable-precision:v1"]
    recall = made["unanswerable_recall", "unanswerable-recall:v1"]
    assert (precision.value, precision.n_scored, precision.n_unscored) == (0.5, 2, 1)  # the empty one
    assert (recall.value, recall.n_scored) == (0.5, 2)
    assert made["vqa_accuracy", "vqa-soft:v1"].value == pytest.approx(0.5)


def bench_file(tmp_path, **change):
    image = base64.b64encode(picture(tmp_path / "p.png").read_bytes()).decode()
    row = {"index": "5", "question": "Which?", "hint": "nan", "A": "cat", "B": "dog", "C": "cow", "D": "nan",
           "answer": "B", "category": "animals", "l2-category": "nature", "image": image}  # fmt: skip
    return as_csv(tmp_path / "m.tsv", [row | change, row | {"index": "1000005", "image": "5"}], "\t")


def test_mmbench_rotations(tmp_path):
    samples = list(_mmbench.read(bench_file(tmp_path)))
    assert [s.id for s in samples] == ["5/0", "5/1", "5/2"] and [s.target for s in samples] == ["B", "A", "C"]
    assert all(f"{s.target}. dog" in s.messages[0].text for s in samples)
    assert kinds(samples[0]) == ["Image", "str"] and "nan" not in samples[0].messages[0].text
    with pytest.raises(InputError, match='row 1, field "answer": .D.; expected one of A, B, C'):
        list(_mmbench.read(bench_file(tmp_path, answer="D")))
    with pytest.raises(InputError, match='row 1, field "image": broken base64'):
        list(_mmbench.read(bench_file(tmp_path, image="%%%")))


def test_mmbench_counts_a_question_only_when_every_rotation_is_right(tmp_path):
    card = benchmark("mmbench")
    samples = list(_mmbench.read(bench_file(tmp_path)))
    for answers, circular, vanilla in ((("B", "A", "C"), 1.0, 1.0), (("B", "B", "B"), 0.0, 1.0)):
        items = [item(card, s, answer, "stop") for s, answer in zip(samples, answers, strict=True)]
        made = {r.metric: r for r in rows(card, items, model="m", run="r")}
        assert (made["circular_accuracy"].value, made["vanilla_accuracy"].value) == (circular, vanilla)
        assert made["circular_accuracy"].n_scored == made["vanilla_accuracy"].n_scored == 1


ONE = item(benchmark("mmbench"), Sample("x", (user("q"),), target="A", choices=("A", "B")), "A", "stop")


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=1, max_size=4), min_size=1, max_size=6))
def test_circular_accuracy_is_at_most_the_mean_and_ignores_order(clusters):
    items = [
        dataclasses.replace(ONE, id=f"{n}/{k}", cluster=str(n), scores={"letter:v3": value})
        for n, values in enumerate(clusters)
        for k, value in enumerate(values)
    ]
    found = combined("circular_accuracy", "letter:v3", items)
    assert len(found) == len(clusters)
    for made, values in zip(found, clusters, strict=True):
        known = [value for value in values if value is not None]
        expected = 0.0 if 0.0 in known else (1.0 if len(known) == len(values) else None)
        assert made.scores["letter:v3"] == expected
        if expected is not None and len(known) == len(values):
            assert expected <= sum(known) / len(known)
    again = combined("circular_accuracy", "letter:v3", items[::-1])
    assert {m.cluster: m.scores["letter:v3"] for m in again} == {m.cluster: m.scores["letter:v3"] for m in found}
    assert METRICS["accuracy"].combine is None


def test_mm_vet_parts(tmp_path):
    picture(tmp_path / "v1_0.png")
    row = {
        "imagename": "v1_0.png",
        "question": "What?",
        "answer": "red cup<AND>table<OR>mug",
        "capability": ["ocr", "rec"],
    }
    (sample,) = _mm_vet.read(as_json(tmp_path / "v.json", {"v1_0": row}), tmp_path)
    assert sample.id == "v1_0" and sample.group == "ocr+rec" and kinds(sample) == ["Image", "str"]
    score = get("mm-vet-parts:v2")
    assert [score(sample, a).value for a in ("A red cup on the table", "a red cup", "my mug", "x")] == [
        1.0,
        0.5,
        1.0,
        0.0,
    ]
    with pytest.raises(InputError, match='row v1_0, field "imagename": .*no such image'):
        list(_mm_vet.read(as_json(tmp_path / "v.json", {"v1_0": row | {"imagename": "n.png"}}), tmp_path))
