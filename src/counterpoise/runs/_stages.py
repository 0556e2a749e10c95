"""The two heavy stages of a run, over the rooms that do them: measure a model, align a model."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from counterpoise.base import Artifact, InputError, launched_rank, notice, only_process
from counterpoise.chat import Sample

from ._config import RunConfig


class Stages(Protocol):
    """What `run_main` needs done; tests may pass their own."""

    def weights(self, config: RunConfig) -> str:
        """Hash of the model's files: numbers of other weights under the same name are not its numbers."""

    def settings(self, config: RunConfig, dose: Mapping[str, float]) -> Any:
        """The method's config, all defaults resolved. Raises InputError for all that is wrong with it."""

    def evaluate(self, config: RunConfig, out: Path, *, run: str, artifact: Artifact | None) -> None:
        """Measure into `out` (scorecard.json, items.jsonl, images/); continues where it was stopped."""

    def align(self, config: RunConfig, out: Path, *, dose: Mapping[str, float]) -> Artifact:
        """Train into `out` and return what it left; continues where it was stopped."""


class RealStages:
    """`counterpoise.evals.evaluate` and `counterpoise.methods`, one model in memory at a time."""

    def __init__(self) -> None:
        self._folder: Path | None = None  # of the model, once it is known to be here
        self._overlaps: dict[str, Callable[[Sample], bool]] = {}  # by suite: reading its rows once serves every dose

    def weights(self, config: RunConfig) -> str:
        from counterpoise.models import find_folder, fingerprint

        self._folder = find_folder(config.model)
        refuse_adapter(config.model, self._folder)
        return fingerprint(self._folder, None, {})

    def settings(self, config: RunConfig, dose: Mapping[str, float]) -> Any:
        return settings(config, dose, self._folder or model_folder(config.model))

    def evaluate(self, config: RunConfig, out: Path, *, run: str, artifact: Artifact | None) -> None:
        from counterpoise.evals import evaluate, suite

        done = evaluate(
            config.model,
            suite_names(config.suite),
            suite=suite(config.suite),
            out=out,
            run=run,
            artifact=artifact,
            limit=config.limit,
            max_new_tokens=config.max_new_tokens,
            batch=config.batch,
            device_map=config.device_map,
        )
        if run == "before":  # the same ones every time
            for name, reason in done.skipped.items():
                notice(f"skipped {name}: {reason}")
            for name, what in done.rounded.items():
                notice(f"{name}: {what}")
            if done.too_short:
                notice(done.too_short)

    def align(self, config: RunConfig, out: Path, *, dose: Mapping[str, float]) -> Artifact:
        from counterpoise.data import overlap_with

        if config.suite not in self._overlaps:
            self._overlaps[config.suite] = overlap_with(evaluation_rows(config.suite))
        self.settings(config, dose)  # what is wrong is said before the model is loaded
        with only_process(out) if launched_rank() == 0 else nullcontext():  # of launched ones the first is for all
            return self._align(config, out, dose)

    def _align(self, config: RunConfig, out: Path, dose: Mapping[str, float]) -> Artifact:
        from counterpoise.methods import get
        from counterpoise.models import load

        method = get(config.method)
        bring = method.load or load
        loaded = bring(config.model, device_map=config.device_map, merge=True)  # an adapter is trained on as a model
        options = settings(config, dose, Path(loaded.path))
        made = method.align(loaded, options, out, overlaps=self._overlaps[config.suite]).artifact
        del loaded
        gc.collect()  # the next stage loads the model again, with what was made: never two in memory
        return made


def refuse_adapter(name: str, folder: Path | None) -> None:
    """Raises InputError for the folder of an adapter, which the main job cannot put its own beside to measure it."""
    if is_adapter(folder):
        raise InputError(
            f"{name}: is an adapter; `counterpoise align {name}` trains on it and joins the two, measure the result "
            "with `counterpoise eval`; or run on its base model"
        )


def is_adapter(folder: Path | None) -> bool:
    """Whether a folder holds an adapter and no model."""
    return folder is not None and (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()


def settings(config: RunConfig, dose: Mapping[str, float], folder: Path | None) -> Any:
    """The config of a run's method: its defaults, the model's (from `folder`), the user's, the run's seed, a dose.

    Raises one InputError for all that is wrong with them.
    """
    from counterpoise.methods import get

    method = get(config.method)
    seed = {"seed": config.seed} if config.seed or method.has("seed") else {}
    return method.resolve(folder, config.settings | seed, dose)


def evaluation_rows(suite: str) -> Iterator[Sample]:
    """Every row of a suite's benchmarks that is on this machine: what training rows must not overlap."""
    from counterpoise.evals import benchmarks

    known = benchmarks()
    for name in suite_names(suite):
        if known[name].available() is None:
            yield from known[name].samples()


def suite_names(name: str) -> list[str]:
    """Benchmarks of a suite. Raises InputError for an unknown one."""
    from counterpoise.evals import suite

    return list(suite(name).benchmarks)


def model_folder(name: str) -> Path | None:
    """The folder of a model that is on this disk; None for one that would have to be fetched."""
    if Path(name).is_dir():
        return Path(name)
    from counterpoise.models.pocket import ensure, version_of

    version = version_of(name)  # of the one name that is neither a folder nor a hub id
    return None if version is None else Path(ensure(version))
