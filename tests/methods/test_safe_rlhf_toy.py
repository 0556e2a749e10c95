"""Toy tasks with a known constrained optimum: the example finds it, and the method's functions give its numbers."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from counterpoise.methods.safe_rlhf import Multiplier, MultiplierConfig
from counterpoise.methods.safe_rlhf._math import divergence, gae, leave_one_out, mix, policy_loss, shape, value_loss

FILE = Path(__file__).parents[2] / "examples" / "ppo_lagrangian.py"


@pytest.fixture(scope="module")
def flat() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ppo_lagrangian", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ppo_lagrangian"] = module
    spec.loader.exec_module(module)
    return module


def with_functions(flat: Any, args: Any, *, critic_free: bool = False) -> list[dict[str, float]]:
    """The toy task by the functions and the controller of the method, in place of the example's own lines."""
    width, tokens = flat.PLACES[args.task], len(flat.REWARD)
    draw = torch.Generator().manual_seed(args.seed)
    logits = torch.zeros(width, tokens, requires_grad=True)
    values = [torch.zeros(width, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam([logits, *values], lr=args.rate)
    controller = Multiplier(
        MultiplierConfig(
            kind=args.controller, budget=flat.BUDGET[args.task], init=args.multiplier, cap=args.cap,
            rate=args.multiplier_rate, window=args.window, proportional=0.1, integral=args.multiplier_rate,
            derivative=0.1, smooth=0.5,
        )
    )  # fmt: skip
    lines = []
    for step in range(args.steps):
        optimizer.param_groups[0]["lr"] = args.rate * (1 - step / args.steps)
        with torch.no_grad():
            logp = logits.log_softmax(-1)
            rows = [torch.multinomial(row.exp(), args.episodes, replacement=True, generator=draw) for row in logp]
            actions = torch.stack(rows, 1)
            lengths = [int((row == 0).nonzero()[0]) + 1 if (row == 0).any() else width for row in actions]
            mask = torch.arange(width) < torch.tensor(lengths)[:, None]
            old, ref = logp[torch.arange(width), actions], torch.full((args.episodes, width), -math.log(tokens))
            reward, cost = ((table[actions] * mask).sum(1) for table in (flat.REWARD, flat.COST))
            before = [own.expand(args.episodes, -1).clone() for own in values]
        multiplier = controller.update(cost.tolist())
        shaped = shape(reward, cost, old, ref, mask, beta=args.beta, clip=args.score_clip)
        if critic_free:
            signals = [leave_one_out(kind.sum(1)[None])[0][:, None] * mask for kind in shaped]
            returns = [torch.zeros_like(old)] * 2
        else:
            found = [
                gae(kind, own, mask, gamma=args.gamma, lam=args.gae_lambda)
                for kind, own in zip(shaped, before, strict=True)
            ]
            signals, returns = [each.advantages for each in found], [each.returns for each in found]
        advantages = mix(signals[0], signals[1], multiplier)
        for _ in range(args.epochs):
            now = logits.log_softmax(-1)[torch.arange(width), actions]
            out = policy_loss(now[mask], old[mask], advantages[mask], args.clip)
            loss = out.loss / out.n
            for own, earlier, wanted in zip(values, before, returns, strict=True):
                own_n = own.expand(args.episodes, -1)[mask]
                if not critic_free:
                    loss = loss + value_loss(own_n, earlier[mask], wanted[mask], args.value_clip).loss / out.n
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        kl, exact = divergence(old, ref, mask), flat.means(logits.detach().softmax(-1))
        lines.append(
            {
                "lambda": multiplier, "mean_cost": controller.mean_cost, "reward": float(reward.mean()),
                "cost": float(cost.mean()), "kl_k1": kl.k1, "kl_k3": kl.k3,
                "clip_fraction": out.metrics["clip_fraction"] / out.n, "exact_reward": exact[0], "exact_cost": exact[1],
            }
        )  # fmt: skip
    return lines


@pytest.mark.parametrize("controller", ["projected", "log", "pid"])
def test_the_example_and_the_method_give_the_same_numbers(flat: Any, controller: str) -> None:
    args = flat.Args(controller=controller, steps=25, episodes=64, window=96)
    ours, theirs = with_functions(flat, args), flat.train(args)[0]
    for step, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        for name, value in own.items():
            assert value == pytest.approx(other[name], abs=2e-4), (step, name)
    assert ours[-1]["exact_reward"] != pytest.approx(ours[0]["exact_reward"], abs=0.05)


@pytest.mark.parametrize("controller", ["projected", "log", "pid"])
@pytest.mark.parametrize("task", ["bandit", "tokens"])
def test_the_constrained_optimum_is_found(flat: Any, task: str, controller: str) -> None:
    """Reward within 3 % of the best one, cost within 3 % of the range above the budget, the multiplier settled."""
    best = flat.optimum(task, 0.1)
    lines, _ = flat.train(flat.Args(task=task, controller=controller, episodes=256, window=256, steps=120))
    end = flat.summary(lines, best)
    assert abs(end["reward"] - best[1]) <= 0.03 * best[1]
    assert end["cost"] <= flat.BUDGET[task] + 0.03
    assert end["lambda"] == pytest.approx(best[0], rel=0.1) and end["settled"] < 110
    free = flat.solve(task, 0.1, 0.0)
    assert free[2] > flat.BUDGET[task] + 0.1  # without the multiplier the budget would be broken


def test_the_critic_free_variant_finds_it_too(flat: Any) -> None:
    best = flat.optimum("bandit", 0.1)
    args = flat.Args(task="bandit", episodes=256, window=256, steps=120)
    end = flat.summary(with_functions(flat, args, critic_free=True), best)
    assert abs(end["reward"] - best[1]) <= 0.03 * best[1] and end["cost"] <= flat.BUDGET["bandit"] + 0.03


def test_the_optimum_is_one(flat: Any) -> None:
    """No policy of a grid around it has more reward minus divergence at the same multiplier."""
    multiplier, _, cost = flat.optimum("bandit", 0.1)
    assert cost == pytest.approx(flat.BUDGET["bandit"], abs=1e-4)
    table, _, _ = flat.solve("bandit", 0.1, multiplier)

    def worth(policy: torch.Tensor) -> float:
        gain = (policy @ flat.REWARD - multiplier * (policy @ flat.COST)) / (1 + multiplier)
        return float(gain - 0.1 * (policy * (policy * len(policy)).log()).sum())

    torch.manual_seed(0)
    for _ in range(50):
        other = (table[0].log() + 0.2 * torch.randn(5)).softmax(0)
        assert worth(other) <= worth(table[0]) + 1e-6
