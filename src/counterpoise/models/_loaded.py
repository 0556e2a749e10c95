"""What `load` returns: a model with all that is needed to use it, and to say later what it was."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterpoise.base import Artifact

from ._images import ImageCache

if TYPE_CHECKING:
    from ._edit import AppliedEdit
    from ._steering import AppliedSteering


@dataclass(frozen=True)
class AdapterProof:
    """Evidence that an adapter is active. Recorded in `run.json` and in logs."""

    path: str
    n_modules: int
    """Modules that got tensors from the adapter's file."""
    n_nonzero: int
    """How many of them change anything (LoRA: `lora_B` is not all zero)."""
    probe_difference: float
    """Largest change of a logit on a probe prompt, with the adapter against without it."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory. Build it with `load`."""

    name: str
    """What the user asked for: "pocket", a hub id, or a folder."""
    path: str
    """The folder the weights came from."""
    adapter: str | None
    """Folder of the PEFT adapter, or None."""
    dtype: str
    device: str
    """Where inputs go: the model's device, or that of its input embeddings when a device map spreads it over several.
    """
    model: Any
    """The `PreTrainedModel` itself; adapter layers, if any, are inside it."""
    processor: Any
    """The processor of a vision-language model, else None."""
    tokenizer: Any
    is_vlm: bool
    fingerprint: str
    """Short hash of weights, adapter, processor settings and dtype: what cached answers are keyed by."""
    image_backend: str | None = None
    """"pil" or "torchvision": their pixel values differ slightly."""
    proof: AdapterProof | None = None
    generation_defaults: dict[str, Any] = field(default_factory=dict)
    """What the checkpoint's generation config would do to answers (a repetition penalty, sampling): none of it is used.
    """
    peft: Any = field(default=None, repr=False)
    """The `PeftModel` around `model` while its adapter is apart; `with loaded.peft.disable_adapter():` is the base."""
    artifact: Artifact | None = None
    """What was put on the base named `name`, of any kind; for whole weights `path` is theirs."""
    edit: "AppliedEdit | None" = field(default=None, repr=False)
    """The edit while it can be taken off; `with loaded.edit.off():` is the base."""
    system: str = ""
    """System text that the model is served with: `counterpoise.json` of its folder, or of what was put on it, names
    it. The engine puts it before every conversation; training does not."""
    steering: "AppliedSteering | None" = field(default=None, repr=False)
    """The steering that acts on it; `with loaded.steering.off():` is the base."""
    images: ImageCache = field(default_factory=ImageCache, repr=False)

    @property
    def positions(self) -> int | None:
        """Tokens that the language model has positions for; None where its settings do not say."""
        most: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return most
