"""Rejection-mix against the numbered checks of its spec (section 7)."""

import json
from pathlib import Path

import PIL.Image
import pytest

import tiny
from counterpoise.base import InputError, read_json, sha256_file
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data import overlap_with, source_of, write_samples
from counterpoise.methods import MixRecord, RejectionMixConfig, build_mix, get
from counterpoise.methods._rejection_mix import REPLY
from counterpoise.models import load
from counterpoise.train import TrainConfig, fit, sft_loss

PIXEL = Image.from_pil(PIL.Image.new("RGB", (4, 4), "red"), "pixel")


def medical(n: int = 2600, source: str = "med.json") -> list[Sample]:
    """Dialogues of 1 to 3 turns; a third of the later questions are follow-ups."""
    result = []
    for i in range(n):
        turns = [user(PIXEL, f"What does scan {i} show?"), assistant(f"A lung {i}.")]
        for k in range(i % 3):
            turns += [user("What About the left side?" if i % 2 else f"Is part {k} normal?"), assistant("Yes.")]
        result.append(Sample(str(i), tuple(turns), modality="image", meta={"source": source}))
    return result


def ordinary(n: int = 5500, source: str = "mix.json") -> list[Sample]:
    return [
        Sample(str(i), (user(f"Name fact {i}."), assistant(f"Fact {i}.")), meta={"source": source}) for i in range(n)
    ]


def ids(rows: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return set(rows)


def test_check_1_sizes_fraction_and_determinism(tmp_path: Path) -> None:
    source, benign = medical(), ordinary()
    rows, record = build_mix(RejectionMixConfig(), source, benign)
    assert len(rows) == 7000 and record.n_rejection == 2000 and round(record.rho, 4) == 0.2857
    assert record.ends_masked == 2000 == sum(row.rejection for row in rows)
    again, other = build_mix(RejectionMixConfig(), source[::-1], benign[::-1])
    assert write_samples(tmp_path / "a" / "mix.jsonl", rows) == write_samples(tmp_path / "b" / "mix.jsonl", again)
    assert (tmp_path / "a" / "mix.jsonl").read_bytes() == (tmp_path / "b" / "mix.jsonl").read_bytes()
    assert ids(record.rejection_ids) == ids(other.rejection_ids) and ids(record.benign_ids) == ids(other.benign_ids)
    seeded, changed = build_mix(RejectionMixConfig(seed=1), source, benign)
    assert ids(changed.rejection_ids) != ids(record.rejection_ids) and [r.id for r in seeded] != [r.id for r in rows]


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, (2000, 5000)),
        ({"fraction": 0.1}, (700, 6300)),
        ({"fraction": 0.5, "total": 100}, (50, 50)),
        ({"total": 700}, (200, 500)),
        ({"n_rejection": 3, "n_benign": 1}, (3, 1)),
        ({"fraction": 0}, (0, 7000)),
        ({"fraction": 1.0, "total": 5}, (5, 0)),
    ],
)
def test_fraction_and_total_are_separate_knobs(settings: dict, counts: tuple[int, int]) -> None:
    assert RejectionMixConfig(**settings).counts == counts


def test_check_2_every_rejection_row_is_one_turn_one_image_and_the_reply(tmp_path: Path) -> None:
    rows, record = build_mix(RejectionMixConfig(n_rejection=500, n_benign=10), medical(), ordinary())
    write_samples(tmp_path / "mix.jsonl", rows)
    written = [json.loads(line) for line in (tmp_path / "mix.jsonl").read_text().splitlines()]
    refused = [row for row in written if row["rejection"]]
    assert len(refused) == 500
    for row in refused:
        question, answer = row["conversations"]
        assert (question["from"], answer["from"], answer["value"]) == ("human", "gpt", REPLY)
        assert question["value"].startswith("<image>\n") and question["value"].count("<image>") == 1
        assert "what about" not in question["value"].lower()
    later = [row for row in refused if "part" in row["conversations"][0]["value"]]
    assert later  # turns behind the first are chosen too
    assert record.follow_ups_dropped == 0


def test_dialogues_of_follow_ups_only_are_dropped_and_counted() -> None:
    config = RejectionMixConfig(n_rejection=2, n_benign=0)
    bad = [Sample(f"f{i}", (user(PIXEL, "what about it?"), assistant("x"))) for i in range(3)]
    rows, record = build_mix(config, [*bad, *medical(2)], [])
    assert record.follow_ups_dropped == 3 and all(not row.id.startswith("f") for row in rows)
    kept, off = build_mix(
        config.model_copy(update={"drop_follow_ups": False, "n_rejection": 5}), [*bad, *medical(2)], []
    )
    assert len(kept) == 5 and off.follow_ups_dropped == 0


