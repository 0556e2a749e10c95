"""The latent guard: a linear probe on the hidden states of the very model that is deployed.

Its state at the last token of a prompt, behind one block, is projected on one direction; a sigmoid makes a probability
of it (Alain and Bengio, arXiv 1610.01644; as a guard: HiddenDetect, arXiv 2502.14744). What the model knows of a
request and does not act on is there: on prints and pictures a probe tells harmful from benign where its refusals do
not. In a process that serves the model the state is there anyway; alone, a check is one pass up to the probe's block.

A folder holds `probe.json` and `probe.safetensors`:

    {"format": "counterpoise-probe", "version": 1,
     "model": "pocket", "artifact": null, "weights": "<hash of weights, template and artifact>", "dtype": "float32",
     "probes": {"prompt": {"layer": 15, "threshold": 0.61, "platt": [1.9, -0.2], "kinds": [0, 1, 2]}}}

A probe's tensors are `prompt.weights` (d) and `prompt.offsets` (3): logit = state . weights - offsets[kind], where the
kind is the number of images (0, 1, or 2 for several). Each kind is centred by its own training rows, so that a
direction that says "there is an image" says nothing about harm; a kind without training rows is `unknown`.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, atomic_write, read_json, sha256_file, write_json
from counterpoise.chat import assistant, conversation
from counterpoise.models import EncodedRow, Engine, Loaded, encode_row, fingerprint, load, with_system

from .._values import Exchange, Inspected, Sees, Verdict, unknown

Mode = Literal["prompt", "response"]
MODES: tuple[Mode, ...] = ("prompt", "response")
FORMAT, VERSION = "counterpoise-probe", 1
JSON, TENSORS = "probe.json", "probe.safetensors"
KINDS = ("no image", "one image", "several images")
States = NDArray[np.float32]


class Probe(NamedTuple):
    """One mode's probe: P(unsafe) = sigmoid(slope (state . weights - offsets[kind]) + offset)."""

    layer: int
    """The state behind this block, from 1."""
    weights: States
    """(d)."""
    offsets: States
    """(3), by kind; NaN for a kind that was not trained on."""
    platt: tuple[float, float]
    """(slope, offset), fitted on scores of rows that the weights were not fitted on (Platt 1999)."""
    threshold: float
    """Unsafe from this probability on."""

    def __call__(self, states_N_d: States, kinds: Sequence[int]) -> NDArray[np.float64]:
        """P(unsafe) (N); NaN for a kind without training rows."""
        logit = states_N_d.astype(np.float64) @ self.weights.astype(np.float64) - self.offsets[list(kinds)]
        return np.asarray(1 / (1 + np.exp(-np.clip(self.platt[0] * logit + self.platt[1], -40, 40))))


def kind_of(exchange: Exchange) -> int:
    """Place in KINDS."""
    return min(exchange.images, len(KINDS) - 1)


def mode_of(exchange: Exchange) -> Mode:
    return "prompt" if exchange.answer is None else "response"


def encoded(loaded: Loaded, exchange: Exchange) -> EncodedRow:
    """The exchange as the model itself is served it: with its system text and its own template. A prompt ends where the
    reply would begin; an answer ends as the template ends it.

    Raises InputError for roles out of order, an image that cannot be decoded, and more tokens than the model takes.
    """
    turns = list(exchange.conversation)
    if exchange.answer is not None:
        turns.append(assistant(exchange.answer))
    shown = with_system(conversation(turns, "exchange"), loaded.system)
    row = encode_row(loaded, shown, add_generation_prompt=exchange.answer is None)
    if loaded.positions and len(row.ids) > loaded.positions:
        raise InputError(f"the prompt has {len(row.ids)} tokens, the model takes {loaded.positions}")
    return row


