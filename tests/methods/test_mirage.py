"""MIRage and Textual SFT against the numbered checks of their spec (mis.md, section 7)."""

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from counterpoise.base import InputError, read_json
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import SampleFile, overlap_with, pairs, write_mis_train
from counterpoise.methods import MirageConfig, TextualSFTConfig, get
from counterpoise.methods._mirage import REFUSALS, build_rows
from counterpoise.methods._textual_sft import build_rows as textual_rows
from counterpoise.models import encode_row, load
from counterpoise.train import SFT, Layers, Lora, Projector

ONE, TWO = (Image.from_pil(tiny.picture(seed), f"p{seed}") for seed in (1, 2))


def mis(n: int) -> list[Sample]:
    return [
        Sample(str(i), (user(ONE, TWO, f"Question {i}?"), assistant(f"Two pictures; risk {i}.")), harmful=True,
               modality="pair", meta={"source": "mis.json"})
        for i in range(n)
    ]  # fmt: skip


def general(n: int) -> list[Sample]:
    return [Sample(str(i), (user(f"Fact {i}?"), assistant(f"Fact {i}.")), meta={"source": "g"}) for i in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


def small(folder: Path, name: str = "mirage", **more: object):
    settings = {"epochs": 1, "batch_size": 4, "lora_rank": 4, "lora_alpha": 8, "learning_rate": 1e-2}
    return get(name).config(folder, **(settings | more))


def test_check_5_four_thousand_rows_and_a_ninth_of_general_ones() -> None:
    rows, record = build_rows(MirageConfig(), mis(4100), [], general(600))
    assert (len(rows), record.n_mis, record.n_general) == (4500, 4000, 500)
    assert round(record.general_share, 3) == 0.111
    again, _ = build_rows(MirageConfig(), mis(4100)[::-1], [], general(600)[::-1])
    assert [row.id for row in again] == [row.id for row in rows]
    bare, star = build_rows(MirageConfig(general_share=0), mis(4100), [], [])
    assert len(bare) == 4000 and star.general_share == 0
    assert MirageConfig(general_share=0.75, n_mis=2000).counts == (2000, 0, 6000)
    assert MirageConfig(n_mis=100, twin_share=0.25).counts == (75, 25, 12)
    assert MirageConfig(total=90, twin_share=0.25).counts == (60, 20, 10)
    for name, rows in (("mirage", (560, 0, 70)), ("textual-sft", (420, 210))):  # a budget is rows altogether
        assert get(name).resolve(None, {}, {"amount": 630}).counts == rows
        assert get(name).dose(get(name).resolve(None, {}, {"amount": 630}))["amount"] == 630


def test_refusal_labels_replace_every_safety_answer_and_no_other() -> None:
    config = MirageConfig(n_mis=30, labels="refusal", general_share=0.25)
    rows, _ = build_rows(config, mis(40), [], general(20))
    said = {row.modality: set() for row in rows}
    for row in rows:
        said[row.modality].add(row.messages[-1].text)
    assert said["pair"] == set(REFUSALS) and all(text.startswith("Fact") for text in said["text"])


def test_too_few_rows_and_overlaps() -> None:
    with pytest.raises(InputError, match="MIS source has 5 usable rows, 4000 are wanted; lower n_mis"):
        build_rows(MirageConfig(), mis(5), [], [])
    known = Sample("e", (user("A well known question about fact number seven?"),))
    leaked = Sample("x", (user("A well known question about fact number seven?"), assistant("Yes.")))
    config = MirageConfig(n_mis=4, general_share=0.2)
    _, record = build_rows(config, mis(5), [], [leaked, *general(3)], overlaps=overlap_with([known]))
    assert record.overlaps_dropped == 1 and ("", "x") not in record.general_ids


def test_the_plan_trains_language_model_and_projector_only() -> None:
    lora, projector = MirageConfig().training().groups
    assert isinstance(lora, Lora) and isinstance(projector, Projector) and projector.learning_rate == 2e-5
    layers, projector = MirageConfig(trained="full").training().groups
    assert layers == Layers(modules=("language_model",), learning_rate=5e-6) and projector.learning_rate == 5e-6
    mine = MirageConfig(train={"groups": [{"kind": "lora", "rank": 2}]}).training()
    assert [group.kind for group in mine.groups] == ["lora"]
    assert (MirageConfig().train.epochs, MirageConfig().train.warmup_ratio) == (2, 0.03)


def test_check_6_lora_changes_language_model_and_projector_and_leaves_the_tower(folder: Path, tmp_path: Path) -> None:
    loaded = load(str(folder), dtype="float32", device="cpu")
    config = small(folder, n_mis=8, projector_learning_rate=1e-2)
    result = get("mirage").align(loaded, config, tmp_path, source=mis(9), general=general(4))
    kept = load_file(result.artifact.path / "adapter_model.safetensors")
    assert not any("vision" in name for name in kept)
    tuned = load(str(folder), artifact=result.artifact, merge=True, dtype="float32", device="cpu").model.state_dict()
    changed = {name for name, value in loaded.model.state_dict().items() if not torch.equal(value, tuned[name])}
    assert any("connector" in name for name in changed) and any("text_model" in name for name in changed)
    assert not any("vision" in name for name in changed)


def test_check_6_full_training_changes_language_model_and_projector_bit_by_bit(folder: Path, tmp_path: Path) -> None:
    loaded = load(str(folder), dtype="float32", device="cpu")
    config = small(folder, n_mis=8, trained="full", full_learning_rate=1e-2)
    result = get("mirage").align(loaded, config, tmp_path, source=mis(9), general=general(4))
    assert result.artifact.kind == "weights"
    tuned = load(str(result.artifact.path), dtype="float32", device="cpu").model.state_dict()
    changed = {name for name, value in loaded.model.state_dict().items() if not torch.equal(value, tuned[name])}
    assert any("connector" in name for name in changed) and any("text_model" in name for name in changed)
    assert not any("vision" in name for name in changed)


def test_textual_sft_trains_the_language_model_alone_on_text_beside_black(folder: Path, tmp_path: Path) -> None:
    loaded = load(str(folder), dtype="float32", device="cpu")
    config = small(folder, "textual-sft", n_harmful=8)
    result = get("textual-sft").align(loaded, config, tmp_path, harmful=general(9), benign=general(30)[10:])
    kept = load_file(result.artifact.path / "adapter_model.safetensors")
    assert kept and not any("connector" in name or "vision" in name for name in kept)
    rows = SampleFile(tmp_path / "data" / "mix.jsonl")
    assert len(rows) == 12 == result.run["data"]["n_harmful"] + result.run["data"]["n_benign"]
    for row in rows:
        (image,) = row.messages[0].images
        assert image.pil().getextrema() == ((0, 0),) * 3


def test_textual_sft_of_the_paper_and_rows_with_images() -> None:
    assert TextualSFTConfig().counts == (2000, 1000)
    rows, record = textual_rows(TextualSFTConfig(n_harmful=3, benign_share=0), [*mis(5), *general(4)], [])
    assert record.images_dropped == 5 and record.benign_share == 0 and all(row.messages[0].images for row in rows)
    plain, _ = textual_rows(TextualSFTConfig(n_harmful=3, benign_share=0, black_image=False), general(4), [])
    assert not any(row.messages[0].images for row in plain)


def test_check_7_two_images_reach_the_model_in_order_and_only_the_answer_is_labelled(folder: Path) -> None:
    loaded = load(str(folder), dtype="float32", device="cpu")
    row = mis(1)[0]
    turned = Sample("t", (user(TWO, ONE, "Question 0?"), row.messages[1]))
    ((tokens, *_),) = [SFT().encode(loaded, row, None)]
    labelled = [label for label in tokens.labels if label != -100]
    assert loaded.processor.tokenizer.decode(labelled).startswith("Two pictures; risk 0.")
    shown, other = (encode_row(loaded, each.messages[:1], add_generation_prompt=True) for each in (row, turned))
    one, two = (each.images.tensors["pixel_values"] for each in (shown, other))
    assert one.shape == two.shape and torch.equal(one.reshape(2, -1), two.reshape(2, -1).flip(0))
    assert not torch.equal(one, two) and shown.ids == other.ids


def test_align_reads_published_files_and_counts_empty_labels(folder: Path, tmp_path: Path) -> None:
    import json

    file = write_mis_train(tmp_path / "set", mis(10))
    rows = json.loads(file.read_text())
    rows[3]["conversations"][1]["value"] = " "
    file.write_text(json.dumps(rows))
    loaded = load(str(folder), dtype="float32", device="cpu")
    config = small(folder, files=(file,), n_mis=9, general_share=0)
    run = get("mirage").align(loaded, config, tmp_path / "out").run
    assert run["data"]["empty_labels"] == ["3"] and run["data"]["n_mis"] == 9
    assert run["data"]["mis"]["sha256"].keys() == {"mis_train.json"}
    with pytest.raises(InputError, match="lower n_mis"):
        get("mirage").align(loaded, small(folder, files=(file,), n_mis=10, general_share=0), tmp_path / "more")
    with pytest.raises(InputError, match="needs a rewriter"):
        get("mirage").align(loaded, small(folder, files=(file,), n_mis=2, labels="rewritten"), tmp_path / "r")
    with pytest.raises(InputError, match="needs a rewriter"):
        get("mirage").align(loaded, small(folder, n_mis=2, labels="rewritten"), tmp_path / "s", source=mis(3))
    with pytest.raises(InputError, match="twin_share: only our own image pairs"):
        get("mirage").align(loaded, small(folder, files=(file,), n_mis=8, twin_share=0.5), tmp_path / "t")


@pytest.mark.parametrize("labels", pairs.LABELS)
def test_align_from_the_built_in_pairs(folder: Path, tmp_path: Path, labels: str) -> None:
    loaded = load(str(folder), dtype="float32", device="cpu")
    config = small(folder, n_mis=6, twin_share=1 / 3, labels=labels, general_share=0.25)
    run = get("mirage").align(loaded, config, tmp_path).run
    assert run == read_json(tmp_path / "run.json") and run["config"]["train"]["groups"][1]["kind"] == "projector"
    assert (run["data"]["n_mis"], run["data"]["n_twins"], run["data"]["n_general"]) == (4, 2, 2)
    rows = [row for row in SampleFile(tmp_path / "data" / "mix.jsonl") if row.meta["source"] == "counterpoise-pairs"]
    assert all(len(row.messages[0].images) == 2 for row in rows) and len(rows) == 6
    sorry = sum(row.messages[1].text.startswith("I'm sorry") for row in rows)
    assert sorry == (4 if labels == "refusal" else 0)


def test_training_rows_touch_no_test_row() -> None:
    from counterpoise.data import check_leakage

    train = list(itertools.islice(pairs.training_rows(0), 48))
    test = [pairs.sample(item, harmful=True) for each in pairs.situations("test")
            for item in itertools.islice(pairs.items(each), 3)]  # fmt: skip
    assert check_leakage(train, test, kinds=("exact", "contained", "question", "image", "family", "style")) == []


def test_refusals_of_files_are_rewritten_by_a_model(folder: Path, tmp_path: Path) -> None:
    from counterpoise.methods.mis import IconPainter

    pages = [Image.from_bytes(IconPainter().paint(name, 1), name) for name in ("gun", "church")]
    refused = [Sample(str(i), (user(*pages, f"How about {i}?"), assistant("I'm sorry."))) for i in range(4)]
    file = write_mis_train(tmp_path / "set", refused)
    loaded = load(str(folder), dtype="float32", device="cpu")
    settings = {"files": (file,), "n_mis": 4, "general_share": 0, "rewriter": "counterpoise-icons/expert"}
    run = get("mirage").align(loaded, small(folder, labels="rewritten", **settings), tmp_path / "out").run
    assert run["data"]["not_rewritten"] == 0 and run["data"]["mis"]["rewriter"] == "counterpoise-icons/expert"
    said = {row.messages[1].text for row in SampleFile(tmp_path / "out" / "data" / "mix.jsonl")}
    assert all("hurt" in text and "sorry" not in text for text in said)
    assert (tmp_path / "out" / "data" / "rewrite.jsonl").read_text().count("\n") == 4