def test_first_turn_when_random_turn_is_off() -> None:
    rows, _ = build_mix(RejectionMixConfig(n_rejection=50, n_benign=0, random_turn=False), medical(60), [])
    assert all("What does scan" in row.messages[0].text for row in rows)


def test_turns_are_chosen_uniformly() -> None:
    rows, _ = build_mix(
        RejectionMixConfig(n_rejection=600, n_benign=0), [r for r in medical(1800) if len(r.messages) == 6], []
    )
    even = [row for row in rows if int(row.id) % 2 == 0]
    first = sum("scan" in row.messages[0].text for row in even)
    assert abs(first / len(even) - 1 / 3) < 4 * (2 / 9 / len(even)) ** 0.5


def test_check_3_no_id_in_both_draws_unless_contrast() -> None:
    both = medical(400)
    config = RejectionMixConfig(n_rejection=150, n_benign=200)
    _, record = build_mix(config, both, both)
    assert not ids(record.rejection_ids) & ids(record.benign_ids)
    _, contrast = build_mix(config.model_copy(update={"contrast": True, "n_benign": 100}), both, both)
    assert ids(contrast.benign_ids) <= ids(contrast.rejection_ids) and len(contrast.benign_ids) == 100
    same_ids = [Sample(row.id, row.messages, meta={"source": "other.json"}) for row in both]
    _, apart = build_mix(config.model_copy(update={"n_benign": 400}), both, same_ids)
    assert len(apart.benign_ids) == 400  # equal ids of another source are other rows


def test_several_replies_and_masking_off() -> None:
    config = RejectionMixConfig(n_rejection=60, n_benign=0, reply=("No.", "Sorry."), mask_end_on_refusal=False)
    rows, record = build_mix(config, medical(100), [])
    assert {row.messages[1].text for row in rows} == {"No.", "Sorry."}
    assert record.ends_masked == 0 and not any(row.rejection for row in rows)


def test_rows_without_exactly_one_image_cannot_be_refused() -> None:
    rows = [Sample("t", (user("Q?"), assistant("A."))), Sample("2", (user(PIXEL, PIXEL, "Q?"), assistant("A.")))]
    _, record = build_mix(RejectionMixConfig(n_rejection=1, n_benign=0), [*rows, *medical(1)], [])
    assert record.no_single_image_dropped == 2


def test_rows_that_overlap_evaluation_are_dropped() -> None:
    question = "Please name the well known fact number 7 now."
    benign = [Sample("x", (user(question.upper()), assistant("A."))), *ordinary(5)]
    evaluation = [Sample("e", (user(question),)), Sample("i", (user(PIXEL, "What?"),))]
    overlaps = overlap_with(evaluation)
    rows, record = build_mix(RejectionMixConfig(n_rejection=0, n_benign=5), [], benign, overlaps=overlaps)
    assert record.overlaps_dropped == 1 and "x" not in {row.id for row in rows}
    with pytest.raises(InputError, match="0 usable rows"):
        build_mix(RejectionMixConfig(n_rejection=1, n_benign=0), medical(3), [], overlaps=overlaps)


def test_too_few_rows_is_one_line() -> None:
    with pytest.raises(InputError, match="rejection source has 5 usable rows, 2000 are wanted; lower n_rejection"):
        build_mix(RejectionMixConfig(), medical(5), ordinary(5))


def test_config_errors_come_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        get("rejection-mix").config(tmp_path, n_rejection=-1, learning_rate=0, nonsense=1)
    message = str(caught.value)
    assert all(name in message for name in ("n_rejection", "learning_rate", "nonsense")) and "\n" not in message


def test_a_models_folder_brings_its_own_defaults(tmp_path: Path) -> None:
    method = get("rejection-mix")
    paper = method.config(tmp_path)
    assert paper.counts == (2000, 5000) and paper.train == TrainConfig()
    assert (paper.train.lora_rank, paper.train.lora_alpha, paper.train.learning_rate) == (128, 256, 2e-4)
    assert (paper.train.epochs, paper.train.batch_size, paper.train.warmup_ratio) == (3, 128, 0.03)
    text = '{"align_defaults": {"lora_rank": 16, "n_rejection": 20, "n_benign": 50, "of_another_method": 1}}'
    (tmp_path / "counterpoise.json").write_text(text)
    small = method.config(tmp_path, n_benign=60, epochs=1)
    assert small.train.lora_rank == 16 and small.train.epochs == 1 and small.train.lora_alpha == 256
    assert small.counts == (20, 60)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


