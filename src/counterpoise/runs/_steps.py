"""The two heavy steps of a run, over the rooms that do them: measure a model, align a model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from counterpoise.base import InputError, notice
from counterpoise.chat import Sample

from ._config import RunConfig


class Steps(Protocol):
    """What `run_main` needs done; tests may pass their own."""

    def weights(self, config: RunConfig) -> str:
        """Hash of the model's files: numbers of other weights under the same name are not its numbers."""

    def evaluate(self, config: RunConfig, out: Path, *, run: str, adapter: Path | None) -> None:
        """Measure into `out` (scorecard.json, items.jsonl, images/); continues where it was stopped."""

    def amount(self, config: RunConfig) -> int:
        """Rows of the training mix when the user names none."""

    def align(self, config: RunConfig, out: Path, *, fraction: float | None, amount: int | None) -> Path:
        """Train into `out` and return the adapter folder; continues where it was stopped."""


class RealSteps:
    """`counterpoise.evals.evaluate` and `counterpoise.methods`, one model in memory at a time."""

    def __init__(self) -> None:
        self._overlaps: dict[str, Callable[[Sample], bool]] = {}  # by suite: reading its rows once serves every dose

    def weights(self, config: RunConfig) -> str:
        from counterpoise.models import find_folder, fingerprint

        return fingerprint(find_folder(config.model), None, {})

    def evaluate(self, config: RunConfig, out: Path, *, run: str, adapter: Path | None) -> None:
        from counterpoise.evals import evaluate, suite

        done = evaluate(
            config.model,
            suite_names(config.suite),
            suite=suite(config.suite),
            out=out,
            run=run,
            adapter=adapter,
            limit=config.limit,
            max_new_tokens=config.max_new_tokens,
            batch=config.batch,
        )
        if run == "before":  # the same ones every time
            for name, reason in done.skipped.items():
                notice(f"skipped {name}: {reason}")

    def amount(self, config: RunConfig) -> int:
        from counterpoise.methods import get

        return sum(get(config.method).config(model_folder(config.model)).counts)

    def align(self, config: RunConfig, out: Path, *, fraction: float | None, amount: int | None) -> Path:
        import gc

        from counterpoise.methods import get, overlap_with
        from counterpoise.models import load

        method = get(config.method)
        if config.suite not in self._overlaps:
            self._overlaps[config.suite] = overlap_with(evaluation_rows(config.suite))
        loaded = load(config.model)
        options = method.config(loaded.path, **method_settings(config, fraction, amount))
        adapter = Path(method.align(loaded, options, out, overlaps=self._overlaps[config.suite]).adapter)
        del loaded
        gc.collect()  # the next step loads the model again, with the adapter: never two in memory
        return adapter


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
    if name == "pocket":  # the one name that is neither a folder nor a hub id
        from counterpoise.models.pocket import ensure

        return Path(ensure())
    return None


def method_settings(config: RunConfig, fraction: float | None, amount: int | None) -> dict[str, Any]:
    """The settings of a method that a run decides; what is not given stays the method's or the model's default.

    Raises InputError when only one of the two sources is given.
    """
    if (config.rejection_source is None) != (config.benign_source is None):
        missing = "--rejection-source" if config.rejection_source is None else "--benign-source"
        raise InputError(f"{missing} is missing: give both sources, or none for the built-in ones")
    wanted: dict[str, Any] = {"seed": config.seed, "fraction": fraction, "total": amount}
    if config.rejection_source and config.benign_source:
        wanted |= {"rejection_files": (config.rejection_source,), "benign_files": (config.benign_source,)}
        wanted |= {"rejection_images": config.image_root, "benign_images": config.image_root}
    return {name: value for name, value in wanted.items() if value is not None}
