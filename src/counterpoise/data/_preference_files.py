"""Readers of published preference pairs with two labels, helpfulness and harmlessness, and of single rated replies.

Formats are told apart by their columns, never by a file's name: BeaverTails-V exists in two of them.

| format | columns |
|---|---|
| BeaverTails-V pairs | question, image, response_1, response_2, ..., safer_response_id, rates -3..3 |
| BeaverTails-V single | question, image, response, is_response_safe: one rated reply, `read_rated` |
| PKU-SafeRLHF | prompt, response_0, response_1, better_response_id, safer_response_id, severity levels 0..3 |
| Align-Anything pairs | question, image (or none), response_1, response_2, overall_response: one order |
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, user

from ._chat_row import Where, row_images
from ._llava import ReadRecord, parsed_rows
from ._preferences import Preference, Rated, Reply, rated
from ._row_files import raw_rows


def read_preferences(
    path: str | Path,
    image_root: str | Path | None = None,
    *,
    skip_bad: int = 0,
    record: ReadRecord | None = None,
) -> Iterator[Preference]:
    """Stream the pairs of a JSON list, JSON Lines or Parquet file in one of the formats above.

    Image paths start at `image_root` (default: the file's folder) and must stay inside it; bytes that Parquet carries
    and data URIs are read as well. `skip_bad` and `record` are those of `read_llava`.

    Raises InputError with file, row and field for a row that is wrong; for a file of no known format, naming the
    nearest one and the column that it lacks; for single rated replies, which are no pairs (see `read_rated`).
    """
    file, root = _places(path, image_root)

    def parse(row: dict[str, Any], number: int, form: _Form) -> Preference:
        if form.pair is None:
            raise InputError(
                f"{file}: holds single rated replies ({form.name}), no pairs; train a guard on them, or give the pairs"
            )
        return form.pair(_Row(row, file, number, root))

    yield from _read(file, parse, skip_bad, record)


def read_rated(
    path: str | Path,
    image_root: str | Path | None = None,
    *,
    skip_bad: int = 0,
    record: ReadRecord | None = None,
) -> Iterator[Rated]:
    """Stream single rated replies; a row of pairs gives two, with the ids `ID-0` and `ID-1`.

    Raises InputError as `read_preferences` does, and for pairs whose replies carry no label of their own.
    """
    file, root = _places(path, image_root)

    def parse(row: dict[str, Any], number: int, form: _Form) -> list[Rated]:
        seen = _Row(row, file, number, root)
        return [form.single(seen)] if form.single else rated(form.pair(seen)) if form.pair else []

    for found in _read(file, parse, skip_bad, record):
        yield from found


def _places(path: str | Path, image_root: str | Path | None) -> tuple[Path, Path]:
    file = Path(path)
    return file, Path(file.parent if image_root is None else image_root).resolve()


def _read(file: Path, parse: Callable[..., Any], skip_bad: int, record: ReadRecord | None) -> Iterator[Any]:
    """Rows of a file in the format of its first row."""
    form: _Form | None = None

    def one(row: dict[str, Any], number: int) -> Any:
        nonlocal form
        form = form or _form_of(row, file)
        return parse(row, number, form)

    yield from parsed_rows(file, raw_rows(file), one, skip_bad, record or ReadRecord(), _images_of)


def _images_of(value: Any) -> list[Image]:
    found = value if isinstance(value, list) else [value]
    return [image for each in found for message in each.prompt for image in message.images]


# One row


class _Row(NamedTuple):
    """A row that is read, with the place that its errors name."""

    row: dict[str, Any]
    file: Path
    number: int
    root: Path

    def error(self, problem: str, name: str) -> InputError:
        return InputError.at(self.file, problem, row=self.number, field=name)

    def text(self, name: str) -> str:
        value = self.row.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error("empty or no text; expected text", name)
        return value

    def one_of(self, name: str, values: Mapping[Any, Any]) -> Any:
        value = self.row.get(name)
        key = value.strip().lower() if isinstance(value, str) else value
        if isinstance(key, float) and key.is_integer():  # pandas turns a column of numbers with gaps into floats
            key = int(key)
        if isinstance(key, list | dict) or key not in values:
            raise self.error(f"{value!r}; expected {' or '.join(map(str, values))}", name)
        return values[key]

    def number_in(self, name: str, low: int, high: int) -> int | None:
        """A whole number, or None where the column is not there or null."""
        value = self.row.get(name)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self.error(f"{value!r}; expected a whole number from {low} to {high}", name) from None
        if not number.is_integer() or not low <= number <= high:
            raise self.error(f"{value!r}; expected a whole number from {low} to {high}", name)
        return int(number)

    def images(self) -> list[Image]:
        return row_images(self.row, Where(self.file, str(self.number), self.root))

    def prompt(self, name: str) -> Conversation:
        return (user(*self.images(), self.text(name)),)

    def common(self, question: str) -> dict[str, Any]:
        prompt = self.prompt(question)
        identity = self.row.get("id")
        severity = self.row.get("image_severity")
        return {
            "id": str(identity) if isinstance(identity, str | int) else f"row{self.number}",
            "prompt": prompt,
            "category": str(self.row.get("category") or ""),
            "image_severity": "" if severity is None else str(severity),
            "modality": "image" if prompt[0].images else "text",
            "meta": {"source": self.file.name, "row": self.number},
        }


_YES_NO = {"yes": True, "no": False, True: True, False: False}
_FIRST_SECOND: dict[Any, Literal[0, 1]] = {"1": 0, "2": 1, 1: 0, 2: 1}
_ZERO_ONE: dict[Any, Literal[0, 1]] = {"0": 0, "1": 1, 0: 0, 1: 1}


def _beavertails_pair(seen: _Row) -> Preference:
    replies = tuple(
        Reply(
            seen.text(f"response_{n}"),
            seen.one_of(f"is_response_{n}_safe", _YES_NO),
            seen.number_in(f"response_{n}_harmless_rate", -3, 3),
            seen.number_in(f"response_{n}_helpful_rate", 0, 3),
        )
        for n in (1, 2)
    )
    return Preference(
        replies=(replies[0], replies[1]),
        more_helpful=seen.one_of("more_helpful_response_id", _FIRST_SECOND),
        safer=seen.one_of("safer_response_id", _FIRST_SECOND),
        **seen.common("question"),
    )


def _beavertails_single(seen: _Row) -> Rated:
    reply = Reply(seen.text("response"), seen.one_of("is_response_safe", _YES_NO))
    return Rated(reply=reply, **seen.common("question"))


def _pku_pair(seen: _Row) -> Preference:
    """The severity levels 1 to 3 of an unsafe reply become harmless rates of -1 to -3. A safe one has no grade."""
    replies = []
    for n in (0, 1):
        safe = seen.one_of(f"is_response_{n}_safe", _YES_NO)
        level = seen.number_in(f"response_{n}_severity_level", 0, 3)
        kinds = seen.row.get(f"response_{n}_harm_category")
        named = tuple(name for name, said in kinds.items() if said) if isinstance(kinds, Mapping) else ()
        replies.append(Reply(seen.text(f"response_{n}"), safe, None if safe or not level else -level, None, named))
    return Preference(
        replies=(replies[0], replies[1]),
        more_helpful=seen.one_of("better_response_id", _ZERO_ONE),
        safer=seen.one_of("safer_response_id", _ZERO_ONE),
        **seen.common("prompt"),
    )


def _align_anything_pair(seen: _Row) -> Preference:
    """One overall order, which is about helpfulness; there are no safety labels."""
    return Preference(
        replies=(Reply(seen.text("response_1")), Reply(seen.text("response_2"))),
        more_helpful=seen.one_of("overall_response", _FIRST_SECOND),
        **seen.common("question"),
    )


# Formats


class _Form(NamedTuple):
    name: str
    columns: tuple[str, ...]
    """All of these tell the format from the others."""
    pair: Callable[[_Row], Preference] | None = None
    single: Callable[[_Row], Rated] | None = None


_FORMS = (
    _Form(
        "BeaverTails-V pairs",
        ("question", "response_1", "response_2", "more_helpful_response_id", "is_response_1_safe",
         "is_response_2_safe", "safer_response_id", "response_1_harmless_rate", "response_2_harmless_rate"),
        pair=_beavertails_pair,
    ),
    _Form(
        "BeaverTails-V single replies", ("question", "response", "is_response_safe"), single=_beavertails_single
    ),
    _Form(
        "PKU-SafeRLHF",
        ("prompt", "response_0", "response_1", "is_response_0_safe", "is_response_1_safe", "better_response_id",
         "safer_response_id"),
        pair=_pku_pair,
    ),
    _Form(
        "Align-Anything pairs", ("question", "response_1", "response_2", "overall_response"),
        pair=_align_anything_pair,
    ),
)  # fmt: skip


def _form_of(row: Mapping[str, Any], file: Path) -> _Form:
    lacking = {form: [name for name in form.columns if name not in row] for form in _FORMS}
    whole = [form for form in _FORMS if not lacking[form]]
    if whole:
        return max(whole, key=lambda form: len(form.columns))
    near = min(_FORMS, key=lambda form: len(lacking[form]) / len(form.columns))
    missing = ", ".join(repr(name) for name in lacking[near])
    raise InputError(
        f"{file}: its columns are those of no preference format that is read; nearest is {near.name}, which also has "
        f"{missing}. Known: {', '.join(form.name for form in _FORMS)}"
    )
