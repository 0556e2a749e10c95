"""The diffusion model of icons that `icons.py` works on, and the detector that tells the icons apart."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from counterpoise.base import Progress, atomic_write, write_json
from counterpoise.data.render import glyphs
from counterpoise.models.diffusion import PixelDiffusion, new_pixel_model, save_pixel_model

SHAPES = ("star", "sun", "snowflake", "heart", "house", "tree", "key", "car")
GLYPHS = {"snowflake": "snowflake", "house": "home", "sun": "weather-sunny", "tree": "pine-tree"}
COLOURS = {"red": (200, 30, 30), "green": (20, 140, 50), "blue": (30, 60, 200), "black": (20, 20, 20)}
CONCEPT, NEAR, OTHER = "star", ("sun", "snowflake"), ("house", "tree", "key", "car")
SIDE = 16
STEPS, SCHEDULE = 1500, 2500
"""Steps that the base is trained for, and the length of its rate's linear decay, most of which it does not see."""


def drawing(shape: str, colour: str, rng: random.Random) -> Image.Image:
    """One icon on white, its size and place a little at random."""
    big = Image.new("RGB", (64, 64), "white")
    styles = [style for style in glyphs()[name_of(shape)] if not style.startswith("remix")]
    glyph = glyphs()[name_of(shape)][sorted(styles)[0]]
    font = ImageFont.truetype(str(glyph.font), rng.randint(44, 54))
    left, top, right, bottom = font.getbbox(glyph.character)
    x, y = (64 - (right - left)) // 2 - left, (64 - (bottom - top)) // 2 - top
    ImageDraw.Draw(big).text((x + rng.randint(-3, 3), y + rng.randint(-3, 3)), glyph.character, COLOURS[colour], font)
    return big.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def name_of(shape: str) -> str:
    known = glyphs()
    for name in (shape, GLYPHS.get(shape, shape), f"{shape}-outline"):
        if name in known:
            return name
    raise SystemExit(f"no icon for {shape}")


def rows(seed: int, n: int) -> tuple[torch.Tensor, list[str]]:
    """(n, 3, SIDE, SIDE) in [-1, 1], and their prompts."""
    rng = random.Random(f"icons {seed}")
    prompts = [f"{rng.choice(list(COLOURS))} {rng.choice(SHAPES)}" for _ in range(n)]
    pictures = [np.asarray(drawing(*reversed(p.split()), rng), dtype=np.float32) for p in prompts]  # type: ignore[arg-type]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1, prompts


def train(out: Path, steps: int, batch: int = 32) -> PixelDiffusion:
    """Train the base, with an average of its weights; one prompt in ten is empty."""
    pictures, prompts = rows(0, 2048)
    model = new_pixel_model([*COLOURS, *SHAPES], size=SIDE, channels=(32, 64), width=32, seed=0)
    model.words.requires_grad_()
    weights = {**dict(model.net.named_parameters()), "words": model.words}
    average = {name: p.detach().clone() for name, p in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, weight_decay=1e-4)
    start, file = 0, out / "training.pt"
    out.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        state = torch.load(file, weights_only=True)
        start, average = state["step"], state["average"]
        optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for name, p in weights.items():
                p.copy_(state["weights"][name])
    model.net.train()
    with Progress("icons", steps, unit="steps", done=start) as bar:
        for step in range(start, steps):
            g = torch.Generator().manual_seed(step)
            places = torch.randint(len(pictures), (batch,), generator=g)
            told = [
                "" if drop else prompts[i] for i, drop in zip(places, torch.rand(batch, generator=g) < 0.1, strict=True)
            ]
            loss = denoising(model, pictures[places], told, g)
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * min(1.0, (step + 1) / 100) * (1 - 0.95 * step / max(SCHEDULE, steps))
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for name, p in weights.items():
                    average[name].lerp_(p, 1 - min(0.995, (step + 1) / (step + 10)))
            bar.advance(note=f"loss {float(loss.detach()):.4f}")
            if (step + 1) % 100 == 0 or step + 1 == steps:
                with atomic_write(file, "wb") as target:
                    torch.save({"step": step + 1, "optimizer": optimizer.state_dict(), "average": average,
                                "weights": {name: p.detach() for name, p in weights.items()}}, target)  # fmt: skip
                print(f"step {step + 1}: loss {float(loss.detach()):.4f}", flush=True)
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(average[name])
    model.words.requires_grad_(False)
    model.net.eval()
    save_pixel_model(model, out / "model")
    return model


def denoising(model: PixelDiffusion, pictures: torch.Tensor, told: list[str], g: torch.Generator) -> torch.Tensor:
    """The ordinary loss of a diffusion model, at noise levels drawn evenly."""
    u = torch.rand(len(pictures), generator=g).clamp(1e-3, 1)
    noise = torch.randn(pictures.shape, generator=g)
    made = model.predict(model.scheme.mix(pictures, noise, u), u, model.encode_prompts(told))
    return (made - model.scheme.target(pictures, noise, u)).square().mean()


def detector(out: Path) -> Callable[[Image.Image], bool | None]:
    """Whether a picture is a star: a small network over the eight icons."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 24, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(24, 48, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(48 * (SIDE // 4) ** 2, len(SHAPES)),
    )  # fmt: skip
    file = out / "detector.pt"
    if file.is_file():
        net.load_state_dict(torch.load(file, weights_only=True))
        return partial(_shows, net)
    pictures, prompts = rows(1, 2048)
    held, told = rows(2, 512)
    labels, wanted = (torch.tensor([SHAPES.index(p.split()[1]) for p in each]) for each in (prompts, told))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(400):
        places = torch.randint(len(pictures), (64,), generator=torch.Generator().manual_seed(step))
        noisy = pictures[places] + 0.15 * torch.randn(64, 3, SIDE, SIDE)
        loss = torch.nn.functional.cross_entropy(net(noisy), labels[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = float((net(held).argmax(1) == wanted).float().mean())
    write_json(out / "detector.json", {"accuracy": right, "n": len(held)})
    print(f"detector: {right:.1%} of {len(held)} renderings")
    with atomic_write(file, "wb") as target:
        torch.save(net.state_dict(), target)
    return partial(_shows, net)


def _shows(net: torch.nn.Module, picture: Image.Image) -> bool | None:
    x = torch.from_numpy(np.asarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        p = net(x).softmax(1)[0]
    return None if float(p.max()) < 0.5 else SHAPES[int(p.argmax())] == CONCEPT


def prompts_of(shapes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{colour} {shape}" for shape in shapes for colour in COLOURS)
