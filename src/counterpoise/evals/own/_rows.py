"""Rows of a benchmark of one's own: from columns to samples."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, Split, user

from .. import _tables

if TYPE_CHECKING:
    from ._settings import OwnBenchmark

SIDES = dict.fromkeys(("true", "1", "yes", "harmful", "unsafe"), True) | dict.fromkeys(
    ("false", "0", "no", "harmless", "safe"), False
)
DIRECT = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Columns:
    """Which column holds what."""

    prompt: str
    images: tuple[str, ...] = ()
    folder: Path = Path()
    id: str | None = None
    harmful: bool | str | None = None
    target: str | None = None
    choices: tuple[str, ...] | str | None = None
    group: str | None = None
    cluster: str | None = None
    sides: Mapping[str, bool | None] = field(default_factory=lambda: SIDES)
    """Words of the column `harmful`, in small letters; None: neither side, as where people did not agree."""
    only: bool | None = None
    """The one side that is read, where a table holds both; None: all rows."""
    groups: Mapping[str, str] | None = None
    """Names of the groups by the words of the column, in small letters; None: its own words."""
    prefix: str = ""
    """Stands before every id."""
    split: Split = "all"

    @classmethod
    def of(cls, own: "OwnBenchmark", folder: Path) -> "Columns":
        return cls(own.prompt, own.images, folder, own.id, own.harmful, own.target, own.choices, own.group, own.cluster)

    @property
    def names(self) -> list[str]:
        """Every column that is used."""
        choices = (self.choices,) if isinstance(self.choices, str) else self.choices or ()
        single = (self.prompt, self.id, self.harmful, self.target, self.group, self.cluster)
        return [*(name for name in single if isinstance(name, str)), *self.images, *choices]

    def read(self, file: Path) -> Iterator[Sample]:
        """The samples in file order. Raises InputError at the first wrong row."""
        unlabelled = self.harmful if "" in self.sides else None
        for number, row in _tables.table(file, (name for name in self.names if name != unlabelled)):
            sample = self.sample(row, file, number)
            if self.only in (None, sample.harmful):
                yield sample

    def sample(self, row: Mapping[str, Any], file: Path, number: int | str) -> Sample:
        """One row: its images in the order of the columns, then the text, in one user turn. Raises InputError."""
        text = _tables.text(row, self.prompt, file, number)
        target = _word(row, self.target, file, number) if self.target else None
        letters: tuple[str, ...] = ()
        if self.choices is not None and target is not None:
            options = self._options(row, file, number)
            letters = tuple(ascii_uppercase[: len(options)])
            target = self._letter(target, options, letters, file, number)
            lines = [f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)]
            text = "\n".join([text, *lines, DIRECT])
        images = [_tables.image(row.get(name), self.folder, file, number, name) for name in self.images]
        return Sample(
            id=self.prefix + (_word(row, self.id, file, number) if self.id else str(number)),
            messages=(user(*images, text),),
            target=target,
            choices=letters,
            harmful=self._side(row, file, number),
            modality="image" if images else "text",
            split=self.split,
            cluster=_word(row, self.cluster, file, number) if self.cluster else "",
            group=self._group(row, file, number) if self.group else "",
        )

    def _side(self, row: Mapping[str, Any], file: Path, number: int | str) -> bool | None:
        if not isinstance(self.harmful, str):
            return self.harmful
        return self.sides[_known(row, self.harmful, self.sides, file, number)]

    def _group(self, row: Mapping[str, Any], file: Path, number: int | str) -> str:
        name = self.group or ""
        if self.groups is None:
            return _word(row, name, file, number)
        return self.groups[_known(row, name, self.groups, file, number)]

    def _options(self, row: Mapping[str, Any], file: Path, number: int | str) -> list[str]:
        if isinstance(self.choices, str):
            options = [str(each).strip() for each in _tables.listed(row.get(self.choices), file, number, self.choices)]
        else:
            options = [_word(row, name, file, number) for name in self.choices or ()]
        if not 2 <= len(options) <= 26 or "" in options or len(set(options)) < len(options):
            place = self.choices if isinstance(self.choices, str) else ", ".join(self.choices or ())
            raise InputError.at(file, "expected 2 to 26 different options", row=number, field=place)
        return options

    def _letter(self, target: str, options: list[str], letters: tuple[str, ...], file: Path, number: int | str) -> str:
        if target in options:
            return letters[options.index(target)]
        if target in letters:
            return target
        problem = f"{target!r}; expected one of {', '.join(letters)} or the text of an option"
        raise InputError.at(file, problem, row=number, field=self.target)


@dataclass
class Check:
    """What reading all rows found."""

    rows: int = 0
    sides: set[bool | None] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def check(file: Path, columns: Columns) -> Check:
    """Read every row and collect what is wrong with the columns, the rows and the ids. Raises nothing."""
    found, seen = Check(), set()
    try:
        for number, row in _tables.table(file):
            if not found.rows and (absent := [name for name in columns.names if name not in row]):
                has = f"no such column; the file has {', '.join(map(str, row))}"
                found.problems = [str(InputError.at(file, has, field=name)) for name in dict.fromkeys(absent)]
                return found
            found.rows += 1
            name = str(row.get(columns.id) or "").strip() if columns.id else str(number)
            try:
                found.sides.add(columns.sample(row, file, number).harmful)
                if name in seen:
                    raise InputError.at(file, f"{name!r} occurs twice", row=number, field=columns.id)
            except InputError as error:
                found.problems.append(str(error))
            seen.add(name)  # of a wrong row too: another row with its id is wrong as well
    except InputError as error:  # the file itself: nothing after this can be read
        found.problems.append(str(error))
    if not found.rows and not found.problems:
        found.problems.append(f"{file}: no rows")
    return found


def _known(row: Mapping[str, Any], name: str, words: Iterable[str], file: Path, number: int | str) -> str:
    """One of a few words, whatever its case; a cell without a value is the empty word. Raises InputError."""
    value = row.get(name)
    word = "" if value is None else str(value).strip().lower()
    return _tables.choice({name: word}, name, words, file, number)


def _word(row: Mapping[str, Any], name: str, file: Path, number: int | str) -> str:
    """Text or a number of a table, as text. Raises InputError when it is empty."""
    value = row.get(name)
    if isinstance(value, list | dict | bytes) or value is None or not (text := str(value).strip()):
        raise InputError.at(file, "missing or empty; expected text or a number", row=number, field=name)
    return text
