"""Episodes of PPO: what all six roles say of them, and what follows for every token.

Masks are made once, from the lengths of replies. The score is read at the end of turn, which a reply that hit its
length limit gets for that purpose only.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from counterpoise.chat import Conversation, user
from counterpoise.train import Batch, Stepper, Tokens, Trainable, label_logits, pad

from ._config import PPOConfig
from ._math import gae, leave_one_out, shape
from ._rollouts import IGNORED, Episode
from ._scores import COST, REWARD, Floats, ScoreModel, scored_tokens

if TYPE_CHECKING:
    from counterpoise.models import Loaded

ACTOR, REWARD_CRITIC, COST_CRITIC = "actor", "reward_critic", "cost_critic"
"""Names of the LoRA groups and heads that are trained."""


def response_places(batch: Batch) -> Tensor:
    """(B, T - 1) at the places that predict a response token."""
    return batch.labels[:, 1:] != IGNORED


class Looked(NamedTuple):
    """Of episodes in order: (B,) scores, and (B, T) numbers of response tokens, right-padded."""

    mask: Tensor
    logp: Tensor
    ref_logp: Tensor
    entropy: Tensor
    rewards: Tensor
    costs: Tensor
    reward_values: Tensor
    cost_values: Tensor


@torch.no_grad()
def look(
    stepper: Stepper, episodes: Sequence[Episode], end: int, models: Mapping[str, ScoreModel] = MappingProxyType({})
) -> Looked:
    """What all six roles say of the episodes, in micro-batches of similar length; `end` is what ends a turn. Reward and
    cost model are those of the plan, or separate `models`, which read the replies' texts by their own tokenizers."""
    model, found = stepper.trainable, dict[str, dict[int, Tensor]]()
    closed = [_closed(episode, end) for episode in episodes]
    was_training = model.training
    model.eval()
    try:
        for places in stepper.pieces(list(map(len, closed))):
            batch = _batch(stepper, [closed[place] for place in places])
            with stepper.precision():
                looks = _looks(model, batch)
            for name, numbers in looks.items():
                found.setdefault(name, {}).update(zip(places, numbers, strict=True))
            if model.trunk is not None:  # updates see the episodes without the end of turn that was added
                open_ = pad(stepper.loaded, [(episodes[place].tokens,) for place in places], once=True)
                model.trunk.shorten(batch, open_)
    finally:
        model.train(was_training)
    lengths = [episode.tokens.n_labels for episode in episodes]
    width = max(lengths)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]

    def joined(name: str) -> Tensor:
        rows = [found[name][place] for place in range(len(episodes))]
        return torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])

    said = [(episode.prompt, episode.text) for episode in episodes]
    scores = {
        name: torch.from_numpy(models[name].scores(said)).float()
        if name in models
        else torch.stack([found[name][place] for place in range(len(episodes))])
        for name in (REWARD, COST)
    }
    return Looked(
        mask=mask, logp=joined("logp"), ref_logp=joined("ref"), entropy=joined("entropy"),
        rewards=scores[REWARD], costs=scores[COST],
        reward_values=joined(REWARD_CRITIC), cost_values=joined(COST_CRITIC),
    )  # fmt: skip


def _looks(model: Trainable, batch: Batch) -> dict[str, list[Tensor]]:
    """One micro-batch of closed episodes: a tensor per episode under each name. Scores are read at the end of turn; of
    the tokens, nothing that stands before it sees it."""
    keep = response_places(batch)
    counts = keep.sum(1).tolist()

    def split(numbers_N: Tensor) -> list[Tensor]:
        return list(torch.split(numbers_N.float().cpu(), counts))

    def all_and_said() -> tuple[Tensor, Tensor]:
        logits_NV, targets_N = label_logits(model, batch)
        all_NV = logits_NV.log_softmax(-1)
        return all_NV, all_NV.gather(-1, targets_N[:, None])[:, 0]

    with model.using(ACTOR):
        all_NV, logp_N = all_and_said()
        entropy_N = -(all_NV.exp() * all_NV).sum(-1)
    with model.reference():
        ref_N = all_and_said()[1]
    found = {"logp": split(logp_N), "entropy": split(entropy_N), "ref": split(ref_N)}
    for name in _of_plan(model):
        with model.using(name):
            found[name] = list(model.scores(name, batch)[:, 0].cpu())
    for name in (REWARD_CRITIC, COST_CRITIC):
        if name in model.heads:
            with model.using(name):
                found[name] = split(model.values(name, batch)[:, :-1, 0][keep])
        else:
            found[name] = split(torch.zeros_like(logp_N))
    return found


