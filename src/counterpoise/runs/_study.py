"""`study weights` and `study directions` as commands that go on: states are kept until the result is written."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from counterpoise.base import InputError, only_process, read_json, write_json
from counterpoise.data import twins
from counterpoise.methods import PROMPT_TOKENS

from ._plan import Plan, Stage, parameters

if TYPE_CHECKING:
    from counterpoise.study import Kept

RESULTS = ("weights.json", "directions.json", "study.json", "run.json", "scorecard.json")
"""What commands leave in a folder of theirs: a study takes none of another's."""
PASSES = 8
"""Over each modality's validation prompts: the direction and three random ones, each ablated and added."""


@dataclass(frozen=True)
class StudyConfig:
    """One study of a chat model."""

    model: str
    artifact: Path | None
    """What a correction left, put on the model; `study weights` compares the two."""
    out: Path
    modalities: tuple[str, ...] = ()
    """Empty: text and print, or text alone of a model that sees nothing."""
    limit: int | None = 60
    """Families of each split and modality."""
    batch: int = 8
    dtype: str = "float32"
    alphas: tuple[float, ...] = ()
    """Sizes at which `study weights` writes the correction as well."""

    def checked(self) -> None:
        """Raises InputError for what is wrong whatever the models are."""
        for alpha in self.alphas:
            if not isfinite(alpha):
                raise InputError(f"--alpha {alpha}: give a number, such as 0.5")
        if len({self.scaled_name(alpha) for alpha in self.alphas}) < len(self.alphas):
            raise InputError("--alpha: give each size once")
        if self.artifact is not None and self.artifact.resolve().is_relative_to(self.out.resolve()):
            raise InputError(f"{self.artifact}: lies in --out {self.out}; choose another --out")
        if self.out.is_file():
            raise InputError(f"{self.out}: is a file, no folder; choose another --out")

    @staticmethod
    def scaled_name(alpha: float) -> str:
        """Folder of the correction at a size."""
        return f"alpha-{alpha:g}" if float(f"{alpha:g}") == alpha else f"alpha-{alpha!r}"

    def kinds(self, *, sees: bool) -> list[str]:
        """The modalities, checked."""
        kinds = list(dict.fromkeys(self.modalities or (("text", "print") if sees else ("text",))))
        for kind in kinds:
            if kind not in twins.MODALITIES:
                raise InputError.unknown("modality", kind, twins.MODALITIES)
        if not sees and kinds != ["text"]:
            raise InputError("a text-only model: leave --modality out")
        return kinds


def study_plan(what: Literal["weights", "directions"], config: StudyConfig) -> Plan:
    """What a study would read. Nothing is loaded, so that a model without eyes is counted as one that sees."""
    from counterpoise.models import read_artifact
    from counterpoise.study import prompts

    config.checked()
    if config.artifact is not None:
        read_artifact(config.artifact)
    kinds = config.kinds(sees=True)

    def stage(name: str, split: str, kind: str, *, trained: bool = False) -> Stage:
        n = len(prompts(split, kind, config.limit).conversations)
        read = n * PROMPT_TOKENS
        return Stage(f"{name}: {split}, {kind}", n, 0 if trained else read, 0, read if trained else 0)

    if what == "directions":
        stages = [stage("states", "train", kind) for kind in dict.fromkeys(("text", *kinds))]
        for kind in kinds:
            stages.append(stage("states", "validation", kind))
            causal = stage("ablated and added", "validation", kind)
            stages.append(causal.times(PASSES, f"{PASSES} passes"))
        notes = []
    else:
        stages = []
        for name in ("base", "tuned"):
            stages.append(stage(name, "train", "text"))
            stages += [stage(f"{name}, with gradients", "validation", kind, trained=True) for kind in kinds]
        notes = ["then every weight that differs is decomposed"]
        notes += [f"alpha {alpha:g}: the correction at this size is written too" for alpha in config.alphas]
    title = f"counterpoise study {what} {config.model}: into {config.out}"
    return Plan(title, tuple(stages), parameters(config.model), tuple(notes))


def study_weights(config: StudyConfig, *, force: bool = False) -> tuple[list[str], Path]:
    """What a correction changed: a line for each size that was written, and the report."""
    from counterpoise.models import load, read_artifact
    from counterpoise.report import write_weights
    from counterpoise.study import scaled, weights

    config.checked()
    if config.artifact is None:
        raise InputError("study weights: needs what a correction left")
    artifact = read_artifact(config.artifact)
    base = load(config.model, dtype=config.dtype)
    kinds = config.kinds(sees=base.is_vlm)
    names = {"base": config.model, "tuned": str(config.artifact)}
    of = {"base": base.fingerprint, "tuned": artifact.fingerprint, "modalities": kinds, "limit": config.limit}

    def measure(kept: "Kept") -> dict[str, Any]:
        tuned = load(config.model, artifact=artifact, dtype=config.dtype)
        return weights(base, tuned, kinds, config.limit, config.batch, kept)

    with only_process(config.out):
        results = _result(config.out, "weights", names, of, measure, force=force)
        said = []
        for alpha in config.alphas:
            made = scaled(base, artifact, alpha, config.out / config.scaled_name(alpha))
            said.append(f"alpha {alpha:g}: {made.path}")
        return said, write_weights(config.out / "report.html", results)


def study_directions(config: StudyConfig, *, force: bool = False) -> tuple[dict[str, Any], Path]:
    """What a model knows of a request and what it does about it, and the report."""
    from counterpoise.models import load
    from counterpoise.report import write_directions
    from counterpoise.study import directions

    config.checked()
    loaded = load(config.model, artifact=config.artifact, dtype=config.dtype)
    kinds = config.kinds(sees=loaded.is_vlm)
    names = {"model": config.model, "artifact": config.artifact and str(config.artifact)}
    of = {"model": loaded.fingerprint, "modalities": kinds, "limit": config.limit}

    def measure(kept: "Kept") -> dict[str, Any]:
        return directions(loaded, kinds, config.limit, config.batch, kept)

    with only_process(config.out):
        results = _result(config.out, "directions", names, of, measure, force=force)
        return results, write_directions(config.out / "report.html", results)


def _result(
    out: Path, name: str, names: dict[str, Any], of: dict[str, Any], measure: "Callable[[Kept], dict[str, Any]]", *,
    force: bool,
) -> dict[str, Any]:  # fmt: skip
    """The result that is there, or a new one; of a stopped study only what is missing is read."""
    from counterpoise.study import Kept

    file = out / f"{name}.json"
    if not force:
        others = [each for each in (*RESULTS, "report.html") if (out / each).exists() and each != file.name]
        if file.is_file():
            known = read_json(file)
            if not isinstance(known, dict) or known.get("of") != of:
                raise InputError(f"{file}: of other models, modalities or limit; choose another --out or --force")
            return known
        if others:
            raise InputError(f"{out}: holds {others[0]} of something else; choose another --out or --force")
    kept = Kept(out / "states")
    results = {**names, "of": of, **measure(kept)}
    write_json(file, results)
    kept.clear()
    return results
