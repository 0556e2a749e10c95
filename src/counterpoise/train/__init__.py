"""Training on four seams: what a row is and its loss, what is trained, where rows come from, what is left behind.

`fit(loaded, samples, SFT(), TrainConfig(), out)` writes `out/adapter/`. A method brings rows and an `Objective`; what
is trained beside one LoRA adapter is a plan of groups (`Lora`, `Projector`, `Layers`, `Head`) in `TrainConfig.groups`;
rows that the model makes itself come from `Rollouts` or `Rounds`; several objectives on one backbone drive a `Stepper`
(`training`) themselves. The result is an `Artifact`. Read `_objective` first, then `_trainable`, `_plan`, `_stepper`,
`_loop`.

Importing this package does not import torch; the names below are resolved when they are first used.
"""

from typing import TYPE_CHECKING, Any

from ._config import MEMORY_KNOBS, TrainConfig
from ._groups import Group, Head, Layers, Lora, Projector

if TYPE_CHECKING:
    from ._artifact import load_head, save_artifact, save_heads
    from ._binding import Binding, Bound
    from ._checkpoint import FitResult, Metrics
    from ._constrained import ConstrainedSFT, Uncut, WholeText, constrained_loss, reply_places
    from ._encode import Batch, Tokens, collate, encode_sample, fit_length, length_limit, pad
    from ._features import FeatureStore
    from ._loop import fit, training
    from ._losses import (
        LossOut,
        dpo_loss,
        hidden_states,
        label_logits,
        label_logprobs,
        last_valid,
        sequence_logprobs,
        sft_loss,
    )
    from ._objective import DPO, SFT, Loss, Objective, digest, pair_sample
    from ._plan import Encoded, FixedPlan, GivenSteps, Planner, Rollouts, Rounds
    from ._stepper import Stepper
    from ._text_targets import Scale, Target, late_layers, target_odds, text_scale, text_targets
    from ._trainable import Trainable

_PLACES = {
    "_artifact": ("load_head", "save_artifact", "save_heads"),
    "_binding": ("Binding", "Bound"),
    "_checkpoint": ("FitResult", "Metrics"),
    "_constrained": ("ConstrainedSFT", "Uncut", "WholeText", "constrained_loss", "reply_places"),
    "_encode": ("Batch", "Tokens", "collate", "encode_sample", "fit_length", "pad", "length_limit"),
    "_features": ("FeatureStore",),
    "_loop": ("fit", "training"),
    "_losses": (
        "LossOut", "dpo_loss", "hidden_states", "label_logits", "label_logprobs", "last_valid", "sequence_logprobs",
        "sft_loss",
    ),
    "_objective": ("DPO", "SFT", "Loss", "Objective", "digest", "pair_sample"),
    "_plan": ("Encoded", "FixedPlan", "GivenSteps", "Planner", "Rollouts", "Rounds"),
    "_stepper": ("Stepper",),
    "_text_targets": ("Scale", "Target", "late_layers", "target_odds", "text_scale", "text_targets"),
    "_trainable": ("Trainable",),
}  # fmt: skip
_PLACE = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "DPO",
    "MEMORY_KNOBS",
    "SFT",
    "Batch",
    "Binding",
    "Bound",
    "ConstrainedSFT",
    "Encoded",
    "FeatureStore",
    "FitResult",
    "FixedPlan",
    "GivenSteps",
    "Group",
    "Head",
    "Layers",
    "Lora",
    "Loss",
    "LossOut",
    "Metrics",
    "Objective",
    "Planner",
    "Projector",
    "Rollouts",
    "Rounds",
    "Scale",
    "Stepper",
    "Target",
    "Tokens",
    "TrainConfig",
    "Trainable",
    "Uncut",
    "WholeText",
    "collate",
    "constrained_loss",
    "digest",
    "dpo_loss",
    "encode_sample",
    "fit",
    "fit_length",
    "hidden_states",
    "label_logits",
    "label_logprobs",
    "last_valid",
    "late_layers",
    "length_limit",
    "load_head",
    "pad",
    "pair_sample",
    "reply_places",
    "save_artifact",
    "save_heads",
    "sequence_logprobs",
    "sft_loss",
    "target_odds",
    "text_scale",
    "text_targets",
    "training",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACE:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACE[name]}"), name)
