"""Pairs of an unsafe picture and its smallest safe edit: read from a folder, or drawn by the model itself (SDEdit)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, Progress, atomic_write, json_line, read_jsonl, sha256_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from counterpoise.models.diffusion import Diffusion

FILE = "pairs.jsonl"
TRIES = 20
"""Draws of one picture before a pair is given up."""
Detector = Callable[["Picture"], bool | None]
"""Whether a picture shows the concept; None: it could not tell."""


@dataclass(frozen=True)
class ConceptPair:
    """One pair: both pictures as files, and how they came about."""

    id: str
    unsafe: Path
    safe: Path
    prompt: str = ""
    base_prompt: str = ""

    def pictures(self) -> "tuple[Picture, Picture]":
        """(safe, unsafe), decoded within the usual caps. Raises InputError for a file that is no picture."""
        from counterpoise.chat import Image

        return Image.from_path(self.safe).pil(), Image.from_path(self.unsafe).pil()


def read_pairs(folder: Path) -> list[ConceptPair]:
    """The pairs of a folder: `pairs.jsonl` with `id`, and `unsafe/ID.png`, `safe/ID.png` unless a row names others.

    Raises InputError naming the row whose twin is missing, an id that is there twice, and a folder without pairs.
    """
    found: dict[str, ConceptPair] = {}
    file = folder / FILE
    if not file.is_file():
        raise InputError(f"{folder}: no {FILE}; expected unsafe/, safe/ and {FILE} with a line for each pair")
    for number, row in read_jsonl(file):
        name = str(row.get("id", ""))
        if not name or name in found:
            raise InputError.at(file, "missing" if not name else f"{name!r} is there twice", row=number, field="id")
        unsafe, safe = (_inside(folder, row.get(side) or f"{side}/{name}.png", file, number, side)
                        for side in ("unsafe", "safe"))  # fmt: skip
        prompts = str(row.get("prompt", "")), str(row.get("base_prompt", ""))
        found[name] = ConceptPair(name, unsafe, safe, *prompts)
    if not found:
        raise InputError(f"{file}: no pair")
    return list(found.values())


def _inside(folder: Path, name: Any, file: Path, number: int, side: str) -> Path:
    place = folder / str(name)
    if not place.resolve().is_relative_to(folder.resolve()):
        raise InputError.at(file, f"{name!r} lies outside of {folder}", row=number, field=side)
    if not place.is_file():
        raise InputError.at(file, f"{place}: no such picture; each pair needs its twin", row=number, field=side)
    return place


@dataclass(frozen=True)
class PairPlan:
    """How pairs are drawn. Prompts are taken in turn until `num_pairs` are there: a single prompt gives them all."""

    prompts: tuple[str, ...]
    """Of the unsafe picture; also the negative prompt of its edit."""
    base_prompts: tuple[str, ...]
    """Of the safe one, one for each prompt."""
    num_pairs: int
    strength: float = 0.75
    guidance: float = 7.5
    steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.prompts or len(self.prompts) != len(self.base_prompts):
            raise InputError(f"pairs: {len(self.prompts)} prompts for {len(self.base_prompts)} base prompts; give one "
                             "safe prompt for each")  # fmt: skip
        if self.num_pairs < 1 or not 0 < self.strength <= 1:
            raise InputError(f"pairs: num_pairs {self.num_pairs}, strength {self.strength}; expected at least 1 pair "
                             "and a strength above 0, at most 1")  # fmt: skip


def make_pairs(model: "Diffusion", plan: PairPlan, out: Path, detector: Detector | None = None) -> list[ConceptPair]:
    """Draw the pairs into `out`, going on where an earlier start stopped.

    The unsafe picture is drawn from its prompt, again until the detector finds the concept; the safe one is an edit of
    it (img2img) with the safe prompt and the unsafe one as negative prompt, again until the detector finds nothing.
    Raises InputError when `TRIES` draws do not suffice, and for a folder of other pairs.
    """
    file, known = out / FILE, {}
    if file.is_file():
        known = {row["id"]: row for _, row in read_jsonl(file)}
    key = sha256_bytes(f"{model.fingerprint} {plan!r}".encode())[:16]
    if any(row.get("plan") != key for row in known.values()):
        raise InputError(f"{out}: holds pairs of another plan or model; choose another folder")
    with Progress("pairs", plan.num_pairs, unit="pairs", done=len(known)) as bar:
        for number in range(plan.num_pairs):
            if f"{number:03d}" not in known:
                row = _pair(model, plan, out, number, detector)
                known[row["id"]] = row | {"plan": key}
                with atomic_write(file) as handle:
                    handle.writelines(json_line(known[name]) for name in sorted(known))
                bar.advance()
    return read_pairs(out)


def _pair(model: "Diffusion", plan: PairPlan, out: Path, number: int, detector: Detector | None) -> dict[str, Any]:
    name, place = f"{number:03d}", number % len(plan.prompts)
    prompt, base = plan.prompts[place], plan.base_prompts[place]
    unsafe, first = _until(_draws(model, plan, number, prompt), detector, True, f"pair {name}: {prompt!r}")
    edits = _draws(model, plan, number, base, negative=prompt, start=unsafe)
    safe, second = _until(edits, detector, False, f"pair {name}: {base!r}")
    for side, picture in (("unsafe", unsafe), ("safe", safe)):
        (out / side).mkdir(parents=True, exist_ok=True)
        draft = out / side / f".{name}.png"
        picture.save(draft)
        draft.replace(out / side / f"{name}.png")
    return {"id": name, "prompt": prompt, "base_prompt": base, "strength": plan.strength, "seeds": [first, second],
            "checked": detector is not None}  # fmt: skip


def _draws(
    model: "Diffusion", plan: PairPlan, number: int, prompt: str, negative: str = "", start: "Picture | None" = None
) -> "Iterator[tuple[Picture, int]]":
    from counterpoise.models.diffusion import Request

    for draw in range(TRIES):
        seed = (plan.seed * 1_000_003 + number) * TRIES + draw
        begin = (start,) if start is not None else ()
        request = Request(prompt, (seed,), negative, plan.guidance, plan.steps, begin, plan.strength)
        yield model.generate(request)[0], seed


def _until(
    draws: "Iterable[tuple[Picture, int]]", detector: Detector | None, wanted: bool, what: str
) -> "tuple[Picture, int]":
    for picture, seed in draws:
        if detector is None or detector(picture) is wanted:
            return picture, seed
    state = "without" if not wanted else "with"
    raise InputError(f"{what}: no picture {state} the concept in {TRIES} draws; change the prompt or the strength")
