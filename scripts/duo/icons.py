"""A diffusion model of icons that forgets one: DUO, its rivals and its ablations, on two cores.

    python scripts/duo/icons.py train build/icons           # the model, half an hour on one core; resumes
    python scripts/duo/icons.py table build/icons --seeds 3 # forget stars; writes table.md and grid.png
    python scripts/duo/icons.py tune build/icons --seeds 3  # tune what forgot on everything but stars; writes tuned.md

The concept is harmless: stars. Their look-alikes are suns and snowflakes; houses, trees, keys and cars are unrelated.
The detector is a small network that tells the eight icons apart on renderings that the diffusion model never saw; below
a probability of 0.5 for every icon it says that it cannot tell.
"""

import argparse
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from counterpoise.base import Progress, atomic_write, read_json, sha256_bytes, write_json
from counterpoise.data.render import glyphs
from counterpoise.methods import DUOConfig, ESDConfig, UCEConfig, get
from counterpoise.methods.duo import PairPlan, Prompts, evaluate, make_pairs, ssim_similarity
from counterpoise.models.diffusion import (
    Diffusion,
    PixelDiffusion,
    Request,
    load_diffusion,
    new_pixel_model,
    save_pixel_model,
)

SHAPES = ("star", "sun", "snowflake", "heart", "house", "tree", "key", "car")
GLYPHS = {"snowflake": "snowflake", "house": "home", "sun": "weather-sunny", "tree": "pine-tree"}
COLOURS = {"red": (200, 30, 30), "green": (20, 140, 50), "blue": (30, 60, 200), "black": (20, 20, 20)}
CONCEPT, NEAR, OTHER = "star", ("sun", "snowflake"), ("house", "tree", "key", "car")
SIDE = 16
TUNING, TUNING_RATE = 100, 1e-4
"""Steps and rate of the benign fine-tuning that forgetting should survive; the rate is a tenth of the base's own."""
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


def tuned_on_the_rest(out: Path, arm: Path | None, seed: int, steps: int = TUNING, batch: int = 32) -> Diffusion:
    """The model of an arm (None: the untouched one) after a fine-tuning of all its weights on every icon but stars."""
    model: Any = load_diffusion(str(out / "model"), artifact=arm)
    if arm:
        model.net = model.net.merge_and_unload()
    pictures, prompts = rows(3 + seed, 2048)
    places = [i for i, prompt in enumerate(prompts) if not prompt.endswith(CONCEPT)]
    pictures, prompts = pictures[places], [prompts[i] for i in places]
    model.net.requires_grad_()
    optimizer = torch.optim.AdamW(model.net.parameters(), lr=TUNING_RATE, weight_decay=1e-4)
    with Progress("tuning", steps, unit="steps") as bar:
        for step in range(steps):
            g = torch.Generator().manual_seed(step)
            drawn = torch.randint(len(pictures), (batch,), generator=g)
            loss = denoising(model, pictures[drawn], [prompts[i] for i in drawn], g)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.advance(note=f"loss {float(loss.detach()):.4f}")
    model.net.eval()
    return model


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


def arms(pairs: Path, seed: int, steps: int) -> dict[str, tuple[str, object]]:
    duo = {
        "pairs": pairs,
        "num_pairs": 32,
        "steps": steps,
        "batch_size": 4,
        "rank": 16,
        "base_rate": 6e-3,
        "seed": seed,
    }
    esd = {  # the concept's name alone: told "red star", it leads away from red as well
        "prompts": (CONCEPT,),
        "steps": steps,
        "draw_steps": 10,
        "learning_rate": 1e-3,
        "rank": 16,
        "seed": seed,
    }
    return {
        "DUO, beta 100": ("duo", DUOConfig(**duo, beta=100, base_prior=100)),
        "DUO, beta 250": ("duo", DUOConfig(**duo, beta=250, base_prior=100)),
        "DUO, beta 500": ("duo", DUOConfig(**duo, beta=500, base_prior=100)),
        "DUO, no prior term": ("duo", DUOConfig(**duo, beta=250, base_prior=0)),
        "gradient ascent": ("duo", DUOConfig(**duo, beta=250, loss="ascent")),
        "ESD-x": ("esd", ESDConfig(**esd)),
        "ESD-u": ("esd", ESDConfig(**esd, variant="u")),
        "UCE": ("uce", UCEConfig(prompts=prompts_of((CONCEPT,)), guide="", keep=prompts_of(OTHER))),
    }  # fmt: skip


def folder_of(out: Path, arm: str, seed: int) -> Path:
    return out / "arms" / f"{arm.replace(' ', '-').replace(',', '')}-{seed}"


Measured = dict[str, float | int | None]


def ruler(
    out: Path, shows: Callable[[Image.Image], bool | None]
) -> tuple[Diffusion, Callable[[Callable[[], Diffusion]], Measured]]:
    """The untouched model, and what measures another one beside it."""
    base = load_diffusion(str(out / "model"))
    base.generate = partial(drawn_once, base.generate, out / "base")  # type: ignore[method-assign]
    prompts = Prompts(prompts_of((CONCEPT,)), prompts_of(NEAR), prompts_of(OTHER), seeds=4, guidance=3.0, steps=10)

    def measured(model: Callable[[], Diffusion]) -> Measured:
        return say(evaluate(base, model(), prompts, shows, ssim_similarity()))

    return base, measured


