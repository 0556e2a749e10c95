"""Reader of LLaVA, ShareGPT and OpenAI-style chat files: JSON lists, JSON Lines and Parquet, streamed."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample

from ._chat_row import parse_row
from ._row_files import Raw, raw_rows

T = TypeVar("T")

_LISTED = 20  # bad rows that a message lists; all are in the record


@dataclass
class ReadRecord:
    """What a reader left out, for `run.json`. One record may serve several files."""

    rows: int = 0
    """Rows that became samples."""
    bad_rows: list[str] = field(default_factory=list)
    """One line for each row that was left out: file, row, id, field, problem."""
    model_first: int = 0
    """Rows that began with turns of the model; those turns were left out, for nobody had asked anything yet."""


def read_llava(
    path: str | Path,
    image_root: str | Path | None = None,
    *,
    skip_bad: int = 0,
    record: ReadRecord | None = None,
) -> Iterator[Sample]:
    """Stream the rows of a LLaVA / ShareGPT file as Samples that end in an assistant turn.

    `<image>` in a user turn (in a list of parts also {"type": "image"}) marks where an image of the row stands; images
    without a mark stand before the first question. Paths are relative to `image_root` (default: the file's folder) and
    must stay inside it; data URIs and the bytes that Parquet files carry are read as well.
    A `system` field is a system turn, an empty system turn is none, and turns of the model before the first question
    are left out.

    At most `skip_bad` bad rows are left out; they and the turns left out are counted in `record` and said on standard
    error. With a shared record `skip_bad` is the limit of all its files together. When rows may be skipped, their
    images are decoded once (some milliseconds each), so that a broken one costs its row and not the run; else none is
    decoded.

    Raises InputError with file, row (from 1), id and field for the first bad row, or with the list of bad rows when
    there are more than `skip_bad`: truncated JSON, a missing field, a role that is unknown or out of order, an empty
    turn, marks and images that differ in number, a missing image or one outside the root, videos. A JSON list that
    cannot be read on always stops.
    """
    file = Path(path)
    root = Path(file.parent if image_root is None else image_root).resolve()
    kept = ReadRecord() if record is None else record
    first_before = kept.model_first
    samples = parsed_rows(
        file, raw_rows(file), lambda row, number: parse_row(row, file, number, root), skip_bad, kept,
        lambda sample: [image for message in sample.messages for image in message.images],
    )  # fmt: skip
    try:
        for sample in samples:
            kept.model_first += bool(sample.meta.get("model_first"))
            yield sample
    finally:
        samples.close()
        if first := kept.model_first - first_before:
            sys.stderr.write(f"{file}: rows that begin with a turn of the model, which is left out: {first}\n")


def parsed_rows(
    file: Path,
    rows: Iterable[tuple[int, Raw]],
    parse: Callable[[dict[str, Any], int], T],
    skip_bad: int,
    record: ReadRecord,
    images: Callable[[T], list[Image]],
) -> Generator[T, None, None]:
    """What `parse(row, number)` makes of each row; at most `skip_bad` bad rows are left out, counted in `record` and
    said on standard error. When rows may be skipped, the `images` of what was made are decoded once."""
    before, told = len(record.bad_rows), False
    try:
        for number, row in rows:
            try:
                if isinstance(row, str):
                    raise InputError.at(file, row, row=number)
                made = parse(row, number)
                if skip_bad:
                    _look_at(images(made), file, f"{number} (id {row['id']!r})" if "id" in row else str(number))
            except InputError as error:
                if not skip_bad:
                    raise
                record.bad_rows.append(str(error))
                if len(record.bad_rows) > skip_bad:
                    told = True
                    raise _too_many(file, record.bad_rows, skip_bad) from error
                continue
            record.rows += 1
            yield made
    finally:
        _say(file, [] if told else record.bad_rows[before:])


def _look_at(images: Iterable[Image], file: Path, row: str) -> None:
    for image in images:
        try:
            image.pil()
        except InputError as error:
            raise InputError.at(file, str(error), row=row, field="image") from error


def _too_many(file: Path, bad_rows: list[str], limit: int) -> InputError:
    more = f"; and {len(bad_rows) - _LISTED} more" if len(bad_rows) > _LISTED else ""
    return InputError(
        f"{file}: {len(bad_rows)} bad rows, more than the {limit} that may be skipped: "
        f"{'; '.join(bad_rows[:_LISTED])}{more}"
    )


def _say(file: Path, bad_rows: list[str]) -> None:
    if bad_rows:
        lines = [f"{file}: bad rows left out: {len(bad_rows)}", *(f"  {line}" for line in bad_rows[:_LISTED])]
        lines += [f"  and {len(bad_rows) - _LISTED} more"] if len(bad_rows) > _LISTED else []
        sys.stderr.write("\n".join(lines) + "\n")
