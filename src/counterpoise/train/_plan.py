"""Where the rows of a step come from.

A fixed plan repeats itself: which rows make which step is a pure function of the seed, so a resume needs no record of
it. Rollouts make the rows of a step with the weights of that moment.
"""

import itertools
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from counterpoise.base import InputError
from counterpoise.models import Engine, Loaded

from ._config import TrainConfig
from ._encode import Tokens
from ._objective import Objective, digest, pieces
from ._schedule import Step, n_steps, share, steps

if TYPE_CHECKING:
    from ._stepper import Stepper

R = TypeVar("R")
T = TypeVar("T")
IMAGE_WEIGHT = 2500  # characters; processes share rows by it, nothing else depends on it


class Encoded(NamedTuple):
    """The rows of one step, or of this process's share of it, ready to be padded."""

    rows: list[tuple[Tokens, ...]]
    ids: list[str]
    left_out: list[str]
    """Rows that did not fit `max_length`."""
    epoch: int = 0


def encode_rows(
    loaded: Loaded, objective: Objective[R], rows: Iterable[R], limit: int | None, epoch: int = 0
) -> Encoded:
    """Every row by itself: what is left out does not depend on the rows beside it. Raises InputError naming the row."""
    found: Encoded = Encoded([], [], [], epoch)
    for number, row in enumerate(rows):
        name = str(getattr(row, "id", number))
        try:
            tokens = objective.encode(loaded, row, limit)
        except InputError as error:
            raise InputError(str(error) if name in str(error) else f"training row {name}: {error}") from error
        if tokens is None:
            found.left_out.append(name)
        else:
            found.rows.append(tokens)
            found.ids.append(name)
    return found


class Planner(ABC, Generic[R]):
    """Where the rows of each optimizer step come from."""

    total: int
    """Optimizer steps of the run."""

    @abstractmethod
    def steps(self, stepper: "Stepper", objective: Objective[R]) -> Iterator[Encoded]:
        """What this process computes in step `stepper.number` and each one after it. Every process yields equally
        often; one that has nothing to do yields no rows."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Of all that decides the rows."""


class FixedPlan(Planner[R]):
    """Passes over given rows, in a new order each. The next step's rows are encoded while this one is computed."""

    def __init__(self, rows: Sequence[R], config: TrainConfig):
        if not len(rows):
            raise InputError("training: no rows")
        self.rows, self.config = rows, config
        self.total = n_steps(len(rows), config.epochs, config.batch_size)
        self.weights, self._digest = survey(rows)

    def fingerprint(self) -> str:
        return self._digest

    def steps(self, stepper: "Stepper", objective: Objective[R]) -> Iterator[Encoded]:
        config, first = self.config, stepper.number
        plan = steps(len(self.rows), epochs=config.epochs, batch_size=config.batch_size, seed=config.seed)
        rank, world = stepper.processes.rank, stepper.processes.world

        def encoded(step: Step) -> Encoded:
            mine = share(step.rows, self.weights, rank, world)
            return encode_rows(stepper.loaded, objective, (self.rows[i] for i in mine), stepper.limit, step.epoch)

        left = (step for number, step in enumerate(plan) if number >= first)
        depth = 0 if stepper.processes.device.type == "cpu" else 1
        prepared = ahead(left, encoded, depth)
        try:
            yield from prepared
        finally:
            prepared.close()


@dataclass(frozen=True)
class GivenSteps(Planner[R]):
    """The rows of every step as they are given, for batches whose make-up matters: one pass, in this order."""

    given: Sequence[Sequence[R]]

    @property
    def total(self) -> int:  # type: ignore[override] # known from the rows
        return len(self.given)

    def fingerprint(self) -> str:
        return digest(self.given)

    def steps(self, stepper: "Stepper", objective: Objective[R]) -> Iterator[Encoded]:
        rank, world = stepper.processes.rank, stepper.processes.world
        for number in range(stepper.number, self.total):
            yield encode_rows(stepper.loaded, objective, self.given[number][rank::world], stepper.limit)


