"""DUO, direct unlearning optimisation (Park et al., NeurIPS 2024, arXiv 2407.21035): forget a concept by pictures.

The steps of the paper, in this file and two beside it: pairs of an unsafe picture and its smallest safe edit (1,
`_pairs`); Diffusion-DPO with an empty prompt (2) and the output-preserving term at pure noise (3, 4, `_loss`); LoRA on
self-attention alone (5); adapters of several concepts are added up (6, `merge`).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.base import InputError, sha256_file

from .._knobs import Knob, Size
from .._outcome import AlignResult, write_run
from .._registry import method
from .._sources import Overlaps
from ._pairs import ConceptPair, PairPlan, make_pairs, read_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from counterpoise.models.diffusion import Diffusion

    from ._loss import Six


class DUOConfig(BaseModel):
    """What to forget and how strongly. Defaults: the paper's for nudity on Stable Diffusion 1.4."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pairs: Path | None = None
    """Folder of pairs: pairs.jsonl, unsafe/, safe/. None: the model draws them from the prompts below."""
    prompts: tuple[str, ...] = ()
    """Prompts of what is to be forgotten."""
    base_prompts: tuple[str, ...] = ()
    """Their safe counterparts, one for each."""
    num_pairs: int = Field(default=64, ge=1)
    """Pairs that are drawn, or taken from the folder."""
    strength: float = Field(default=0.75, gt=0, le=1)
    """Noise that the safe edit starts from (SDEdit)."""
    draw_steps: int = Field(default=50, ge=1)
    """Denoising steps of a drawn picture."""
    merge: tuple[Path, ...] = ()
    """Adapters of several concepts to add up instead of training one."""
    loss: Literal["duo", "ascent"] = "duo"
    """`ascent`: the control, plain gradient ascent on the unsafe pictures."""
    beta: float = Field(default=500.0, gt=0)
    """Strength of the tie to the base. Smaller forgets more and drifts more."""
    base_rate: float = Field(default=3e-4, gt=0)
    """Learning rate at beta 100; the rate is base_rate 100 / beta."""
    base_prior: float = Field(default=1e6, ge=0)
    """Weight of the output-preserving term at beta 100; the weight is base_prior beta / 100. 0 leaves it out."""
    steps: int = Field(default=1000, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=4, ge=1)
    """Pairs a step."""
    lowest: float = Field(default=0.001, gt=0, le=1)
    """Smallest noise level of the preference term, as a share of the schedule."""
    highest: float = Field(default=0.75, gt=0, le=1)
    """Largest noise level of it: 0.75 leaves out the noisiest quarter."""
    legacy_index: bool = False
    """SD3 only: levels as the published script takes them, by the index of a descending table (see docs)."""
    rank: int = Field(default=32, ge=1)
    """Rank of the LoRA factors; alpha equals it."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled weight decay of AdamW."""
    seed: int = 0
    """Drawn pairs, LoRA factors, order of the pairs, noise and levels."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest {self.lowest} is above highest {self.highest}")
        if not self.merge and self.pairs is None and (not self.prompts or len(self.prompts) != len(self.base_prompts)):
            raise ValueError("give pairs, a folder; or prompts, and as many base_prompts")
        return self


def load(name: str, **options: Any) -> "Diffusion":
    """The text-to-image model of a name."""
    from counterpoise.models.diffusion import load_diffusion

    options.pop("merge", None)  # an adapter is trained on the base
    options.pop("device_map", None)
    return load_diffusion(name, **options)


@method(
    "duo",
    title="DUO: direct unlearning optimisation",
    paper="Park et al., Direct Unlearning Optimization for Robust and Safe Text-to-Image Models, NeurIPS 2024, "
    "arXiv 2407.21035",
    source="https://github.com/naver-ai/DUO",
    licence="Apache-2.0 (nothing was copied)",
    config=DUOConfig,
    knobs=(
        Knob("beta", "tie to the base", "number", "falling", grid=(2000, 1000, 500, 250, 100)),
        Knob("amount", "pairs", "rows", setting="num_pairs"),
    ),
    size=lambda config: Size(config.num_pairs, 2, config.steps * config.batch_size / config.num_pairs),
    load=load,
)
def align(
    loaded: "Diffusion", config: DUOConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Make a text-to-image model forget a visual concept, by preferring an edited picture to the original.

    Works on pictures and not on prompts, so that another wording does not bring the concept back; a term at pure noise
    keeps everything else. Needs no language: the prompt of all training is empty. It does not keep look-alikes of the
    concept, which must be measured (`counterpoise.methods.duo.evaluate`).

    Writes `out/pairs/` (unless they are given), `out/adapter/`, `out/run.json`. Raises InputError for anything the user
    can mend.
    """
    started = time.monotonic()
    if config.merge:
        return _merged(loaded, config, out, started)
    pairs, data = _pairs_of(loaded, config, out)
    drawn = time.monotonic()
    from counterpoise.models import read_artifact

    facts = train(loaded, config, pairs, out, resume=resume)
    loaded.net.save_pretrained(out / "adapter", safe_serialization=True)
    artifact = read_artifact(out / "adapter")
    return write_run(
        out, method="duo", loaded=loaded, config=config, artifact=artifact, data=data, train=facts,
        timings={"build": drawn - started, "train": time.monotonic() - drawn},
    )  # fmt: skip


