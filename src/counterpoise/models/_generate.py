"""Token by token: one batch of encoded rows -> replies. Finished rows leave the batch."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ._decoding import Steps
from ._defaults import end_tokens
from ._encoding import EncodedRow, collate_rows
from ._finite import check_model, not_finite
from ._loaded import Loaded
from ._reply import read_reply
from ._template import traits
from ._tokens import special_ids
from ._values import Answer, Decoding

# Rows are dropped from the batch when this share of it has finished. Copying the cache costs about as much as one or
# two steps, so dropping each row by itself would not pay.
COMPACT_AT = 0.25
FRONT = 512  # likeliest tokens that are sorted first when one is drawn


def reply_ends(loaded: Loaded) -> set[int]:
    """Ids that end a reply: those of the generation config and the tokenizer, and the template's end of turn where it
    is none of them (a config that lost it), since that is what a model is trained to write."""
    ends, closing = end_tokens(loaded.model, loaded.tokenizer), traits(loaded).ends
    return ends | (set() if ends.intersection(closing) else set(closing[-1:]))


@torch.inference_mode()
def generate_batch(loaded: Loaded, rows: Sequence[EncodedRow], decoding: Decoding) -> list[Answer]:
    """Replies to rows, in order. One prefill, then one forward pass per new token over the unfinished rows."""
    steps = Steps(loaded, collate_rows(loaded, rows, padding_side="left"))
    ends = reply_ends(loaded)
    new: list[list[int]] = [[] for _ in rows]
    finish: list[Literal["stop", "length"]] = ["length" for _ in rows]
    draw = [_generator(decoding, row) for row in rows] if decoding.temperature > 0 else []
    alive = list(range(len(rows)))  # row of each place in the batch
    done: set[int] = set()
    broken: set[int] = set()  # rows whose logits are no numbers
    for step in range(decoding.max_new_tokens):
        logits = steps.forward()
        if bool((bad := not_finite(logits)).any()):
            spoiled = {row for row, wrong in zip(alive, bad.tolist(), strict=True) if wrong} - done
            if spoiled:
                check_model(loaded, len(spoiled), step)
            broken |= spoiled
            done |= spoiled
            logits = logits.nan_to_num(nan=0.0, posinf=0.0)
        tokens = sample(logits, decoding, [draw[row] for row in alive]) if draw else logits.argmax(-1)
        for row, token in zip(alive, tokens.tolist(), strict=True):
            if row in done:
                continue
            new[row].append(token)
            if token in ends or _stops(loaded, new[row], decoding.stop):
                finish[row] = "stop"
                done.add(row)
        left = [place for place, row in enumerate(alive) if row not in done]
        if not left or step == decoding.max_new_tokens - 1:
            break
        steps.append(tokens)
        if len(alive) - len(left) >= COMPACT_AT * len(alive):
            steps.keep(torch.tensor(left, device=steps.ids.device))
            alive = [alive[place] for place in left]
    answers, known = [], traits(loaded)
    for place, (prompt, ids, end) in enumerate(zip(rows, new, finish, strict=True)):
        text, reasoning, problem = read_reply(
            loaded.tokenizer, known.markers, special_ids(loaded), prompt.ids, ids, decoding.stop, opened=known.opens
        )
        problem = "not_finite" if place in broken else problem
        known_marks = known.markers is not None
        answers.append(Answer(text, len(prompt.ids), len(ids), end, reasoning, problem, known_marks, tuple(ids)))
    return answers


def sample(logits: Tensor, decoding: Decoding, draw: Sequence[torch.Generator]) -> Tensor:
    """One token per row of logits (B, V) by temperature and nucleus, each row with its own random stream.

    Only the likeliest tokens are sorted where the draw falls among them: on a CPU, sorting a vocabulary of 49,000 took
    5 ms a row and step, a quarter of a step of pocket.
    """
    p_BV = (logits / decoding.temperature).softmax(-1)
    u_B = torch.stack([torch.rand((), generator=g) for g in draw]).to(p_BV.device)
    if p_BV.shape[-1] <= FRONT:
        return _drawn(*p_BV.sort(dim=-1, descending=True), u_B, decoding.top_p)
    front, order = p_BV.topk(FRONT, dim=-1)
    mass_B = front.sum(-1)
    ends_B = mass_B >= decoding.top_p if decoding.top_p < 1 else u_B < mass_B - 1e-4  # above the rounding of sums
    found_B = _drawn(front, order, u_B, decoding.top_p, 1.0 if decoding.top_p == 1 else None)
    if not bool(ends_B.all()):
        left = ~ends_B
        found_B[left] = _drawn(*p_BV[left].sort(dim=-1, descending=True), u_B[left], decoding.top_p)
    return found_B


def _drawn(p: Tensor, order: Tensor, u_B: Tensor, top_p: float, mass: float | None = None) -> Tensor:
    """The tokens (B) at the shares u of the nucleus of falling probabilities; `mass` is its sum where p is a part."""
    before = p.cumsum(-1) - p
    p = p.masked_fill(before >= top_p, 0)  # the first token always stays
    total = p.cumsum(-1)
    ends_B = u_B * (total[:, -1] if mass is None else mass)
    place = (total < ends_B[:, None]).sum(-1).clamp(max=p.shape[-1] - 1)
    return order.gather(-1, place[:, None])[:, 0]


def _generator(decoding: Decoding, row: EncodedRow) -> torch.Generator:
    """A row's random stream depends on the seed and its own prompt, never on its place in a batch."""
    generator = torch.Generator()
    if decoding.seed is None:
        generator.manual_seed(int(torch.randint(2**62, ())))  # another one each time, unless torch itself is seeded
    else:
        prompt = hash((decoding.seed, *row.ids))  # of integers only: the same in every process
        generator.manual_seed(prompt & 0x7FFF_FFFF_FFFF_FFFF)
    return generator


def _decode(loaded: Loaded, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))


def _stops(loaded: Loaded, ids: list[int], stop: tuple[str, ...]) -> bool:
    if not stop:
        return False
    tail = _decode(loaded, ids[-max(map(len, stop)) - 4 :])  # a token has at least one byte
    return any(text in tail for text in stop)
