"""Rejection-mix end to end: sources -> mix on disk -> training -> adapter and record."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, sha256_file
from counterpoise.chat import Sample
from counterpoise.data import SampleFile, read_llava, write_samples

from ._answers import own_answers
from ._mix_config import RejectionMixConfig
from ._registry import Source, method
from ._rejection_mix import Overlaps, build, build_mix
from ._result import AlignResult, write_run

if TYPE_CHECKING:
    from counterpoise.models import Loaded

DECODED = 64  # images that are decoded before training; all are opened


@method(
    "rejection-mix",
    title="Rejection-mix",
    paper="Wang et al., Do We Really Need Curated Malicious Data for Safety Alignment in Multi-modal LLMs?, CVPR 2025, "
    "arXiv 2504.10000",
    source="https://github.com/ybwang119/MLLM_safety_study",
    licence="no licence file (nothing was copied)",
    config=RejectionMixConfig,
    build=build,
)
def align(
    loaded: "Loaded",
    config: RejectionMixConfig,
    out: Path,
    *,
    source: Source | None = None,
    benign: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Mix plain refusals of benign, out-of-domain image questions into ordinary instruction data and fine-tune on it.

    No harmful image or text is used: a model that refuses in text and complies through images mostly lacks refusals in
    its image data. Costs: benign questions of the rejection source's domain may be refused, which must be measured.

    Rows come from `source` and `benign` when given, else from the files the config names, else from the built-in
    rendered sets. Writes `out/data/mix.jsonl`, `out/adapter/`, `out/run.json`. Running again resumes or returns what is
    there. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import fit, sft_loss

    started = time.time()
    n_rejection, n_benign = config.counts
    journal = out / "data" / "answers.jsonl"
    if not resume:
        journal.unlink(missing_ok=True)
    refused_files = (config.rejection_files, config.rejection_images)
    refused, refused_from = _rows(loaded, source, *refused_files, config.seed, "rejection", n_rejection, journal)
    if config.contrast and benign is None and not config.benign_files:
        kept, kept_from = _rows(loaded, source, *refused_files, config.seed, "rejection", n_rejection, journal)
    else:
        kept, kept_from = _rows(
            loaded, benign, config.benign_files, config.benign_images, config.seed, "benign", n_benign, journal
        )
    rows, record = build_mix(config, refused if n_rejection else (), kept if n_benign else (), overlaps=overlaps)
    check_images(rows)
    mix = out / "data" / "mix.jsonl"
    mix_hash = write_samples(mix, rows)
    del rows
    built = time.time()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, SampleFile(mix), sft_loss, train, out, resume=resume)
    run = {
        "method": "rejection-mix",
        "model": {
            "name": loaded.name,
            "fingerprint": loaded.fingerprint,
            "dtype": loaded.dtype,
            "device": loaded.device,
        },
        "config": config.model_dump(mode="json") | {"train": train.model_dump(mode="json")},
        "data": {
            "rejection": refused_from,
            "benign": kept_from,
            "mix": {"file": "data/mix.jsonl", "sha256": mix_hash},
            **dataclasses.asdict(record),
        },
        "train": dataclasses.asdict(result) | {"adapter": "adapter"},
        "timings": {"build": round(built - started, 3), "train": result.seconds},
    }
    return AlignResult(out / "adapter", write_run(out, run))


def check_images(rows: list[Sample]) -> None:
    """Open every image and decode a spread of them, so that a broken file stops the run before training does.

    Raises InputError naming the row.
    """
    images = [(row, image) for row in rows for message in row.messages for image in message.images]
    every = max(1, len(images) // DECODED)
    for number, (row, image) in enumerate(images):
        try:
            _ = image.size if number % every else image.pil().size
        except InputError as error:
            raise InputError.at(
                str(row.meta.get("source", "training rows")), str(error), row=row.id, field="image"
            ) from error


def _rows(
    loaded: "Loaded",
    given: Source | None,
    files: tuple[Path, ...],
    images: Path | None,
    seed: int,
    kind: str,
    n: int,
    journal: Path,
) -> tuple[Iterable[Sample], dict[str, Any]]:
    """The rows of one source, lazily, and where they come from."""
    if given is not None:
        return (given(seed) if callable(given) else given), {"from": "caller"}
    if files:
        names = [file.name for file in files]
        if len(set(names)) < len(names):
            raise InputError(
                f"{kind} files: two have the name {max(names, key=names.count)!r}, which tells sources apart"
            )
        hashes = {file.name: sha256_file(file) for file in sorted(files) if file.is_file()}
        return _read(files, images), {"from": "files", "sha256": hashes}
    from counterpoise.data import pocket_sets

    make = pocket_sets.rejection_source if kind == "rejection" else pocket_sets.ordinary_instructions
    # The streams are endless and seeded; a little more than is wanted makes up for rows that are dropped.
    name = f"counterpoise.data.pocket_sets.{make.__name__}"
    rows = islice(make(seed), n + n // 10 + 20)
    return own_answers(loaded, rows, journal) if kind == "benign" else rows, {"from": name, "seed": seed}


def _read(files: tuple[Path, ...], images: Path | None) -> Iterator[Sample]:
    for file in sorted(files, key=lambda file: file.name):
        yield from read_llava(file, images)
