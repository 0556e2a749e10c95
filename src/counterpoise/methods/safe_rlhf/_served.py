"""Rollouts by a vLLM server: after every update it is given the actor's adapter, and it returns the tokens it sampled.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve my/model --enable-lora --max-lora-rank 16

The server reads the adapter's folder, so both see the same file system. Its prompt is compared with ours token by token
(another chat template or image processor would train on other prompts than were answered), and its log-probabilities
with those of our own pass: a server with another model shows as a gap. That it has the adapter of this update is what
its name says, which follows from its content.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from counterpoise.base import InputError, require, sha256_bytes
from counterpoise.chat import Conversation
from counterpoise.models import Answer, Decoding, EncodedRow, reply_ends
from counterpoise.train import save_artifact

from ._config import PPOConfig

if TYPE_CHECKING:
    from counterpoise.models import Loaded
    from counterpoise.train import Stepper

RETRIES = 5
TIMEOUT = 600.0
GAP = 0.5
"""Mean nats a token between the server's log-probabilities and ours above which a run stops. bfloat16 on one side
brings a few hundredths."""


class Sampled(NamedTuple):
    """An answer, and what the server says of its tokens."""

    answer: Answer
    logp: tuple[float, ...]


Sampler = Callable[[Decoding], list[Sampled]]
T = TypeVar("T")


@dataclass
class Served:
    """A server at `url` (ending in /v1), which reads adapters in `folder`."""

    url: str
    folder: Path
    connections: int = 64
    name: str = ""
    """The adapter that it has now."""

    def __post_init__(self) -> None:
        openai = require("openai", purpose="rollouts by a server", install="openai>=2")
        self._error: type[Exception] = openai.OpenAIError
        self._status: type[Exception] = openai.APIStatusError
        key = os.environ.get("VLLM_API_KEY") or "none"  # as the server itself is told it
        self.client = openai.OpenAI(base_url=self.url, api_key=key, timeout=TIMEOUT, max_retries=RETRIES)

    @contextmanager
    def sampling(
        self, stepper: "Stepper", prompts: Sequence[Conversation], rows: Sequence[EncodedRow]
    ) -> Iterator[Sampler]:
        """Within, the server answers the prompts, whose encoded rows are ours, with the weights as they are now. All
        processes must enter it. Raises InputError for a server that cannot be reached or does not do what is needed."""
        processes = stepper.processes
        try:
            processes.wait()
            artifact = save_artifact(stepper.trainable, stepper.values(), self.folder, processes, further=False)
            # by its content: a server keeps what it computed for a name, also after the adapter under it was another
            self.name = f"counterpoise-{stepper.number}-{artifact.fingerprint}"
            _together(processes, lambda: self._load(artifact.path) if processes.main else None)
            yield lambda decoding: _together(processes, lambda: self._answers(stepper.loaded, prompts, rows, decoding))
        finally:
            if processes.main:
                self._unload()
                shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(
        self, loaded: "Loaded", prompts: Sequence[Conversation], rows: Sequence[EncodedRow], decoding: Decoding
    ) -> list[Sampled]:
        pool = ThreadPoolExecutor(self.connections)
        try:
            asked = zip(prompts, rows, strict=True)
            futures = [pool.submit(self._one, loaded, prompt, row, decoding) for prompt, row in asked]
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after a failure the others would be asked in vain

    def _unload(self) -> None:
        """A courtesy: a server that no longer has it, or is gone, shows when it is asked next."""
        with suppress(self._error):
            self.client.with_options(max_retries=0, timeout=10.0).post(
                "/unload_lora_adapter", body={"lora_name": self.name}, cast_to=object
            )

    def _load(self, folder: Path) -> None:
        self._unload()  # a run that was killed may have left it
        body = {"lora_name": self.name, "lora_path": str(folder.resolve())}
        try:
            self.client.post("/load_lora_adapter", body=body, cast_to=object)
        except self._status as error:
            raise InputError(
                f"{self.url}/load_lora_adapter: {_plain(error)}; start vLLM with --enable-lora, a --max-lora-rank of "
                "at least the adapter's and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, on the same file system"
            ) from error
        except self._error as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> InputError:
        return InputError(f"{self.url}: {_plain(error)}; the run goes on from its checkpoint when it is given again")

    def _one(self, loaded: "Loaded", prompt: Conversation, row: EncodedRow, decoding: Decoding) -> Sampled:
        # nothing of the server's generation config may act, or its tokens are not the policy's
        plain = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "stop_token_ids": sorted(reply_ends(loaded))}
        try:
            made = self.client.chat.completions.create(
                model=self.name, messages=_messages(prompt), temperature=decoding.temperature, top_p=decoding.top_p,
                max_tokens=decoding.max_new_tokens, seed=_seed(decoding.seed or 0, prompt, row), logprobs=True,
                presence_penalty=0.0, frequency_penalty=0.0, extra_body={**plain, "return_token_ids": True},
            ).model_dump()  # fmt: skip
        except self._error as error:
            raise self._gone(error) from error
        return self._read(loaded, row, made, decoding.max_new_tokens)

    def _read(self, loaded: "Loaded", row: EncodedRow, made: dict[str, Any], most: int) -> Sampled:
        choice = made["choices"][0]
        prompt, ids = made.get("prompt_token_ids"), choice.get("token_ids")
        if prompt is None or ids is None:
            raise InputError(f"{self.url}: returns no token ids; rollouts need vLLM 0.10.2 or later")
        ours, theirs = _comparable(row.ids, prompt, getattr(loaded.model.config, "image_token_id", None))
        if ours != theirs:
            common = min(len(ours), len(theirs))
            place = next((i for i in range(common) if ours[i] != theirs[i]), common)
            raise InputError(
                f"{self.url}: makes another prompt than this run, from token {place} on "
                f"({_shown(loaded, theirs, place)} instead of {_shown(loaded, ours, place)}); serve the same folder, "
                "with its own chat template"
            )
        finish = choice["finish_reason"]
        if finish == "stop" and (not ids or ids[-1] not in reply_ends(loaded)):
            raise InputError(f"{self.url}: a reply ended without the model's end of turn; start it without stop words")
        if finish != "stop" and not (finish == "length" and len(ids) == most):
            raise InputError(
                f"{self.url}: a reply ended after {len(ids)} of {most} tokens ({finish}); raise --max-model-len, and "
                "serve with --generation-config vllm"
            )
        content = (choice.get("logprobs") or {}).get("content") or []
        logp = tuple(float(token["logprob"]) for token in content)
        if len(logp) != len(ids):
            raise InputError(f"{self.url}: returns no log-probability of each token; a vLLM server does")
        text = loaded.tokenizer.decode(ids, skip_special_tokens=True)
        answer = Answer(text, len(row.ids), len(ids), finish, ids=tuple(ids))
        return Sampled(answer, logp)


def served(config: PPOConfig, folder: Path) -> Served | None:
    """The server of a run; None of one that samples by itself."""
    return Served(config.server, folder, config.connections) if config.server else None


def check_served(line: Mapping[str, float]) -> None:
    """Raises InputError when an update's answers were not sampled by the policy that learns from them."""
    if line.get("served_gap", 0.0) > GAP:
        raise InputError(
            f"PPO: the server's log-probabilities differ from this run's by {line['served_gap']:.2f} nats a token: it "
            "answers with other weights, or in a much lower precision; serve the model that is trained"
        )


