"""UWM, Unsafe Weights Manipulation (D'Inca et al., WACV 2026, arXiv 2503.11742): an edit without training.

The steps of the paper, in this file: `pairs` gives safe and unsafe inputs by index (1); `calibrate` watches the inputs
of every targeted layer and streams the ratio of importances (2 to 6, in `_saliency`); `choose` takes the weights that
carry the last share of a layer's score (7); the edit multiplies them by alpha (8): -1 negates, 0 prunes.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data import Quadruple, read_quadruples

from .._knobs import PROMPT_TOKENS, Knob, Size
from .._outcome import AlignResult, claim, write_run
from .._registry import method
from .._sources import Overlaps

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoise.models import DualEncoder, Loaded

    from ._calibrate import Pairs

Kind = Literal["vision", "text"]
Names = tuple[str, ...]


class UWMConfig(BaseModel):
    """What to calibrate on, which layers to edit, and how much of them. Defaults: the paper's for CLIP."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    quadruples: Path | None = None
    """Folder with `quadruples.jsonl`: safe and unsafe images and texts, paired. None: training families of Twins, as
    prints and as texts."""
    tuples: int = Field(default=8192, ge=1)
    """At most so many quadruples, drawn with `seed`."""
    encoders: tuple[Kind, ...] = ("vision", "text")
    """Which encoders are edited, each by itself. The paper edits only the vision encoder of a vision-language model."""

    @field_validator("encoders")
    @classmethod
    def _once(cls, value: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("give vision, text, or both, each once")
        return value

    vision_layers: Names = ()
    """Own names of the linear layers of the vision encoder. Empty: `fc2`, or `down_proj` where it has none."""
    text_layers: Names = ()
    """The same for the text encoder or language model. Empty: `out_proj`, or `o_proj`."""
    vision_sparsity: float = Field(default=0.98, ge=0, le=1)
    """Share of a layer's score that stays: weights that carry the rest are edited. 0.98 edits 2 % of the score's mass,
    not of the weights. The paper takes 0.915 for the tower of LLaVA-1.5-13B."""
    text_sparsity: float = Field(default=0.98, ge=0, le=1)
    """The same for the text encoder."""
    alpha: float = Field(default=-1.0, allow_inf_nan=False)
    """What selected weights are multiplied by: -1 negates them, 0 prunes them; 1 would change nothing."""
    score: Literal["ratio", "unsafe", "random", "gradient-unsafe", "gradient-safe-clip"] = "ratio"
    """`ratio`: equation 10. `unsafe`: the unsafe importance alone, the paper's ablation. `random`: weights at random
    until they carry the same score mass, the control. The two baselines of the paper rank by gradients, for which only
    dual encoders have a loss, and take sparsity as a share of weights; it prunes (alpha 0) with 0.965 and 0.995.
    """
    vision_batch: int = Field(default=128, ge=1)
    """Images a calibration batch."""
    text_batch: int = Field(default=512, ge=1)
    """Texts a calibration batch."""
    seed: int = 0
    """Draw of the quadruples, and the random edit."""


def quadruples_of(config: UWMConfig, overlaps: Overlaps | None) -> tuple[list[Quadruple], dict[str, Any]]:
    """The calibration tuples and where they come from, for `run.json`; those that overlap evaluation rows are left out.

    Raises InputError when none is left.
    """
    if config.quadruples is None:
        from counterpoise.data.twins import families, quadruples

        drawn = quadruples(_drawn(families("train"), config))
        origin: dict[str, Any] = {"from": "counterpoise.data.twins", "split": "train"}
    else:
        drawn = iter(_drawn(list(read_quadruples(config.quadruples)), config))
        origin = {"from": str(config.quadruples)}
    kept, dropped = [], 0
    for each in drawn:
        if overlaps is not None and any(overlaps(row) for row in _samples(each)):
            dropped += 1
        else:
            kept.append(each)
    if not kept:
        raise InputError(f"{origin['from']}: all {dropped} quadruples overlap the rows of an evaluation; give others")
    return kept, origin | {"tuples": len(kept), "overlaps_dropped": dropped}


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_HasId)


def _drawn(rows: Sequence[T], config: UWMConfig) -> list[T]:
    """At most `config.tuples` of them, at random by id and seed alone."""
    from counterpoise.data import rank

    return sorted(rows, key=lambda row: rank(Sample(row.id, ()), config.seed, "uwm"))[: config.tuples]


def _samples(each: Quadruple) -> tuple[Sample, Sample]:
    return (
        Sample(f"{each.id}-safe", (user(each.safe_image, each.safe_text),)),
        Sample(f"{each.id}-unsafe", (user(each.unsafe_image, each.unsafe_text),)),
    )


def pairs_of(rows: Sequence[Quadruple], kind: Kind) -> "Pairs":
    """Batches of the images, or of the texts, of quadruples (step 1)."""

    def batches(size: int) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
        left = iter(rows)
        while some := list(islice(left, size)):
            if kind == "vision":
                yield [each.unsafe_image for each in some], [each.safe_image for each in some]
            else:
                yield [each.unsafe_text for each in some], [each.safe_text for each in some]

    return batches


