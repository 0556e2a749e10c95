"""Rollouts of PPO: answers as they were sampled, here or by a server.

A reply is as it was sampled, token by token; nothing is tokenised again.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation
from counterpoise.train import Stepper, Tokens

from ._config import PPOConfig
from ._served import Sampled, Served

IGNORED = -100


class Ask(NamedTuple):
    """A prompt of the run; harmful says what a refusal of it means, where that is known."""

    id: str
    prompt: Conversation
    harmful: bool | None = None


@dataclass(frozen=True)
class Episode:
    """One sampled reply with what was estimated of it; `tokens.values` hold the numbers per token."""

    id: str
    tokens: Tokens
    prompt: Conversation
    text: str
    whole: bool
    """The model ended it itself."""
    harmful: bool | None = None
    group: int = 0
    """Place of its prompt within the step."""
    served: tuple[float, ...] = ()
    """Log-probabilities of its tokens as the server that sampled them says; empty where this process did."""


def roll_out(
    stepper: Stepper, asks: Sequence[Ask], config: PPOConfig, seed: int, server: Served | None = None
) -> tuple[list[Episode], int]:
    """`answers` sampled replies to each prompt, here or by a server, and how many were dropped: the model's logits were
    no numbers, or it sampled the token that stands for an image, which no image belongs to.

    Random numbers follow from the seed, the step, the prompt and the answer's place, and not from how many processes
    there are. A prompt that leaves no room for an answer raises InputError.
    """
    from counterpoise.models import Decoding, encode_row

    loaded, limit = stepper.loaded, stepper.limit
    placeholders = {getattr(loaded.model.config, f"{kind}_token_id", None) for kind in ("image", "video")} - {None}
    rows = [encode_row(loaded, ask.prompt, add_generation_prompt=True) for ask in asks]
    for ask, row in zip(asks, rows, strict=True):
        if limit is not None and len(row.ids) + config.max_new_tokens + 1 > limit:
            raise InputError(
                f"prompt {ask.id}: {len(row.ids)} tokens leave no room for {config.max_new_tokens} more within "
                f"{limit}; lower max_new_tokens or leave it out"
            )
    episodes, dropped = [], 0
    with ExitStack() as stack:
        if server is not None:
            sample = stack.enter_context(server.sampling(stepper, [ask.prompt for ask in asks], rows))
        else:
            engine = stack.enter_context(stepper.generating())

            def sample(decoding: Decoding) -> list[Sampled]:
                return [Sampled(answer, ()) for answer in engine.generate(rows, decoding)]

        for copy in range(config.answers):
            place = (seed * 1_000_003 + stepper.number) * 1_009 + copy
            decoding = Decoding(config.max_new_tokens, temperature=1.0, seed=place)
            for number, (ask, row, (answer, logp)) in enumerate(zip(asks, rows, sample(decoding), strict=True)):
                if answer.problem == "not_finite" or not answer.ids or placeholders.intersection(answer.ids):
                    dropped += 1
                    continue
                ids = [*row.ids, *answer.ids]
                types = None if row.types is None else [*row.types, *[0] * len(answer.ids)]
                key = tuple(image.sha256 for message in ask.prompt for image in message.images)
                labels = (*[IGNORED] * len(row.ids), *answer.ids)
                tokens = Tokens(row._replace(ids=ids, types=types), labels, key)
                name, whole = f"{ask.id}-{copy}", answer.finish == "stop"
                episodes.append(Episode(name, tokens, ask.prompt, answer.text, whole, ask.harmful, number, logp))
    return episodes, dropped
