"""Training of the latent guard: ridge regression on states of one block, block and penalty chosen on groups kept back.

Within the training rows every group (a family, a prompt and its answers) is kept back once, in five folds; the scores
of rows that were kept back choose block and penalty, fit the Platt scaling and set the threshold. The weights are then
fitted on all rows. Classes and states are centred for each number of images by itself, so that "it has an image"
explains nothing.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError
from counterpoise.evals.stats import auc, platt
from counterpoise.models import EncodedRow, Engine, Loaded, collate_rows, decoder_layers, last_states, load

from .._kept import ONE, content_key, kept_blocks
from .._labelled import Labelled
from ._probe import (
    KINDS,
    MODES,
    Mode,
    Probe,
    ProbeGuard,
    States,
    encoded,
    identity,
    kind_of,
    mode_of,
    probe_on,
    save_probes,
)

FOLDS = 5
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Of ridge regression on standardised states, a row."""
LEAST = 10
"""Rows of each label, below which there is no probe for a number of images."""
BLOCK = 64
OVER_BLOCK = 0.1
"""Share of safe rows kept back that the threshold may block."""
Floats = NDArray[np.float64]


class Chosen(NamedTuple):
    """How a probe was chosen, for its card."""

    layer: int
    penalty: float
    auc: float
    """Of rows kept back, mean over the modalities."""
    by_layer: list[float]
    """The same of every block with the penalty that was best for it."""


def fit_probe(
    states_N_L_d: States, unsafe: Sequence[bool], groups: Sequence[str], kinds: Sequence[int],
    modalities: Sequence[str], *, over_block: float = OVER_BLOCK, seed: int = 0,
) -> tuple[Probe, Chosen]:  # fmt: skip
    """A probe on states behind blocks 1 to L.

    `over_block`: at most this share of the safe rows kept back is at or above the threshold. Raises InputError for too
    few rows of a label or fewer groups than folds.
    """
    gold, kind, names = np.asarray(unsafe, bool), np.asarray(kinds), np.asarray(modalities)
    known = enough(gold, groups, kind)
    states, gold, kind, names = states_N_L_d[known], gold[known], kind[known], names[known]
    fold = folds(np.asarray(groups)[known], seed)
    kept = [_kept_back(states[:, at], gold, kind, fold) for at in range(states.shape[1])]
    scored = np.array([[_mean_auc(one, gold, names) for one in own] for own in kept])
    layer, penalty = (int(n) for n in np.unravel_index(np.argmax(scored), scored.shape))
    seen = np.isfinite(kept[layer][penalty])  # a fold may hold all rows of one label of a kind
    scores, back = kept[layer][penalty][seen], gold[seen]
    slope, offset = platt(scores, back.astype(float))
    weights, offsets = _ridge(states[:, layer], gold, kind, (PENALTIES[penalty],))[0]
    p = 1 / (1 + np.exp(-np.clip(slope * scores + offset, -40, 40)))
    made = Probe(layer + 1, weights, offsets, (slope, offset), threshold_of(p[~back], over_block))
    return made, Chosen(layer + 1, PENALTIES[penalty], float(scored[layer, penalty]), scored.max(1).round(4).tolist())


def enough(unsafe: Sequence[bool] | NDArray[np.bool_], groups: Sequence[str], kinds: Sequence[int] | NDArray[Any]
           ) -> NDArray[np.bool_]:  # fmt: skip
    """(N) rows of kinds with at least LEAST rows of each label. Raises InputError where there are none, or fewer groups
    than folds."""
    gold, kind = np.asarray(unsafe, bool), np.asarray(kinds)
    counts = {each: (int((kind == each).sum() - gold[kind == each].sum()), int(gold[kind == each].sum()))
              for each in np.unique(kind).tolist()}  # fmt: skip
    known = np.isin(kind, [each for each, both in counts.items() if min(both) >= LEAST])
    if not known.any():
        found = "; ".join(f"{safe} safe and {bad} unsafe with {KINDS[each]}" for each, (safe, bad) in counts.items())
        raise InputError(f"a probe needs at least {LEAST} safe and {LEAST} unsafe rows with as many images; there are "
                         f"{found} to train on")  # fmt: skip
    if (n := len(set(np.asarray(groups)[known].tolist()))) < FOLDS:
        raise InputError(f"a probe needs at least {FOLDS} groups of rows, to keep some back; there are {n} to train on")
    return known


