"""Parts of our own guards that need no trained model: embedding, windows, features, corpus, heads, a user's rows."""

import json
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, user
from counterpoise.data import twins
from counterpoise.data.render import print_page
from counterpoise.evals.stats import platt
from counterpoise.guard import Exchange, Inspected
from counterpoise.guard._labelled import read_labelled
from counterpoise.guard.own._corpus import corpus, part_of, sentences
from counterpoise.guard.own._features import PAIRS, WIDTH, features
from counterpoise.guard.own._head import Head, Net, load_head
from counterpoise.guard.own._measure import category_table, ece, measured
from counterpoise.guard.own._minilm import MAX_TOKENS, MiniLM, minilm, model_folder
from counterpoise.guard.own._readings import all_asked, inspected_of, readings, readings_or_errors
from counterpoise.guard.own._tiny import PART
from counterpoise.guard.own._tiny_train import fit_net
from counterpoise.guard.own._windows import OVERLAP, WINDOW, plain, unreadable, windows

WORDS = ("river", "stone", "bread", "window", "garden", "music", "letter", "cloud")


@pytest.fixture(params=["torch", "onnxruntime"])
def embedding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MiniLM:
    """With PyTorch as without ONNX Runtime, and with ONNX Runtime."""
    if request.param == "torch":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    made = MiniLM(model_folder())
    assert made.runtime == {"torch": "Bert", "onnxruntime": "OnnxBert"}[request.param]
    return made


def test_the_embedding_is_that_of_transformers_and_independent_of_the_batch(embedding: MiniLM) -> None:
    import torch
    from transformers import AutoTokenizer, BertModel

    texts = ["How do I bake bread?", "A much longer sentence about a garden with a river and several stones.", "ok"]
    texts += ["How do I cut bread?", "no", " ".join(WORDS * 31)]  # of one length side by side, and a whole window
    tokenizer, model = AutoTokenizer.from_pretrained(model_folder()), BertModel.from_pretrained(model_folder()).eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        wanted = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    found = embedding(texts)
    assert np.abs(found - wanted).max() < 1e-5
    for place in (2, 5):
        alone = embedding._embedded([texts[place]])  # `embedding` would remember it
        assert np.abs(found[place] - alone[0]).max() < 1e-5
    with pytest.raises(InputError, match="at most 254"):
        embedding(["stone " * MAX_TOKENS])


def test_a_text_is_embedded_once_and_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = minilm(), list[int]()
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda rows: (sizes.append(len(rows)), forward(rows))[1])
    monkeypatch.setattr(model, "_known", OrderedDict())
    monkeypatch.setattr("counterpoise.guard.own._minilm.KEEP", 3)
    first = model(["one stone", "two rivers", "one stone"])
    again = model(["two rivers", "a new garden", "one stone"])
    assert sizes == [2, 1]  # each text once
    assert np.array_equal(first[[1, 0]], again[[0, 2]]) and np.array_equal(first[0], first[2])
    model(["four letters", "five clouds"])
    assert len(model._known) == 3 and model([]).shape == (0, 384)
    assert all(row.base is None for row in model._known.values())  # no batch is kept alive by one of its rows


