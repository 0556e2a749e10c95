"""Who makes the pictures: a text-to-image model of `diffusers`, or on machines without one our own icon pages."""

import io
import threading
import zlib
from pathlib import Path
from typing import Any, Protocol

from PIL.PngImagePlugin import PngInfo

from counterpoise.base import InputError, MissingPackageError, atomic_write, sha256_bytes
from counterpoise.chat import Image
from counterpoise.data import concepts
from counterpoise.data.render import icon_page, print_page, styles_of

from ._prompts import bare

SHOWN = "counterpoise-shown"
"""Text entry of our own pages' PNG files: what was drawn, as the renderer knows it."""


class Painter(Protocol):
    """Makes a picture of a description. The same arguments give the same picture."""

    name: str

    def paint(self, prompt: str, seed: int) -> bytes:
        """PNG bytes. Raises InputError for a description that it cannot draw."""
        ...


class IconPainter:
    """The icon of the thing that the description names, or its words in print."""

    name = "icons"

    def paint(self, prompt: str, seed: int) -> bytes:
        words = bare(prompt).split()
        icon = bare(prompt) if bare(prompt) in set(concepts()) else None
        styles = styles_of(icon, held_out=False) if icon else ()
        if icon and styles:
            page = icon_page([icon], style=styles[seed % len(styles)], seed=seed)
        else:
            page = print_page(" ".join(words), style_seed=seed)
        info = PngInfo()
        info.add_text(SHOWN, bare(prompt))
        buffer = io.BytesIO()
        page.save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()


def shown_in(data: bytes) -> str | None:
    """What the renderer drew in a PNG of ours; None for any other picture."""
    place = 8  # behind the signature; then chunks: length, type, data, checksum
    while place + 8 <= len(data) and data.startswith(b"\x89PNG"):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        name, zero, text = data[place + 8 : place + 8 + length].partition(b"\0")
        if kind == b"tEXt" and zero and name.decode("latin-1") == SHOWN:
            return text.decode("latin-1")
        place += 12 + length
    return None


class DiffusersPainter:
    """A text-to-image pipeline of `diffusers`, loaded when the first picture is made."""

    def __init__(self, model: str, *, steps: int = 28, guidance: float = 4.5, size: int = 1024, device: str = ""):
        self.model, self.steps, self.guidance, self.size, self.device = model, steps, guidance, size, device
        self.name = f"{model} steps={steps} guidance={guidance:g} size={size}"
        self._pipe: Any = None

    def paint(self, prompt: str, seed: int) -> bytes:
        import torch

        pipe = self._loaded()
        picture = pipe(
            prompt=prompt, num_inference_steps=self.steps, guidance_scale=self.guidance, height=self.size,
            width=self.size, generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        return Image.from_pil(picture, prompt).read()

    def _loaded(self) -> Any:
        if self._pipe is None:
            try:
                from diffusers import AutoPipelineForText2Image
            except ImportError as error:
                raise MissingPackageError(
                    f"painter {self.model}: needs diffusers: pip install 'counterpoise[diffusion]'; or --painter icons"
                ) from error
            import torch

            device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
            dtype = torch.bfloat16 if device == "cuda" else torch.float32
            try:
                self._pipe = AutoPipelineForText2Image.from_pretrained(self.model, torch_dtype=dtype).to(device)
            except (OSError, ValueError) as error:
                raise InputError(f"painter {self.model}: {' '.join(str(error).split())[:300]}") from error
            self._pipe.set_progress_bar_config(disable=True)
        return self._pipe


class Studio:
    """A painter whose pictures are kept in a folder by painter, description and seed: none is made twice."""

    def __init__(self, painter: Painter, folder: Path):
        self.painter, self.folder = painter, folder
        self.painted = self.kept = 0
        self._lock = threading.Lock()  # one pipeline makes one picture at a time

    def file(self, prompt: str, seed: int) -> Path:
        return self.folder / f"{sha256_bytes(f'{self.painter.name}|{prompt}|{seed}'.encode())[:24]}.png"

    def picture(self, prompt: str, item: str, place: int, turn: int) -> Image:
        """The picture of thing `place` (1 or 2) of an item, made in round `turn`."""
        seed = zlib.crc32(f"{item} {place} {turn}".encode())
        file = self.file(prompt, seed)
        with self._lock:
            if file.is_file():
                self.kept += 1
            else:
                data = self.painter.paint(prompt, seed)
                with atomic_write(file, "wb") as handle:
                    handle.write(data)
                self.painted += 1
        return Image.from_path(file)