def _messages(prompt: Conversation) -> list[Any]:
    """As an OpenAI-compatible server takes them: text alone as a string, images as data URIs in their places."""
    made: list[Any] = []
    for message in prompt:
        parts = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": part.data_uri()}}
            for part in message.parts
        ]
        made.append({"role": message.role, "content": parts if message.images else message.text})
    return made


def _seed(seed: int, prompt: Conversation, row: EncodedRow) -> int:
    """Of one request: other prompts, images included, other draws; the same whatever is asked beside it."""
    images = [image.sha256 for message in prompt for image in message.images]
    return int(sha256_bytes(f"{seed} {row.ids} {images}".encode())[:8], 16) & 0x7FFFFFFF


def _comparable(ours: Sequence[int], theirs: Sequence[int], image: int | None) -> tuple[list[int], list[int]]:
    """Two prompts to be compared. A server that counts an image's token once is compared with each run of ours as one;
    one that says how many there are must have as many: other pixels would be other tokens."""

    def once(ids: Sequence[int]) -> list[int]:
        return [token for place, token in enumerate(ids) if token != image or place == 0 or ids[place - 1] != image]

    return (once(ours), list(theirs)) if once(theirs) == list(theirs) else (list(ours), list(theirs))


def _together(processes: Any, work: Callable[[], T]) -> T:
    """What `work` returns. When it fails in one process all raise: none waits for the others for ever."""
    failed: InputError | None = None
    try:
        found = work()
    except InputError as error:
        failed = error
    if processes.total({"failed": float(failed is not None)})["failed"]:
        raise failed or InputError("PPO: rollouts by the server failed in another process; see its line")
    return found


def _shown(loaded: "Loaded", ids: Sequence[int], place: int) -> str:
    return repr(loaded.tokenizer.decode([ids[place]])) if place < len(ids) else "its end"


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
