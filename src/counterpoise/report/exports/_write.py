"""Files of an export: which names, written whole or not at all."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from counterpoise.base import InputError, atomic_write

from ._card import to_card
from ._evaluation import Evaluation, slug
from ._every_eval_ever import file_stem, to_every_eval_ever
from ._hub import to_eval_results, to_model_index
from ._lm_eval import to_lm_eval
from ._load import load_evaluations
from ._samples import sample_lines
from ._tables import to_csv, to_records, write_parquet
from ._yaml import dump_yaml


@dataclass(frozen=True)
class Options:
    """What a user may add."""

    datasets: Mapping[str, str] = field(default_factory=dict)
    """Hub dataset id by benchmark."""
    organization: str = "unknown"
    source_url: str | None = None
    include_text: bool = False
    """Prompts and answers into the samples of Every Eval Ever."""


def export(folder: Path, to: str, out: Path, options: Options | None = None) -> list[Path]:
    """Write what `to` names for the run or evaluation in `folder` into `out`; return the files.

    A run gives the files of `before` and `after`. Everything is made and validated before the first file is written.
    Raises InputError for an unknown format or rows that the format cannot hold.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to}: unknown; choose one of {', '.join(FORMATS)}")
    made: dict[str, str | bytes] = {}
    for side, evaluation in load_evaluations(folder).items():
        shown, suffix = evaluation.without_paths(), f"-{side}" if side else ""
        made |= FORMATS[to](shown, suffix, options or Options())
    paths = []
    for name, content in made.items():
        path = out / name
        with atomic_write(path, "w" if isinstance(content, str) else "wb") as file:
            file.write(content)
        paths.append(path)
    return paths


def _every_eval_ever(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    aggregate, samples = to_every_eval_ever(
        evaluation, organization=options.organization, include_text=options.include_text
    )
    stem = file_stem(evaluation)
    files: dict[str, str | bytes] = {f"{stem}.json": _json(aggregate)}
    if samples:
        files[f"{stem}_samples.jsonl"] = sample_lines(samples)
    return files


def _model_index(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    return {f"model-index{side}.yaml": dump_yaml(to_model_index(evaluation, options.datasets))}


def _eval_results(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    entries = to_eval_results(evaluation, options.datasets, options.source_url)
    return {f".eval_results/counterpoise{side}.yaml": dump_yaml(entries)}


def _lm_eval(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    time = evaluation.date.strftime("%Y-%m-%dT%H-%M-%S")
    return {f"{slug(evaluation.model.replace('/', '__'))}/results{side}_{time}.json": _json(to_lm_eval(evaluation))}


def _csv(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    return {f"scorecard{side}.csv": to_csv(evaluation)}


def _parquet(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scorecard.parquet"
        write_parquet(file, to_records(evaluation))
        return {f"scorecard{side}.parquet": file.read_bytes()}


def _card(evaluation: Evaluation, side: str, options: Options) -> dict[str, str | bytes]:
    return {f"card{side}.md": to_card(evaluation, options.datasets)}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Evaluation, str, Options], dict[str, str | bytes]]] = {
    "every-eval-ever": _every_eval_ever,
    "model-index": _model_index,
    "eval-results": _eval_results,
    "lm-eval": _lm_eval,
    "csv": _csv,
    "parquet": _parquet,
    "card": _card,
}
