"""The head of a reward or cost model starts at a linear probe."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from test_safe_rlhf_train import TRAIN, config, pairs

from counterpoise.base import InputError
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import ScoringConfig
from counterpoise.methods.safe_rlhf._probe import DECAY, fit_heads, probed
from counterpoise.methods.safe_rlhf._scores import CostModel, RewardModel
from counterpoise.models import Loaded

rng = np.random.default_rng(0)


def states(n: int = 80, width: int = 12) -> np.ndarray:
    """Of n replies: a direction that tells pairs apart, a few dimensions far larger than the others, as in language
    models, and a mean that is large against the spread."""
    found = rng.normal(size=(n, width)) * np.array([30.0, 1, 1, 1, 0.1, 1, 1, 1, 1, 1, 1, 1])
    found[0::2, 4] += 0.15
    return found + np.array([400.0, -50, 0, 0, 2, 0, 0, 9, 0, 0, 0, 0])


def test_the_probe_is_the_minimum_of_the_objectives_loss() -> None:
    """Against SciPy on the same loss, written by hand: Bradley-Terry, the regulariser, and the decay of the weights."""
    x = states()
    weights, out = fit_heads(x, {}, RewardModel(1e-3))
    weight, loss = weights["reward"][0], float(out.loss) / out.n
    z = x / x.std(0)

    def total(w: np.ndarray) -> float:
        up, down = z[0::2] @ w, z[1::2] @ w
        of_pairs = np.logaddexp(0, down - up) + 1e-3 * (up**2 + down**2) / 2
        return float(of_pairs.sum() + DECAY * (w**2).sum())

    best = minimize(total, np.zeros(len(weight)), method="BFGS", options={"gtol": 1e-8}).x
    theirs, ours = z @ best, x @ weight.double().numpy()
    np.testing.assert_allclose(ours[0::2] - ours[1::2], theirs[0::2] - theirs[1::2], atol=0.02)
    assert (ours[0::2] > ours[1::2]).mean() > 0.8 and loss < np.log(2)


def test_costs_have_their_sign_though_a_head_has_no_offset() -> None:
    """Two thirds of the replies are safe: the costs' side of 0 must be right, and not only their order."""
    x = states(120)
    signs = torch.tensor([1.0, -1.0, -1.0, -1.0, -1.0, -1.0] * 20)
    x[0::6, 4] += 0.5
    weight = fit_heads(x, {"sign": signs, "ranked": torch.ones(120)}, CostModel())[0]["cost"][0]
    costs = x @ weight.double().numpy()
    assert ((costs > 0) == (signs.numpy() > 0)).mean() > 0.9


def test_training_starts_at_the_probe_and_goes_on_with_it(model: Loaded, tmp_path: Path) -> None:
    method = get("safe-rlhf-v")
    found = {}
    for probe in (True, False):
        train = TRAIN.model_copy(update={"batch_size": 6, "epochs": 1})
        given = config(tmp_path / "d", stage="cost", scoring=ScoringConfig(train=train, probe=probe))
        method.align(model, given, tmp_path / str(probe))
        lines = (tmp_path / str(probe) / "cost" / "metrics.jsonl").read_text().splitlines()
        found[probe] = json.loads(lines[0])["loss"]
    (file,) = (tmp_path / "True" / "cost" / "probe").glob("*/probe.json")
    card = json.loads(file.read_text())
    assert card["rows"] == 6 and found[True] == pytest.approx(card["loss"], abs=1e-3)  # one step holds all pairs
    assert found[True] < found[False] and not (tmp_path / "False" / "cost" / "probe").exists()
    run = json.loads((tmp_path / "True" / "run.json").read_text())
    assert run["config"]["scoring"]["probe"] is True


def test_a_probe_is_made_once_and_anew_for_other_rows(model: Loaded, tmp_path: Path) -> None:
    def made(n: int) -> float:
        folder = probed(model, pairs(n), CostModel(), None, tmp_path)
        return (folder / "heads.safetensors").stat().st_mtime_ns

    first = made(4)
    assert made(4) == first and made(6) != first
    assert made(4) == first  # other rows leave it alone
    with pytest.raises(InputError, match="every row is longer than max_length"):
        probed(model, pairs(2), RewardModel(), 4, tmp_path / "short")
