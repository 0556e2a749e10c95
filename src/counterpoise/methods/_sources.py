"""Where training rows come from: the caller, the user's files, or a built-in set; and whether they can be used."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from counterpoise.base import InputError, notice, sha256_file
from counterpoise.chat import Sample
from counterpoise.data import PromptStyle, ReadRecord, SampleFile, draw, read_training, write_samples

Source = Iterable[Sample] | Callable[[int], Iterable[Sample]]
"""Rows (finitely many), or a function from the seed to rows, which is called only when they are needed."""

Files = Annotated[tuple[Path, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value)]
"""Type of a setting that holds files; one of them needs no list."""

Overlaps = Callable[[Sample], bool]
"""Says whether a training row overlaps an evaluation row; see `counterpoise.data.overlap_with`."""

DECODED = 1000  # images that are decoded before training, at some milliseconds each; all are opened


class Rows(NamedTuple):
    """Rows to be read once, lazily, and where they come from, for `run.json`."""

    rows: Iterable[Sample]
    origin: dict[str, Any]


def rows_from(
    given: Source | None,
    files: Sequence[Path],
    images: Path | None,
    seed: int,
    kind: str,
    built_in: Callable[[int], Rows],
    *,
    skip_bad: int = 0,
    style: PromptStyle = "chat",
) -> Rows:
    """The rows of one source: those that the caller gives, else those of the user's files, else the built-in ones.

    Args:
        files: LLaVA/ShareGPT or instruction files; read in order of their names.
        images: folder that their image paths start from; default: each file's own folder.
        kind: what the rows are for, in messages: `rejection`.
        built_in: from the seed to rows; called only when nothing else is there.
        skip_bad: so many bad rows of the files are left out; once the rows are read, the origin names them.
        style: how the rows of instruction files are put to the model.

    Raises InputError when two files have one name, which tells sources apart.
    """
    if given is not None:
        return Rows(given(seed) if callable(given) else given, {"from": "caller"})
    if not files:
        return built_in(seed)
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise InputError(f"{kind} files: two have the name {max(names, key=names.count)!r}, which tells sources apart")
    ordered = sorted(files, key=lambda file: file.name)
    hashes = {file.name: sha256_file(file) for file in ordered if file.is_file()}
    origin: dict[str, Any] = {"from": "files", "sha256": hashes}
    return Rows(_read(ordered, images, skip_bad, style, origin), origin)


def _read(
    files: Sequence[Path], images: Path | None, skip_bad: int, style: PromptStyle, origin: dict[str, Any]
) -> Iterator[Sample]:
    record = ReadRecord()
    for file in files:
        yield from read_training(file, images, style=style, skip_bad=skip_bad, record=record)
    origin |= {"rows_read": record.rows, "bad_rows": record.bad_rows, "model_first": record.model_first}


def made_rows(
    name: str, n: int, seed: int, *, fill: Callable[[Iterable[Sample]], Iterable[Sample]] | None = None
) -> Rows:
    """`n` rows of a set in `counterpoise.data.pocket_sets`, which is endless and seeded, and some more to make up for
    rows that are dropped. `fill` completes them, e.g. with the model's own answers."""
    from counterpoise.data import pocket_sets

    rows = islice(getattr(pocket_sets, name)(seed), n + n // 10 + 20)
    return Rows(fill(rows) if fill else rows, {"from": f"counterpoise.data.pocket_sets.{name}", "seed": seed})


def draw_all(rows: Iterable[Sample], n: int, seed: int, purpose: str, setting: str) -> list[Sample]:
    """`n` rows by `counterpoise.data.draw`. Raises InputError, naming the `setting` to lower, when there are fewer."""
    drawn = draw(rows, n, seed=seed, purpose=purpose)
    if len(drawn) < n:
        raise InputError(f"the {purpose} source has {len(drawn)} usable rows, {n} are wanted; lower {setting}")
    return drawn


def store_rows(out: Path, name: str, rows: Sequence[Sample]) -> tuple[SampleFile, dict[str, str]]:
    """Check the images, write `out/data/NAME.jsonl`, and return its rows, read when asked for, and its name and hash.

    Raises InputError naming the row of a broken image.
    """
    check_images(rows)
    file = out / "data" / f"{name}.jsonl"
    digest = write_samples(file, rows)
    return SampleFile(file), {"file": file.relative_to(out).as_posix(), "sha256": digest}


def check_images(rows: Sequence[Sample]) -> None:
    """Decode the images, so that a broken file stops the run before training does. Of more than `DECODED` images an
    even spread of at most so many is decoded, which is said, and the others are opened.

    Raises InputError naming the row.
    """
    images = [(row, image) for row in rows for message in row.messages for image in message.images]
    every = max(1, ceil(len(images) / DECODED))
    if every > 1:
        notice(f"training images: one in {every} of {len(images):,} is decoded before training, the others are opened")
    for number, (row, image) in enumerate(images):
        try:
            _ = image.size if number % every else image.pil().size
        except InputError as error:
            raise InputError.at(
                str(row.meta.get("source", "training rows")), str(error), row=row.id, field="image"
            ) from error


@contextmanager
def in_turn(out: Path) -> Iterator[None]:
    """Processes that were launched together build the same rows one after another: what the first one has its model
    answer, the others find in its journal, and no two write one file at once."""
    from filelock import FileLock

    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".rows.lock"):
        yield
