"""Answers on disk as they come, so that a stopped evaluation never generates one twice."""

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, json_line, notice
from counterpoise.chat import Sample
from counterpoise.models import Answer

from ._reply import answered


def prompt_hash(sample: Sample) -> str:
    """Hash of what the model sees: roles, texts, the bytes of images, options; an assistant turn's reasoning, and
    whether it is trusted, where they are set."""
    digest = hashlib.sha256(f"{sample.choices}".encode())
    for message in sample.messages:
        digest.update(f"\n{message.role}".encode())
        for part in message.parts:
            digest.update(b"\0" + _bytes(part if isinstance(part, str) else part.sha256))
        if message.reasoning:
            digest.update(_bytes(f"\0\0reasoning {message.reasoning}"))
        if message.trusted:
            digest.update(b"\0\0trusted")
    return digest.hexdigest()


def data_hash(samples: Iterable[Sample]) -> str:
    """Hash of a list of samples: the same rows in the same order give the same hash, on any machine."""
    lines = (f"{sample.id}\n{prompt_hash(sample)}\n{sample.target}\n{sample.harmful}" for sample in samples)
    return hashlib.sha256(_bytes("\n\n".join(lines))).hexdigest()


def _bytes(text: str) -> bytes:
    """Also of half a surrogate pair, which rows of other packages may hold."""
    return text.encode("utf-8", "surrogatepass")


class Journal:
    """An append-only `answers.jsonl`. A key names model, prompt, images and decoding. The half-written last line of a
    killed process is dropped; every other line stays, and one that is no answer is passed over and said. One process
    at a time may hold it (`only_process`). Raises InputError when the file cannot be written."""

    def __init__(self, file: Path, identity: str) -> None:
        self.file, self.identity = file, identity
        self.generated = 0
        """Answers added since the journal was opened."""
        self.broken = 0
        """Lines that are no answers."""
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}  # where in the file a key's line begins: answers stay on disk
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                self._repair()
            self._handle = file.open("ab", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        self.found = len(self._places)
        """Answers of earlier evaluations."""
        if self.broken:
            notice(f"{file}: {self.broken} lines are no answers and are passed over; those questions are asked again")

    def _repair(self) -> None:
        """Learn the places of all lines, and end the file with a whole one."""
        last, at = self._scan()
        if last and not last.endswith(b"\n"):
            if _row(last) is None:  # of a killed process
                self.broken -= 1
                os.truncate(self.file, at)
            else:  # whole but for its end
                with self.file.open("ab") as handle:
                    handle.write(b"\n")

    def _scan(self) -> tuple[bytes, int]:
        """Read the file from its beginning; the last line and where it begins. Of two lines with one key the first
        stays, as in `put`."""
        self._places, self.broken = {}, 0
        place = at = 0
        line = b""
        with self.file.open("rb") as handle:
            for line in handle:
                place, at = at, at + len(line)
                row = _row(line)
                if row is not None:
                    self._places.setdefault(row["key"], place)
                elif line.strip():
                    self.broken += 1
        return line, place

    def key(self, sample: Sample, settings: str) -> str:
        """Hash of everything an answer depends on; `settings` are those of `Benchmark.settings`."""
        text = f"{self.identity}\n{settings}\n{prompt_hash(sample)}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer kept under a key, read from the file. Whatever else wrote to the file, it is the answer of this
        key or none."""
        for again in (False, True):
            place = self._places.get(key)
            if place is None:
                return None
            with self.file.open("rb") as handle:
                handle.seek(place)
                row = _row(handle.readline())
            if row is not None and row["key"] == key:
                return row
            if not again:
                with self._lock:
                    self._scan()
        return None

    def reply(self, key: str) -> Answer | None:
        """The reply kept under a key, in its parts. What older versions kept is raw, and taken apart now."""
        row = self.get(key)
        if row is None:
            return None
        return answered(row["answer"], row["finish"], row.get("reasoning"), row.get("problem"))

    def put_reply(self, key: str, reply: Answer, **more: Any) -> None:
        """Keep a reply with its parts and with what is wrong with it."""
        self.put(key, reply.text, reply.finish, reasoning=reply.reasoning, problem=reply.problem, **more)

    def put(self, key: str, answer: str, finish: str, **more: Any) -> None:
        """Keep one answer; it survives the end of this process when this returns."""
        row = {"key": key, "answer": answer, "finish": finish, **more}
        with self._lock:
            if key in self._places:  # two items with the same prompt, in flight together
                return
            line = json_line(row).encode()
            try:
                written = self._handle.write(line)
                end = self._handle.tell()
            except OSError as error:
                raise self._unwritable(error) from error
            if written != len(line):  # the disk is full: no half line may stand before the next one
                with suppress(OSError):
                    os.truncate(self.file, end - written)
                raise self._unwritable(OSError("the disk is full"))
            self._places[key] = end - written
            self.generated += 1

    def close(self) -> None:
        """No more answers can be put; those that are there can still be read."""
        try:
            self._handle.close()
        except OSError as error:  # what could not be written was already reported by put
            if self.generated:
                raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.file}: cannot write ({error.strerror or error}); free some space or choose another --out"
        )


def _row(line: bytes) -> dict[str, Any] | None:
    """A line of the journal; None when it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(row, dict) and all(isinstance(row.get(name), str) for name in ("key", "answer", "finish"))
    return row if known else None
