"""Text-to-image diffusion models: Stable Diffusion 1.x and 3 through `diffusers`, and a small one of our own in pixels.

`load_diffusion(name)` brings one; a method works on its `net` with `predict` and `scheme`, and draws with `generate`.
"""

from ._base import Condition, Diffusion, Request
from ._load import add_lora, is_diffusion, load_diffusion, put_adapter, without_adapter
from ._pixel import PixelDiffusion, new_pixel_model, save_pixel_model
from ._scheme import Discrete, Flow, Scheme, legacy_level

__all__ = [
    "Condition",
    "Diffusion",
    "Discrete",
    "Flow",
    "PixelDiffusion",
    "Request",
    "Scheme",
    "add_lora",
    "is_diffusion",
    "legacy_level",
    "load_diffusion",
    "new_pixel_model",
    "put_adapter",
    "save_pixel_model",
    "without_adapter",
]
