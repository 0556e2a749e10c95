"""Safe RLHF-V by two real processes (gloo, on CPUs): every stage learns what one process learns from its batches."""

import json
from pathlib import Path
from typing import Any

import pytest
import safe_rlhf_worker
from safetensors.torch import load_file

import tiny
from processes import Two

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EXACT = ("episodes", "tokens", "length", "cut", "refused", "broken", "dropped", "rows", "labels")
NOT_MEANS = ("seconds", "rollout_seconds", "scoring_seconds", "reward_explained", "cost_explained")
"""Times, and shares of a variance, which are taken in each process and averaged."""


def lines(out: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / stage / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    model = tiny.build("smolvlm", tmp_path / "m")
    safe_rlhf_worker.align(str(model), tmp_path / "one")
    Two(safe_rlhf_worker.__file__, model, tmp_path / "two").wait()
    for stage in ("reward", "cost", "ppo"):
        one, both = (lines(tmp_path / name, stage) for name in ("one", "two"))
        assert len(one) == len(both) >= 2
        for a, b in zip(one, both, strict=True):
            assert set(a) == set(b)
            for name in set(a) - set(NOT_MEANS):
                within = 0 if name in EXACT else 2e-4
                assert b[name] == pytest.approx(a[name], rel=within, abs=within), (stage, a["step"], name)
        weights = [
            load_file(tmp_path / name / stage / "adapter" / "adapter_model.safetensors") for name in ("one", "two")
        ]
        assert max(float((weights[0][k] - weights[1][k]).abs().max()) for k in weights[0]) < 1e-3, stage
