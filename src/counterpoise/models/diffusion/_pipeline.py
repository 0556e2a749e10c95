"""Stable Diffusion 1.x (U-Net) and 3 (transformer, flow matching) through the pipelines of `diffusers`."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from counterpoise.base import InputError, require

from ._base import Condition, Diffusion, Request
from ._scheme import Discrete, Flow

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor


class PipelineDiffusion(Diffusion):
    """A `StableDiffusionPipeline` or `StableDiffusion3Pipeline`. The autoencoder stays in float32, where float16 would
    overflow. The safety checker of a pipeline is not asked: what is drawn here is measured, not shown."""

    def __init__(self, name: str, path: str, fingerprint: str, pipe: Any):
        self.name, self.path, self.fingerprint, self.pipe = name, path, fingerprint, pipe
        self.flow = hasattr(pipe, "transformer") and pipe.transformer is not None
        self.net = pipe.transformer if self.flow else pipe.unet
        weight = next(self.net.parameters())
        self.dtype, self.device = str(weight.dtype).removeprefix("torch."), str(weight.device)
        if pipe.vae.dtype != torch.float32:
            pipe.vae.to(torch.float32)
        pipe.set_progress_bar_config(disable=True)
        for part in (pipe.vae, pipe.text_encoder, *(getattr(pipe, f"text_encoder_{n}", None) for n in (2, 3))):
            if part is not None:  # frozen: what is learned is the network, or the vector of a word
                part.requires_grad_(False)
        if self.flow:
            self.scheme = Flow(float(pipe.scheduler.config.shift))
            self.self_attention, self.cross_attention = r".*\.attn2?\.(to_q|to_k|to_v|to_out\.0)", ""
        else:
            self.scheme = Discrete(_alphas(pipe.scheduler), _prediction(pipe.scheduler, name))
            self.self_attention = r".*attn1\.(to_q|to_k|to_v|to_out\.0)"
            self.cross_attention = r".*attn2\.(to_q|to_k|to_v|to_out\.0)"

    @property
    def size(self) -> int:
        return int(self.net.config.sample_size) * int(self.pipe.vae_scale_factor)

    @property
    def shape(self) -> tuple[int, int, int]:
        side = int(self.net.config.sample_size)
        return (int(self.net.config.in_channels), side, side)

    @torch.no_grad()
    def encode_images(self, images: "Sequence[Picture]") -> "Tensor":
        pixels = self.pipe.image_processor.preprocess(list(images), height=self.size, width=self.size)
        vae = self.pipe.vae
        latent = vae.encode(pixels.to(vae.device, torch.float32)).latent_dist.mode()
        made: Tensor = (latent - (getattr(vae.config, "shift_factor", None) or 0.0)) * vae.config.scaling_factor
        return made

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        texts, device = list(prompts), self.pipe.vae.device
        if self.flow:
            states, _, pooled, _ = self.pipe.encode_prompt(texts, None, None, device, 1, False)
            return {"encoder_hidden_states": states, "pooled_projections": pooled}
        states, _ = self.pipe.encode_prompt(texts, device, 1, False)
        return {"encoder_hidden_states": states}

    def word_vectors(self) -> "Tensor":
        table: Tensor = self._embedding().weight.detach()
        return table

    def vector_of(self, word: str) -> "Tensor":
        tokens = self.pipe.tokenizer(word, add_special_tokens=False)["input_ids"]
        if len(tokens) != 1:
            raise InputError(f"{self.name}: {word!r} is {len(tokens)} tokens; expected a word that is a single one")
        return self.word_vectors()[tokens[0]].clone()

    def _embedding(self) -> Any:
        if self.flow:
            raise InputError(f"{self.name}: a new word is for models with one text encoder, such as SD1.x")
        return self.pipe.text_encoder.get_input_embeddings()

    def _add_word(self, word: str, vector: "Tensor") -> Callable[[], None]:
        """The tokenizer is a copy with one more token; the table of the text encoder shows one more row."""
        from torch.nn.utils import parametrize

        table, before = self._embedding(), self.pipe.tokenizer
        tokenizer, place = copy.deepcopy(before), len(before)
        known = len(before(word, add_special_tokens=False)["input_ids"]) == 1
        if known or parametrize.is_parametrized(table) or tokenizer.add_tokens([word]) != 1:
            raise InputError(f"{self.name}: knows the word {word!r} already, or another new one; one at a time")
        if place > len(table.weight):
            raise InputError(f"{self.name}: its tokenizer has {place} tokens, its text encoder {len(table.weight)}")
        # the stored table stays as it is and comes back when the parametrization is taken off
        parametrize.register_parametrization(table, "weight", _OneMore(vector, place), unsafe=True)
        self.pipe.tokenizer = tokenizer

        def leave() -> None:
            self.pipe.tokenizer = before
            parametrize.remove_parametrizations(table, "weight", leave_parametrized=False)

        return leave

    def last_word(self, prompt: str) -> int:
        """Before the end-of-text token, after the start one."""
        tokens = self.pipe.tokenizer(prompt, truncation=True)["input_ids"]
        return max(0, len(tokens) - 2)

    def predict(self, noisy: "Tensor", level: "Tensor", condition: Condition) -> "Tensor":
        label, given = self.scheme.label(level).to(noisy.device), noisy.to(next(self.net.parameters()).dtype)
        made: Tensor = self.net(given, timestep=label, **condition).sample
        return made.float()

    @torch.no_grad()
    def generate(self, request: Request) -> "list[Picture]":
        diffusers = require("diffusers", purpose="a diffusion model", install="counterpoise[diffusion]")
        n = len(request.seeds)
        options: dict[str, Any] = {
            **self._told(request, n),
            "guidance_scale": request.guidance,
            "num_inference_steps": request.steps,
            "generator": [torch.Generator(self.device).manual_seed(seed) for seed in request.seeds],
        }
        name = "StableDiffusion3" if self.flow else "StableDiffusion"
        if request.start:
            kind = getattr(diffusers, f"{name}Img2ImgPipeline")
            options |= {"image": list(request.start), "strength": request.strength}
        else:
            kind = getattr(diffusers, f"{name}Pipeline")
        parts = {part: getattr(self.pipe, part) for part in self.pipe.components}
        parts["transformer" if self.flow else "unet"] = self.net
        extra = {} if self.flow else {"requires_safety_checker": False}
        pipe = kind(**parts, **extra)
        pipe.set_progress_bar_config(disable=True)
        made: list[Picture] = pipe(**options).images
        return made

    def _told(self, request: Request, n: int) -> dict[str, Any]:
        if request.encoded is None:
            return {"prompt": [request.prompt] * n, "negative_prompt": [request.negative] * n}
        names = {"encoder_hidden_states": "prompt_embeds", "pooled_projections": "pooled_prompt_embeds"}
        free, told = self.encode_prompts([request.negative]), request.encoded
        options = {names[name]: value.repeat(n, *[1] * (value.ndim - 1)) for name, value in told.items()}
        return options | {
            f"negative_{names[name]}": value.repeat(n, *[1] * (value.ndim - 1)) for name, value in free.items()
        }


class _OneMore(torch.nn.Module):
    """A table with a row of somebody else's: the one at `place`, or one more at the end."""

    def __init__(self, vector: "Tensor", place: int):
        super().__init__()
        self.vector, self.place = (vector,), place  # in a tuple: no parameter of the text encoder

    def forward(self, table: "Tensor") -> "Tensor":
        return torch.cat([table[: self.place], self.vector[0].to(table)[None], table[self.place + 1 :]])


def _alphas(scheduler: Any) -> "Tensor":
    alphas: Tensor = scheduler.alphas_cumprod
    return alphas


def _prediction(scheduler: Any, name: str) -> Any:
    kind = scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise InputError(f"{name}: its scheduler predicts {kind!r}; known are epsilon and v_prediction")
    return kind
