"""Concept Inversion (Pham et al., ICLR 2024, arXiv 2308.01508): does an edited model still know the concept?

Evaluation only. The edited model is frozen; textual inversion (Gal et al., arXiv 2208.01618) learns the vector of one
new word from pictures of the concept. Pictures drawn with that word show what the edit left in the weights: the attack
needs the weights (white box), and it bypasses whatever the edit did to the concept's name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import InputError, sha256_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from PIL.Image import Image as Picture
    from torch import Tensor

    from counterpoise.models.diffusion import Diffusion

FILE = "learned_embeds.safetensors"
"""The name and the content, word and vector, that `load_textual_inversion` of diffusers reads."""


@dataclass(frozen=True)
class Inversion:
    """How the word is learned. Defaults: what the DUO paper attacks with; Adam, constant rate."""

    prompts: tuple[str, ...] = ("a photo of {}",)
    """What the pictures are said to show, {} in place of the word: one for each picture, or some for all of them, of
    which one is drawn at each step."""
    word: str = "<concept>"
    start: str = ""
    """A known word whose vector it starts from; empty: drawn with mean and deviation of all words' vectors."""
    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 5e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.prompts or any(prompt.count("{}") != 1 for prompt in self.prompts):
            raise InputError("concept inversion: give prompts with {} once in each, in place of the word")
        if self.steps < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise InputError(f"concept inversion: steps {self.steps}, batch_size {self.batch_size}, learning_rate "
                             f"{self.learning_rate}; expected all above 0")  # fmt: skip

    def told(self, picture: int, pictures: int, generator: "torch.Generator") -> str:
        """The prompt of a picture, with the word in it."""
        import torch

        place = picture
        if len(self.prompts) != pictures:
            place = int(torch.randint(len(self.prompts), (1,), generator=generator))
        return self.prompts[place].replace("{}", self.word)


def invert(
    model: "Diffusion", pictures: "Sequence[Picture]", settings: Inversion, out: Path, *, resume: bool = True
) -> "Tensor":
    """Learn the word's vector (d,) from pictures of the concept; nothing else of the model changes.

    Minimises the model's own denoising loss over the vector alone: E ||target - net(x_t, t, prompt with the word)||^2,
    t uniform. Draw with it in `with model.new_word(settings.word, vector)`. Writes `out/learned_embeds.safetensors` and
    what `out/log.jsonl` tells of each step; a stopped attack goes on. Raises InputError for no picture, pictures of
    another size, a model with several text encoders (SD3), and a loss that is no number.
    """
    import torch
    from safetensors.torch import save_file

    from ._train import run_steps

    if not pictures:
        raise InputError("concept inversion: no picture of the concept; give some")
    latents = torch.cat([model.encode_images([picture]) for picture in pictures])
    vector = first_vector(model, settings).requires_grad_()

    def step(generator: "torch.Generator") -> "tuple[Tensor, Mapping[str, float]]":
        places = torch.randint(len(latents), (settings.batch_size,), generator=generator)
        told = [settings.told(place, len(latents), generator) for place in places.tolist()]
        return denoising_loss(model, latents[places], told, generator), {"norm": float(vector.detach().norm())}

    identity = {
        "settings": asdict(settings), "model": model.fingerprint,
        "artifact": model.artifact.fingerprint if model.artifact is not None else None,
        "pictures": [sha256_bytes(picture.convert("RGB").tobytes()) for picture in pictures],
    }  # fmt: skip
    with frozen(model), model.new_word(settings.word, vector):
        run_steps(
            model, step, out, title="concept inversion", steps=settings.steps, learning_rate=settings.learning_rate,
            weight_decay=0.0, max_grad_norm=float("inf"), seed=settings.seed, identity=identity, resume=resume,
            weights={settings.word: vector},
        )  # fmt: skip
    learned = vector.detach().cpu()
    save_file({settings.word: learned.contiguous()}, out / FILE)
    return learned


def first_vector(model: "Diffusion", settings: Inversion) -> "Tensor":
    """Where the search starts, (d,) float32."""
    import torch

    if settings.start:
        return model.vector_of(settings.start).float()
    table = model.word_vectors().float()
    noise = torch.randn(table.shape[1], generator=torch.Generator().manual_seed(settings.seed)).to(table)
    return table.mean(0) + table.std(0) * noise


def denoising_loss(
    model: "Diffusion", latents: "Tensor", told: Sequence[str], generator: "torch.Generator"
) -> "Tensor":
    """The loss that the model was trained with, of latents (B, C, H, W) and their prompts; levels uniform in (0, 1]."""
    import torch

    level = 1 - torch.rand(len(latents), generator=generator)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    made = model.predict(model.scheme.mix(latents, noise, level), level, model.encode_prompts(told))
    return (made - model.scheme.target(latents, noise, level)).square().mean()


@contextmanager
def frozen(model: "Diffusion") -> Iterator[None]:
    """The network without gradients of its own; afterwards, also after an error, as it was."""
    learning = [p for p in model.net.parameters() if p.requires_grad]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)
