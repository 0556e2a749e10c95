"""Generate the answers of one benchmark through Inspect; every answer goes into the journal when it is there."""

import dataclasses
import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, Progress
from counterpoise.chat import Sample

from ._benchmark import Benchmark
from ._journal import Journal, data_hash
from ._message import one_line
from ._reply import chosen
from ._store import Logs
from ._target import Target

if TYPE_CHECKING:
    from counterpoise.models import Engine

RETRIES = 5
"""Of a remote model, each after a longer wait; a sample that still fails is unscored, and the next run asks again."""
SHARD = 1500
"""Samples per Inspect log. Inspect keeps about 40 KB of each until its log is complete, so a long benchmark becomes
several logs; no benchmark of ours but the whole MM-SafetyBench is that long."""


@dataclass(frozen=True)
class Work:
    """Samples of one benchmark, who answers them, and where answers and logs go."""

    bench: Benchmark
    samples: Sequence[Sample]
    target: Target
    journal: Journal
    logs: Logs
    progress: Progress
    display: bool = False

    def part(self, samples: Sequence[Sample]) -> "Work":
        """The same with other samples."""
        return dataclasses.replace(self, samples=samples)

    def key(self, sample: Sample) -> str:
        """Of the sample's answer in the journal."""
        return self.journal.key(sample, self.bench.settings(sample))


def generate(work: Work) -> dict[str, str]:
    """Fill the journal with an answer for every sample. Nothing runs when a finished log and all answers are there.

    Returns {sample id: reason} of samples that a remote model did not answer (the next call asks again). Raises
    InputError when a local model cannot answer a sample, or a remote one answers none; KeyboardInterrupt on Ctrl-C.
    """
    failed: dict[str, str] = {}
    for start in range(0, len(work.samples), SHARD):
        failed |= _shard(work.part(work.samples[start : start + SHARD]))
    work.logs.drop_unfinished(work.bench.name)
    return failed


def _shard(work: Work) -> dict[str, str]:
    name, keys = work.bench.name, {sample.id: work.key(sample) for sample in work.samples}
    settings = f"{work.target.identity} {work.bench.decoding} {data_hash(work.samples)}"
    digest = hashlib.sha256(settings.encode()).hexdigest()
    if all(key in work.journal for key in keys.values()) and work.logs.finished(digest):
        work.progress.advance(len(work.samples))
        return {}
    _choose(work)
    with _rare_collections():
        log = _inspect(work, digest)
    work.logs.add(Path(log.location), name, digest, log.status == "success")
    if log.status == "cancelled":
        raise KeyboardInterrupt
    errors = _errors(log) if log.status == "success" else {}
    left = [sample for sample, key in keys.items() if key not in work.journal]
    if log.status != "success" or len(left) == len(work.samples) > 0:
        first = log.error.message if log.error else next(iter(errors.values()), f"status {log.status}")
        raise InputError(f"{name}: {one_line(first)}")
    return {sample: f"api_error: {one_line(errors.get(sample, 'no answer'))}" for sample in left}


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Inspect makes hundreds of small objects a sample that live until its log is written; Python's collector goes
    through them again and again, a fifth of all time beside the model (bench/rows_overhead.py). So it waits longer."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _inspect(work: Work, digest: str) -> Any:
    from inspect_ai import eval as inspect_eval
    from inspect_ai._util.error import PrerequisiteError  # a missing key or package: the user's to mend

    from ._task import task

    target = work.target
    try:
        return inspect_eval(
            task(work.bench, work.samples, work.journal, work.progress, lambda: target.server),
            model=target.inspect_model(),
            metadata={"work": digest},
            display="full" if work.display else "none",
            log_dir=str(work.logs.folder),
            # the journal is what we read back; a log is for people, and a large one must not come into memory
            log_header_only=True,
            log_realtime=False,
            log_images=False,
            # never Inspect's adaptive connections: they start at 20 and would starve the engine's batches
            max_connections=target.in_flight,
            max_samples=target.in_flight,
            fail_on_error=target.engine is not None,
            score=False,  # answers first; scoring needs only the journal, and costs Inspect 2 ms per scorer and sample
            acp_server=False,
            ctl_server=False,
            max_retries=RETRIES,  # Inspect's default asks an unreachable server for ever
        )[0]
    except PrerequisiteError as error:
        raise InputError(f"{target.name}: {one_line(str(error))}") from error


def _choose(work: Work) -> None:
    """Answer multiple-choice questions in whole batches from the options' probabilities, without generating."""
    engine, batch = work.target.engine, work.target.in_flight
    if engine is None:
        return
    todo = [sample for sample in work.samples if sample.choices and work.key(sample) not in work.journal]
    for start in range(0, len(todo), batch):
        part = todo[start : start + batch]
        try:
            scores = engine.score_options([s.messages for s in part], [s.choices for s in part])
        except InputError as error:
            raise _named(error, engine, part) from error
        for sample, row in zip(part, scores, strict=True):
            reply = chosen(sample, row)
            more = {"logprobs": row} if reply.problem is None else {}
            work.journal.put_reply(work.key(sample), reply, **more)


def _named(error: InputError, engine: "Engine", part: Sequence[Sample]) -> InputError:
    """The error with the id of the row whose prompt cannot be encoded; as it is when all can."""
    from counterpoise.models import encode_row

    for sample in part:
        try:
            encode_row(engine.loaded, sample.messages, add_generation_prompt=True)
        except InputError as found:
            return InputError(f"row {sample.id}: {found}")
    return error


def _errors(log: Any) -> dict[str, str]:
    from inspect_ai.log import read_eval_log_sample_summaries

    return {str(each.id): str(each.error) for each in read_eval_log_sample_summaries(log.location) if each.error}
