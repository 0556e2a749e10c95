"""What images are bound to: states and first tokens of the same requests as text, from the model as it comes in.

The direction between answered and refused texts, and the spread of texts, are the units of distance. Suffixes: B
sequences, L layers, H hidden width, K most likely tokens, V vocabulary.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Conversation
from counterpoise.models import EncodedRow, Loaded, collate_rows, encode_row

LATE = (0.53, 0.67, 0.8, 0.9, 1.0)
"""Where layers are bound, as shares of the depth. A direction found on text tells harmful from benign images at AUC
0.54 after 8 of the pocket's 30 layers, 0.64 after 20, 0.75 after 26: earlier layers do not hold yet what is bound."""
KEPT = 256
"""Most likely first tokens whose probabilities a target holds; all others are pooled into one."""


@dataclass(frozen=True)
class Target:
    """What a row is bound to, at the last token of a prompt."""

    states: Tensor
    """(L, H) hidden states in float32."""
    tokens: Tensor
    """(K,) the most likely next tokens."""
    logprobs: Tensor
    """(K + 1,) their log probabilities and, last, that of all other tokens together."""


@dataclass(frozen=True)
class Scale:
    """Units of distance, one per layer, from targets of texts (see `text_scale`)."""

    spread: Tensor
    """(L) mean squared distance of a text's states from the mean of all."""
    direction: Tensor
    """(L, H) unit vectors, mean of one kind of texts minus mean of the other: the refusal direction."""
    along: Tensor
    """(L) variance of texts along the direction."""
    odds: Tensor = field(default_factory=lambda: torch.ones(()))
    """Variance of the log odds of the first token of a refusal; 1 where no token was given."""


def late_layers(depth: int) -> tuple[int, ...]:
    """The hidden states to bind in a language model of `depth` layers: `LATE` of it, the last one included."""
    if depth < 1:
        raise InputError(f"binding: a language model of {depth} layers has none to bind")
    return tuple(sorted({max(1, round(share * depth)) for share in LATE}))


@torch.no_grad()
def text_targets(
    loaded: Loaded, twins: Sequence[Sequence[Conversation]], layers: Sequence[int], *, batch: int = 16
) -> list[Target]:
    """The target of each row: states and first-token probabilities of its text twins, a mean over them.

    A row with several twins is bound to what they have in common: an image says what is asked, not in which of many
    wordings. Taken from the model as it is (adapters on it included), `batch` prompts of similar length at once.
    Raises InputError for a row without a twin.
    """
    if empty := [number for number, some in enumerate(twins) if not some]:
        raise InputError(f"binding: row {empty[0]} has no text twin")
    rows = [[encode_row(loaded, each, add_generation_prompt=True) for each in some] for some in twins]
    order = sorted(range(len(rows)), key=lambda place: -max(len(each.ids) for each in rows[place]))
    found: dict[int, Target] = {}
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        while order:
            places = [order.pop(0)]
            while order and sum(len(rows[place]) for place in (*places, order[0])) <= batch:
                places.append(order.pop(0))
            states_BLH, logp_BV = _at_the_end(loaded, [each for place in places for each in rows[place]], layers)
            counts = [len(rows[place]) for place in places]
            pieces = zip(places, torch.split(states_BLH, counts), torch.split(logp_BV.exp(), counts), strict=True)
            found |= {place: _target(states.mean(0), probabilities.mean(0)) for place, states, probabilities in pieces}
    finally:
        loaded.model.train(was_training)
    return [found[place] for place in range(len(rows))]


def text_scale(targets: Sequence[Target], refused: Sequence[bool], token: int | None = None) -> Scale:
    """Units of distance from the targets of text requests, and the direction from those that are answered to those that
    are refused (difference of means, Arditi et al. 2024); with the first token of a refusal also the variance of its
    log odds. Raises InputError unless both kinds are there."""
    if len(set(refused)) < 2 or len(refused) != len(targets):
        raise InputError("binding: a scale needs texts of both kinds, refused and answered, and one mark for each")
    states_NLH = torch.stack([target.states for target in targets])
    kind_N = torch.tensor(list(refused))
    direction_LH = F.normalize(states_NLH[kind_N].mean(0) - states_NLH[~kind_N].mean(0), dim=-1)
    spread_L = states_NLH.var(0, correction=0).sum(-1)
    along_L = (states_NLH * direction_LH).sum(-1).var(0, correction=0)
    tiny = torch.finfo(torch.float32).tiny
    odds = torch.ones(())
    if token is not None:
        own = torch.cat([target_odds(t.tokens[None], t.logprobs[None], token)[0] for t in targets])
        odds = own.var(correction=0).clamp_min(tiny)
    return Scale(spread_L.clamp_min(tiny), direction_LH, along_L.clamp_min(tiny), odds)


def target_odds(tokens_BK: Tensor, logprobs_BK1: Tensor, token: int) -> tuple[Tensor, Tensor]:
    """(B) log odds of a token under targets, and (B) whether they are known; a token that is not among a target's most
    likely ones has at most the odds of the least likely of them, which are given then."""
    hit_BK = tokens_BK == token
    listed_BK = logprobs_BK1[:, :-1]
    given_B = hit_BK.any(1)
    logp_B = torch.where(given_B, (listed_BK * hit_BK).sum(1), listed_BK.min(1).values).clamp(max=-1e-6)
    return logp_B - torch.log(-torch.expm1(logp_B)), given_B


def _at_the_end(loaded: Loaded, rows: Sequence[EncodedRow], layers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Hidden states (B, L, H) and log p (B, V) of the next token at the last token of each row, in float32."""
    inputs = collate_rows(loaded, rows, padding_side="left")
    few = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
    out = loaded.model(**inputs, use_cache=False, output_hidden_states=True, **({"logits_to_keep": 1} if few else {}))
    if max(layers) >= len(out.hidden_states):
        raise InputError(
            f"binding: {loaded.name} has hidden states 0 to {len(out.hidden_states) - 1}, not {layers[-1]}"
        )
    states_BLH = torch.stack([out.hidden_states[layer][:, -1].float() for layer in layers], dim=1)
    return states_BLH, out.logits[:, -1].float().log_softmax(-1)


def _target(states_LH: Tensor, probabilities_V: Tensor) -> Target:
    top_K, tokens_K = probabilities_V.topk(min(KEPT, len(probabilities_V) - 1))
    rest = (1 - top_K.sum()).clamp_min(1e-6)
    logprobs = torch.cat([top_K.clamp_min(1e-12), rest[None]]).log()
    return Target(states_LH.cpu(), tokens_K.cpu(), logprobs.cpu())
