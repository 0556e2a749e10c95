"""PPO with a Lagrange multiplier in one flat file: no package, no classes of ours, read from top to bottom.

    python examples/ppo_lagrangian.py                         # the token task, projected multiplier
    python examples/ppo_lagrangian.py --task bandit --controller pid
    python examples/ppo_lagrangian.py --plot multipliers.svg  # all three controllers, side by side

The problem is that of Safe RLHF-V (arXiv 2503.17682), small enough to be solved exactly: maximise the mean reward of an
episode, minus beta times the divergence from a reference, while the mean cost stays within a budget.

A "reply" has up to four tokens out of five. Token 0 ends it. Every other token is worth some reward and costs
something; both are only told at the end, as one number each, as a reward and a cost model would. The policy is a table
of logits per place, the critics are a number per place. `bandit` is the same with one token.

The method `safe-rlhf-v` of the package does the same with a vision-language model; a test runs its functions on this
task and compares every number.
"""

import argparse
import math
from dataclasses import dataclass

import torch

# Rewards and costs of the tokens. Token 1 is worth most and costs most; token 3 makes up for it.
REWARD = torch.tensor([0.0, 1.0, 0.6, 0.3, 0.8])
COST = torch.tensor([0.0, 1.0, 0.1, -0.3, 0.5])
PLACES = {"bandit": 1, "tokens": 4}
BUDGET = {"bandit": 0.2, "tokens": 0.5}


@dataclass
class Args:
    """Settings; the defaults solve the task within some seconds."""

    task: str = "tokens"
    """`bandit` (one token) or `tokens` (up to four)."""
    controller: str = "projected"
    """Who moves the multiplier: `projected`, `log` or `pid`."""
    steps: int = 150
    """Updates."""
    episodes: int = 512
    """Sampled replies of an update."""
    epochs: int = 2
    """Passes over them."""
    rate: float = 0.1
    """Adam's learning rate for policy and critics; falls to 0 along a line."""
    beta: float = 0.1
    """Strength of the tie to the reference."""
    clip: float = 0.2
    """Of PPO's ratio."""
    value_clip: float = 5.0
    """Of the critics."""
    gamma: float = 1.0
    """Discount."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    score_clip: float = 50.0
    """Bound of rewards and costs per token."""
    multiplier: float = 1.0
    """Where the Lagrange multiplier starts."""
    multiplier_rate: float = 0.05
    """Its step size; of `pid` the integral gain."""
    cap: float = 20.0
    """It never exceeds this."""
    window: int = 512
    """Episodes that the mean cost is taken over. More than those of one update make the controller lag and swing."""
    seed: int = 0
    """Of sampling."""


# What is best, computed exactly


def solve(task: str, beta: float, multiplier: float) -> tuple[torch.Tensor, float, float]:
    """The best policy (T, V) for one multiplier, its mean reward and its mean cost.

    For a fixed lambda an episode is worth (R - lambda C) / (1 + lambda) - beta KL, and the best policy follows from
    soft values, backwards: V_t = beta log sum_a ref(a) exp((s_a + V_{t+1}) / beta), where token 0 ends the reply.
    """
    worth_V = (REWARD - multiplier * COST) / (1 + multiplier)
    policy, later = [], 0.0
    for _ in range(PLACES[task]):
        after_V = torch.full_like(worth_V, later)
        after_V[0] = 0.0
        scaled_V = (worth_V + after_V) / beta - math.log(len(worth_V))  # the reference is uniform
        policy.insert(0, scaled_V.softmax(0))
        later = beta * float(scaled_V.logsumexp(0))
    table_TV = torch.stack(policy)
    return table_TV, *means(table_TV)


def means(policy_TV: torch.Tensor) -> tuple[float, float]:
    """Exact mean reward and cost of an episode of a policy."""
    alive, reward, cost = 1.0, 0.0, 0.0
    for row_V in policy_TV:
        reward += alive * float(row_V @ REWARD)
        cost += alive * float(row_V @ COST)
        alive *= 1 - float(row_V[0])
    return reward, cost


def optimum(task: str, beta: float) -> tuple[float, float, float]:
    """(multiplier, reward, cost) of the constrained optimum: the multiplier at which the cost meets the budget."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if solve(task, beta, middle)[2] > BUDGET[task] else (low, middle)
    return high, *solve(task, beta, high)[1:]