def load_any(name: str, **options: Any) -> "Loaded | DualEncoder":
    """A chat model or a dual encoder, whichever the name is."""
    from counterpoise.models import is_dual, load, load_dual

    return load_dual(name) if is_dual(name) else load(name, **options)


MASS = (0.005, 0.01, 0.02, 0.05, 0.085)


def size(config: UWMConfig) -> Size:
    """Both sides of every pair, read once by each encoder."""
    from counterpoise.data.twins import families

    most = config.tuples if config.quadruples else min(config.tuples, len(families("train")))
    rows = 2 * most * len(config.encoders)
    return Size(rows, 0, 0, read=rows * PROMPT_TOKENS)


@method(
    "uwm",
    title="Unsafe Weights Manipulation",
    paper="D'Inca et al., Safe Vision-Language Models via Unsafe Weights Manipulation, WACV 2026, arXiv 2503.11742",
    source="https://github.com/Moreno98/UWM",
    licence="no licence file (nothing was copied)",
    config=UWMConfig,
    knobs=(
        Knob(
            "mass",
            "score mass edited",
            "share",
            grid=MASS,
            setting=lambda mass: {"vision_sparsity": 1 - mass, "text_sparsity": 1 - mass},
            current=lambda c: 1 - min(c.vision_sparsity, c.text_sparsity),
        ),
    ),
    size=size,
    load=load_any,
)
def align(
    loaded: "Loaded | DualEncoder",
    config: UWMConfig,
    out: Path,
    *,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Find the weights that matter more for unsafe than for safe inputs, and negate them. Nothing is trained.

    Works on the two encoders of CLIP and SigLIP, as in the paper, and on the vision encoder and the language model of a
    chat model. Calibration needs pairs of safe and unsafe inputs; the edit is a small file that is applied, removed or
    merged. The paper claims better preferences and captions; it does not show that instructions are refused, which the
    scorecard must.

    Writes `out/edit/` and `out/run.json`. Raises InputError for anything the user can mend.
    """
    import torch

    from counterpoise.models import TensorEdit, refuse_carrying, save_edit

    started = time.monotonic()
    refuse_carrying(loaded)
    claim(out, "uwm", loaded, config, resume=resume)
    rows, origin = quadruples_of(config, overlaps)
    edits: list[TensorEdit] = []
    layers: dict[str, dict[str, Any]] = {}
    for kind in config.encoders:
        for name, (facts, chosen) in _chosen(loaded, config, kind, rows).items():
            layers[name] = {"encoder": kind, **facts, "edited": len(chosen)}
            if len(chosen):
                values = torch.full((len(chosen),), config.alpha)
                edits.append(TensorEdit(f"{name}.weight", "scale", values, chosen))
    if not edits:
        raise InputError("uwm: no weight is selected; lower the sparsity (--dose mass=0.02)")
    calibrated = time.monotonic()
    artifact = save_edit(out / "edit", loaded, edits)
    share = sum(each["edited"] for each in layers.values()) / sum(each["weights"] for each in layers.values())
    return write_run(
        out, method="uwm", loaded=loaded, config=config, artifact=artifact, data={"calibration": origin},
        train={"edited_share": share, "layers": layers}, timings={"calibrate": calibrated - started},
    )  # fmt: skip


def _chosen(
    loaded: "Loaded | DualEncoder", config: UWMConfig, kind: Kind, rows: Sequence[Quadruple]
) -> "dict[str, tuple[dict[str, Any], Tensor]]":
    """By layer of one encoder: what calibration counted, and which weights the edit changes."""
    from counterpoise.models import DualEncoder

    from ._calibrate import calibrate, choose
    from ._gradients import gradient_scores, select_share
    from ._towers import chat_tower, dual_tower

    vision = kind == "vision"
    wanted, sparsity, batch = (
        (config.vision_layers, config.vision_sparsity, config.vision_batch)
        if vision
        else (config.text_layers, config.text_sparsity, config.text_batch)
    )
    tower = dual_tower(loaded, kind, wanted) if isinstance(loaded, DualEncoder) else chat_tower(loaded, kind, wanted)
    if config.score in ("gradient-unsafe", "gradient-safe-clip"):
        if not isinstance(loaded, DualEncoder):
            raise InputError(f"{loaded.name}: {config.score} needs a dual encoder's two embeddings; take score=ratio")
        scores = gradient_scores(loaded, kind, tower.layers, rows, batch, config.score)
        return {
            name: ({"weights": score.numel(), "pairs": len(rows)}, select_share(score, sparsity))
            for name, score in scores.items()
        }
    found = calibrate(tower, pairs_of(rows, kind), batch, len(rows), ratio=config.score != "unsafe")
    made = {}
    for place, (name, each) in enumerate(found.items()):
        at_random = config.seed * 100_003 + 2 * place + vision if config.score == "random" else None
        facts = {"weights": each.score.numel(), "pairs": each.pairs, "dropped": each.dropped}
        made[name] = facts, choose(each.score, sparsity, at_random=at_random)
    return made
