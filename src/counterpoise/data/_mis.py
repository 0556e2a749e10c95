"""The published format of MIS (Ding et al. 2025): `mis_train.json`, `mis_{easy,hard,real}.json` and image folders."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, atomic_write, notice, write_json
from counterpoise.chat import Image, Sample

from ._chat_row import PLACEHOLDER, ROLES, parse_row
from ._row_files import raw_rows

Level = Literal["easy", "hard", "real"]
_DIALOGUE = ("conversations", "messages")


@dataclass
class MISRecord:
    """What the reader left out, for `run.json` and data cards."""

    rows: int = 0
    empty_labels: list[str] = field(default_factory=list)
    """Ids of rows whose answer is empty; a third party found some 70 of them in the published file."""


def read_mis_train(
    file: str | Path, image_root: str | Path | None = None, *, record: MISRecord | None = None
) -> Iterator[Sample]:
    """Stream the rows of a `mis_train.json`: two images, a question, an answer. Any ShareGPT file with two images a
    row is read.

    Paths are relative to `image_root` (default: the file's folder). A row with an empty answer is left out, counted in
    `record`, and their number is said once. Raises InputError with file, row and field for another number of images
    than two, the same image twice, an id that occurs twice, and whatever `read_llava` refuses.
    """
    path = Path(file)
    root = Path(path.parent if image_root is None else image_root).resolve()
    kept, seen = MISRecord() if record is None else record, set[str]()
    before = len(kept.empty_labels)
    for number, row in raw_rows(path):
        if isinstance(row, str):
            raise InputError.at(path, row, row=number)
        shown = row.get("image") or row.get("images") or []
        shown = shown if isinstance(shown, list) else [shown]
        where = f"{number} (id {row.get('id')!r})"
        if len(shown) != 2:
            raise InputError.at(path, f"{len(shown)} images; expected two", row=where, field="image")
        if shown[0] == shown[1]:
            raise InputError.at(path, "the same image twice; expected two", row=where, field="image")
        if _unanswered(row):
            kept.empty_labels.append(str(row.get("id", f"row{number}")))
            continue
        sample = parse_row(row, path, number, root)
        if sample.id in seen:
            raise InputError.at(path, "occurs twice", row=where, field="id")
        seen.add(sample.id)
        kept.rows += 1
        yield Sample(
            id=sample.id,
            messages=sample.messages,
            harmful=True,
            modality="pair",
            split="train",
            group=str(row.get("category") or ""),
            meta=sample.meta,
        )
    if left := len(kept.empty_labels) - before:
        notice(f"{path}: rows with an empty answer left out: {left}")


def _unanswered(row: dict[str, Any]) -> bool:
    """Whether a turn of the model says nothing, or there is none at all."""
    turns = next((row[name] for name in _DIALOGUE if isinstance(row.get(name), list)), None)
    if turns is None:
        return False  # the reader's error, not an empty label
    said = [turn for turn in turns if isinstance(turn, dict) and _role(turn) == "assistant"]
    texts = [turn.get("value", turn.get("content")) for turn in said]
    return not said or any(text is None or (isinstance(text, str) and not text.strip()) for text in texts)


def _role(turn: dict[str, Any]) -> str | None:
    return ROLES.get(str(turn.get("from", turn.get("role"))).strip().casefold())


def write_mis_train(folder: Path, rows: Sequence[Sample]) -> Path:
    """Write `mis_train.json` and `images/<id>/object1.png`, `object2.png`; returns the file.

    Raises InputError for a row without exactly two images, without an answer, or with an id that occurs twice.
    """
    _check(rows)
    written = []
    for sample in rows:
        question, reply = sample.messages[0], sample.messages[-1]
        if reply.role != "assistant" or not reply.text.strip():
            raise InputError(f"row {sample.id}: empty answer; a training row needs one")
        names = _store(sample, folder, f"images/{_safe(sample.id)}")
        asked = f"<image>\n<image>\n{question.text}"
        turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": reply.text}]
        written.append({"id": sample.id, "category": sample.group, "image": names, "conversations": turns})
    write_json(folder / "mis_train.json", written)
    return folder / "mis_train.json"


def write_mis_test(folder: Path, level: Level, rows: Sequence[Sample]) -> Path:
    """Write `mis_<level>.json` and `<level>_image/<n>/object1.png`, `object2.png`; returns the file. Raises InputError
    as `write_mis_train` does, answers aside."""
    _check(rows)
    written = []
    for number, sample in enumerate(rows):
        names = _store(sample, folder, f"{level}_image/{number}")
        category, _, below = sample.group.partition("/")
        written.append(
            {
                "id": sample.id,
                "question": sample.messages[0].text,
                "category": category,
                "sub_category": below,
                "image_path1": names[0],
                "image_path2": names[1],
            }
        )
    write_json(folder / f"mis_{level}.json", written)
    return folder / f"mis_{level}.json"


def _check(rows: Iterable[Sample]) -> None:
    counts = Counter[str]()
    for sample in rows:
        counts[_safe(sample.id)] += 1
        images = [image for message in sample.messages for image in message.images]
        if len(images) != 2:
            raise InputError(f"row {sample.id}: {len(images)} images; expected two")
        if PLACEHOLDER.search(sample.messages[0].text):
            raise InputError(f"row {sample.id}: its question contains <image>, which marks images in this format")
    if doubled := [name for name, n in counts.items() if n > 1]:
        raise InputError(f"row {doubled[0]}: its id occurs twice")


def _safe(name: str) -> str:
    """An id as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _store(sample: Sample, folder: Path, below: str) -> list[str]:
    images: list[Image] = [image for message in sample.messages for image in message.images]
    names = [f"{below}/object{place}.png" for place in (1, 2)]
    for name, image in zip(names, images, strict=True):
        with atomic_write(folder / name, "wb") as file:
            file.write(image.read())
    return names