def folds(groups: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    """(N) fold of each row; rows of a group are in one fold."""
    names, code = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray((np.argsort(order) % FOLDS)[code], np.int64)


def threshold_of(p_safe: Floats, over_block: float) -> float:
    """The smallest probability that at most the share `over_block` of `p_safe` reaches."""
    if not 0 < over_block < 1:
        raise InputError(f"over_block {over_block}: give a share between 0 and 1, such as 0.1")
    ordered = np.sort(p_safe)
    place = len(ordered) - int(over_block * len(ordered)) - 1
    return float(np.nextafter(ordered[place], 2.0))


def _ridge(states: States, gold: NDArray[np.bool_], kind: NDArray[Any], penalties: Sequence[float]
           ) -> list[tuple[States, States]]:  # fmt: skip
    """(weights (d), offsets (3)) for each penalty: ridge regression of +-1 on states, both centred within each kind;
    states are also divided by their pooled spread. One singular value decomposition serves all penalties."""
    x, y = states.astype(np.float64), np.where(gold, 1.0, -1.0)
    centres = np.full((len(KINDS), x.shape[1]), np.nan)
    for each in np.unique(kind):
        at = kind == each
        if len(set(gold[at].tolist())) < 2:
            continue  # one label only: this kind cannot be told apart, and is left out
        centres[each] = x[at].mean(0)
    known = ~np.isnan(centres[kind]).any(1)
    if not known.any():
        raise InputError("no kind of row (by number of images) has both labels")
    x, y, kind = x[known] - centres[kind[known]], y[known], kind[known]
    for each in np.unique(kind):
        y[kind == each] -= y[kind == each].mean()
    spread = x.std(0) + 1e-6
    u, s, vt = np.linalg.svd(x / spread, full_matrices=False)
    projected = u.T @ y
    made = []
    for penalty in penalties:
        w = vt.T @ (s / (s * s + penalty * len(y)) * projected) / spread
        made.append((w.astype(np.float32), (centres @ w).astype(np.float32)))
    return made


def _kept_back(states: States, gold: NDArray[np.bool_], kind: NDArray[Any], fold: NDArray[np.int64]) -> list[Floats]:
    """For each penalty the logits (N) of every row by weights that its fold had no part in; NaN where its kind had no
    training rows."""
    found = [np.full(len(gold), np.nan) for _ in PENALTIES]
    for number in range(FOLDS):
        out = fold == number
        for into, (weights, offsets) in zip(found, _ridge(states[~out], gold[~out], kind[~out], PENALTIES),
                                            strict=True):  # fmt: skip
            into[out] = states[out].astype(np.float64) @ weights - offsets[kind[out]]
    return found


def _mean_auc(scores: Floats, gold: NDArray[np.bool_], names: NDArray[np.str_]) -> float:
    """Mean over the modalities that have both labels: a frequent one must not hide another."""
    seen = np.isfinite(scores)
    each = [auc(scores[seen & (names == name)], gold[seen & (names == name)]) for name in np.unique(names)]
    known = [value for value in each if value is not None]
    return float(np.mean(known)) if known else 0.0


def train_probe(
    rows: Sequence[Labelled], out: Path, *, trained_on: str, model: str = "pocket", artifact: Path | None = None,
    over_block: float = OVER_BLOCK, seed: int = 0, dtype: str = "auto", loaded: Loaded | None = None, batch: int = 32,
    kept: Path | None = None,
) -> ProbeGuard:  # fmt: skip
    """Train a probe for each mode that has rows, and write the folder `out`. States are `kept` in a folder block by
    block, so that a stopped training goes on.

    Raises InputError naming a row that the model cannot be shown, and for too few rows or groups.
    """
    threshold_of(np.zeros(1), over_block)  # what is wrong is said before the model is loaded
    by_mode = {mode: own for mode in MODES if (own := [row for row in rows if mode_of(row.exchange) == mode])}
    for mode, own in by_mode.items():
        try:
            enough([row.unsafe for row in own], [row.group for row in own], [kind_of(row.exchange) for row in own])
        except InputError as error:
            raise InputError(f"{mode} mode: {error}; give more rows, or hold out fewer") from error
    loaded = loaded or load(model, artifact=artifact, dtype=dtype)
    probes: dict[Mode, Probe] = {}
    chosen: dict[str, Any] = {}
    for mode, own in by_mode.items():
        states = states_of(loaded, own, batch=batch, title=f"reading states, {mode}", kept=kept)
        probes[mode], how = fit_probe(
            states, [row.unsafe for row in own], [row.group for row in own], [kind_of(row.exchange) for row in own],
            [row.modality for row in own], over_block=over_block, seed=seed,
        )  # fmt: skip
        chosen[mode] = how._asdict() | {"rows": len(own), "groups": len({row.group for row in own}),
                                        "length_alone": _by_length(own)}  # fmt: skip
    about = {"trained_on": trained_on, "seed": seed, "over_block": over_block, "chosen": chosen}
    save_probes(out, loaded, probes, about)
    return probe_on(loaded, out)


def states_of(
    loaded: Loaded, rows: Sequence[Labelled], *, batch: int = 32, title: str = "reading states",
    kept: Path | None = None,
) -> States:  # fmt: skip
    """(N, L, d) behind every block, at the last token; blocks of rows that are `kept` in a folder are not read again,
    nor even encoded. Raises InputError naming the first row that cannot be shown."""
    engine, every = Engine(loaded, max_batch=batch), range(1, len(decoder_layers(loaded.model)) + 1)
    whose = (identity(loaded), loaded.dtype, str(loaded.image_backend)) if kept is not None else ()
    order = sorted(range(len(rows)), key=lambda n: (rows[n].exchange.images, _length(rows[n])))  # little padding
    blocks = kept_blocks(
        [rows[n] for n in order],
        lambda block: np.asarray(engine.layer_states([_shown(loaded, row) for row in block], every)),
        size=BLOCK, form=ONE, folder=kept, key=lambda block: content_key(block, *whose), title=title,
    )  # fmt: skip
    found = dict(zip(order, (state for block in blocks for state in block), strict=True))
    whole = np.stack([found[n] for n in range(len(rows))])
    if (bad := np.flatnonzero(~np.isfinite(whole).all((1, 2)))).size:
        raise InputError(f"row {rows[bad[0]].id}: the model has no numbers for it; leave it out")
    return whole


def _shown(loaded: Loaded, row: Labelled) -> EncodedRow:
    try:
        return encoded(loaded, row.exchange)
    except InputError as error:
        raise InputError(f"row {row.id}: {error}; leave it out") from error


def _length(row: Labelled) -> int:
    """Characters of an exchange."""
    return sum(len(message.text) for message in row.exchange.conversation) + len(row.exchange.answer or "")


def _by_length(rows: Sequence[Labelled]) -> dict[str, float]:
    """AUC of the number of characters alone, by modality: what a probe must beat, or it may have learned just that."""
    found = {}
    for name in dict.fromkeys(row.modality for row in rows):
        own = [row for row in rows if row.modality == name]
        length = [_length(row) for row in own]
        if (value := auc(length, [row.unsafe for row in own])) is not None:
            found[name] = round(value, 3)
    return found


class Cost(NamedTuple):
    """Medians in milliseconds over N exchanges, one at a time."""

    n: int
    pass_ms: float
    """A pass over the prompt, which every reply begins with."""
    added_ms: float
    """Reading the state in that pass and asking the probe."""
    alone_ms: float
    """A check by itself: the prompt encoded, and a pass up to the probe's block."""

    @property
    def share(self) -> float:
        """Of a pass that is made anyway."""
        return self.added_ms / self.pass_ms


def cost(guard: ProbeGuard, rows: Sequence[Labelled], n: int = 20) -> Cost:
    """What the guard costs on up to `n` of the rows, in this process and on this machine."""
    import torch

    loaded, times = guard.loaded, []
    chosen = [row.exchange for row in rows if mode_of(row.exchange) in guard.probes]
    if not chosen:
        raise InputError("cost: no row of a mode that the probe was trained for")
    chosen = chosen[:: max(1, len(chosen) // n)][:n]
    for number, exchange in enumerate([chosen[0], *chosen]):  # the first one warms up
        batch = collate_rows(loaded, [encoded(loaded, exchange)], padding_side="left")
        probe, kind = guard.probes[mode_of(exchange)], kind_of(exchange)
        with torch.inference_mode(), last_states(loaded.model, [probe.layer]) as seen:
            began = time.perf_counter()
            loaded.model(**batch, logits_to_keep=1)
            passed = time.perf_counter()
            probe(seen[probe.layer].float().cpu().numpy(), [kind])
            asked = time.perf_counter()
        guard.check([exchange])
        checked = time.perf_counter()
        if number:
            times.append((passed - began, asked - passed, checked - asked))
    whole, added, alone = (1000 * float(np.median([row[at] for row in times])) for at in range(3))
    return Cost(len(times), whole, added, alone)
