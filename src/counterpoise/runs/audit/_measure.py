"""The measuring half of an audit: one model after the other, each in every prompt format, resumable like `eval`."""

import dataclasses
import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import Artifact, InputError, notice
from counterpoise.data.multitask import TaskModality
from counterpoise.report import EvalFolder, ItemRecord

from ._config import ABILITY, AuditConfig, Template, cards, chosen_intents, modalities_of

if TYPE_CHECKING:
    from counterpoise.evals import Benchmark
    from counterpoise.models import Loaded


@dataclass(frozen=True)
class Measured:
    """What one model left in its folder."""

    folder: Path
    name: str
    fingerprint: str
    facts: dict[str, Any]
    """Dtype, device, and the artifact with the proof that it acts."""
    sees: bool
    """Whether it takes images."""

    def items(self, templates: Sequence[Template]) -> dict[tuple[str, str], ItemRecord]:
        """Every answered item, of all templates."""
        return {key: item for each in templates for key, item in EvalFolder(self.folder / each).items.items()}


def load_base(config: AuditConfig) -> "Loaded":
    from counterpoise.models import load

    return load(config.base, merge=True, device_map=config.device_map)


def tuned_artifact(config: AuditConfig) -> Artifact:
    """What TUNED is. Raises InputError for a folder that holds nothing of the kind, before anything is measured."""
    from counterpoise.models import find_folder, read_artifact

    return read_artifact(find_folder(config.tuned))


def load_tuned(config: AuditConfig) -> "Loaded":
    """TUNED: an adapter or an edit on the base, proven to act, or a model of its own."""
    from counterpoise.models import load

    loaded = load(config.base, artifact=tuned_artifact(config), merge=True, device_map=config.device_map)
    return dataclasses.replace(loaded, name=config.tuned)


def measure(config: AuditConfig, *, force: bool) -> tuple[Measured, Measured, tuple[TaskModality, ...]]:
    """Both models on the same prompts; never two in memory. Returns them and the modalities that were asked.

    Where both have the same weights, every answer of the second is taken from the first, and a line says so. Raises
    InputError for models that cannot be loaded, an adapter that does not act, and a base that takes images while the
    tuned model does not.
    """
    found = chosen_intents(config)
    loaded = load_base(config)
    modalities = modalities_of(config, found, sees=loaded.is_vlm)
    if left := [each for each in config.modalities if each not in modalities]:
        notice(f"audit: not asked as {', '.join(left)}: {_why(loaded.is_vlm)}")
    base = _measured(config, loaded, config.out / "base", "base", modalities, force=force)
    del loaded
    gc.collect()
    other = load_tuned(config)
    if base.sees and not other.is_vlm and modalities != ("text",):
        raise InputError(f"{config.tuned}: takes text only while {config.base} takes images; add --modalities text")
    if other.fingerprint == base.fingerprint:
        notice(f"{config.tuned}: has the weights of {config.base}, so its answers are taken from there")
        _share_answers(config, config.out / "base", config.out / "tuned")
    tuned = _measured(config, other, config.out / "tuned", "tuned", modalities, force=force)
    return base, tuned, modalities


def _why(sees: bool) -> str:
    return "the intents of a file have no pictures" if sees else "the model takes text only"


def ability_cards(config: AuditConfig, *, sees: bool) -> list[str]:
    """Names of the benchmarks of ability."""
    if config.ability is not None:
        return list(config.ability)
    return list(ABILITY if sees else ABILITY[:1])


def _measured(
    config: AuditConfig, loaded: "Loaded", folder: Path, run: str, modalities: tuple[TaskModality, ...], *, force: bool
) -> Measured:
    from counterpoise.evals import benchmark, evaluate
    from counterpoise.models import alpaca

    found = chosen_intents(config)
    ability = [capped(benchmark(name), config.ability_limit) for name in ability_cards(config, sees=loaded.is_vlm)]
    for place, template in enumerate(config.templates):
        shown = loaded if template == "native" else alpaca(loaded)
        cells = cards(config, template, found, modalities)
        done = evaluate(
            shown, [*cells, *(ability if place == 0 else [])], out=folder / template, run=run, batch=config.batch,
            force=force,
        )  # fmt: skip
        if done.skipped:
            raise InputError("; ".join(f"{name}: {why}" for name, why in done.skipped.items()))
    facts: dict[str, Any] = {"name": loaded.name, "path": loaded.path, "dtype": loaded.dtype, "device": loaded.device}
    facts |= {"fingerprint": loaded.fingerprint}
    if loaded.artifact is not None:
        facts["artifact"] = {"kind": loaded.artifact.kind, "fingerprint": loaded.artifact.fingerprint}
    if loaded.proof is not None:
        facts["proof"] = dataclasses.asdict(loaded.proof)
    return Measured(folder, loaded.name, loaded.fingerprint, facts, loaded.is_vlm)


def capped(card: "Benchmark", most: int | None) -> "Benchmark":
    """The card with so many of its rows, spread over them."""
    if most is None or most >= card.rows:
        return card
    rows = card.samples(most)
    return dataclasses.replace(card, rows=len(rows), read=lambda: iter(rows), counted="samples", also=())


def _share_answers(config: AuditConfig, source: Path, target: Path) -> None:
    for template in config.templates:
        if not (target / template / "answers.jsonl").is_file():
            (target / template).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / template / "answers.jsonl", target / template / "answers.jsonl")