class ProbeGuard:
    """Probes on the states of one model. What the model cannot be shown, and what no probe was trained for, is
    `unknown`. `over`: the threshold on P(unsafe) in place of the trained one."""

    def __init__(self, loaded: Loaded, probes: Mapping[Mode, Probe], revision: str, *, over: float | None = None,
                 batch: int = 64):  # fmt: skip
        self.loaded, self.engine = loaded, Engine(loaded, max_batch=batch)
        self.probes = {m: p if over is None else p._replace(threshold=over) for m, p in probes.items()}
        self.batch, self.revision = batch, revision
        self.id = f"probe@{Path(loaded.name).name}~{revision[:8]}"

    @property
    def sees(self) -> Sees:
        """As much as its model and its training rows."""
        images = self.loaded.is_vlm and any(not np.isnan(p.offsets[1:]).all() for p in self.probes.values())
        return Sees(texts=True, images=None if images else 0, answers="response" in self.probes)

    @property
    def feature_spec(self) -> dict[str, object]:
        """What its features are, for routers."""
        return {"layer": sorted({p.layer for p in self.probes.values()}), "pooling": "last token", "suffix_ids": []}

    @property
    def detours(self) -> dict[str, Any]:
        """Batches of its model that were halved or split, with the reasons."""
        return self.engine.detours

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order; one pass through the model up to the probe's block."""
        found: list[Verdict] = []
        for start in range(0, len(exchanges), self.batch):
            found += self._some(exchanges[start : start + self.batch])
        return found

    def _some(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        began = time.perf_counter()
        rows = [self._encoded(exchange) for exchange in exchanges]
        states: dict[int, States] = {}
        for mode, probe in self.probes.items():
            own = {n: row for n, row in enumerate(rows)
                   if not isinstance(row, str) and mode_of(exchanges[n]) == mode}  # fmt: skip
            found = self.engine.layer_states(list(own.values()), [probe.layer])[:, 0]
            states |= dict(zip(own, found, strict=True))
        share = (time.perf_counter() - began) / max(len(exchanges), 1)
        made: list[Verdict] = []
        for n, (exchange, row) in enumerate(zip(exchanges, rows, strict=True)):
            reason = row if isinstance(row, str) else None
            if reason is None and not np.isfinite(states[n]).all():
                reason = "the model has no numbers for it"
            if reason is not None:
                made.append(unknown(self.id, exchange, reason, cost=share, revision=self.revision))
            else:
                made.append(self._verdict(exchange, states[n], share))
        return made

    def _encoded(self, exchange: Exchange) -> EncodedRow | str:
        """The row, or why it cannot be looked at."""
        mode, kind = mode_of(exchange), kind_of(exchange)
        if mode not in self.probes:
            return f"trained for {', '.join(self.probes)} mode only"
        if exchange.texts + exchange.images == 0:
            return "nothing to look at"
        if np.isnan(self.probes[mode].offsets[kind]):
            return f"trained on no row with {KINDS[kind]}"
        try:
            return encoded(self.loaded, exchange)
        except InputError as error:
            return str(error)

    def _verdict(self, exchange: Exchange, state: States, cost: float) -> Verdict:
        probe = self.probes[mode_of(exchange)]
        p = float(probe(state[None], [kind_of(exchange)])[0])
        return Verdict(
            "unsafe" if p >= probe.threshold else "safe", self.id,
            Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images), p_unsafe=p,
            threshold=probe.threshold, calibrated=True, revision=self.revision, cost=cost, features=state,
        )  # fmt: skip


def identity(loaded: Loaded) -> str:
    """What a probe belongs to: weights, template and what was put on them, whatever the dtype."""
    put = loaded.artifact.path if loaded.artifact is not None else Path(loaded.adapter) if loaded.adapter else None
    return fingerprint(Path(loaded.path), put, {})


def save_probes(folder: Path, loaded: Loaded, probes: Mapping[Mode, Probe], about: Mapping[str, Any]) -> str:
    """Write a probe's folder and return its revision. Raises InputError when there is no probe."""
    from safetensors.numpy import save

    if not probes:
        raise InputError(f"{folder}: no probe to save")
    put = loaded.artifact.path if loaded.artifact is not None else loaded.adapter
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).unlink(missing_ok=True)
    with atomic_write(folder / TENSORS, "wb") as file:
        file.write(save({f"{m}.{k}": np.asarray(getattr(p, k), np.float32)
                         for m, p in probes.items() for k in ("weights", "offsets")}))  # fmt: skip
    made = {
        mode: {"layer": p.layer, "threshold": p.threshold, "platt": list(p.platt),
               "kinds": np.flatnonzero(~np.isnan(p.offsets)).tolist()}
        for mode, p in probes.items()
    }  # fmt: skip
    own = {"model": loaded.name, "artifact": str(Path(put).resolve()) if put else None, "weights": identity(loaded),
           "dtype": loaded.dtype, "probes": made}  # fmt: skip
    write_json(folder / JSON, {"format": FORMAT, "version": VERSION, **own, **about})
    return sha256_file(folder / TENSORS)[:12]


