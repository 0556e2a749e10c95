"""Settings of Safe RLHF-V. Defaults: the paper's and its released scripts', what differs is said beside it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.train import TrainConfig

from .._sources import Files
from ._control import MultiplierConfig

Stage = Literal["all", "reward", "cost", "ppo"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ScoringConfig(_Settings):
    """How the reward and the cost model are trained."""

    mu: float = Field(default=1e-3, ge=0)
    """Weight of the regulariser on squared scores, of both models."""
    k: float = Field(default=1.0, ge=0)
    """Weight of the sign terms of the cost model."""
    sign: Literal["graded", "binary"] = "binary"
    """`graded`: -3 to 3, which scales the margin, and nothing for a bare refusal, whose grade is 0. `binary`: -1 and 1,
    as in Safe RLHF for texts."""
    rank: Literal["unsafe", "all"] = "unsafe"
    """Pairs whose order the cost model learns: those with a reply that is not said to be safe, or all, as in the paper.
    The order of two safe replies pulled the costs of bare refusals above those of compliance."""
    probe: bool = True
    """Start the head at a linear probe of the untouched model on the same pairs (LP-FT, one more pass over them).
    Else at random, as in the paper."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Of the head. Default: a tenth of the factors' rate behind a probe, 1e-3 from random; the paper trains all weights
    at one rate."""
    train: TrainConfig = TrainConfig(learning_rate=3e-5, epochs=3, batch_size=4, lora_rank=8, lora_alpha=16)
    """Training of both. The paper trains all weights but the vision tower; LoRA factors of rank 8 came to the same
    accuracy at 1,024 pairs (78.5 and 80.1 %)."""


class PPOConfig(_Settings):
    """How the policy is trained."""

    steps: int = Field(default=100, ge=1)
    """Updates, each on newly sampled answers."""
    prompts: int = Field(default=32, ge=1)
    """Prompts of an update, over all processes."""
    answers: int = Field(default=1, ge=1)
    """Answers to each prompt. Without critics at least 2."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Longest answer."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the answers of an update."""
    beta: float = Field(default=0.02, ge=0)
    """Strength of the tie to the reference, for every multiplier."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far the probability of a token may move for it to count."""
    value_clip: float = Field(default=5.0, gt=0)
    """How far a critic's value may move for it to count."""
    score_clip: float = Field(default=50.0, gt=0)
    """Bound of rewards and costs per token."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Of generalised advantage estimation."""
    ptx: float = Field(default=16.0, ge=0)
    """Coefficient of cross-entropy on the instruction rows, where there are any."""
    critic_free: bool = False
    """Leave-one-out among the answers to a prompt in place of two critics."""
    critic_learning_rate: float = Field(default=5e-5, gt=0)
    """Of the critics' factors and heads. The paper's 5e-7 is for all weights."""
    constrained: Literal["all", "harmful"] = Field(default="all", exclude_if=lambda value: value == "all")
    """Prompts whose mean cost the budget bounds: all, as in the paper, whose prompts are all harmful; or all that are
    not known to be benign. Among benign ones, cheap whatever is answered, the cost of harmful ones hardly counts, and
    their own cost says little but that they were not refused: with `harmful` their reward alone counts."""
    server: str | None = Field(default=None, pattern=r"^https?://.+/v1/?$", exclude_if=lambda value: value is None)
    """Base URL (ending in /v1) of a vLLM server of the same model that samples the answers; see the page. Default: this
    process does."""
    connections: int = Field(default=64, ge=1, exclude_if=lambda value: value == 64)
    """Requests to the server at a time."""
    goal: Literal["both", "reward", "cost"] = "both"
    """`reward` and `cost` are rivals: PPO on one signal."""
    multiplier: MultiplierConfig = MultiplierConfig()
    """The Lagrange multiplier and the budget."""
    train: TrainConfig = TrainConfig(
        learning_rate=1e-5, lora_rank=8, lora_alpha=16, save_every_steps=5, micro_batch_tokens=4096
    )
    """Of the actor. The paper's 5e-7 is for all weights. Its epochs and batch_size have no effect here."""

    @model_validator(mode="after")
    def _check(self) -> "PPOConfig":
        if self.critic_free and self.answers < 2:
            raise ValueError("critic_free needs at least 2 answers to each prompt; set answers")
        return self


class SafeRLHFConfig(_Settings):
    """Reward and cost model from pairs with two orders, then PPO with a Lagrange multiplier."""

    stage: Stage = "all"
    """One stage alone; `ppo` needs the other two in the same folder, or `reward_model` and `cost_model`."""
    pairs: Files = ()
    """Files of preference pairs (BeaverTails-V, PKU-SafeRLHF). None: 2,752 pairs of our own from Twins' training
    half."""
    images: Path | None = None
    """Folder that image paths of these files start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of the files that are left out, counted and listed; one more stops the run."""
    n_pairs: int | None = Field(default=None, ge=1)
    """Train on so many pairs, drawn with `seed`, and those of `sampled`. Default: all."""
    held_out: Files = ()
    """Files of pairs that the reward and cost model are measured on. None: of our own, from Twins' validation families;
    with `pairs` and no `held_out` there is no such measurement."""
    n_held_out: int | None = Field(default=None, ge=1)
    """Measure on so many of them. Default: all."""
    sampled: int | None = Field(default=None, ge=0)
    """Training requests of Twins to which the model itself samples two replies, rated by the same rule; those pairs in
    which the rule sees a difference stand beside the `n_pairs` others. A cost model that has only read written replies
    can be worse than chance on the policy's own. None: 300, and none beside `pairs`."""
    reward_model: Path | None = None
    """Adapter folder of a reward model that is trained already. One that was trained on another base than the policy is
    loaded beside it, on its own, and reads the replies as text."""
    cost_model: Path | None = None
    """The same of a cost model."""
    instructions: Files = ()
    """LLaVA/ShareGPT files for the PTX term. None: no such term, unless `n_instructions` is set."""
    n_instructions: int = Field(default=0, ge=0)
    """So many built-in instruction rows for the PTX term, with the model's own answers."""
    scoring: ScoringConfig = ScoringConfig()
    """Reward and cost model."""
    ppo: PPOConfig = PPOConfig()
    """Policy."""
    layers_from: int = Field(default=0, ge=0)
    """Factors of all roles only on the language model's blocks from this one on, counted from 0. What lies below is
    then computed once for all six, and backward passes end there. Models that were trained otherwise (`reward_model`)
    are computed by themselves."""
    seed: int = 0
    """Draws, initialisation, sampling."""
