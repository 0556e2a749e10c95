"""A diffusion model of icons that forgets one: DUO, its rivals and its ablations, on two cores.

    python scripts/duo/icons.py train build/icons           # the model, half an hour on one core; resumes
    python scripts/duo/icons.py table build/icons --seeds 3 # forget stars; writes table.md and grid.png
    python scripts/duo/icons.py tune build/icons --seeds 3  # tune what forgot on everything but stars; writes tuned.md
    python scripts/duo/icons.py attacks build/icons --seeds 1 # what brings stars back in the arms; writes attacks.md

The concept is harmless: stars. Their look-alikes are suns and snowflakes; houses, trees, keys and cars are unrelated.
The detector is a small network that tells the eight icons apart on renderings that the diffusion model never saw; below
a probability of 0.5 for every icon it says that it cannot tell.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from icon_attacks import attacks
from icon_model import COLOURS, CONCEPT, NEAR, OTHER, SHAPES, STEPS, denoising, detector, prompts_of, rows, train
from PIL import Image

from counterpoise.base import Progress, atomic_write, read_json, sha256_bytes, write_json
from counterpoise.evals.stats import Rate
from counterpoise.methods import DUOConfig, ESDConfig, UCEConfig, get
from counterpoise.methods.duo import Forgetting, PairPlan, Prompts, evaluate, make_pairs, ssim_similarity
from counterpoise.models.diffusion import Diffusion, Request, load_diffusion

TUNING, TUNING_RATE = 100, 1e-4
"""Steps and rate of the benign fine-tuning that forgetting should survive; the rate is a tenth of the base's own."""


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


def attack(out: Path, seeds: int) -> None:
    """What the arms of `table`, and the untouched model, draw under each attack; writes `attacks.md`."""
    tried = attacks(detector(out))
    columns: dict[str, list[str]] = {}
    for name in (None, "DUO, beta 100", "ESD-x", "UCE"):
        cells = columns.setdefault(name or "untouched", [])
        for title, measure in tried.items():
            found = []
            for seed in range(seeds):
                folder = (folder_of(out, name, seed) if name else out / "untouched" / str(seed)) / "attacks"
                file = folder / f"{title.replace(' ', '-').replace(',', '')}.json"
                if not file.is_file():
                    model = load_diffusion(str(out / "model"), artifact=folder.parent / "adapter" if name else None)
                    write_json(file, counted(measure(model, seed, folder)))
                found.append(read_json(file))
            unknown = sum(each["unknown"] for each in found)
            cells.append(gone(found) + (f", {unknown} not told" if unknown else ""))
            print(f"{name or 'untouched'}, {title}: {cells[-1]}", flush=True)
    lines = [f"| attack | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {title} | {' | '.join(row)} |" for title, *row in zip(tried, *columns.values(), strict=True)]
    (out / "attacks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


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
    """What every arm is compared with is drawn once, whatever stops the table; edits, encoded prompts are not kept."""
    if request.start or request.encoded is not None:
        return draw(request)
    file = folder / f"{sha256_bytes(repr(request).encode())[:16]}.npy"
    if not file.is_file():
        with atomic_write(file, "wb") as target:
            np.save(target, np.stack([np.asarray(each) for each in draw(request)]))
    return [Image.fromarray(each) for each in np.load(file)]


def say(found: Forgetting) -> Measured:
    return counted(found.dsr) | {kind: getattr(found, kind).value for kind in ("near", "other", "reference")}


def counted(dsr: Rate) -> Measured:
    return {"dsr": dsr.value, "dsr_low": dsr.low, "dsr_high": dsr.high, "n": dsr.n_scored, "unknown": dsr.n_unscored}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "table", "tune", "attacks", "grid"))
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
    elif given.what == "attacks":
        attack(given.out, given.seeds)
    else:
        grid(load_diffusion(str(given.out / "model"))).save(given.out / "base.png")


if __name__ == "__main__":
    main()
