"""Trainings by two real processes (gloo, on CPUs), under DDP and FSDP2: equal to one process, also after kill -9.

Each says afterwards how many they were and what it held (`worker.held`).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from safetensors.torch import load_file

import tiny
from counterpoise.models import load
from counterpoise.train import DPO, SFT, fit
from processes import Two

pytestmark = pytest.mark.timeout(1200)  # half a minute of two free cores for each start; more beside other tests
KINDS = ("MULTI_CPU", "FSDP")
"""Accelerate's names for DDP on CPUs and for FSDP."""
FSDP = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
}  # fmt: skip
CONFIG = worker.CONFIG.model_copy(update={"lora_dropout": 0.0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("smolvlm", tmp_path_factory.mktemp("smolvlm"))


def two(kind: str, folder: Path, out: Path, *arguments: str) -> Two:
    env = {"WORKER_DROPOUT": "0"} | (FSDP if kind == "FSDP" else {})
    return Two(worker.__file__, folder, out, *arguments, env=env)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted SFT by two processes."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            out = tmp_path_factory.mktemp(kind) / "two"
            two(kind, folder, out).wait()
            made[kind] = out
        return made[kind]

    return get


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the same training by this process alone."""
    made: dict[str, Path] = {}

    def get(objective: str) -> Path:
        if objective not in made:
            made[objective] = out = tmp_path_factory.mktemp(objective)
            loaded = load(str(folder), dtype="float32", device="cpu")
            if objective == "dpo":
                fit(loaded, worker.pairs(), DPO(), CONFIG, out)
            else:
                config = CONFIG.model_copy(update={"train_connector": objective == "connector"})
                fit(loaded, worker.rows(), SFT(), config, out)
        return made[objective]

    return get


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def assert_equal(a: Path, b: Path, *, within: float) -> None:
    """The same losses, step by step, on the same rows, and the same exported adapter."""
    x, y = weights(a), weights(b)
    assert list(x) == list(y) and all(x[k].shape == y[k].shape for k in x)
    assert max(float((x[k] - y[k]).abs().max()) for k in x) < within
    for what in ("step", "rows", "labels"):
        assert [line[what] for line in lines(a)] == [line[what] for line in lines(b)]
    for what in ("loss", "grad_norm"):
        assert [line[what] for line in lines(a)] == pytest.approx([line[what] for line in lines(b)], rel=1e-5)


def assert_two(kind: str, out: Path) -> None:
    """Two processes trained, and under FSDP each holds about half of the weights."""
    result = read(out / "fit.json")["result"]
    assert (result["processes"], result["distributed"]) == (2, kind)
    first, second = (read(out / f"held-{rank}.json") for rank in range(2))
    assert first["world"] == second["world"] == 2 and first["all"] == second["all"]
    share = [part["here"] / part["all"] for part in (first, second)]
    if kind == "FSDP":
        assert sum(share) == pytest.approx(1) and share[0] == pytest.approx(0.5, abs=0.05)
    else:
        assert share == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_result_of_one(
    kind: str, whole: Callable[[str], Path], alone: Callable[[str], Path]
) -> None:
    assert_two(kind, whole(kind))
    assert_equal(alone("sft"), whole(kind), within=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "connector"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_trainings_by_two_processes_give_the_result_of_one(
    kind: str, objective: str, folder: Path, alone: Callable[[str], Path], tmp_path: Path
) -> None:
    two(kind, folder, tmp_path / "two", "0", objective).wait()
    assert_two(kind, tmp_path / "two")
    assert_equal(alone(objective), tmp_path / "two", within=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kill_9_of_both_processes_and_resume_end_like_an_uninterrupted_run(
    kind: str, folder: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    killed = two(kind, folder, out, "0.05")
    state, metrics = out / "checkpoint" / "state.pt", out / "metrics.jsonl"
    deadline = time.monotonic() + 300
    try:
        while not (state.exists() and len(metrics.read_text().splitlines()) >= 5):
            assert not killed.ended() and time.monotonic() < deadline, killed.said()
            time.sleep(0.01)
    finally:
        killed.kill()
    assert [process.returncode for process in killed.processes] == [-9, -9]
    assert state.exists() and not (out / "adapter").exists() and not (out / "fit.json").exists()
    done = torch.load(state, weights_only=True)["step"]
    assert 4 <= done < 12
    before = lines(out)[:done]
    two(kind, folder, out).wait()
    assert lines(out)[:done] == before  # went on from the checkpoint: what was done was not done again
    assert_two(kind, out)
    assert_equal(whole(kind), out, within=1e-6)
    assert not state.exists()
