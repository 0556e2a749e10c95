"""Corrections at inference, without training: CMRM, ShiftDC and the refusal direction, as steering artifacts.

All three read states at the last token of prompts, take means in float64, and keep one vector a layer. With h_m a
state of a benign request shown as an image (modality m), h_t that of the same request as text:

- CMRM (Cross-Modality Representation Manipulation, Liu et al., arXiv 2410.09047): `mean h_t - mean h_m` is added, so
  that images lie where text lies.
- ShiftDC (Activation Shift Disentanglement and Calibration, Zou et al., arXiv 2502.13095): only the part of that shift
  along the text's safety direction s is taken back, `-((mean h_m - mean h_t) . s) s`. The paper does this for each
  input, with a second pass over its caption; here the mean shift of the anchors stands for all inputs.
- refusal direction (Arditi et al., arXiv 2406.11717): `mean h harmful - mean h benign` of text is added.

The papers' exact settings are not known here: layer and strength are ours, to be measured.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, Progress
from counterpoise.chat import Sample

from ._knobs import PROMPT_TOKENS, Knob, Size
from ._outcome import AlignResult, claim, write_run
from ._registry import method
from ._sources import Overlaps

if TYPE_CHECKING:
    from counterpoise.models import Loaded

Modality = Literal["print", "picture", "pair"]
WANTED = {"cmrm": ("text", "image"), "shiftdc": ("text", "image", "harmful"), "refusal-direction": ("harmful", "text")}
"""What each reads of the anchors; `text` is their harmless side."""


class SteeringConfig(BaseModel):
    """Where the vectors come from, where they act, and how strongly."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    layers: tuple[int, ...] = ()
    """Decoder blocks behind which a vector is added, from 1; what is added early passes through later blocks too, so
    several add up. Empty: the one at half depth."""
    alpha: float = Field(default=1.0, allow_inf_nan=False)
    """What a vector is multiplied by; 1 is the measured difference itself."""
    when: Literal["image", "always"] = "image"
    """`image`: only prompts that hold an image are steered."""
    modalities: tuple[Modality, ...] = Field(default=("print",), min_length=1)
    """Image forms of the anchors (CMRM, ShiftDC)."""
    anchors: int = Field(default=60, ge=4)
    """At most so many families of Twins' train split. Of CMRM only their benign sides are read."""
    batch: int = Field(default=8, ge=1)
    """Prompts a pass."""


def states(loaded: "Loaded", rows: Sequence[Sample], layers: Sequence[int], batch: int) -> dict[int, np.ndarray]:
    """Layer -> (N, H) float64, behind that block at the last token of each prompt."""
    from counterpoise.models import Engine

    with Progress("anchors", len(rows), unit="prompts") as progress:
        engine = Engine(loaded, max_batch=batch)
        seen = engine.layer_states([row.messages for row in rows], layers, progress=progress).astype(np.float64)
    return {layer: seen[:, place] for place, layer in enumerate(layers)}


def cmrm_vector(text_N_H: np.ndarray, image_M_H: np.ndarray) -> np.ndarray:
    """(H) from where images lie to where text lies."""
    return np.asarray(text_N_H.mean(0) - image_M_H.mean(0))


def shiftdc_vector(text_N_H: np.ndarray, image_M_H: np.ndarray, harmful_K_H: np.ndarray) -> np.ndarray:
    """(H) the same, along the text's safety direction only. Raises InputError when text shows no such direction."""
    direction = refusal_vector(harmful_K_H, text_N_H)
    size = float(np.linalg.norm(direction))
    if not size > 0:
        raise InputError("shiftdc: harmful and benign text have the same mean state; there is no safety direction")
    unit = direction / size
    return np.asarray((cmrm_vector(text_N_H, image_M_H) @ unit) * unit)


def refusal_vector(harmful_K_H: np.ndarray, benign_N_H: np.ndarray) -> np.ndarray:
    """(H) from harmless to harmful text."""
    return np.asarray(harmful_K_H.mean(0) - benign_N_H.mean(0))


def _anchors(config: SteeringConfig, overlaps: Overlaps | None) -> tuple[dict[str, list[Sample]], int]:
    """Rows by side and form, of families none of whose rows overlaps an evaluation; and how many were dropped."""
    from counterpoise.data import twins

    rows: dict[str, list[Sample]] = {"text": [], "harmful": [], "image": []}
    kept = dropped = 0
    for family in twins.families("train"):
        if kept == config.anchors:
            break
        text, harmful = (twins.sample(family, "text", harmful=side) for side in (False, True))
        image = [twins.sample(family, kind, harmful=False) for kind in config.modalities]
        if overlaps is not None and any(overlaps(row) for row in (text, harmful, *image)):
            dropped += 1
            continue
        kept += 1
        rows["text"].append(text)
        rows["harmful"].append(harmful)
        rows["image"] += image
    if kept < 2:
        raise InputError(f"steering: {kept} anchor families are left ({dropped} overlap an evaluation); two are needed")
    return rows, dropped