def train(args: Args) -> tuple[list[dict[str, float]], torch.Tensor]:
    """All updates; returns a line per update, and the policy (T, V)."""
    width, tokens, budget = PLACES[args.task], len(REWARD), BUDGET[args.task]
    draw = torch.Generator().manual_seed(args.seed)
    logits_TV = torch.zeros(width, tokens, requires_grad=True)
    reward_values_T = torch.zeros(width, requires_grad=True)
    cost_values_T = torch.zeros(width, requires_grad=True)
    optimizer = torch.optim.Adam([logits_TV, reward_values_T, cost_values_T], lr=args.rate)
    multiplier, integral, proportional = args.multiplier, args.multiplier, 0.0
    smoothed: list[float] = []
    recent: list[float] = []
    lines = []
    for step in range(args.steps):
        optimizer.param_groups[0]["lr"] = args.rate * (1 - step / args.steps)

        # Roll out: one token per place, until token 0 was drawn. The mask holds what was really said.
        with torch.no_grad():
            logp_TV = logits_TV.log_softmax(-1)
            drawn = [torch.multinomial(row.exp(), args.episodes, replacement=True, generator=draw) for row in logp_TV]
            actions_BT = torch.stack(drawn, 1)
            ends_BT = (actions_BT == 0).long()
            mask_BT = ends_BT.cumsum(1) - ends_BT == 0  # no end before this place
            old_logp_BT = logp_TV[torch.arange(width), actions_BT] * mask_BT
            ref_logp_BT = torch.full_like(old_logp_BT, -math.log(tokens)) * mask_BT
            reward_B = (REWARD[actions_BT] * mask_BT).sum(1)  # what a reward model would say of the whole reply
            cost_B = (COST[actions_BT] * mask_BT).sum(1)
            old_reward_values_BT = reward_values_T.expand(args.episodes, -1).clone()
            old_cost_values_BT = cost_values_T.expand(args.episodes, -1).clone()

        # The multiplier, from the raw costs of the last episodes. No Adam: its step must follow the violation's size.
        recent = [*recent, *cost_B.tolist()][-args.window :]
        mean = sum(recent) / len(recent)
        over = mean - budget
        if step >= 1:
            if args.controller == "projected":
                multiplier = min(max(multiplier + args.multiplier_rate * over, 0.0), args.cap)
            elif args.controller == "log":
                grown = math.log(multiplier) + args.multiplier_rate * multiplier * over
                multiplier = min(max(math.exp(min(grown, math.log(args.cap))), 1e-4), args.cap)
            else:
                integral = min(max(integral + args.multiplier_rate * over, 0.0), args.cap)
                proportional = 0.5 * proportional + 0.5 * over
                smoothed = [*smoothed, 0.5 * smoothed[-1] + 0.5 * mean if smoothed else mean][-11:]
                rise = max(0.0, smoothed[-1] - smoothed[0])
                multiplier = min(max(0.1 * proportional + integral + 0.1 * rise, 0.0), args.cap)

        # Reward and cost per token: the penalty in both, the score at the last token that was said.
        last_BT = mask_BT & (mask_BT.long().flip(1).cumsum(1).flip(1) == 1)
        penalty_BT = args.beta * (old_logp_BT - ref_logp_BT)
        rewards_BT = (-penalty_BT + last_BT * reward_B[:, None]).clamp(-args.score_clip, args.score_clip)
        costs_BT = (penalty_BT + last_BT * cost_B[:, None]).clamp(-args.score_clip, args.score_clip)

        # Generalised advantages of both, padding left out.
        advantages, returns = [], []
        for signal_BT, raw_BT in ((rewards_BT, old_reward_values_BT), (costs_BT, old_cost_values_BT)):
            signal_BT, values_BT = signal_BT * mask_BT, raw_BT * mask_BT
            found_BT = torch.zeros_like(values_BT)
            ahead_B, later_B = torch.zeros(args.episodes), torch.zeros(args.episodes)
            for t in reversed(range(width)):
                delta_B = signal_BT[:, t] + args.gamma * later_B - values_BT[:, t]
                found_BT[:, t] = (delta_B + args.gamma * args.gae_lambda * ahead_B) * mask_BT[:, t]
                ahead_B, later_B = found_BT[:, t], values_BT[:, t]
            advantages.append(found_BT)
            returns.append(found_BT + values_BT)
        mixed_N = ((advantages[0] - multiplier * advantages[1]) / (1 + multiplier))[mask_BT]

        # PPO's clipped steps of policy and critics, means over the tokens that were said.
        clipped = 0.0
        for _ in range(args.epochs):
            logp_N = logits_TV.log_softmax(-1)[torch.arange(width), actions_BT][mask_BT]
            ratio_N = (logp_N - old_logp_BT[mask_BT]).exp()
            near_N = ratio_N.clamp(1 - args.clip, 1 + args.clip)
            loss = -torch.minimum(ratio_N * mixed_N, near_N * mixed_N).mean()
            clipped = float((near_N * mixed_N < ratio_N * mixed_N).float().mean())
            critics = (
                (reward_values_T, old_reward_values_BT, returns[0]),
                (cost_values_T, old_cost_values_BT, returns[1]),
            )
            for own_T, old_BT, returns_BT in critics:
                now_N, old_N, target_N = own_T.expand(args.episodes, -1)[mask_BT], old_BT[mask_BT], returns_BT[mask_BT]
                close_N = old_N + (now_N - old_N).clamp(-args.value_clip, args.value_clip)
                loss = loss + 0.5 * torch.maximum((now_N - target_N) ** 2, (close_N - target_N) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        gap_N = (ref_logp_BT - old_logp_BT)[mask_BT]
        exact = means(logits_TV.detach().softmax(-1))
        lines.append(
            {
                "lambda": multiplier,
                "mean_cost": mean,
                "reward": float(reward_B.mean()),
                "cost": float(cost_B.mean()),
                "kl_k1": float(-gap_N.mean()),
                "kl_k3": float((gap_N.exp() - 1 - gap_N).mean()),
                "length": float(mask_BT.sum(1).float().mean()),
                "clip_fraction": clipped,
                "exact_reward": exact[0],
                "exact_cost": exact[1],
            }
        )
    return lines, logits_TV.detach().softmax(-1)


def summary(lines: list[dict[str, float]], best: tuple[float, float, float]) -> dict[str, float]:
    """How a run ended beside the optimum, how far the multiplier overshot, and when it settled within 10 %."""
    path = [line["lambda"] for line in lines]
    tail = path[-len(path) // 10 :]
    far = [place for place, value in enumerate(path) if abs(value - best[0]) > 0.1 * best[0]]
    return {
        "reward": lines[-1]["exact_reward"],
        "best_reward": best[1],
        "cost": lines[-1]["exact_cost"],
        "lambda": sum(tail) / len(tail),
        "best_lambda": best[0],
        "overshoot": max(path) / best[0] - 1,
        "settled": far[-1] + 1 if far else 0,
    }


def plot(runs: dict[str, list[dict[str, float]]], best: tuple[float, float, float], budget: float, file: str) -> None:
    """Multiplier and mean cost of several runs as one SVG."""
    colours = ("#0b6e99", "#b5541c", "#5b7f2b")
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 290" font-family="sans-serif" font-size="12">']
    parts.append('<rect width="760" height="290" fill="#fff"/>')
    for place, (name, key, wanted) in enumerate(
        (("multiplier", "lambda", best[0]), ("mean cost", "mean_cost", budget))
    ):
        left, top, w, h = 45 + place * 380, 30, 310, 210
        values = [line[key] for lines in runs.values() for line in lines] + [wanted]
        low, high = min(values), max(values)
        scale = h / ((high - low) or 1)
        parts.append(f'<text x="{left}" y="18">{name}</text>')
        for value in (low, wanted, high):
            y = top + h - (value - low) * scale
            parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        y = top + h - (wanted - low) * scale
        parts.append(f'<path d="M{left} {y:.1f}H{left + w}" stroke="#888" stroke-dasharray="4"/>')
        for colour, lines in zip(colours, runs.values(), strict=False):
            across = [(left + i * w / len(lines), top + h - (line[key] - low) * scale) for i, line in enumerate(lines)]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in across)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    for number, (colour, label) in enumerate(zip(colours, runs, strict=False)):
        parts.append(f'<text x="{60 + 110 * number}" y="275" fill="{colour}">{label}</text>')
    parts.append('<text x="470" y="275" fill="#666">dashed: optimum and budget; along: updates</text></svg>')
    with open(file, "w", encoding="utf-8") as opened:
        opened.write("\n".join(parts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in vars(Args()).items():
        choices = {"task": tuple(BUDGET), "controller": ("projected", "log", "pid")}.get(name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, choices=choices)
    parser.add_argument("--plot", default="", help="SVG of all three controllers")
    given = vars(parser.parse_args())
    file = given.pop("plot")
    best = optimum(given["task"], given["beta"])
    print(f"optimum: multiplier {best[0]:.3f}, reward {best[1]:.4f}, cost {best[2]:.4f}")
    runs = {}
    for controller in ("projected", "log", "pid") if file else (given["controller"],):
        runs[controller], _ = train(Args(**{**given, "controller": controller}))
        print(controller, *(f"{name} {value:.4g}" for name, value in summary(runs[controller], best).items()))
    if file:
        plot(runs, best, BUDGET[given["task"]], file)


if __name__ == "__main__":
    main()
