"""What a method needs of a diffusion model, whatever its architecture."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from counterpoise.base import Artifact, InputError

from ._scheme import Scheme

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

Condition = Mapping[str, "Tensor"]
"""Encoded prompts of a batch, as the network takes them."""


@dataclass(frozen=True)
class Request:
    """Pictures to draw: one for each seed."""

    prompt: str
    seeds: tuple[int, ...]
    negative: str = ""
    guidance: float = 7.5
    steps: int = 30
    start: "tuple[Picture, ...]" = ()
    """Pictures to start from, one for each seed (SDEdit); empty: from noise."""
    strength: float = 1.0
    """How much noise the start gets: 1 leaves nothing of it."""
    encoded: Condition | None = field(default=None, repr=False, compare=False)
    """An encoded prompt, one row, in place of `prompt`: what no text may give."""


class Diffusion(ABC):
    """A text-to-image model in memory. Text encoder and autoencoder are frozen; `net` is what methods train."""

    name: str
    path: str
    fingerprint: str
    dtype: str
    device: str
    net: Any
    """The denoiser: a U-Net or a transformer, with an adapter on it or without."""
    scheme: Scheme
    self_attention: str
    """Regular expression of the linear layers of self-attention, by module name (DUO trains these)."""
    cross_attention: str
    """The same of cross-attention, which reads the prompt; empty where the two are one (SD3)."""
    bound: float | None = None
    """Largest value of a clean image, to which its own sampler clips; None for latents, which have no bound."""
    adapter: None = None
    edit: None = None
    artifact: Artifact | None = None

    @abstractmethod
    def encode_images(self, images: "Sequence[Picture]") -> "Tensor":
        """Latents (B, C, H, W), float32, of pictures of the model's own size."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        """Encoded prompts, one row each."""

    @abstractmethod
    def word_vectors(self) -> "Tensor":
        """The table of vectors (V, d) that the text encoder looks words up in. Raises InputError where there is more
        than one (SD3)."""

    @abstractmethod
    def vector_of(self, word: str) -> "Tensor":
        """The vector (d,) of a word. Raises InputError for one that is not a single entry of the table."""

    @contextmanager
    def new_word(self, word: str, vector: "Tensor") -> Iterator[None]:
        """One more word that prompts may use, while the block lasts; afterwards, also after an error, the model is what
        it was, bit for bit.

        `vector` (d,) is read at each encoding, and gradients reach it. Raises InputError for a word that is known
        already or has spaces or capitals (which prompts lose), and for a vector of another size.
        """
        width = self.word_vectors().shape[1]
        if not word or word != word.lower() or word.split() != [word]:
            raise InputError(f"new word {word!r}: expected small letters or signs without a space, such as <concept>")
        if vector.shape != (width,):
            raise InputError(f"new word {word!r}: a vector of shape {tuple(vector.shape)}; {self.name} has ({width},)")
        leave = self._add_word(word, vector)
        try:
            yield
        finally:
            leave()

    @abstractmethod
    def _add_word(self, word: str, vector: "Tensor") -> Callable[[], None]:
        """Add it; what takes it away again."""

    @abstractmethod
    def last_word(self, prompt: str) -> int:
        """Place of the last token of a prompt among its encoded states; 0 for an empty one."""

    @abstractmethod
    def predict(self, noisy: "Tensor", level: "Tensor", condition: Condition) -> "Tensor":
        """What the network predicts for noisy latents at the levels (B,)."""

    @abstractmethod
    def generate(self, request: Request) -> "list[Picture]":
        """Draw; the same request gives the same pictures on one machine."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of its pictures in pixels."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one latent."""

    def layers(self, pattern: str) -> dict[str, Any]:
        """Linear layers of the network by name that the pattern matches whole."""
        import re

        return {name: module for name, module in self.net.named_modules() if re.fullmatch(pattern, name)}
