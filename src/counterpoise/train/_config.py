"""The settings of one training run: complete, frozen, written to `run.json` as they were used."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ._groups import Group, Lora, Projector

Precision = Literal["auto", "bf16", "fp16", "fp32"]
# fields without an effect on the result: another value does not start a training anew
MEMORY_KNOBS = {
    "micro_batch_tokens",
    "gradient_checkpointing",
    "feature_cache_mb",
    "save_every_steps",
    "trunk_cache_mb",
}


class TrainConfig(BaseModel):
    """Settings of `fit`. The defaults are the rejection-mix paper's for 7B models (Wang et al. 2025, section 2.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    learning_rate: float = Field(default=2e-4, gt=0)
    """Highest learning rate, reached at the end of the warmup."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the rows; a fraction stops within a pass."""
    batch_size: int = Field(default=128, ge=1)
    """Rows per optimizer step, over all processes and micro-batches together."""
    micro_batch_tokens: int = Field(default=4096, ge=1)
    """About how many tokens (padding included) go through the model at once; a memory knob, no effect on the result.
    It is halved when memory runs out."""
    lora_rank: int = Field(default=128, ge=1)
    """Rank of the LoRA factors."""
    lora_alpha: float = Field(default=256, gt=0)
    """LoRA scale; the update is multiplied by alpha / rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the input of the LoRA factors."""
    groups: tuple[Group, ...] = ()
    """What is trained, when it is more than one LoRA adapter: then the lora_ settings and train_connector do not count.
    See `Lora`, `Projector`, `Layers`, `Head`."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Fraction of the steps in which the learning rate rises linearly."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this Euclidean norm."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What the learning rate does after the warmup: fall to 0 along a cosine, or stay."""
    seed: int = 0
    """Order of the rows, LoRA initialisation and dropout."""
    precision: Precision = "auto"
    """bf16: mixed precision (trained values and optimizer stay in fp32). fp16: the same with a loss scaler. fp32: the
    model must be loaded in fp32. auto: as the model was loaded."""
    train_connector: bool = False
    """Train the projector between vision tower and language model too (fully, and saved with the adapter)."""
    gradient_checkpointing: bool = False
    """Keep fewer activations and compute them again in the backward pass: less memory, about a third slower."""
    feature_cache_mb: int = Field(default=2048, ge=0)
    """Disk for the features of the frozen vision tower, so that later epochs skip it; 0 switches the cache off."""
    # left out of records unless it is set: it has no effect on a result
    trunk_cache_mb: int = Field(default=512, ge=0, exclude_if=lambda value: value == 512)
    """Memory for the states behind the blocks that a plan leaves as they are (see `Lora.layers_from`), so that roles
    and later passes over the same rows start there; 0: every pass is a whole one. Without effect when all blocks are
    trained."""
    save_every_steps: int = Field(default=25, ge=1)
    """Steps between checkpoints; after a crash at most this many are repeated."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens of a row, image tokens included. Longer rows are cut on the right; a row whose image or whole reply would
    be cut is left out, and counted. Unset: as many as the model has positions."""

    def plan(self) -> tuple[Lora | Group, ...]:
        """The parameter groups of this run."""
        if self.groups:
            return self.groups
        lora = Lora(rank=self.lora_rank, alpha=self.lora_alpha, dropout=self.lora_dropout)
        return (lora, Projector()) if self.train_connector else (lora,)
