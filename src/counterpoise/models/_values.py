"""What goes into the engine and what comes out of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from counterpoise.base import InputError
from counterpoise.chat import Image

IMAGE_SOURCE = "counterpoise_source"
"""Key of an image's name in `internal` of Inspect's ContentImage, for errors of the local provider."""


class EngineError(InputError):
    """Not one row is at fault but the model or the engine: whatever is asked next would fail in the same way."""


class PromptError(InputError):
    """One prompt is at fault although it can be encoded, such as one that does not fit into memory: others may work."""


@dataclass(frozen=True)
class Decoding:
    """How to generate. Temperature 0 is greedy, whatever the model's own generation config says."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """Sampling is reproducible with a seed, and does not depend on how requests are batched: equal prompts get equal
    replies. None: another reply each time, equal prompts included, drawn from torch's own random numbers."""
    stop: tuple[str, ...] = ()
    """Generation of a row ends before the first of these strings."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens {self.max_new_tokens}: must be at least 1")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature {self.temperature}, top_p {self.top_p}: need temperature >= 0 and 0 < top_p <= 1"
            )


Problem = Literal["empty", "unfinished_thought", "content_filter", "not_finite"]
"""Why a reply cannot be scored at all: nothing was said, the thought never ended, a server filtered it, the model's
logits were no numbers. Such a reply is unscored, never safe or unsafe."""


@dataclass(frozen=True)
class Answer:
    """One generated reply in its parts."""

    text: str
    """The reply itself, without reasoning."""
    n_prompt: int
    """Tokens of the prompt, image tokens included."""
    n_new: int
    """Generated tokens, the end token included."""
    finish: Literal["stop", "length", "filtered"]
    reasoning: str = ""
    """What the model thought before it answered, without markers."""
    problem: Problem | None = None
    marked: bool = False
    """The model's own markers of thoughts are known, so that nothing else in `text` is one."""
    ids: tuple[int, ...] = field(default=(), repr=False)
    """The generated tokens, the end token included; empty for a reply that a server made."""

    @property
    def whole(self) -> bool:
        """The model ended the reply itself and nothing is wrong with it."""
        return self.finish == "stop" and self.problem is None


@dataclass(frozen=True)
class AnswerScore:
    """Log probabilities (natural) of the tokens of a given answer, in order; the end of turn is not scored."""

    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        """log p(answer | prompt)."""
        return sum(self.logprobs)

    @property
    def mean(self) -> float:
        """Per token; 0 for an empty answer."""
        return self.total / len(self.logprobs) if self.logprobs else 0.0


@dataclass(frozen=True)
class Prompt:
    """A prompt that somebody else rendered, for guards and judges whose template is not a chat.

    In `text`, every text that is data went through `plain`, and each image stands as the processor's image token. A
    beginning-of-sequence token is part of the text, except where the model's processor adds it.
    """

    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Look:
    """What one forward pass says about the next token."""

    logprobs: tuple[float, ...]
    """Natural log of the probability of each token that was asked for, over the whole vocabulary."""
    hidden: np.ndarray[Any, np.dtype[np.float32]]
    """The hidden state (d,) that the output layer read at this position."""