def _write(name: str, loaded: "Loaded", config: SteeringConfig, out: Path, overlaps: Overlaps | None,
           resume: bool) -> AlignResult:  # fmt: skip
    import torch

    from counterpoise.models import decoder_layers, refuse_carrying, save_steering

    started = time.monotonic()
    refuse_carrying(loaded)
    claim(out, name, loaded, config, resume=resume)
    depth = len(decoder_layers(loaded.model))
    if depth < 2:
        raise InputError(f"{name}: {loaded.name} has one decoder block; a vector needs another one behind it")
    layers = config.layers or (max(depth // 2, 1),)
    if wrong := [layer for layer in layers if not 1 <= layer < depth]:
        raise InputError(f"{name}: layer {wrong[0]}: choose from 1 to {depth - 1} (the last state is normed)")
    if not loaded.is_vlm and (name != "refusal-direction" or config.when == "image"):
        raise InputError(f"{name}: {loaded.name} takes no images; for text use refusal-direction with when=always")
    rows, dropped = _anchors(config, overlaps)
    seen = {kind: states(loaded, rows[kind], layers, config.batch) for kind in WANTED[name]}
    make: dict[str, Any] = {"cmrm": cmrm_vector, "shiftdc": shiftdc_vector, "refusal-direction": refusal_vector}
    vectors = {layer: make[name](*(seen[kind][layer] for kind in WANTED[name])) for layer in layers}
    norms = {str(layer): float(np.linalg.norm(v)) for layer, v in vectors.items()}
    artifact = save_steering(
        out / "steering", loaded, {layer: torch.as_tensor(v, dtype=torch.float32) for layer, v in vectors.items()},
        method=name, when=config.when, alphas=config.alpha,
    )  # fmt: skip
    data = {"anchors": {"from": "counterpoise.data.twins", "split": "train", "families": len(rows["text"]),
                        "overlaps_dropped": dropped}}  # fmt: skip
    return write_run(
        out, method=name, loaded=loaded, config=config, artifact=artifact, data=data, train={"norms": norms},
        timings={"fit": time.monotonic() - started},
    )  # fmt: skip


def _size(name: str, config: SteeringConfig) -> Size:
    """Anchors, read once."""
    images = config.anchors * len(config.modalities)
    rows = sum(images if kind == "image" else config.anchors for kind in WANTED[name])
    return Size(rows, 0, 0, read=rows * PROMPT_TOKENS)


ALPHA = Knob("alpha", "strength of the vector", "number", grid=(0.25, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0))


@method(
    "cmrm",
    title="Cross-modality representation manipulation",
    paper="Liu et al., Unraveling and Mitigating Safety Alignment Degradation of Vision-Language Models, ACL Findings "
    "2025, arXiv 2410.09047",
    source="none that was read",
    licence="written from the paper's description",
    config=SteeringConfig,
    knobs=(ALPHA,),
    size=partial(_size, "cmrm"),
)
def cmrm(loaded: "Loaded", config: SteeringConfig, out: Path, *, resume: bool = True,
         overlaps: Overlaps | None = None) -> AlignResult:  # fmt: skip
    """Shift the states of prompts with images to where the same requests lie as text. Nothing is trained; the vector is
    fitted on benign requests in seconds. Writes `out/steering/` and `out/run.json`."""
    return _write("cmrm", loaded, config, out, overlaps, resume)


@method(
    "shiftdc",
    title="ShiftDC: activation shift disentanglement and calibration",
    paper="Zou et al., Understanding and Rectifying Safety Perception Distortion in VLMs, NeurIPS 2025, "
    "arXiv 2502.13095",
    source="none that was read",
    licence="written from the paper's description",
    config=SteeringConfig,
    knobs=(ALPHA,),
    size=partial(_size, "shiftdc"),
)
def shiftdc(loaded: "Loaded", config: SteeringConfig, out: Path, *, resume: bool = True,
            overlaps: Overlaps | None = None) -> AlignResult:  # fmt: skip
    """Take back what an image shifts along the text's safety direction, and nothing else of the shift. The mean shift
    of the anchors stands for that of every input. Writes `out/steering/` and `out/run.json`."""
    return _write("shiftdc", loaded, config, out, overlaps, resume)


@method(
    "refusal-direction",
    title="Addition of the refusal direction",
    paper="Arditi et al., Refusal in Language Models Is Mediated by a Single Direction, arXiv 2406.11717",
    source="https://github.com/andyrdt/refusal_direction",
    licence="written from the paper",
    config=SteeringConfig,
    knobs=(ALPHA,),
    size=partial(_size, "refusal-direction"),
)
def refusal_direction(loaded: "Loaded", config: SteeringConfig, out: Path, *, resume: bool = True,
                      overlaps: Overlaps | None = None) -> AlignResult:  # fmt: skip
    """Add the direction from harmless to harmful text to prompts with images (`when=always`: to every state). It makes
    everything look more harmful, the harmless too: read over-refusal beside it. Writes `out/steering/` and
    `out/run.json`."""
    return _write("refusal-direction", loaded, config, out, overlaps, resume)
