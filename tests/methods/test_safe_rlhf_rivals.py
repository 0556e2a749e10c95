"""SACPO and its merge; best of n."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_safe_rlhf_train import TRAIN, config, pairs, trained  # noqa: F401  (fixture)

from counterpoise.base import InputError
from counterpoise.methods import get
from counterpoise.methods.safe_rlhf import SACPOConfig
from counterpoise.methods.safe_rlhf._best import best_of_n, choose
from counterpoise.models import Loaded, load


def given(place: Path, **changes: object) -> SACPOConfig:
    train = TRAIN.model_copy(update={"learning_rate": 2e-2})
    return SACPOConfig(pairs=config(place).pairs, train=train, **changes)  # type: ignore[arg-type]


def logits(loaded: Loaded) -> torch.Tensor:
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        out: torch.Tensor = loaded.model(input_ids=ids).logits
    return out


def test_the_second_step_starts_where_the_first_ended_and_a_merge_lies_between(model: Loaded, tmp_path: Path) -> None:
    """q = 0 is the first step, q = 1 both, and weights between them are in proportion."""
    method, out = get("sacpo"), tmp_path / "out"
    both = method.align(model, given(tmp_path / "d"), out)
    assert both.run["artifact"]["path"] == "safety/adapter"
    half = method.align(model, given(tmp_path / "d", merge=0.5), out)
    assert half.run["artifact"]["path"] == "merged"
    none = method.align(model, given(tmp_path / "d", merge=0.0), out)

    def weight(path: Path) -> torch.Tensor:
        loaded = load(model.name, artifact=path, dtype="float32", device="cpu", merge=True)
        return loaded.model.model.text_model.layers[0].self_attn.q_proj.weight.detach().clone()

    first, second = weight(out / "helpfulness" / "adapter"), weight(out / "safety" / "adapter")
    assert float((first - second).abs().max()) > 1e-4
    torch.testing.assert_close(weight(none.artifact.path), first, atol=1e-6, rtol=0)
    half_way = method.align(model, given(tmp_path / "d", merge=0.5), out).artifact.path
    torch.testing.assert_close(weight(half_way), (first + second) / 2, atol=1e-6, rtol=0)


def test_one_step_is_dpo_on_one_order(model: Loaded, tmp_path: Path) -> None:
    """The two orders of these pairs are opposite, so the two rivals move the replies' margin in opposite directions."""
    from counterpoise.models import Engine

    row = config(tmp_path / "d")
    from counterpoise.data import read_preferences

    pairs = list(read_preferences(row.pairs[0]))
    found = {}
    for step in ("helpfulness", "safety"):
        made = get("sacpo").align(model, given(tmp_path / "d", steps=step), tmp_path / step)
        engine = Engine(load(model.name, artifact=made.artifact.path, dtype="float32", device="cpu"))
        prompts = [pair.prompt for pair in pairs]
        safe, unsafe = (engine.score_answers(prompts, [pair.replies[n].text for pair in pairs]) for n in (0, 1))
        found[step] = sum(a.total - b.total for a, b in zip(unsafe, safe, strict=True))
    assert found["helpfulness"] > found["safety"] + 0.5


def test_two_exact_steps_are_the_joint_optimum() -> None:
    """On a bandit with three actions: pi_ref exp(r / beta), then exp(lambda g / beta), is the optimum of the sum."""
    reference = torch.tensor([0.5, 0.3, 0.2])
    r, g, beta, lam = torch.tensor([1.0, 0.0, 0.4]), torch.tensor([-1.0, 0.2, 1.0]), 0.5, 0.7
    first = (reference.log() + r / beta).softmax(0)
    second = (first.log() + g / (beta / lam)).softmax(0)

    def worth(policy: torch.Tensor) -> float:
        return float(policy @ (r + lam * g) - beta * (policy * (policy / reference).log()).sum())

    best = max(
        worth(torch.tensor([a / 60, b / 60, (60 - a - b) / 60]).clamp_min(1e-9))
        for a in range(61)
        for b in range(61 - a)
    )
    assert worth(second) == pytest.approx(best, abs=2e-3) and worth(second) >= best
    assert torch.allclose((first.log() + 0 * g).softmax(0), first)


def test_adapters_that_do_not_belong_together_are_refused(model: Loaded, tmp_path: Path) -> None:
    from counterpoise.methods.safe_rlhf._sacpo import merged

    made = get("sacpo").align(model, given(tmp_path / "d"), tmp_path / "out")
    assert load_file(made.artifact.path / "adapter_model.safetensors")
    with pytest.raises(InputError, match="not trained on it"):
        merged(made.artifact.path, tmp_path / "out" / "helpfulness" / "adapter", 0.5, tmp_path / "m")


def test_the_best_answer_within_the_budget_is_chosen_and_the_cheapest_where_none_is() -> None:
    rewards = np.array([[3.0, 2.0, 9.0], [3.0, 2.0, 9.0]])
    costs = np.array([[-1.0, -2.0, 0.5], [3.0, 0.2, 5.0]])
    assert choose(rewards, costs, 0.0).tolist() == [0, 1]
    assert choose(rewards, costs, 1.0).tolist() == [2, 1]


def test_best_of_n_lowers_the_cost_and_names_what_breaks_the_budget(
    model: Loaded,
    trained: Path,  # noqa: F811
) -> None:
    prompts = [row.prompt for row in pairs(4)]
    folders = trained / "reward" / "adapter", trained / "cost" / "adapter"
    one, many = (best_of_n(model, *folders, prompts, n=n, max_new_tokens=4, budget=-9.0) for n in (1, 6))
    assert all(b.cost <= a.cost for a, b in zip(one, many, strict=True))  # the first answer is among the six
    assert sum(b.cost for b in many) < sum(a.cost for a in one)
    assert all(chosen.within == (chosen.cost <= -9.0) for chosen in many)
    with pytest.raises(InputError, match="at least 1"):
        best_of_n(model, *folders, prompts, n=0)
