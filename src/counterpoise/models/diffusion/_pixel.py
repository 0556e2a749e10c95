"""A small diffusion model in pixels, without an autoencoder: the U-Net of Stable Diffusion in small, and word vectors.

It is what DUO and its rivals are shown on where there is no GPU. Prompts are words of a fixed vocabulary; the order of
the words does not matter, which is enough for "a red star".
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterpoise.base import InputError, atomic_write, json_line, read_json, require

from ._base import Condition, Diffusion, Request
from ._scheme import Discrete

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

WORDS = 6
"""Longest prompt, in words."""
FILE = "pixel.json"


class PixelDiffusion(Diffusion):
    """The model of one folder: `pixel.json`, `unet/`, `words.safetensors`."""

    self_attention = r".*attn1\.(to_q|to_k|to_v|to_out\.0)"
    cross_attention = r".*attn2\.(to_q|to_k|to_v|to_out\.0)"

    def __init__(self, name: str, path: str, fingerprint: str, net: Any, words: "Tensor", config: dict[str, Any]):
        self.name, self.path, self.fingerprint, self.net = name, path, fingerprint, net
        self.words, self.config = words, config
        self.added: tuple[str, Tensor] | None = None  # a word that is known for a while, and its vector
        self.vocabulary = {word: number for number, word in enumerate(config["vocabulary"], 1)}
        self.dtype, self.device = "float32", "cpu"
        self.scheduler = _scheduler(config)
        self.bound = float(self.scheduler.config.clip_sample_range)
        self.scheme = Discrete(self.scheduler.alphas_cumprod, config["prediction"])

    @property
    def size(self) -> int:
        return int(self.config["size"])

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def encode_images(self, images: "Sequence[Picture]") -> "Tensor":
        arrays = [np.asarray(image.convert("RGB"), dtype=np.float32) for image in images]
        for array in arrays:
            if array.shape[:2] != (self.size, self.size):
                raise InputError(f"{self.name}: a picture of {array.shape[1]} x {array.shape[0]} pixels; its own have "
                                 f"{self.size} x {self.size}")  # fmt: skip
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1

    def encode_prompts(self, prompts: Sequence[str]) -> Condition:
        """Vectors of the words, (B, WORDS, d). Raises InputError for a word outside the vocabulary."""
        rows, known, table = [], self.vocabulary, self.words
        if self.added is not None:
            known, table = known | {self.added[0]: len(table)}, torch.cat([table, self.added[1][None]])
        for prompt in prompts:
            words = prompt.lower().split()
            unknown = [word for word in words if word not in known]
            if unknown or len(words) > WORDS:
                why = f"{unknown[0]!r} is none of its words" if unknown else f"more than {WORDS} words"
                raise InputError(f"{self.name}: prompt {prompt!r}: {why}; it knows {', '.join(known)}")
            rows.append([known[word] for word in words] + [0] * (WORDS - len(words)))
        return {"encoder_hidden_states": table[torch.tensor(rows)]}

    def word_vectors(self) -> "Tensor":
        return self.words.detach()

    def vector_of(self, word: str) -> "Tensor":
        if word not in self.vocabulary:
            raise InputError(f"{self.name}: {word!r} is none of its words; it knows {', '.join(self.vocabulary)}")
        return self.words[self.vocabulary[word]].detach().clone()

    def _add_word(self, word: str, vector: "Tensor") -> Callable[[], None]:
        if word in self.vocabulary or self.added is not None:
            raise InputError(f"{self.name}: knows the word {word!r} already, or another new one; one at a time")
        self.added = (word, vector)

        def leave() -> None:
            self.added = None

        return leave

    def last_word(self, prompt: str) -> int:
        return max(0, len(prompt.split()) - 1)

    def predict(self, noisy: "Tensor", level: "Tensor", condition: Condition) -> "Tensor":
        made: Tensor = self.net(noisy, self.scheme.label(level), **condition).sample
        return made

    @torch.no_grad()
    def generate(self, request: Request) -> "list[Picture]":
        """DDIM without noise of its own (eta 0), with classifier-free guidance against the negative prompt."""
        noise = torch.stack([_noise(seed, self.shape) for seed in request.seeds])
        self.scheduler.set_timesteps(request.steps)
        times = self.scheduler.timesteps
        x = noise
        if request.start:
            times = times[len(times) - max(1, round(len(times) * request.strength)) :]
            x = self.scheduler.add_noise(self.encode_images(request.start), noise, times[:1].repeat(len(noise)))
        free, told = self.encode_prompts([request.negative]), request.encoded or self.encode_prompts([request.prompt])
        states = {name: torch.cat([free[name].repeat(len(x), 1, 1), told[name].repeat(len(x), 1, 1)]) for name in free}
        for t in times:
            out = self.net(torch.cat([x, x]), t.repeat(2 * len(x)), **states).sample
            blank, led = out.chunk(2)
            x = self.scheduler.step(blank + request.guidance * (led - blank), t, x, eta=0.0).prev_sample
        return [_picture(each) for each in x]


def _noise(seed: int, shape: tuple[int, ...]) -> "Tensor":
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _picture(x: "Tensor") -> "Picture":
    from PIL import Image

    array = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(array)


def _scheduler(config: dict[str, Any]) -> Any:
    diffusers = require("diffusers", purpose="a diffusion model", install="counterpoise[diffusion]")
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type=config["prediction"],
        clip_sample=True, set_alpha_to_one=True, steps_offset=0, timestep_spacing="trailing",
    )  # fmt: skip


def new_pixel_model(
    vocabulary: Sequence[str], *, size: int = 24, channels: Sequence[int] = (32, 64), width: int = 32, seed: int = 0
) -> PixelDiffusion:
    """An untrained model with random weights; `words` (V + 1, width) are trained with the network, row 0 is no word."""
    diffusers = require("diffusers", purpose="a diffusion model", install="counterpoise[diffusion]")
    torch.manual_seed(seed)
    net = diffusers.UNet2DConditionModel(
        sample_size=size, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (len(channels) - 1)),
        up_block_types=(*["CrossAttnUpBlock2D"] * (len(channels) - 1), "UpBlock2D"),
        cross_attention_dim=width, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    config = {"vocabulary": list(vocabulary), "size": size, "prediction": "epsilon"}
    return PixelDiffusion("new", "", "", net, torch.randn(len(vocabulary) + 1, width), config)


def save_pixel_model(model: PixelDiffusion, folder: Path) -> Path:
    """Write the model; `pixel.json` last, so that a folder with it is whole."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model.net.save_pretrained(folder / "unet", safe_serialization=True)
    save_file({"words": model.words.detach().contiguous()}, folder / "words.safetensors")
    with atomic_write(folder / FILE) as file:
        file.write(json_line(model.config))
    return folder


def load_pixel_model(name: str, folder: Path, fingerprint: str) -> PixelDiffusion:
    """Read a folder. Raises InputError for a broken one."""
    from safetensors.torch import load_file

    diffusers = require("diffusers", purpose="a diffusion model", install="counterpoise[diffusion]")
    config = read_json(folder / FILE)
    try:
        if not set(config) >= {"vocabulary", "size", "prediction"}:
            raise ValueError(f"{FILE} lacks vocabulary, size or prediction")
        net = diffusers.UNet2DConditionModel.from_pretrained(str(folder / "unet"), use_safetensors=True)
        words = load_file(folder / "words.safetensors")["words"]
        if len(words) != len(config["vocabulary"]) + 1:
            raise ValueError(f"{len(words)} word vectors for {len(config['vocabulary'])} words")
    except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{name}: not a diffusion model that can be read ({str(error).splitlines()[0]})") from error
    return PixelDiffusion(name, str(folder), fingerprint, net.eval(), words, config)