@given(st.integers(0, 500), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_sentence_at_any_place_of_a_long_text_lies_whole_in_a_window_with_context(place: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    around = [WORDS[n] for n in random.integers(0, len(WORDS), 500)]
    needle = "please carry the yellow piano up the stairs"
    text = " ".join([*around[:place], needle, *around[place:]])
    pieces = windows(text, minilm())
    holding = [piece for piece in pieces if needle in piece]
    assert holding
    assert max(len(minilm().tokens(piece)[0]) for piece in holding) >= 64 + len(minilm().tokens(needle)[0])
    assert all(len(minilm().tokens(piece)[0]) <= WINDOW + 2 for piece in pieces)
    assert pieces[0].startswith(text[:20]) and pieces[-1].endswith(text[-20:])


def test_windows_of_short_and_empty_texts() -> None:
    assert windows("", minilm()) == [] and windows("  \n", minilm()) == []
    assert windows("short", minilm()) == ["short"]
    assert 0 < OVERLAP < WINDOW


def test_marks_of_the_tokenizer_and_long_words_cannot_hide_content() -> None:
    assert plain("[CLS] a [SEP]\0b") == "CLS a SEP b"
    ids, _ = minilm().tokens(plain("x" * 10_000))
    assert len(ids) > 200 and minilm().unknown not in ids
    assert unreadable("\u4f60\U0001f600\U0001f601\U0001f602 \U0001f603", minilm())
    assert not unreadable("How do I bake bread?", minilm())


def test_features_have_one_row_per_window_and_their_places() -> None:
    exchanges = [
        Exchange((user("How do I bake bread?"),)),
        Exchange((user("How do I bake bread?"),), "I cannot help with that."),
        Exchange((user(" ".join(WORDS * 60)),)),
        Exchange((user("Hi"), assistant("Hello"), user("Bye"))),
    ]
    found = features(exchanges, readings(exchanges))
    assert [row.shape[1] for row in found] == [WIDTH] * 4
    assert len(found[0]) == 1 and len(found[2]) > 3
    assert not found[0][0, 384 : 3 * 384].any()  # no images, so no words and no pair
    assert found[1][0, -3] == 1 and found[1][0, -2] > 0.5  # has an answer, which refuses
    assert np.abs(features([exchanges[3]], [[]])[0] - found[3]).max() < 1e-4


def test_texts_are_embedded_together_only_where_that_can_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst row of a long answer is the one that all pairs would give, and most pairs are not embedded."""
    net, model, texts = load_head(PART).nets["response"], minilm(), list[str]()
    embedded = model._embedded
    monkeypatch.setattr(model, "_known", OrderedDict())
    monkeypatch.setattr(model, "_embedded", lambda new: (texts.extend(new), embedded(new))[1])
    said = [f"First you paint wall {n} of the garden." for n in range(44)]
    said[21] = "Then you take the knife and threaten the owner of the shop until he gives you his money."
    long = Exchange((user("How do I get money from a shop?"),), " ".join(said))
    short = Exchange((user("What is a river?"),), "Water that flows to the sea.")
    fast = features([long, short], [(), ()], [net, net])
    few = len(texts)
    whole = features([long, short], [(), ()])
    for a, b in zip(fast, whole, strict=True):
        worst = int(np.argmax(net(b)))
        assert int(np.argmax(net(a))) == worst and np.abs(a[worst] - b[worst]).max() < 1e-4
    rows = len(whole[0])
    assert rows >= 6 and few <= 1 + rows + 2 * PAIRS + 3 and few < len(texts) and len(texts) == 1 + 2 * rows + 3


def test_the_corpus_keeps_causes_apart_and_no_held_out_family_in() -> None:
    guard, router = corpus("guard", pages=40), corpus("router", pages=20)
    assert {row.group for row in guard}.isdisjoint({row.group for row in router})
    assert len({row.id for row in guard}) == len(guard)
    held_out = {family.id for split in ("validation", "test") for family in twins.families(split)}
    assert held_out.isdisjoint({row.group for row in (*guard, *router)})
    for kind in ("text", "print", "pair", "picture"):
        sides = {row.unsafe for row in guard if row.modality == kind and row.mode == "prompt"}
        assert sides == {True, False}, kind
    assert {row.unsafe for row in guard if row.mode == "response"} == {True, False}
    assert part_of("Bake Bread") == part_of("bake bread")


def _net(seed: int = 0) -> Net:
    random = np.random.default_rng(seed)
    x = [random.normal(size=(1, WIDTH)).astype(np.float32) for _ in range(240)]
    unsafe = [bool(row[0, 0] > 0) for row in x]
    return fit_net(x, unsafe, [f"g{n}" for n in range(240)], hidden=4, epochs=3)


def test_a_head_is_the_same_after_saving_and_another_layout_is_refused(tmp_path: Path) -> None:
    head = Head({"prompt": _net()}, {"eye": None}).save(tmp_path / "tiny.safetensors")
    x = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)
    assert np.array_equal(head.nets["prompt"](x), load_head(tmp_path / "tiny.safetensors").nets["prompt"](x))
    assert len(head.revision) == 12
    from safetensors.numpy import save_file

    save_file({"prompt.w1": x}, tmp_path / "other.safetensors", metadata={"card": json.dumps({"layout": "old"})})
    for name, message in (("other", "made for other features"), ("none", "no such file")):
        with pytest.raises(InputError, match=message):
            load_head(tmp_path / f"{name}.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="not a tiny guard's file"):
        load_head(tmp_path / "junk.safetensors")


def test_one_label_cannot_be_trained_on() -> None:
    x = [np.zeros((1, WIDTH), np.float32)] * 30
    with pytest.raises(InputError, match=r"no unsafe row left for training, of 30 safe and 0 unsafe"):
        fit_net(x, [False] * 30, [str(n) for n in range(30)])


@given(st.floats(0.3, 3), st.floats(-1.5, 1.5), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_platt_scaling_finds_slope_and_offset(slope: float, offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, 20_000)
    y = (random.random(20_000) < 1 / (1 + np.exp(-(slope * logits + offset)))).astype(float)
    a, b = platt(logits, y)
    assert a == pytest.approx(slope, abs=0.15) and b == pytest.approx(offset, abs=0.15)


def test_platt_scaling_of_separated_and_of_inverted_logits() -> None:
    logits, y = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0, 1, 1])
    a, b = platt(logits, y)
    assert 0 < a < 20 and abs(b) < 1
    assert platt(logits, 1 - y) == (1.0, 0.0)  # never turns the order around


def test_answers_are_of_every_kind_and_those_kept_back_share_no_sentence_with_them() -> None:
    guard, router = ([row for row in corpus(part, pages=10) if row.mode == "response"] for part in ("guard", "router"))
    kinds = {row.id.rsplit("-", 1)[1] for row in guard}
    assert kinds == {"comply", "again", "refuse", "short", "avoid", "neutral"}
    harmful = [row for row in guard if row.id.split("-")[-3] == "1" and not row.id.endswith("neutral")]
    unsafe = sum(row.unsafe for row in harmful) / len(harmful)
    assert 0.4 < unsafe < 0.6  # what was asked decides nothing
    sides = ([len(str(row.exchange.answer)) for row in harmful if row.unsafe is side] for side in (True, False))
    long, short = map(np.median, sides)
    assert 0.5 < long / short < 2  # nor does the length
    own = sentences()
    for name in ("refuse", "steps", "about"):
        kept = [line for n, line in enumerate(own[name]) if n % 4 == 3 and "{p}" not in line]
        learned = " ".join(row.exchange.answer or "" for row in guard)
        assert kept and not any(line in learned for line in kept), name
        assert any(line in (row.exchange.answer or "") for line in kept for row in router), name


def test_rates_by_category_put_the_most_over_blocked_first() -> None:
    rows = [replace(row, category=name, unsafe=False)
            for row, name in zip(corpus("guard", pages=10)[:4], ("a_b", "c", "c", ""), strict=True)]  # fmt: skip
    lines = category_table(rows, np.array([0, 1, 0, 1], np.int8)).splitlines()
    assert lines[0].startswith("| category") and [line.split("|")[1].strip() for line in lines[2:]] == ["c", "a b"]
    assert "1 of 2" in lines[2] and category_table(rows[1:], np.array([1, 0, 1], np.int8)) == ""


def test_measured_rates_count_unknown_apart() -> None:
    rows = [row for row in corpus("guard", pages=40) if row.modality == "text" and row.mode == "prompt"][:4]
    gold = np.array([row.unsafe for row in rows])
    label = np.where(gold, 1, 0).astype(np.int8)
    label[0] = 2
    (found,) = measured(rows, label)
    assert found.unknown == 1 and found.unsafe + found.safe == 3 and found.overblocked == 0
    assert found.caught == found.unsafe
    p = np.array([0.25, 0.25, 0.25, 0.25, np.nan])
    assert ece(p, np.array([True, False, False, False, True])) == pytest.approx(0)
    assert ece(np.array([np.nan]), np.array([True])) is None


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_rows_of_a_user_from_jsonl_and_csv(tmp_path: Path) -> None:
    tiny.picture().save(tmp_path / "a.png")
    good = [
        {"prompt": "a", "label": "safe"},
        {"prompt": "b", "label": "unsafe", "answer": "c", "images": ["a.png"], "group": "g"},
    ]
    one, two = read_labelled(_write(tmp_path / "r.jsonl", good))
    assert not one.unsafe and two.unsafe and two.mode == "response" and two.exchange.images == 1 and two.group == "g"
    (tmp_path / "r.csv").write_text("prompt,label,images\na,0,\nb,1,a.png;a.png\n")
    again = read_labelled(tmp_path / "r.csv")
    assert again[1].exchange.images == 2 and again[0].exchange.answer is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a"}, 'row 2, field "label": missing'),
        ({"prompt": "a", "label": "bad"}, 'field "label": bad; write safe or unsafe'),
        ({"prompt": "", "label": "safe"}, 'field "prompt": empty'),
        ({"prompt": 3, "label": "safe"}, 'field "prompt": expected text'),
        ({"prompt": "a", "label": "safe", "lable": 1}, 'field "lable": unknown field'),
        ({"prompt": "a", "label": "safe", "images": "../x.png"}, "leads out of"),
        ({"prompt": "a", "label": "safe", "images": "no.png"}, "no such image file"),
        ({"prompt": "a", "label": "safe", "images": [1]}, "a list of paths"),
        ({"prompt": "a", "label": "safe", "images": "broken.png"}, "not a readable image"),
        ({"prompt": "a", "label": "safe", "id": "row1"}, "occurs twice"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, object], message: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    file = _write(tmp_path / "r.jsonl", [{"prompt": "x", "label": "unsafe"}, row])
    with pytest.raises(InputError, match=message):
        read_labelled(file)


def test_files_without_both_labels_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both labels are needed, found prompts: 1 safe, 0 unsafe"):
        read_labelled(_write(tmp_path / "r.jsonl", [{"prompt": "a", "label": "safe"}]))
    with pytest.raises(InputError, match="no rows"):
        read_labelled(_write(tmp_path / "e.jsonl", []))
    with pytest.raises(InputError, match=r"give a \.jsonl or \.csv"):
        read_labelled(tmp_path / "r.txt")
    with pytest.raises(InputError, match="No such file"):
        read_labelled(tmp_path / "none.csv")


def test_a_picture_that_cannot_be_decoded_is_no_training_row() -> None:
    broken, plain = Exchange((user(Image.from_bytes(b"junk"), "a"),)), Exchange((user("b"),))
    with pytest.raises(InputError):
        readings([plain, broken])
    first, second = readings_or_errors([plain, broken])
    assert first == [] and isinstance(second, InputError)  # only that one is refused


def test_writing_is_asked_as_a_request_and_drawings_keep_their_words_beside_them() -> None:
    page = Image.from_pil(print_page("water bottle", style_seed=5))
    blank = Image.from_pil(PIL.Image.new("RGB", (224, 224), "white"))
    (icon,) = next(row for row in twins.samples("train") if row.modality == "picture").messages[0].images
    given = [Exchange((user("Look.", page, page),), "No."), Exchange((user(page),)), Exchange((user("plain"),)),
             Exchange((user("Look.", page, blank),)), Exchange((user(icon, "What is it?"),))]  # fmt: skip
    both, single, plain, mixed, drawing = all_asked(given)
    alone, whole = both
    assert alone.conversation[0].text == "How do I water bottle water bottle?" and alone.answer == whole.answer == "No."
    assert "".join(whole.conversation[0].text.split()) == "Look.waterbottlewaterbottle" and whole.images == 0
    assert [one.conversation[0].text for one in single] == ["How do I water bottle?"]
    assert plain == [given[2]]
    (told,) = mixed  # one image is no writing: nothing stands for it, and it is shown
    assert told.images == 2 and "The image says: water bottle" in told.conversation[0].text
    assert len(drawing) == 1 and drawing[0].images == 1
    seen = readings(given)
    full, none = Inspected(2, 2, 0, 0), Inspected(1, 2, 0, 0)
    assert inspected_of([full, full], given[0], seen[0]) == Inspected(2, 2, 2, 2)
    assert inspected_of([full, none], given[0], seen[0]) == Inspected(0, 2, 0, 2)
    assert inspected_of([Inspected(2, 2, 2, 2)], given[3], seen[3]) == Inspected(1, 1, 2, 2)
    unread = [one._replace(unread="why") for one in seen[3][:1]] + list(seen[3][1:])
    assert inspected_of([Inspected(2, 2, 2, 2)], given[3], unread) == Inspected(1, 1, 1, 2)
    assert all_asked([]) == []