def _pairs_of(loaded: "Diffusion", config: DUOConfig, out: Path) -> "tuple[list[ConceptPair], dict[str, Any]]":
    if config.pairs is not None:
        pairs, origin = read_pairs(config.pairs), str(config.pairs)
        if len(pairs) < config.num_pairs and "num_pairs" in config.model_fields_set:
            raise InputError(f"{config.pairs}: {len(pairs)} pairs, num_pairs is {config.num_pairs}; lower num_pairs")
        pairs = pairs[: config.num_pairs]
    else:
        plan = PairPlan(config.prompts, config.base_prompts, config.num_pairs, config.strength, steps=config.draw_steps,
                        seed=config.seed)  # fmt: skip
        pairs, origin = make_pairs(loaded, plan, out / "pairs"), "drawn by the model"
    hashes = {pair.id: [sha256_file(pair.safe), sha256_file(pair.unsafe)] for pair in pairs}
    return pairs, {"pairs": len(pairs), "from": origin, "sha256": hashes}


def train(
    loaded: "Diffusion", config: DUOConfig, pairs: "list[ConceptPair]", out: Path, *, resume: bool = True
) -> dict[str, Any]:
    """Steps 2 to 5: put LoRA on self-attention and train it; what the last steps logged."""
    import torch

    from counterpoise.models.diffusion import add_lora

    from ._loss import ascent_loss, duo_loss, rates
    from ._train import run_steps

    pictures = [pair.pictures() for pair in pairs]
    latents = [torch.cat([loaded.encode_images([side[i]]) for side in pictures]) for i in (0, 1)]
    add_lora(loaded, loaded.self_attention, rank=config.rank, alpha=config.rank, seed=config.seed)
    empty = loaded.encode_prompts([""])
    rate, weight = rates(config.base_rate, config.base_prior, config.beta)

    def step(generator: "torch.Generator") -> "tuple[Tensor, Mapping[str, float]]":
        places = torch.randint(len(pairs), (config.batch_size,), generator=generator)
        six, targets = predictions(loaded, config, latents[0][places], latents[1][places], empty, generator)
        if config.loss == "ascent":
            terms = ascent_loss(six, targets[1])
        else:
            terms = duo_loss(six, *targets, beta=config.beta, weight=weight)
        logit = terms.logit.detach()
        return terms.loss, {
            "preference": float(terms.preference.detach()), "prior": float(terms.prior.detach()),
            "delta_safe": float(terms.delta_safe.detach()), "delta_unsafe": float(terms.delta_unsafe.detach()),
            "logit": float(logit.mean()), "saturated": float((logit > 10).float().mean()),
        }  # fmt: skip

    identity = {"config": config.model_dump(mode="json"), "model": loaded.fingerprint,
                "pairs": [sha256_file(pair.unsafe) + sha256_file(pair.safe) for pair in pairs]}  # fmt: skip
    return run_steps(
        loaded, step, out / "training", title="duo", steps=config.steps, learning_rate=rate,
        weight_decay=config.weight_decay, seed=config.seed, identity=identity, resume=resume,
    )  # fmt: skip


def predictions(
    loaded: "Diffusion",
    config: DUOConfig,
    safe: "Tensor",
    unsafe: "Tensor",
    empty: "Mapping[str, Tensor]",
    generator: "torch.Generator",
) -> "tuple[Six, tuple[Tensor, Tensor]]":
    """The six predictions for a batch of pairs, and the targets of (safe, unsafe). A pair shares its noise; each of its
    pictures has a level of its own."""
    import torch

    from counterpoise.models.diffusion import without_adapter

    from ._loss import Six

    n = len(safe)
    noise = torch.randn(safe.shape, generator=generator).to(safe)
    one, two = (levels(loaded, config, n, generator) for _ in range(2))
    pure = pure_level(loaded, config, n)
    scheme = loaded.scheme
    noisy = torch.cat([scheme.mix(safe, noise, one), scheme.mix(unsafe, noise, two), noise])
    told = torch.cat([one, two, pure])
    condition = {name: value.repeat(3 * n, *[1] * (value.ndim - 1)) for name, value in empty.items()}
    with torch.no_grad(), without_adapter(loaded):
        frozen = loaded.predict(noisy, told, condition)
    tuned = loaded.predict(noisy, told, condition)
    targets = scheme.target(safe, noise, one), scheme.target(unsafe, noise, two)
    return Six(*tuned.chunk(3), *frozen.chunk(3)), targets


def levels(loaded: "Diffusion", config: DUOConfig, n: int, generator: "torch.Generator") -> "Tensor":
    """Noise levels of the preference term, uniform in [lowest, highest]."""
    import torch

    from counterpoise.models.diffusion import Flow, legacy_level

    drawn = config.lowest + (config.highest - config.lowest) * torch.rand(n, generator=generator)
    return legacy_level(drawn) if config.legacy_index and isinstance(loaded.scheme, Flow) else drawn


def pure_level(loaded: "Diffusion", config: DUOConfig, n: int) -> "Tensor":
    """The level of the output-preserving term: pure noise. The published SD3 script tells the network the smallest."""
    from counterpoise.models.diffusion import Flow, legacy_level

    pure = loaded.scheme.pure(n)
    return legacy_level(pure) if config.legacy_index and isinstance(loaded.scheme, Flow) else pure


def _merged(loaded: "Diffusion", config: DUOConfig, out: Path, started: float) -> AlignResult:
    """Step 6: one adapter whose change of every weight is the sum of the given ones' changes."""
    from counterpoise.models import read_artifact

    from ._merge import sum_adapters

    sum_adapters(config.merge, out / "adapter")
    artifact = read_artifact(out / "adapter")
    names = {str(path): read_artifact(path).fingerprint for path in config.merge}
    return write_run(
        out, method="duo", loaded=loaded, config=config, artifact=artifact, data={"merged": names}, train={},
        timings={"merge": time.monotonic() - started},
    )  # fmt: skip
