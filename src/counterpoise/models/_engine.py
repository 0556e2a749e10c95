"""The local engine: conversations in, answers out in the same order, in batches as large as the machine takes."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from counterpoise.base import InputError, Progress, first_line, notice
from counterpoise.chat import Conversation

from ._cores import release_cores
from ._encoding import EncodedRow, encode_row
from ._generate import generate_batch
from ._loaded import Loaded
from ._queue import RequestQueue
from ._score import by_images, hidden_batch, layers_batch, look_batch, look_shared_batch, score_batch
from ._serving import with_system
from ._values import Answer, AnswerScore, Decoding, Look, Prompt, PromptError

T = TypeVar("T")
Asked = Conversation | Prompt | EncodedRow
WINDOW_BATCHES = 8  # rows are sorted by size within this many batches: memory does not grow with the number of rows
WINDOW_BYTES = 256 << 20  # of pixels held by one window
CPU_TOKENS, GPU_TOKENS = 16_384, 65_536  # padded prompt tokens of one batch


class Engine:
    """Batched generation and scoring with one model. Safe to use from several threads; one batch runs at a time."""

    def __init__(self, loaded: Loaded, *, max_batch: int = 64, max_batch_tokens: int | None = None):
        if max_batch < 1:
            raise InputError(f"max_batch {max_batch}: must be at least 1")
        self.loaded = loaded
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens or (GPU_TOKENS if loaded.device.startswith("cuda") else CPU_TOKENS)
        self.halvings = 0
        """How often a batch was halved because memory ran out."""
        self.splits = 0
        """How often a failing batch was split to find the row it failed on."""
        self.reasons: Counter[str] = Counter()
        """What the halved and split batches failed with."""
        self._running = threading.Lock()  # held while the model computes
        self._state = threading.Lock()  # held for moments only: submit must never wait for a batch
        self._queue: RequestQueue | None = None
        self._closed = False

    def generate(
        self,
        conversations: Sequence[Asked],
        decoding: Decoding | None = None,
        *,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Reply to every conversation (or rendered prompt), in order; greedy unless `decoding` has a temperature.

        Raises InputError for a conversation that cannot be encoded (a corrupt image, images for a text-only model).
        """
        settings = decoding or Decoding()
        return self._map(conversations, lambda rows, _: generate_batch(self.loaded, rows, settings), progress)

    def score_options(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Sum of log p(token) of every option as the reply to its conversation; the options of one row are comparable.

        Multiple choice and yes/no questions need no generation: the answer is the option with the largest score. Where
        the prompt opens a thought, the options follow an empty one: inside a thought they would not be replies.
        """
        return [[sum(tokens) for tokens in row] for row in self._score(conversations, options)]

    def score_answers(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> list[AnswerScore]:
        """Log probability of every token of a given reply to each conversation."""
        found = self._score(conversations, [[answer] for answer in answers])
        return [AnswerScore(tuple(row[0])) for row in found]

    def hidden_states(
        self, conversations: Sequence[Conversation], *, layer: int, position: int = -1
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Hidden states (n, d), float32, at a layer (0 = embeddings, -1 = last) and a position of each prompt.

        The prompt ends with the template's opening of the reply, so -1 is where the first reply token is chosen.
        """
        found = self._map(conversations, lambda rows, _: list(hidden_batch(self.loaded, rows, layer, position)), None)
        width = self.loaded.model.config.get_text_config().hidden_size
        return np.stack(found) if found else np.zeros((0, width), np.float32)

    def layer_states(
        self, conversations: Sequence[Asked], layers: Sequence[int], *, progress: Progress | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """States (n, len(layers), d), float32, behind several blocks (from 1) at the last token of each prompt: one
        pass for all of them, which ends at the deepest. The last block's state is the one before the final norm.

        Raises InputError for no layer, or one that the model does not have.
        """
        if not layers:
            raise InputError("layer_states: no layer was named")
        found = self._map(conversations, lambda rows, _: layers_batch(self.loaded, rows, layers), progress)
        width = self.loaded.model.config.get_text_config().hidden_size
        return np.stack(found) if found else np.zeros((0, len(layers), width), np.float32)

    def look(self, conversations: Sequence[Asked], tokens: Sequence[int]) -> list[Look]:
        """One forward pass each: log p of `tokens` as the next token, and the hidden state at that position."""
        return self._map(conversations, lambda rows, _: look_batch(self.loaded, rows, tokens), None)

    def look_shared(self, conversations: Sequence[Asked], tokens: Sequence[int]) -> list[Look]:
        """`look` for many questions about few images: an image is encoded once for all that is asked about it in a
        batch, and the common beginning of those prompts is read once."""
        rows = [self._one_row(conversation) for conversation in conversations]
        results: list[Look | None] = [None] * len(rows)
        order = [place for places in by_images(rows).values() for place in places]
        while order:
            longest = itertools.accumulate((len(rows[place].ids) for place in order), max)
            n = sum(1 for _ in itertools.takewhile(lambda pair: self.fits(*pair), enumerate(longest, 1))) or 1
            batch, order = order[:n], order[n:]
            found = self._halving(
                [rows[place] for place in batch], batch, lambda rows, _: look_shared_batch(self.loaded, rows, tokens)
            )
            for place, value in zip(batch, found, strict=True):
                results[place] = value
        return results  # type: ignore[return-value] # every place was filled

    def submit(self, conversation: Conversation, decoding: Decoding | None = None) -> "Future[Answer]":
        """Ask for one reply and return at once. A worker thread gathers whatever is waiting into batches.

        The future carries the request's own exception; other requests are not affected.
        """
        if not self.loaded.device.startswith("cuda"):
            release_cores()
        with self._state:
            if self._closed:
                raise InputError("the engine is closed")
            if self._queue is None:
                self._queue = RequestQueue(self._one_row, self._run, self.fits, self._note_split)
            return self._queue.submit(conversation, decoding or Decoding())

    def close(self) -> None:
        """Finish what was submitted and stop the worker thread. Later submissions raise InputError."""
        with self._state:
            self._closed, worker = True, self._queue
        if worker is not None:
            worker.close()

    @property
    def detours(self) -> dict[str, Any]:
        """What did not go the straight way, for `run.json` and the user: {} when everything did."""
        if not self.reasons:
            return {}
        return {"halvings": self.halvings, "splits": self.splits, "reasons": dict(self.reasons)}

    def _note_split(self, size: int, error: BaseException) -> None:
        self.splits += 1
        self._note(f"{type(error).__name__}: {first_line(error)}", f"a batch of {size} failed and is split to find why")

    def _note(self, reason: str, what: str) -> None:
        """Count a detour, and say so when its reason is new."""
        self.reasons[reason] += 1
        if self.reasons[reason] == 1:
            notice(f"{self.loaded.name}: {what} ({reason})")

    def fits(self, rows: int, longest: int) -> bool:
        """Whether a batch of so many rows of so many prompt tokens is within the limits."""
        return rows <= self.max_batch and (rows == 1 or rows * longest <= self.max_batch_tokens)

    def _one_row(self, conversation: Asked, *, end_thought: bool = False) -> EncodedRow:
        if isinstance(conversation, EncodedRow):
            return conversation
        if not isinstance(conversation, Prompt):
            conversation = with_system(conversation, self.loaded.system)
        return encode_row(self.loaded, conversation, add_generation_prompt=True, end_thought=end_thought)

    def _run(self, rows: Sequence[EncodedRow], decoding: Decoding) -> list[Answer]:
        return self._halving(list(rows), list(range(len(rows))), lambda r, _: generate_batch(self.loaded, r, decoding))

    def _score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[list[float]]]:
        if len(options) != len(conversations):
            raise InputError(f"{len(conversations)} conversations, but options for {len(options)}")
        tokenizer = self.loaded.tokenizer

        def ids(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        def run(rows: Sequence[EncodedRow], places: Sequence[int]) -> list[list[list[float]]]:
            return score_batch(self.loaded, rows, [[ids(text) for text in options[place]] for place in places])

        def encode(conversation: Asked) -> EncodedRow:
            return self._one_row(conversation, end_thought=True)

        return self._map(conversations, run, None, copies=max(map(len, options), default=1), encode=encode)

    def _map(
        self,
        conversations: Sequence[Asked],
        run: Callable[[Sequence[EncodedRow], Sequence[int]], list[T]],
        progress: Progress | None,
        copies: int = 1,
        encode: Callable[[Asked], EncodedRow] | None = None,
    ) -> list[T]:
        """Apply `run` to batches of similar rows and put its results back in order."""
        results: list[T | None] = [None] * len(conversations)
        for window in self._windows(conversations, encode or self._one_row):
            for places in self._batches(window, copies):
                found = self._halving([window[p] for p in places], places, run)
                for place, value in zip(places, found, strict=True):
                    results[place] = value
                if progress is not None:
                    progress.advance(len(places))
        return results  # type: ignore[return-value] # every place was filled

    def _windows(
        self, conversations: Sequence[Asked], encode: Callable[[Asked], EncodedRow]
    ) -> Iterator[dict[int, EncodedRow]]:
        window: dict[int, EncodedRow] = {}
        held = 0
        for place, conversation in enumerate(conversations):
            row = encode(conversation)
            window[place] = row
            held += row.images.nbytes if row.images else 0
            if len(window) >= WINDOW_BATCHES * self.max_batch or held > WINDOW_BYTES:
                yield window
                window, held = {}, 0
        if window:
            yield window

    def _batches(self, window: dict[int, EncodedRow], copies: int) -> Iterator[list[int]]:
        """Places of rows with the same number of images and similar length; the longest first, so that memory runs out
        at the start or not at all."""
        order = sorted(window, key=lambda place: (-window[place].n_images, -len(window[place].ids)))
        batch: list[int] = []
        for place in order:
            head = window[batch[0]] if batch else window[place]
            room = self.fits((len(batch) + 1) * copies, len(head.ids)) or not batch
            if not room or window[place].n_images != head.n_images:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _halving(
        self,
        rows: list[EncodedRow],
        places: list[int],
        run: Callable[[Sequence[EncodedRow], Sequence[int]], list[T]],
    ) -> list[T]:
        """`run`, in two halves when memory runs out (and smaller batches from then on)."""
        try:
            with self._running:
                return run(rows, places)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(rows) == 1:
                raise PromptError(
                    f"{self.loaded.name}: out of memory on {self.loaded.device} with a single prompt of "
                    f"{len(rows[0].ids)} tokens; shorten it, or use a smaller model or dtype"
                ) from error
            reason = first_line(error)
        # behind the except block, so that the failed pass's tensors are free
        _release(self.loaded.device)
        self.halvings += 1
        half = len(rows) // 2
        self._note(reason, f"memory ran out, batches of {len(rows)} become {half}")
        self.max_batch = max(1, min(self.max_batch, half))
        return self._halving(rows[:half], places[:half], run) + self._halving(rows[half:], places[half:], run)


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out (each device words it differently)."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _release(device: str) -> None:
    import gc

    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
