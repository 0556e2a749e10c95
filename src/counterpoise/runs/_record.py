"""`run.json`: what was asked, with which versions, what took how long, and whether a folder may be continued."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from counterpoise.base import LOCK, InputError, environment, read_json, sha256_bytes, write_json
from counterpoise.report import EvalFolder

PARTS = (
    "before", "after", "align", "adapter", "weights", "edit", "steering", "dose", "dose.json", "scorecard.json",
    "report.html", "report_files", "run.json",
)  # fmt: skip


class Identified(Protocol):
    """What a record is of: a folder, and all that must not change when its work is continued."""

    @property
    def out(self) -> Path: ...

    @property
    def identity(self) -> dict[str, Any]: ...


class Record:
    """The growing content of `run.json`. Saved after every finished stage, so a killed run knows where it was."""

    def __init__(self, path: Path, value: dict[str, Any]):
        self.path, self.value = path, value

    @classmethod
    def open(
        cls, config: Identified, weights: Callable[[], str], *, force: bool, parts: Sequence[str] = PARTS
    ) -> "Record":
        """Start or continue the run in `config.out`; `weights` hashes the model's files and may have to fetch them.

        Raises InputError when the folder belongs to another configuration, to other weights under the same name (a
        retrained or updated model), or to something else. `force` removes what an earlier run left in its own folder,
        its `parts`, and nothing else; a folder without `run.json` is never cleared. Nothing is changed before
        everything is checked.
        """
        file = config.out / "run.json"
        begun = file.is_file()
        known = read_json(file) if begun and not force else None
        if known is not None:
            _same(known.get("config", {}), config.identity, file)
        refuse_foreign(config.out)
        found = weights()
        if known is not None:
            _same({"weights": known.get("weights", "not recorded")}, {"weights": found}, file)
            return cls(file, known)
        if begun:
            _clear(config.out, parts)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        value = {"config": config.identity, "weights": found, "stages": {}, "timings": {}, "started": started}
        value |= environment()
        record = cls(file, value)
        record.save()
        return record

    def keep_settings(self, resolved: BaseModel) -> None:
        """Record the method's settings as they are used. Raises InputError when the run was begun with others, for
        example by a release whose method had other defaults."""
        now = resolved.model_dump(mode="json")
        known = self.value.get("settings")
        if known is not None and known != now:
            names = [name for name in {**known, **now} if known.get(name) != now.get(name)]
            _same({name: known.get(name) for name in names}, {name: now.get(name) for name in names}, self.path)
        self.value["settings"] = now
        self.save()

    def save(self) -> None:
        write_json(self.path, self.value)

    def done(self, stage: str) -> bool:
        return bool(self.value["stages"].get(stage))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and mark it done when its block ends without an error."""
        start = time.monotonic()
        yield
        self.value["timings"][name] = round(self.value["timings"].get(name, 0) + time.monotonic() - start, 1)
        self.value["stages"][name] = True
        self.save()


def refuse_foreign(out: Path) -> None:
    """Raises InputError for a folder that holds something, and no run."""
    if (out / "run.json").is_file() or not out.is_dir():
        return
    if any(each.name != LOCK for each in out.iterdir()):
        raise InputError(f"{out}: not empty and not a run; choose another --out")


def data_hashes(folder: EvalFolder) -> dict[str, str]:
    """Per benchmark a hash over ids, prompts and images: equal hashes mean that the same items were asked."""
    lines: dict[str, list[str]] = {}
    for item in folder.items.values():
        lines.setdefault(item.benchmark, []).append("\n".join((item.id, item.prompt, *item.images)))
    return {name: sha256_bytes("\0".join(sorted(texts)).encode()) for name, texts in sorted(lines.items())}


def _same(known: dict[str, Any], wanted: dict[str, Any], file: Path) -> None:
    other = [name for name in wanted if known.get(name) != wanted[name]]
    if other:
        parts = ", ".join(f"{name} {known.get(name)!r} there, {wanted[name]!r} now" for name in other)
        raise InputError(f"{file}: another run ({parts}); choose another --out, or --force to start over")


def _clear(out: Path, parts: Sequence[str]) -> None:
    for name in parts:
        part = out / name
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