def read_probes(folder: Path) -> tuple[dict[Mode, Probe], dict[str, Any]]:
    """A folder's probes, and its card. Raises InputError when its files are not what `save_probes` wrote."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (folder / JSON).is_file():
        raise InputError(f"{folder}: no probe there; train one with: counterpoise guard train probe MODEL --data ROWS")
    card = read_json(folder / JSON)
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("version") != VERSION:
        raise InputError(f'{folder / JSON}: not a probe (expected "format": "{FORMAT}", "version": {VERSION})')
    try:
        tensors = load_file(folder / TENSORS)
        probes = {m: _read(tensors, m, card["probes"][m]) for m in MODES if m in card["probes"]}
        for name in ("model", "weights", "dtype"):
            if not isinstance(card[name], str):
                raise ValueError(f"{name} is no text")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}: not a whole probe ({type(error).__name__}: {error}); train it again") from error
    if not probes:
        raise InputError(f"{folder}: holds no probe; train it again")
    return probes, card


def _read(tensors: Mapping[str, States], mode: str, value: Mapping[str, Any]) -> Probe:
    weights, offsets = tensors[f"{mode}.weights"], tensors[f"{mode}.offsets"]
    slope, offset = (float(x) for x in value["platt"])
    threshold = float(value["threshold"])
    if weights.ndim != 1 or offsets.shape != (len(KINDS),) or not np.isfinite(weights).all():
        raise ValueError(f"tensors of shapes {weights.shape} and {offsets.shape}")
    if not (np.isfinite((slope, offset)).all() and 0 <= threshold <= 1):
        raise ValueError(f"platt {slope}, {offset}; threshold {threshold}")
    return Probe(int(value["layer"]), weights, offsets, (slope, offset), threshold)


def probe(detail: str = "", *, threshold: float | None = None, batch: int = 64, device: str = "auto") -> ProbeGuard:
    """`probe:FOLDER`: loads the model that the probe was trained on, with what was put on it and in the same dtype.

    Raises InputError for a folder that holds no probe, and when the model is not the checkpoint it was trained on.
    """
    if not detail:
        raise InputError("guard probe: name the folder of a trained probe, probe:FOLDER; see guard train probe")
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(f"threshold {threshold}: must lie between 0 and 1")
    folder = Path(detail)
    probes, card = read_probes(folder)
    loaded = load(card["model"], artifact=card.get("artifact"), dtype=card["dtype"], device=device)
    return _on(loaded, folder, probes, card, threshold, batch)


def probe_on(loaded: Loaded, folder: Path, *, threshold: float | None = None, batch: int = 64) -> ProbeGuard:
    """The probes of a folder on a model that is loaded already. Raises InputError when they are another model's."""
    return _on(loaded, folder, *read_probes(folder), threshold, batch)


def _on(
    loaded: Loaded, folder: Path, probes: Mapping[Mode, Probe], card: Mapping[str, Any], threshold: float | None,
    batch: int,
) -> ProbeGuard:  # fmt: skip
    width = loaded.model.config.get_text_config().hidden_size
    if card["weights"] != identity(loaded) or any(len(p.weights) != width for p in probes.values()):
        raise InputError(
            f"{folder}: trained on another checkpoint than {loaded.name} is now; train it again with: counterpoise "
            f"guard train probe {loaded.name} --data ROWS"
        )
    if card["dtype"] != loaded.dtype:
        raise InputError(f"{folder}: trained on states in {card['dtype']}, and {loaded.name} is in {loaded.dtype}")
    return ProbeGuard(loaded, probes, sha256_file(folder / TENSORS)[:12], over=threshold, batch=batch)