@torch.no_grad()
def ask_models(stepper: Stepper, asked: Sequence[tuple[Conversation, str]]) -> dict[str, Floats]:
    """(n,) scores of replies to conversations by the reward and cost model of the plan, in micro-batches of similar
    length."""
    model, rows = stepper.trainable.eval(), list[Tokens]()
    for prompt, reply in asked:
        tokens = scored_tokens(stepper.loaded, prompt, reply, None)
        assert tokens is not None
        rows.append(tokens)
    found = {name: np.zeros(len(rows)) for name in _of_plan(model)}
    for places in stepper.pieces(list(map(len, rows))):
        batch = _batch(stepper, [rows[place] for place in places])
        with stepper.precision():
            for name, numbers in found.items():
                with model.using(name):
                    numbers[places] = model.scores(name, batch)[:, 0].double().cpu().numpy()
        if model.trunk is not None:
            model.trunk.clear()
    return found


def _of_plan(model: Trainable) -> list[str]:
    """Those of reward and cost model that share the backbone."""
    return [name for name in (REWARD, COST) if name in model.heads]


def _closed(episode: Episode, end: int) -> Tokens:
    """The episode with the end of turn that heads were trained on, where scores are read: behind a reply that hit its
    length limit, and in place of another token that ends a reply. What was sampled stays in the labels."""
    tokens = episode.tokens
    row, types = tokens.row, tokens.row.types
    if episode.whole:
        return tokens if row.ids[-1] == end else dataclasses.replace(tokens, row=row._replace(ids=[*row.ids[:-1], end]))
    row = row._replace(ids=[*row.ids, end], types=None if types is None else [*types, 0])
    return Tokens(row, (*tokens.labels, IGNORED), tokens.key)


def _batch(stepper: Stepper, rows: Sequence[Tokens]) -> Batch:
    model = stepper.trainable
    batch = pad(stepper.loaded, [(row,) for row in rows], once=model.store is not None).to(stepper.processes.device)
    if model.store is None:
        return batch
    inputs = model.store.apply(model.get_base_model(), batch.inputs, batch.keys)
    return dataclasses.replace(batch, inputs=inputs)


class Estimates(NamedTuple):
    """Per response token (B, T)."""

    reward: Tensor
    """Advantages by reward."""
    cost: Tensor
    reward_returns: Tensor
    cost_returns: Tensor


def estimate(looked: Looked, config: PPOConfig, groups: Sequence[int]) -> Estimates:
    """Advantages of both signals: GAE with the critics, or leave-one-out among the answers to one prompt."""
    shaped = shape(
        looked.rewards,
        looked.costs,
        looked.logp,
        looked.ref_logp,
        looked.mask,
        beta=config.beta,
        clip=config.score_clip,
    )
    if config.critic_free:
        reward, cost = (_among_answers(kind, looked.mask, groups) for kind in shaped)
        return Estimates(reward, cost, torch.zeros_like(reward), torch.zeros_like(cost))
    found = [
        gae(kind, values, looked.mask, gamma=config.gamma, lam=config.gae_lambda)
        for kind, values in zip(shaped, (looked.reward_values, looked.cost_values), strict=True)
    ]
    return Estimates(found[0].advantages, found[1].advantages, found[0].returns, found[1].returns)


def _among_answers(kind_BT: Tensor, mask_BT: Tensor, groups: Sequence[int]) -> Tensor:
    """Leave-one-out of the episodes' sums, the same for all tokens of an episode."""
    total_B, found_B = kind_BT.sum(1), torch.zeros(len(kind_BT))
    for group in set(groups):
        places = [place for place, own in enumerate(groups) if own == group]
        found_B[places] = leave_one_out(total_B[places][None])[0]
    return found_B[:, None] * mask_BT


def with_estimates(
    episodes: Sequence[Episode], looked: Looked, estimates: Estimates, advantages: Tensor
) -> list[Episode]:
    """The episodes with the numbers of their response tokens, as the objectives read them."""
    named = {
        "logp": looked.logp, "advantage": advantages, "reward_value": looked.reward_values,
        "cost_value": looked.cost_values, "reward_return": estimates.reward_returns,
        "cost_return": estimates.cost_returns,
    }  # fmt: skip
    result = []
    for number, episode in enumerate(episodes):
        n = episode.tokens.n_labels
        before = [0.0] * (len(episode.tokens) - n)
        values = {name: [*before, *of[number, :n].tolist()] for name, of in named.items()}
        result.append(dataclasses.replace(episode, tokens=dataclasses.replace(episode.tokens, values=values)))
    return result


def end_of_turn(loaded: "Loaded") -> int:
    """The token that ends a reply in training rows of this model."""
    tokens = scored_tokens(loaded, (user("Hello"),), "Yes.", None)
    assert tokens is not None
    return tokens.row.ids[-1]