@dataclass(frozen=True)
class Rollouts(Planner[R]):
    """Rows made anew for each step by the model as it is at that moment.

    `make(engine, step)` returns this process's rows: it may generate, score and judge with the engine. The model is in
    evaluation mode meanwhile, its first adapter active; random numbers are seeded from the step, so that a resumed run
    makes the same rows, and the training's own are untouched. `make` is part of the run's identity: its name and all it
    closes over.
    """

    make: Callable[[Engine, int], Sequence[R]]
    total: int

    def fingerprint(self) -> str:
        return digest(self.make)

    def steps(self, stepper: "Stepper", objective: Objective[R]) -> Iterator[Encoded]:
        for number in range(stepper.number, self.total):
            with stepper.generating() as engine:
                rows = self.make(engine, number)
            yield encode_rows(stepper.loaded, objective, rows, stepper.limit)


@dataclass(frozen=True)
class Rounds(Planner[R]):
    """Rounds of making rows with the weights of that moment, each followed by passes over what was made.

    `make(engine, number, places)` returns the rows of a round (from 0) at these of its `n_rows` places, by place; a
    place may stay empty. Every process makes the rows of its own places. A resumed run makes the rows of its round
    again: what is expensive belongs into a journal.
    """

    make: Callable[[Engine, int, Sequence[int]], Mapping[int, R]]
    n_rows: int
    rounds: int
    config: TrainConfig
    """epochs are passes a round; batches are drawn from all places, so that their number is known beforehand."""
    identity: str
    """Of all that decides the rows."""

    @property
    def total(self) -> int:  # type: ignore[override]
        return self.rounds * n_steps(self.n_rows, self.config.epochs, self.config.batch_size)

    def fingerprint(self) -> str:
        return digest(("rounds", self.identity, self.n_rows, self.rounds))

    def steps(self, stepper: "Stepper", objective: Objective[R]) -> Iterator[Encoded]:
        epochs, batch, seed = self.config.epochs, self.config.batch_size, self.config.seed
        mine = range(stepper.processes.rank, self.n_rows, stepper.processes.world)
        per_round = n_steps(self.n_rows, epochs, batch)
        begun, done = divmod(stepper.number, per_round)
        for number in range(begun, self.rounds):
            with stepper.generating() as engine:
                made = self.make(engine, number, mine)
            plan = steps(self.n_rows, epochs=epochs, batch_size=batch, seed=seed + number)
            for step in itertools.islice(plan, done if number == begun else 0, None):
                rows = [made[place] for place in step.rows if place in made]
                yield encode_rows(stepper.loaded, objective, rows, stepper.limit, number)


def survey(rows: Sequence[Any]) -> tuple[list[int], str]:
    """About how much work every row is, and a hash over all texts and image contents, in one pass that keeps no row."""
    import hashlib

    found, weights = hashlib.sha256(), []
    for number in range(len(rows)):
        weight = 0
        for piece in pieces(rows[number]):
            found.update(piece)
            weight += IMAGE_WEIGHT if piece.startswith(b"image:") else len(piece)
        weights.append(weight)
    return weights, found.hexdigest()


def ahead(items: Iterable[Any], make: Callable[[Any], T], depth: int = 2) -> Generator[T, None, None]:
    """`map(make, items)` computed by one thread up to `depth` results ahead; an exception surfaces in its turn.

    With depth 0 there is no thread. On a CPU that is faster: a second thread that uses tensors brings a second team of
    OpenMP threads, and a training step of pocket then took 6 s instead of 2.7.
    """
    if not depth:
        yield from map(make, items)
        return
    results: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    stop = threading.Event()

    def put(value: tuple[T | None, BaseException | None, bool]) -> None:
        while not stop.is_set():
            try:
                return results.put(value, timeout=0.2)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stop.is_set():
                    return
                put((make(item), None, False))
            put((None, None, True))
        except BaseException as error:  # handed over, not swallowed
            put((None, error, False))

    thread = threading.Thread(target=work, daemon=True, name="counterpoise-rows")
    thread.start()
    try:
        while True:
            value, error, last = results.get()
            if error is not None:
                raise error
            if last:
                return
            yield value  # type: ignore[misc] # None only when last or an error
    finally:
        stop.set()
        thread.join()
