"""From downloaded files to the layout that the readers expect: copied, unpacked, or taken out of tables."""

import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from counterpoise.base import InputError, read_csv

from .._row_files import read_parquet
from ._source import AlsoNamed, FilePart, Pictures, Source, Take, Unzip, relative, target

MOST_FILES = 250_000
UNPACKED = 3  # times the bytes that may be downloaded
PIECE = 1 << 20
TAR = (".tar", ".tar.gz", ".tgz")
BATCH = 32  # rows of a table with images that are in memory at once


class Stage:
    """A folder that is filled with the final layout before anything of it is shown. It counts files and bytes, because
    what an archive says of itself is not trusted."""

    def __init__(self, folder: Path, source: Source):
        self.folder, self.source = folder, source
        self.files, self.bytes = 0, 0

    def place(self, name: str) -> Path:
        """The path of a file of the final layout. Raises InputError for a name that leaves it, or one file too many."""
        self.files += 1
        if self.files > MOST_FILES:
            raise InputError(f"{self.source.name}: more than {MOST_FILES:,} files; nothing was kept")
        file = self.folder / relative(name, self.source.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def count(self, n: int) -> None:
        """Bytes that were written. Raises InputError when there are too many."""
        self.bytes += n
        if self.bytes > UNPACKED * self.source.limit:
            most = UNPACKED * self.source.limit
            raise InputError(f"{self.source.name}: more than {most:,} bytes when unpacked; nothing was kept")

    def copy(self, name: str, file: Path) -> None:
        with file.open("rb") as handle:
            self.write(name, handle)

    def write(self, name: str, handle: IO[bytes]) -> None:
        with self.place(name).open("wb") as out:
            while piece := handle.read(PIECE):
                self.count(len(piece))
                out.write(piece)


def build(source: Source, parts: list[tuple[FilePart, list[str]]], local: Mapping[str, Path], folder: Path) -> Stage:
    """The final layout of a source in `folder`, from its downloaded files by published path. Raises InputError."""
    stage = Stage(folder, source)
    for part, paths in parts:
        for path in paths:
            if isinstance(part, Take):
                stage.copy(target(part, path), local[path])
            elif isinstance(part, Unzip):
                (_untar if path.endswith(TAR) else _unzip)(stage, part, path, local[path])
            else:
                _pictures(stage, part, path, local[path])
    for each in source.parts:
        if isinstance(each, AlsoNamed):
            _also_named(stage, each)
    return stage


def _unzip(stage: Stage, part: Unzip, path: str, file: Path) -> None:
    where = f"{stage.source.name}: {path}"
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                name = entry.filename.replace("\\", "/")
                if entry.is_dir() or _of_the_finder(name):
                    continue
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise InputError(f"{where}: {name!r} is a link; archives with links are not unpacked")
                if entry.flag_bits & 1:
                    raise InputError(f"{where}: it is encrypted; unpack it by hand below {part.to}")
                name = relative(name, where).removeprefix(part.strip)
                with archive.open(entry) as handle:
                    stage.write(part.to + name, handle)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib_error()) as error:
        raise InputError(f"{where}: not a readable zip archive ({error})") from error


def _untar(stage: Stage, part: Unzip, path: str, file: Path) -> None:
    where = f"{stage.source.name}: {path}"
    try:
        with tarfile.open(file) as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")
                if entry.isdir() or _of_the_finder(name):
                    continue
                handle = archive.extractfile(entry) if entry.isreg() else None
                if handle is None:
                    raise InputError(f"{where}: {name!r} is a link or no file; archives with such are not unpacked")
                stage.write(part.to + relative(name, where).removeprefix(part.strip), handle)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib_error()) as error:
        raise InputError(f"{where}: not a readable tar archive ({error})") from error


def _of_the_finder(name: str) -> bool:
    """What macOS puts into archives beside the files."""
    last = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or last == ".DS_Store" or last.startswith("._")


def zlib_error() -> type[Exception]:
    import zlib

    return zlib.error


def _pictures(stage: Stage, part: Pictures, path: str, file: Path) -> None:
    where = f"{stage.source.name}: {path}"
    for number, row in read_parquet(file, where, batch=BATCH):
        value = row.get(part.column)
        data = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(data, bytes) or not data:
            raise InputError.at(where, "no image bytes", row=number, field=part.column)
        name = _named(part.to, row, where, number)
        stage.count(len(data))
        stage.place(name).write_bytes(data)


def _named(pattern: str, row: Mapping[str, Any], where: str, number: int) -> str:
    """The pattern with the row's own values, none of which may hold a folder of its own."""
    plain = {key: str(value) for key, value in row.items() if isinstance(value, str | int)}
    for key, value in plain.items():
        if f"{{{key}}}" in pattern and (not value.strip(". ") or "/" in value or "\\" in value):
            raise InputError.at(where, f"{value!r} is no file name", row=number, field=key)
    try:
        return pattern.format_map(plain)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError.at(where, f"no column for the name {pattern}", row=number) from error


def _also_named(stage: Stage, part: AlsoNamed) -> None:
    table = stage.folder / part.table
    folder = stage.folder / part.folder
    by_stem: dict[str, list[Path]] = {}
    for file in folder.iterdir():
        by_stem.setdefault(file.stem, []).append(file)
    names = [row[part.column] for _, row in read_csv(table, [part.column])]
    for name in dict.fromkeys(filter(None, names)):
        same = by_stem.get(Path(relative(name, stage.source.name)).stem, [])
        if not (folder / name).exists() and len(same) == 1:
            shutil.copyfile(same[0], stage.place(f"{part.folder}/{name}"))


def each_file(folder: Path, seen: Callable[[str, Path], None]) -> None:
    """Call for every file below a folder, by name, with its path inside it."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            seen(file.relative_to(folder).as_posix(), file)