def small_config(folder: Path, **more: object) -> RejectionMixConfig:
    settings = {"n_rejection": 6, "n_benign": 10, "epochs": 1, "batch_size": 8, "lora_rank": 4, "lora_alpha": 8}
    return get("rejection-mix").config(folder, **(settings | more))


def test_align_writes_adapter_mix_and_a_run_that_says_everything(model_folder: Path, tmp_path: Path) -> None:
    loaded = load(str(model_folder), dtype="float32", device="cpu")
    config = small_config(model_folder)
    calls: list[int] = []

    def source(seed: int) -> list[Sample]:
        calls.append(seed)
        return medical(30)

    result = get("rejection-mix").align(loaded, config, tmp_path, source=source, benign=ordinary(30))
    run = read_json(tmp_path / "run.json")
    assert run == result.run and calls == [0]
    assert (result.artifact.path / "adapter_model.safetensors").is_file()
    assert run["data"]["mix"]["sha256"] == sha256_file(tmp_path / "data" / "mix.jsonl")
    assert len(run["data"]["rejection_ids"]) == 6 and run["data"]["rho"] == 6 / 16
    assert run["train"]["n_masked_ends"] == run["data"]["ends_masked"] == 6
    assert run["train"]["lora_targets"] and run["train"]["trainable_parameters"] > 0
    assert run["config"]["n_rejection"] == 6 and run["config"]["train"]["lora_rank"] == 4
    assert run["versions"]["torch"] and "commit" in run and run["timings"]["train"] > 0
    first = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    get("rejection-mix").align(loaded, config, tmp_path, source=source, benign=ordinary(30))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == first


def test_check_6_no_rejections_is_plain_fine_tuning(model_folder: Path, tmp_path: Path) -> None:
    loaded = load(str(model_folder), dtype="float32", device="cpu")
    config = small_config(model_folder, fraction=0.0, total=12)
    result = get("rejection-mix").align(loaded, config, tmp_path / "mix", source=[], benign=ordinary(30))
    rows, _ = build_mix(config, [], ordinary(30))
    plain = fit(loaded, rows, sft_loss, config.train, tmp_path / "plain")
    name = "adapter_model.safetensors"
    assert (result.artifact.path / name).read_bytes() == (Path(plain.adapter) / name).read_bytes()


def test_align_from_the_users_files(model_folder: Path, tmp_path: Path) -> None:
    loaded = load(str(model_folder), dtype="float32", device="cpu")
    tiny.picture(1).save(tmp_path / "a.png")
    rows = [
        {"id": i, "image": "a.png", "conversations": [
            {"from": "human", "value": f"<image>\nWhat is scan {i}?"}, {"from": "gpt", "value": "A lung."}]}
        for i in range(20)
    ]  # fmt: skip
    (tmp_path / "med.json").write_text(json.dumps(rows))
    (tmp_path / "mix.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    files = {"rejection_files": (tmp_path / "med.json",), "benign_files": (tmp_path / "mix.jsonl",)}
    result = get("rejection-mix").align(loaded, small_config(model_folder, **files), tmp_path / "out")
    assert result.run["data"]["rejection"]["sha256"] == {"med.json": sha256_file(tmp_path / "med.json")}
    assert {source for source, _ in result.run["data"]["benign_ids"]} == {"mix.jsonl"}
    assert result.run["data"]["benign"]["bad_rows"] == []
    (tmp_path / "med.json").write_text(json.dumps([{"id": "none"}, *rows]))
    with pytest.raises(InputError, match=r"med.json: row 1 \(id 'none'\)"):
        get("rejection-mix").align(loaded, small_config(model_folder, **files), tmp_path / "out1")
    skipping = small_config(model_folder, **files, skip_bad_rows=1)
    (bad,) = get("rejection-mix").align(loaded, skipping, tmp_path / "out1").run["data"]["rejection"]["bad_rows"]
    assert "row 1 (id 'none')" in bad
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"med.json: .*row 2 .*field \"image\": .*a.png"):
        get("rejection-mix").align(loaded, skipping, tmp_path / "out2")


def test_record_starts_empty() -> None:
    assert MixRecord().rejection_ids == [] and source_of(Sample("a", ())) == ""


def test_align_from_the_built_in_sets(model_folder: Path, tmp_path: Path) -> None:
    loaded = load(str(model_folder), dtype="float32", device="cpu")
    run = get("rejection-mix").align(loaded, small_config(model_folder), tmp_path).run
    assert run["data"]["rejection"]["from"].endswith("rejection_source") and run["data"]["n_benign"] == 10
