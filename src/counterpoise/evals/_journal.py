"""Answers on disk as they come, so that a stopped evaluation never generates one twice."""

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
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
            digest.update(b"\0" + (part if isinstance(part, str) else part.sha256).encode())
        if message.reasoning:
            digest.update(f"\0\0reasoning {message.reasoning}".encode())
        if message.trusted:
            digest.update(b"\0\0trusted")
    return digest.hexdigest()


def data_hash(samples: Iterable[Sample]) -> str:
    """Hash of a list of samples: the same rows in the same order give the same hash, on any machine."""
    lines = (f"{sample.id}\n{prompt_hash(sample)}\n{sample.target}\n{sample.harmful}" for sample in samples)
    return hashlib.sha256("\n\n".join(lines).encode()).hexdigest()


class Journal:
    """An append-only `answers.jsonl`. A key names model, prompt, images and decoding; a half-written last line of a
    killed process is dropped. Raises InputError when the file cannot be written."""

    def __init__(self, file: Path, identity: str) -> None:
        self.file, self.identity = file, identity
        self.generated = 0
        """Answers added since the journal was opened."""
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}  # where in the file a key's line begins: answers stay on disk
        self._end = 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                self._repair()
            self._handle = file.open("ab")
        except OSError as error:
            raise self._unwritable(error) from error
        self.found = len(self._places)
        """Answers of earlier evaluations."""

    def _repair(self) -> None:
        good = 0
        with self.file.open("rb") as handle:
            for line in handle:
                try:
                    row = json.loads(line)
                    key = row["key"]
                except (ValueError, KeyError, TypeError):
                    break
                if not line.endswith(b"\n"):
                    break
                self._places[key] = good
                good += len(line)
        os.truncate(self.file, good)
        self._end = good

    def key(self, sample: Sample, settings: str) -> str:
        """Hash of everything an answer depends on; `settings` are those of `Benchmark.settings`."""
        text = f"{self.identity}\n{settings}\n{prompt_hash(sample)}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer kept under a key, read from the file."""
        place = self._places.get(key)
        if place is None:
            return None
        with self.file.open("rb") as handle:
            handle.seek(place)
            row: dict[str, Any] = json.loads(handle.readline())
        return row

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
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            try:
                self._handle.write(line)
                self._handle.flush()
            except OSError as error:
                raise self._unwritable(error) from error
            self._places[key] = self._end
            self._end += len(line)
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
