"""The loop on tiny models: what it computes, what it leaves alone, and how it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from safetensors.torch import load_file

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.models import Loaded, load
from counterpoise.train import SFT, Batch, FeatureStore, FitResult, LossOut, TrainConfig, collate, fit, sft_loss
from counterpoise.train._losses import heads_agree, label_logits

CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0})
ROWS = worker.rows()
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(tiny.__file__).parent), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(arch: str) -> Path:
        if arch not in made:
            made[arch] = tiny.build(arch, tmp_path_factory.mktemp(arch))
        return made[arch]

    return get


def tiny_model(folder: Path) -> Loaded:
    return load(str(folder), dtype="float32", device="cpu")


@pytest.fixture
def model(folders: Callable[[str], Path]) -> Loaded:
    return tiny_model(folders("smolvlm"))


def weights(result: FitResult) -> dict[str, torch.Tensor]:
    return load_file(Path(result.adapter) / "adapter_model.safetensors")


def distance(a: FitResult, b: FitResult) -> float:
    x, y = weights(a), weights(b)
    assert list(x) == list(y)
    return max(float((x[k] - y[k]).abs().max()) for k in x)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_every_architecture_trains_saves_and_stays_as_it_was(
    arch: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    loaded = tiny_model(folders(arch))
    before = {k: v.clone() for k, v in loaded.model.state_dict().items()}
    rows = worker.rows(12, images=loaded.is_vlm)
    result = fit(loaded, rows, sft_loss, CONFIG.model_copy(update={"epochs": 6, "learning_rate": 1e-2}), tmp_path)
    losses = [line["loss"] for line in lines(tmp_path)]
    assert losses[-1] < losses[0] - 0.1
    after = loaded.model.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[k], after[k]) for k in before)
    assert not any("vision" in target for target in result.lora_targets)
    assert result.n_masked_ends == 6 * 3 and result.masks_checked
    tuned = load(str(folders(arch)), adapter=result.adapter, dtype="float32", device="cpu")
    batch = collate(loaded, rows[:4])
    with torch.no_grad():
        assert float(sft_loss(tuned.model, batch).loss) < float(sft_loss(loaded.model, batch).loss)


def test_an_adapter_on_other_weights_of_the_same_shapes_is_said(
    folders: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = folders("llama"), tiny.build("llama", tmp_path / "other", seed=1)
    made = fit(tiny_model(own), worker.rows(8, images=False), sft_loss, CONFIG, tmp_path / "out")
    capsys.readouterr()
    load(str(own), adapter=made.adapter, dtype="float32", device="cpu")
    assert "trained on other weights" not in capsys.readouterr().err
    load(str(other), adapter=made.adapter, dtype="float32", device="cpu")
    assert "adapter: was trained on other weights than those of" in capsys.readouterr().err


@pytest.mark.parametrize("arch", tiny.ARCHITECTURES)
def test_logits_at_labels_are_the_models_own(arch: str, folders: Callable[[str], Path]) -> None:
    loaded = tiny_model(folders(arch))
    for rows in (ROWS[0:1], ROWS[1:2], ROWS[2:3], ROWS[1:8:3]):
        rows = rows if loaded.is_vlm else worker.rows(3, images=False)
        batch = collate(loaded, rows)
        with torch.no_grad():
            ours, targets = label_logits(loaded.model, batch)
            theirs, same = label_logits(loaded.model, batch.with_full_logits())
        assert torch.equal(targets, same) and torch.allclose(ours, theirs, atol=1e-5)
        assert heads_agree(loaded.model, batch)


def test_loss_equals_the_models_own_loss(model: Loaded) -> None:
    batch = collate(model, ROWS[:3:2])
    with torch.no_grad():
        out = sft_loss(model.model, batch)
        theirs = model.model(**batch.inputs, labels=batch.labels).loss
    assert float(out.loss / out.n) == pytest.approx(float(theirs), rel=1e-5)


def test_a_rejection_row_lacks_exactly_the_end_of_turn(model: Loaded) -> None:
    row = ROWS[4]
    free = Sample(row.id, row.messages, rejection=False)
    with torch.no_grad():
        masked, whole = collate(model, [row]), collate(model, [free])
        loss_masked, loss_whole = sft_loss(model.model, masked), sft_loss(model.model, whole)
        logits = model.model(**whole.inputs).logits[0].double().log_softmax(-1)
    places = torch.nonzero(whole.labels[0] != -100).flatten().tolist()
    terms = [-float(logits[p - 1, whole.labels[0, p]]) for p in places]
    reply = model.tokenizer.decode(whole.labels[0, places[:-1]])
    assert reply == row.messages[-1].text and whole.labels[0, places[-1]] == model.tokenizer.eos_token_id
    # sums of float32 numbers, relative to themselves: how they are rounded differs between processors
    assert float(loss_masked.loss) == pytest.approx(sum(terms[:-1]), rel=1e-5)
    assert float(loss_whole.loss) == pytest.approx(float(loss_masked.loss) + terms[-1], rel=1e-5)
    assert terms[-1] > 1e-3 * sum(terms)  # a hundred times what that leaves open
    assert loss_whole.n == loss_masked.n + 1


@pytest.mark.parametrize("arch", tiny.VLMS)
def test_rows_with_and_without_images_share_a_batch(arch: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    loaded = tiny_model(folders(arch))
    rows = [ROWS[0], ROWS[2], ROWS[1], *ROWS[3:6]]
    assert {sum(len(m.images) for m in row.messages) for row in rows} == {0, 1, 2}
    with torch.no_grad():
        together = sft_loss(loaded.model, collate(loaded, rows))
        alone = [sft_loss(loaded.model, collate(loaded, [row])) for row in rows]
        store = FeatureStore(tmp_path / "features.bin", 1 << 20)
        for _ in range(2):
            batch = collate(loaded, rows, hash_images=True)
            inputs = store.apply(loaded.model, batch.inputs, batch.keys)
            cached = sft_loss(loaded.model, batch.__class__(inputs, batch.labels, batch.ids))
            assert float(cached.loss) == pytest.approx(float(together.loss), rel=1e-5)
    assert together.n == sum(out.n for out in alone)
    assert float(together.loss) == pytest.approx(float(sum(out.loss for out in alone)), rel=1e-5)


def test_micro_batches_do_not_change_the_result(model: Loaded, tmp_path: Path) -> None:
    one = fit(model, ROWS, sft_loss, CONFIG.model_copy(update={"micro_batch_tokens": 1}), tmp_path / "1")
    big = fit(model, ROWS, sft_loss, CONFIG.model_copy(update={"micro_batch_tokens": 10**6}), tmp_path / "2")
    assert distance(one, big) < 2e-5
    assert [a["labels"] for a in lines(tmp_path / "1")] == [b["labels"] for b in lines(tmp_path / "2")]


@pytest.mark.parametrize("arch", tiny.VLMS)
def test_cached_features_give_the_same_loss(arch: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    loaded = tiny_model(folders(arch))
    store = FeatureStore(tmp_path / "features.bin", 1 << 20)
    with torch.no_grad():
        for rows in (ROWS[1:8:3], ROWS[2:9:3], ROWS[1:8:3]):
            batch = collate(loaded, rows, hash_images=True)
            plain = sft_loss(loaded.model, batch).loss
            for _ in range(2):
                inputs = store.apply(loaded.model, batch.inputs, batch.keys)
                assert "pixel_values" not in inputs
                cached = sft_loss(loaded.model, batch.__class__(inputs, batch.labels, batch.ids)).loss
                assert float(cached) == pytest.approx(float(plain), rel=1e-5)
    assert store.misses == 6 and store.hits == 12
    store.close()
    assert not store.path.exists()


def test_training_with_the_cache_equals_training_without(model: Loaded, tmp_path: Path) -> None:
    with_cache = fit(model, ROWS, sft_loss, CONFIG, tmp_path / "1")
    without = fit(model, ROWS, sft_loss, CONFIG.model_copy(update={"feature_cache_mb": 0}), tmp_path / "2")
    assert " hits" in with_cache.features and not with_cache.features.startswith("0")
    assert without.features == "not used: feature_cache_mb is 0"
    assert distance(with_cache, without) < 1e-6


def test_a_full_store_stops_storing_and_stays_right(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "f.bin", 100)
    a, b = torch.arange(20.0).reshape(4, 5), torch.ones(4, 5).bfloat16()
    store.put(("a",), a)
    store.put(("b",), b)
    found = store.get(("a",))
    assert found is not None and torch.equal(found, a) and store.get(("b",)) is None


def test_seed_and_resume_off_decide_the_result(model: Loaded, tmp_path: Path) -> None:
    one = fit(model, ROWS, sft_loss, CONFIG, tmp_path / "1")
    two = fit(model, ROWS, sft_loss, CONFIG, tmp_path / "2")
    other = fit(model, ROWS, sft_loss, CONFIG.model_copy(update={"seed": 1}), tmp_path / "3")
    assert distance(one, two) == 0 and distance(one, other) > 1e-4
    assert fit(model, ROWS, sft_loss, CONFIG, tmp_path / "1") == one  # finished: returned, not trained
    with pytest.raises(InputError, match="other rows, settings or model"):
        fit(model, ROWS[1:], sft_loss, CONFIG, tmp_path / "1")
    again = fit(model, ROWS[:4], sft_loss, CONFIG, tmp_path / "1", resume=False)
    assert again.rows == 8


def test_training_the_connector(model: Loaded, tmp_path: Path) -> None:
    before = model.model.model.connector.modality_projection.proj.weight.detach().clone()
    result = fit(model, ROWS[:8], sft_loss, CONFIG.model_copy(update={"train_connector": True}), tmp_path)
    assert result.features == "not used: the connector is trained"
    assert any("modality_projection" in name for name in weights(result))
    assert torch.equal(model.model.model.connector.modality_projection.proj.weight, before)


def test_gradient_checkpointing_does_not_change_the_result(model: Loaded, tmp_path: Path) -> None:
    plain = fit(model, ROWS[:8], sft_loss, CONFIG, tmp_path / "1")
    saved = fit(model, ROWS[:8], sft_loss, CONFIG.model_copy(update={"gradient_checkpointing": True}), tmp_path / "2")
    assert distance(plain, saved) < 1e-6


def test_refusal_of_everything_is_learned(model: Loaded, tmp_path: Path) -> None:
    def sharpen(loaded: Loaded) -> Loaded:
        """A frozen random head on 32 normalised dimensions cannot say anything with 0.99; a larger norm lets it."""
        loaded.model.get_submodule("model.text_model.norm").weight.data.mul_(4)
        return loaded

    reply = "I'm sorry, but I cannot"
    rows = [
        Sample(str(i), (user(Image.from_pil(tiny.picture(i)), f"What is {i}?"), assistant(reply)), rejection=True)
        for i in range(64)
    ]
    config = TrainConfig(learning_rate=1e-2, epochs=6, batch_size=8, lora_rank=32, lora_alpha=32, warmup_ratio=0.1)
    result = fit(sharpen(model), rows, sft_loss, config, tmp_path)
    new = Sample("n", (user(Image.from_pil(tiny.picture(99)), "What is 77?"), assistant(reply)), rejection=True)
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(model.model, result.adapter).eval()
    with torch.no_grad():
        logits, targets = label_logits(tuned, collate(model, [new]))
    assert result.steps == 48 and float(logits.softmax(-1)[range(len(targets)), targets][:5].min()) > 0.99


def test_bad_input_is_one_line(model: Loaded, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        fit(model, [], sft_loss, CONFIG, tmp_path)
    broken = Image.from_bytes(b"\x89PNG nothing", "broken.png")
    with pytest.raises(InputError, match="broken.png: not a readable image"):
        fit(model, [Sample("1", (user(broken, "Q?"), assistant("A.")))], sft_loss, CONFIG, tmp_path)
    with pytest.raises(InputError, match="lower learning_rate"):
        fit(model, ROWS, sft_loss, CONFIG.model_copy(update={"learning_rate": 1e30}), tmp_path / "2")
    assert not any("lora" in name for name, _ in model.model.named_parameters())


def test_kill_9_and_resume_end_like_an_uninterrupted_run(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders("smolvlm")
    command = [sys.executable, worker.__file__, str(folder), str(tmp_path / "killed"), "0.05"]
    process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE)
    state, metrics = tmp_path / "killed" / "checkpoint" / "state.pt", tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (state.exists() and len(metrics.read_text().splitlines()) >= 5):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "adapter").exists()
    resumed = fit(tiny_model(folder), ROWS, worker.Slow(), worker.CONFIG, tmp_path / "killed")
    whole = fit(tiny_model(folder), ROWS, worker.Slow(), worker.CONFIG, tmp_path / "whole")
    assert distance(resumed, whole) < 1e-6
    assert resumed.rows == whole.rows and resumed.labelled_tokens == whole.labelled_tokens
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in ("killed", "whole")]
    assert [line["step"] for line in lines(tmp_path / "killed")] == list(range(1, 13))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert not state.exists()


def test_ctrl_c_saves_and_exits_cleanly(folders: Callable[[str], Path], tmp_path: Path) -> None:
    command = [sys.executable, worker.__file__, str(folders("smolvlm")), str(tmp_path), "0.1"]
    process = subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "metrics.jsonl").exists() and (tmp_path / "metrics.jsonl").read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "run again to go on" in out and "Traceback" not in err
    assert (tmp_path / "checkpoint" / "state.pt").is_file()


@dataclass(frozen=True)
class Stopped(SFT):
    """SFT that presses Ctrl-C once `done` steps have left their line in `metrics`."""

    metrics: Path
    done: int
    pressed: list[int] = field(default_factory=list)

    def loss(self, model: Any, batch: Batch) -> LossOut:
        if not self.pressed and len(lines(self.metrics)) == self.done:
            self.pressed.append(1)
            signal.raise_signal(signal.SIGINT)
        return super().loss(model, batch)

    def fingerprint(self) -> str:
        return SFT().fingerprint()


def test_ctrl_c_in_the_last_step_keeps_the_loss(model: Loaded, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 4})  # 24 steps: the result's loss is a mean of two
    whole = fit(model, ROWS, SFT(), config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=f"after step {whole.steps} of {whole.steps}"):
        fit(model, ROWS, Stopped(tmp_path / "stopped", whole.steps - 1), config, tmp_path / "stopped")
    resumed = fit(model, ROWS, SFT(), config, tmp_path / "stopped")
    assert resumed.loss == pytest.approx(whole.loss, rel=1e-6) and whole.loss > 0
    assert whole.loss == pytest.approx(sum(line["loss"] for line in lines(tmp_path / "whole")[-2:]) / 2)


def test_a_damaged_checkpoint_is_named(model: Loaded, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state.pt").write_bytes(b"half a file")
    with pytest.raises(InputError, match="damaged checkpoint"):
        fit(model, ROWS, sft_loss, CONFIG, tmp_path)


def test_processes_that_do_not_know_of_each_other_are_refused(
    model: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher's variables that come too late: every process would train alone, into one folder."""
    fit(model, ROWS, sft_loss, CONFIG, tmp_path / "alone")  # Accelerate counts once in a process, whatever comes later
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="2 processes were launched, but Accelerate counts 1"):
        fit(model, ROWS, sft_loss, CONFIG, tmp_path / "together")
