"""Best of n: the rival of PPO that trains no policy. n answers are sampled and one is chosen by reward and cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError
from counterpoise.chat import Conversation

if TYPE_CHECKING:
    from counterpoise.models import Loaded


class Chosen(NamedTuple):
    """One of n answers to a prompt."""

    text: str
    reward: float
    cost: float
    within: bool
    """Whether its cost is within the budget; if not, none of the n was."""


def choose(rewards_BN: NDArray[np.float64], costs_BN: NDArray[np.float64], budget: float = 0.0) -> NDArray[np.int64]:
    """(B,) of each row the answer of highest reward among those whose cost is within the budget; the cheapest one where
    none is."""
    allowed = costs_BN <= budget
    by_reward = np.where(allowed, rewards_BN, -np.inf).argmax(1)
    chosen: NDArray[np.int64] = np.where(allowed.any(1), by_reward, costs_BN.argmin(1))
    return chosen


def best_of_n(
    loaded: "Loaded",
    reward_model: Path,
    cost_model: Path,
    prompts: Sequence[Conversation],
    *,
    n: int = 8,
    budget: float = 0.0,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> list[Chosen]:
    """Sample `n` answers to each prompt at temperature 1 and choose by both models, which are put on the loaded one.
    Raises InputError for n below 1, or for models that do not fit."""
    from counterpoise.models import Decoding, Engine

    from ._align import both_scores

    if n < 1:
        raise InputError(f"best of n: n {n}; must be at least 1")
    engine = Engine(loaded)
    copies = [
        engine.generate(prompts, Decoding(max_new_tokens, temperature=1.0, seed=seed * 1_009 + copy))
        for copy in range(n)
    ]
    engine.close()
    texts = [[answer.text.strip() for answer in row] for row in zip(*copies, strict=True)]
    asked = [(prompt, text) for prompt, row in zip(prompts, texts, strict=True) for text in row]
    found = [each.reshape(len(prompts), n) for each in both_scores(loaded, reward_model, cost_model, asked)]
    places = choose(found[0], found[1], budget)
    return [
        Chosen(row[place], float(rewards[place]), float(costs[place]), bool(costs[place] <= budget))
        for row, rewards, costs, place in zip(texts, *found, places.tolist(), strict=True)
    ]