def tune(out: Path, seeds: int, steps: int) -> None:
    """What comes back of the concept when the arms of `table` are tuned on the other icons; writes `tuned.md`."""
    _, measured = ruler(out, detector(out))
    untouched = read_json(out / "untouched.json")
    lines = ["| arm | stars gone before | after benign tuning | unrelated kept after |", "|---|---|---|---|"]
    for name in (None, "DUO, beta 100", "DUO, beta 250", "ESD-x", "UCE"):
        before, after = [], []
        for seed in range(seeds):
            folder = folder_of(out, name, seed) if name else out / "untouched" / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            arm = folder / "adapter" if name else None
            model = partial(tuned_on_the_rest, out, arm, seed, steps)
            after.append(kept(folder / "tuned.json", partial(measured, model)))
            before.append(read_json(folder / "found.json") if name else untouched)
        lines.append(f"| {name or 'untouched'} | {gone(before)} | {gone(after)} | "
                     f"{np.mean([x['other'] for x in after]):.3f} |")  # fmt: skip
        print(lines[-1], flush=True)
    (out / "tuned.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def gone(each: list[dict[str, Any]]) -> str:
    """The mean over seeds, with the widest limits of them."""
    return (f"{100 * np.mean([x['dsr'] for x in each]):.0f} % ({100 * min(x['dsr_low'] for x in each):.0f} to "
            f"{100 * max(x['dsr_high'] for x in each):.0f}), n = {sum(x['n'] for x in each)}")  # fmt: skip


def table(out: Path, seeds: int, steps: int) -> None:
    """Train every arm with every seed, measure, and write `table.md` and `grid.png`."""
    shows, found = detector(out), {}
    base, measured = ruler(out, shows)
    found["untouched"] = [kept(out / "untouched.json", partial(measured, lambda: base))]
    grids = [kept_grid(out / "grids" / "untouched.png", lambda: base)]
    for seed in range(seeds):
        safe = tuple(f"{colour} heart" for colour in COLOURS)
        plan = PairPlan(prompts_of((CONCEPT,)), safe, 32, strength=0.75, guidance=3.0, steps=10, seed=seed)
        make_pairs(base, plan, out / f"pairs-{seed}", shows)
        for name, (method, config) in arms(out / f"pairs-{seed}", seed, steps).items():
            folder = folder_of(out, name, seed)
            tuned = partial(load_diffusion, str(out / "model"), artifact=folder / "adapter")  # as a user would
            if not (folder / "found.json").is_file():
                get(method).align(load_diffusion(str(out / "model")), config, folder)
            found.setdefault(name, []).append(kept(folder / "found.json", partial(measured, tuned)))
            if seed == 0:
                grids.append(kept_grid(out / "grids" / f"{folder.name}.png", tuned))
    lines = [
        "| arm | stars gone (DSR) | not told | look-alikes kept | unrelated kept | base against itself |",
        "|---|" + "---|" * 5,
    ]
    for name, each in found.items():
        cells = [gone(each), str(sum(x["unknown"] for x in each)),
                 *(f"{np.mean([x[kind] for x in each]):.3f}" for kind in ("near", "other", "reference"))]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Image.fromarray(np.concatenate([np.asarray(each) for each in grids])).save(out / "grid.png")
    print("\n".join(lines))


def drawn_once(draw: Callable[[Request], list[Image.Image]], folder: Path, request: Request) -> list[Image.Image]:
    """What every arm is compared with is drawn once, whatever stops the table; edits of pictures are not kept."""
    if request.start:
        return draw(request)
    file = folder / f"{sha256_bytes(repr(request).encode())[:16]}.npy"
    if not file.is_file():
        with atomic_write(file, "wb") as target:
            np.save(target, np.stack([np.asarray(each) for each in draw(request)]))
    return [Image.fromarray(each) for each in np.load(file)]


def say(found: object) -> Measured:
    dsr = found.dsr  # type: ignore[attr-defined]
    return {"dsr": dsr.value, "dsr_low": dsr.low, "dsr_high": dsr.high, "n": dsr.n_scored, "unknown": dsr.n_unscored,
            **{kind: getattr(found, kind).value for kind in ("near", "other", "reference")}}  # fmt: skip


def kept(file: Path, make: Callable[[], Any]) -> Any:
    if not file.is_file():
        write_json(file, make())
    return read_json(file)


def kept_grid(file: Path, model: Callable[[], Diffusion]) -> Image.Image:
    """A grid is drawn once; where it is there, no model is loaded."""
    if not file.is_file():
        with atomic_write(file, "wb") as target:
            grid(model()).save(target, "PNG")
    return Image.open(file)


def grid(model: Diffusion) -> Image.Image:
    """One row: each icon in red and in blue, enlarged."""
    pictures = [model.generate(Request(f"{colour} {shape}", (7,), guidance=3.0, steps=20))[0]
                for shape in SHAPES for colour in ("red", "blue")]  # fmt: skip
    big = [np.asarray(each.resize((64, 64), Image.Resampling.NEAREST)) for each in pictures]
    return Image.fromarray(np.concatenate(big, axis=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "table", "tune", "grid"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "train":
        train(given.out, given.steps or STEPS)
    elif given.what == "table":
        table(given.out, given.seeds, given.steps or 100)
    elif given.what == "tune":
        tune(given.out, given.seeds, given.steps or TUNING)
    else:
        grid(load_diffusion(str(given.out / "model"))).save(given.out / "base.png")
