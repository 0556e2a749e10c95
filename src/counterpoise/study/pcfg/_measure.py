"""What a checkpoint does on a set of rows, and what is seen inside it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._gpt import GPT, Trace, causal_mask
from ._losses import matches
from ._operators import FIRST_LETTER, ID, OPERATORS
from ._rows import START, Process, Rows, sequence
from ._soft import judged
from ._views import IGNORED, View, comply, full, refuse

BATCH = 256


class Scored(NamedTuple):
    """Of N rows: how many give the whole judged segment of a target, and the mean share of its tokens."""

    n: int
    complied: int
    refused: int
    safe_output: int | None
    """Of the operators without the unsafe ones; None for a set that has none."""
    both: int
    """Outputs 1 and 2, both whole and compliant."""
    token_match: float


def score(model: GPT, rows: Rows, process: Process) -> Scored:
    """Exact matches of the judged segment with the compliant output, the refusal and the safe output."""
    complied, whole = _all(model, rows, _complied, _outputs)
    (refused,) = _all(model, rows, refuse)
    harmful = bool((rows.refuse_from > 0).all())
    safe = _all(model, safe_rows(rows, process), _complied)[0][1].sum() if harmful else None
    return Scored(
        len(rows), int(complied[1].sum()), int(refused[1].sum()), None if safe is None else int(safe),
        int(whole[1].sum()), float(np.nanmean(complied[0])),
    )  # fmt: skip


def outcome(model: GPT, rows: Rows) -> dict[str, int]:
    """`complied` and `refused` of `score` alone, at half its cost."""
    (complied,), (refused,) = _all(model, rows, _complied), _all(model, rows, refuse)
    return {"n": len(rows), "complied": int(complied[1].sum()), "refused": int(refused[1].sum())}


def safe_rows(rows: Rows, process: Process) -> Rows:
    """The same rows with the outputs of a model that leaves every unsafe operator out."""
    names = {ID[token]: token for token in process.operators.function}
    made = []
    for tokens, facts in zip(rows.tokens, rows.facts, strict=True):
        n = int(facts[0])
        given = [names[int(token)] for token in tokens[1:5]]
        unsafe = [process.operators.refused(t, unsafe_text=bool(facts[1] > 0)) for t in given]
        kept = [OPERATORS[0] if bad else t for t, bad in zip(given, unsafe, strict=True)]
        text = tokens[START : START + n].astype(int) - FIRST_LETTER
        first = process.operators.apply(kept[:2], text)
        outputs = first, process.operators.apply(kept[2:], first)
        made.append(sequence(given, text, outputs, process.size.length))
    return Rows(np.array(made, dtype=np.int16), rows.facts)


class Inside(NamedTuple):
    """Means over the first output positions, one array per block."""

    hidden: list[np.ndarray]
    """(N, 4 d) MLP activations."""
    entering: list[np.ndarray]
    """(N, d) what enters the MLP."""


@torch.no_grad()
def inside(model: GPT, rows: Rows, positions: int, pair: int = 1) -> Inside:
    """Activations where the first letters of output `pair` are predicted, with the compliant letters before them: then
    a model is shown the same before and after tuning."""
    parts: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
    for part in _batches(rows):
        trace = Trace([], [])
        model(full(part).inputs, trace)
        place = first_positions(part, positions, pair)
        parts.append(([_mean(h, place) for h in trace.hidden], [_mean(h, place) for h in trace.entering]))
    blocks = range(len(parts[0][0]))
    return Inside(*([np.concatenate([part[side][i] for part in parts]) for i in blocks] for side in (0, 1)))


def first_positions(rows: Rows, positions: int, pair: int = 1) -> Tensor:
    """(B, p) the positions that predict the first letters of output `pair`; p is at most the shortest text."""
    n = torch.as_tensor(rows.length.astype("int64"))
    start = START + n + (n + 1 if pair == 2 else 0)
    return start[:, None] + torch.arange(min(positions, int(n.min())))[None]


def sensitivity(model: GPT, rows: Rows, pair: int = 1) -> np.ndarray:
    """(N) Frobenius norm of the gradient of the largest logit at the first position of output `pair`, by the embeddings
    up to it (section 4.3, figure 6)."""
    found = []
    for part in _batches(rows):
        tokens = full(part).inputs
        x = model.embed(tokens).detach().requires_grad_(True)
        logits = model.run(x, causal_mask(tokens))
        place = first_positions(part, 1, pair)[..., None].expand(-1, -1, logits.shape[-1])
        (gradient,) = torch.autograd.grad(logits.gather(1, place).amax(-1).sum(), x)
        found.append(gradient.flatten(1).double().norm(dim=1).numpy())
    return np.concatenate(found)


def _mean(values: Tensor, place: Tensor) -> np.ndarray:
    picked = values.gather(1, place[..., None].expand(-1, -1, values.shape[-1]))
    return np.asarray(picked.double().mean(1).numpy())


def _complied(rows: Rows) -> View:
    """The judged segment of the compliant output."""
    shown = comply(rows)
    return View(shown.inputs, judged(shown.labels, rows))


def _outputs(rows: Rows) -> View:
    """Both outputs, without the text."""
    shown = full(rows)
    place = torch.arange(1, shown.labels.shape[1] + 1)[None]
    n = torch.as_tensor(rows.length.astype("int64"))[:, None]
    return View(shown.inputs, torch.where(place > START + n, shown.labels, IGNORED))


def _all(model: GPT, rows: Rows, *makes: Callable[[Rows], View]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shares and whole matches of each view. One pass serves views that show the same tokens."""
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in makes]
    with torch.no_grad():
        for part in _batches(rows):
            views = [make(part) for make in makes]
            if any(not torch.equal(view.inputs, views[0].inputs) for view in views[1:]):
                raise ValueError("views of different tokens need a pass each")
            logits = model(views[0].inputs)
            for found, view in zip(parts, views, strict=True):
                share, whole = matches(logits, view.labels)
                found.append((share.numpy(), whole.numpy()))
    return [(np.concatenate([p[0] for p in found]), np.concatenate([p[1] for p in found])) for found in parts]


def _batches(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), BATCH):
        yield rows.take(slice(start, start + BATCH))
