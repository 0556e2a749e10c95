"""PPO with a Lagrange multiplier (Safe RLHF-V, arXiv 2503.17682) on one backbone.

Six roles share the model's weights: the actor, the reward and the cost model (frozen) and two critics are LoRA adapters
with heads of one row each, the reference is the model with all adapters off. A reward or cost model that was trained on
other weights is a model of its own beside them. An update (`Loop.update`): `roll_out` samples answers, `look` asks all
roles, the multiplier moves, `estimate` turns scores into advantages of reward and cost (masked GAE or leave-one-out),
which are mixed, and then actor, reward critic, cost critic and instruction rows learn, one optimizer step each.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError, Progress, notice
from counterpoise.chat import Sample
from counterpoise.train import (
    SFT,
    Batch,
    Encoded,
    Group,
    Head,
    Lora,
    LossOut,
    Metrics,
    Objective,
    Stepper,
    Tokens,
    Trainable,
    label_logits,
)

from ._config import PPOConfig
from ._control import Multiplier
from ._episodes import (
    ACTOR,
    COST_CRITIC,
    REWARD_CRITIC,
    Estimates,
    end_of_turn,
    estimate,
    look,
    response_places,
    with_estimates,
)
from ._math import mix, policy_loss, value_loss
from ._rollouts import Ask, Episode, roll_out
from ._scores import COST, REWARD, ScoreModel
from ._served import check_served, served
from ._watch import averaged, early_warnings, step_sums

if TYPE_CHECKING:
    from counterpoise.models import Loaded

Goal = Literal["both", "reward", "cost"]


@dataclass(frozen=True)
class Actor(Objective[Episode]):
    """The clipped objective on sampled tokens, a mean over the response tokens of a step."""

    clip: float = 0.2
    role = ACTOR

    def encode(self, loaded: "Loaded", row: Episode, limit: int | None) -> tuple[Tokens, ...] | None:
        return (row.tokens,)

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        logits_NV, targets_N = label_logits(model, batch)
        logp_N = logits_NV.log_softmax(-1).gather(-1, targets_N[:, None])[:, 0]
        keep = response_places(batch)
        return policy_loss(logp_N, batch.values["logp"][:, 1:][keep], batch.values["advantage"][:, 1:][keep], self.clip)


@dataclass(frozen=True)
class Critic(Objective[Episode]):
    """The clipped squared error of one critic; `kind` is "reward" or "cost"."""

    kind: str = REWARD
    clip: float = 5.0

    @property
    def role(self) -> str:  # type: ignore[override]
        return REWARD_CRITIC if self.kind == REWARD else COST_CRITIC

    def encode(self, loaded: "Loaded", row: Episode, limit: int | None) -> tuple[Tokens, ...] | None:
        return (row.tokens,)

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        keep = response_places(batch)
        values_N = model.values(self.role, batch)[:, :-1, 0][keep]
        old_N, returns_N = (batch.values[f"{self.kind}_{what}"][:, 1:][keep] for what in ("value", "return"))
        return value_loss(values_N, old_N, returns_N, self.clip)


@dataclass(frozen=True)
class Instructions(SFT):
    """The PTX term: cross-entropy on instruction rows, times a coefficient."""

    coefficient: float = 16.0
    role = ACTOR

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        out = super().loss(model, batch)
        return LossOut(self.coefficient * out.loss, out.n, out.metrics)


def roles(reward: Path | None, cost: Path | None, actor: Lora, config: PPOConfig) -> tuple[Group, ...]:
    """The plan of one backbone: trained actor and critics, frozen reward and cost model. The critics start from the
    reward and the cost model; of one that is a model of its own (None), from factors like the actor's. Without critics
    there are none."""
    starts = ((REWARD, REWARD_CRITIC, reward), (COST, COST_CRITIC, cost))
    groups: list[Group] = [actor.model_copy(update={"name": ACTOR})]
    for name, _, start in starts:
        if start is not None:
            groups += [Lora(name=name, start=start, frozen=True), Head(name=name, start=start, frozen=True)]
    if not config.critic_free:
        rate = config.critic_learning_rate
        for _, critic, start in starts:
            lora = actor if start is None else Lora(start=start)
            groups += [
                lora.model_copy(update={"name": critic, "learning_rate": rate}),
                Head(name=critic, learning_rate=rate),
            ]
    return tuple(groups)


def start_critics(model: Trainable) -> None:
    """Heads of the critics become those of the models they start from, or 0 where these are models of their own."""
    with torch.no_grad():
        for critic, start in ((REWARD_CRITIC, REWARD), (COST_CRITIC, COST)):
            if critic in model.heads:
                target = model.heads[critic].get_parameter("weight")
                target.copy_(model.heads[start].get_parameter("weight") if start in model.heads else 0 * target)


# The loop


@dataclass
class Loop:
    """One run of PPO-Lagrangian on a Stepper."""

    stepper: Stepper
    config: PPOConfig
    asks: Sequence[Ask]
    instructions: Sequence[Sample]
    seed: int
    goal: Goal = "both"
    models: Mapping[str, ScoreModel] = field(default_factory=dict)
    """Reward or cost model that is a model of its own."""

    def __post_init__(self) -> None:
        prompts, world = min(self.config.prompts, len(self.asks)), self.stepper.processes.world
        if prompts < world:
            raise InputError(f"PPO: {prompts} prompts an update for {world} processes; raise ppo.prompts, or give more")
        self.multiplier = Multiplier(self.config.multiplier)
        if self.stepper.number == 0:
            start_critics(self.stepper.trainable)
        else:
            self.multiplier.restore(self.stepper.extra["multiplier"])
        self.history: list[dict[str, float]] = list(self.stepper.extra.get("history", ()))
        self.end = end_of_turn(self.stepper.loaded)
        self.server = served(self.config, self.stepper.out / "served")

    def run(self) -> dict[str, float]:
        """All steps that are left; returns the line of the last one."""
        stepper, main = self.stepper, self.stepper.processes.main
        line: dict[str, float] = self.history[-1] if self.history else {}
        with ExitStack() as stack:
            bar = (
                stack.enter_context(Progress("ppo", stepper.total, unit="steps", done=stepper.number)) if main else None
            )
            metrics = Metrics(stepper.out / "metrics.jsonl", stepper.number) if main else None
            if metrics:
                stack.callback(metrics.close)
            while stepper.number < stepper.total:
                line = self.update()
                if metrics:
                    metrics.write(step=stepper.number, **line)
                if bar:
                    bar.advance(1, note=f"reward {line['reward']:.2f}, cost {line['cost']:.2f}, λ {line['lambda']:.2f}")
                for text in early_warnings(self.history, self._cap):
                    if main:
                        notice(text)
                if stepper.number % stepper.config.save_every_steps == 0 or stepper.number == stepper.total:
                    stepper.extra = {"multiplier": self.multiplier.state(), "history": self.history}
                    stepper.save()
        return line

    @property
    def _cap(self) -> float:
        """Where a multiplier that acts and moves ends; a rival's does not act."""
        config = self.config.multiplier
        return config.cap if self.goal == "both" and config.kind != "fixed" else math.inf

    def update(self) -> dict[str, float]:
        """One update: rollouts, estimates, multiplier, and the steps of actor, critics and instructions."""
        started = time.monotonic()
        stepper, config, processes = self.stepper, self.config, self.stepper.processes
        asks = self.drawn(stepper.number)[processes.rank :: processes.world]
        episodes, dropped = roll_out(stepper, asks, config, self.seed, self.server)
        if processes.total({"without": float(not episodes)})["without"]:  # all of them stop, or none
            raise InputError("PPO: the model gave no reply with finite logits; load it in float32, or lower the rate")
        rolled = time.monotonic() - started
        looked = look(stepper, episodes, self.end, self.models)
        scored = time.monotonic() - started
        multiplier = self.multiplier.update(_gathered(self._bounded(episodes, looked.costs.tolist()), processes))
        estimates = estimate(looked, config, [episode.group for episode in episodes])
        advantages = mixed(estimates, multiplier, self.goal, [self._counts(one) for one in episodes])
        rows = with_estimates(episodes, looked, estimates, advantages)
        line = averaged(processes.total(step_sums(episodes, looked, estimates)))
        check_served(line)
        line |= self.learn(rows)
        if stepper.trainable.trunk is not None:
            stepper.trainable.trunk.clear()  # the next update has other episodes
        line |= {"lambda": multiplier, **processes.total({"dropped": float(dropped)})}
        if not math.isnan(self.multiplier.mean_cost):  # no prompt that the budget is about came yet
            line["cost_window"] = self.multiplier.mean_cost
        spent = {"rollout_seconds": rolled, "scoring_seconds": scored - rolled, "seconds": time.monotonic() - started}
        line |= {name: round(value, 3) for name, value in spent.items()}
        self.history = [*self.history, {name: line[name] for name in ("lambda", "refused", "broken", "reward", "cost")}]
        return line

    def _bounded(self, episodes: Sequence[Episode], costs: Sequence[float]) -> list[float]:
        """The costs that the budget is about."""
        return [cost for cost, one in zip(costs, episodes, strict=True) if self._counts(one)]

    def _counts(self, episode: Episode) -> bool:
        """Whether the budget is about an episode."""
        return self.config.constrained == "all" or episode.harmful is not False

    def drawn(self, step: int) -> list[Ask]:
        """The prompts of a step, by passes over all of them in a new order each; the same on every process."""
        n, size = len(self.asks), min(self.config.prompts, len(self.asks))
        found: list[Ask] = []
        place = step * size
        while len(found) < size:
            order = np.random.default_rng([self.seed, place // n]).permutation(n)
            take = order[place % n :][: size - len(found)]
            found += [self.asks[i] for i in take]
            place += len(take)
        return found

    def learn(self, rows: Sequence[Episode]) -> dict[str, float]:
        """The optimizer steps of one update, in the paper's order; the schedule moves once."""
        stepper, config = self.stepper, self.config
        parts: list[tuple[str, Objective[Any], Sequence[Any]]] = [("actor", Actor(config.clip), rows)]
        if not config.critic_free:
            parts += [
                ("reward_critic", Critic(REWARD, config.value_clip), rows),
                ("cost_critic", Critic(COST, config.value_clip), rows),
            ]
        if config.ptx and self.instructions:
            parts.append(("ptx", Instructions(config.ptx), self.instruction_rows(len(rows))))
        line: dict[str, float] = {}
        total = [part for _ in range(config.epochs) for part in parts]
        for place, (name, objective, own) in enumerate(total):
            encoded: Encoded = stepper.encode(objective, own)
            out = stepper.step(objective, encoded, advance=place == len(total) - 1)
            line |= {f"{name}_loss": out["loss"], f"{name}_grad_norm": out["grad_norm"]}
            if name == "actor":
                line |= {key: out[key] for key in ("clip_fraction", "step_kl") if key in out}
        return line

    def instruction_rows(self, n: int) -> list[Sample]:
        """As many as there are episodes here, in turn."""
        world, rank = self.stepper.processes.world, self.stepper.processes.rank
        first = self.stepper.number * n * world + rank * n
        return [self.instructions[(first + i) % len(self.instructions)] for i in range(n)]


def mixed(estimates: Estimates, multiplier: float, goal: Goal, bound: Sequence[bool]) -> Tensor:
    """The advantages of a run for both signals, or of a rival that looks at one of them only. Of episodes that the
    budget is not about (not `bound`) the reward alone counts: their cost is not in the Lagrangian."""
    weight = {"both": multiplier, "reward": 0.0, "cost": math.inf}[goal]
    both = mix(estimates.reward, estimates.cost, weight)
    if goal != "both":
        return both
    return torch.where(torch.tensor(bound, device=both.device)[:, None], both, estimates.reward)


def _gathered(costs: list[float], processes: Any) -> list[float]:
    from accelerate.utils import gather_object

    return list(gather_object(costs)) if processes.world > 1 else costs
