"""How the work of a tournament is done: in turn in this process, or several at once, each in a process of its own with
its share of the GPUs or of the cores."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, MissingPackageError


class Task(NamedTuple):
    """One long piece of work: a function that a new process can import, and what it is given."""

    work: Callable[..., Any]
    given: tuple[Any, ...]


Job = Generator[Task, Any, None]
"""Tasks in turn. It is sent what each returned, and the InputError of one is raised in it."""


def in_turn(jobs: Iterable[Job]) -> None:
    """Do all jobs in this process."""
    for job in jobs:
        task = _next(job, None)
        while task is not None:
            task = _next(job, _tried(task))


def side_by_side(jobs: Iterable[Job], workers: int, logs: Path) -> None:
    """Do up to `workers` jobs at once. Every task is a process of its own, which writes its progress into `logs`,
    computes on its share of the visible GPUs or of the cores, and ends when this one ends, however it ends.

    A process that dies (out of memory, a fault of ours) raises InputError in its job with the log's name.
    """
    logs.mkdir(parents=True, exist_ok=True)
    shares, waiting = _shares(workers), iter(jobs)
    running: dict[int, _Running] = {}
    free = list(range(workers))
    try:
        while True:
            while free and (job := next(waiting, None)) is not None:
                _begin(job, _next(job, None), free, running, shares, logs)
            if not running:
                return
            slot = _finished(running)
            done = running.pop(slot)
            free.insert(0, slot)
            # what a job does next goes before new jobs: an arm is measured as soon as it is trained
            _begin(done.job, _next(done.job, done.outcome()), free, running, shares, logs)
    finally:
        for each in running.values():
            each.process.terminate()
        for each in running.values():
            each.process.join()


class _Running(NamedTuple):
    job: Job
    process: BaseProcess
    pipe: Connection
    log: Path

    def outcome(self) -> Any:
        """What the task returned, or the InputError that it ended with. Raises MissingPackageError of one."""
        try:
            found = self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            why = "was killed (out of memory?)" if code is not None and code < 0 else f"ended with code {code}"
            found = InputError(f"its process {why}; {self.log} has what it said last, the same command goes on")
        self.process.join()
        self.pipe.close()
        if isinstance(found, MissingPackageError):
            raise found  # no other arm would do better
        return found


class _Share(NamedTuple):
    """What one worker computes on."""

    threads: int
    devices: str | None
    """For CUDA_VISIBLE_DEVICES; None where there is no GPU."""


def _shares(workers: int) -> list[_Share]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // workers)
    if not torch.cuda.is_available():
        return [_Share(threads, None)] * workers
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = names or [str(number) for number in range(torch.cuda.device_count())]
    own = [names[slot::workers] or [names[slot % len(names)]] for slot in range(workers)]
    return [_Share(threads, ",".join(each)) for each in own]


def _begin(
    job: Job, task: Task | None, free: list[int], running: dict[int, _Running], shares: list[_Share], logs: Path
) -> None:
    """Start a job's task in the first free slot; nothing when the job has ended."""
    if task is None:
        return
    slot = free.pop(0)
    log = logs / f"worker-{slot}.log"
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(task, there, shares[slot], log))
    process.start()
    there.close()  # only the worker holds this end now: when it dies, reading says so
    running[slot] = _Running(job, process, here, log)


def _finished(running: dict[int, _Running]) -> int:
    """The slot of a task that has an outcome; waits for one."""
    ready = wait([each.pipe for each in running.values()])
    return next(slot for slot, each in running.items() if each.pipe in ready)


def _next(job: Job, outcome: Any) -> Task | None:
    """A job's next task after the outcome of the last one; None at its end."""
    try:
        return job.throw(outcome) if isinstance(outcome, InputError) else job.send(outcome)
    except StopIteration:
        return None


def _tried(task: Task) -> Any:
    try:
        return task.work(*task.given)
    except InputError as error:
        return error


def _work(task: Task, pipe: Connection, share: _Share, log: Path) -> None:
    """The main function of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the first one ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(share.threads)
    if share.devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.devices
    if "torch" in sys.modules:  # it has read those already
        sys.modules["torch"].set_num_threads(share.threads)
    with log.open("a", encoding="utf-8", buffering=1) as file:
        sys.stdout = sys.stderr = file
        try:
            pipe.send(_tried(task))
        except MissingPackageError as error:
            pipe.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
