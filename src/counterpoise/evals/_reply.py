"""What of a reply is scored: its text, never its thought, and nothing at all where something is wrong with it.

Everywhere in this room a reply that is a `str` is raw and is taken apart here; an `Answer` is in parts already.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Literal

from counterpoise.chat import Sample
from counterpoise.models import Answer, Problem, ReasoningMarkers, Reply, split_reply

if TYPE_CHECKING:
    from inspect_ai.model import ModelOutput

AnyReply = str | Answer

PROBLEMS: dict[str, str] = {
    "empty": "the reply has no text",
    "unfinished_thought": "the thought never ended, so there is no reply",
    "content_filter": "a server filtered the reply, so the model's own is not known",
    "not_finite": "the model's logits were no numbers",
}
"""Why a reply cannot be scored: reasons that every scorer and judge gives alike."""
Finish = Literal["stop", "length", "filtered"]
MARKERS = ReasoningMarkers(
    ("<think>", "<thinking>", "<thought>", "<seed:think>", "[THINK]", "<|START_THINKING|>", "◁think▷"),
    ("</think>", "</thinking>", "</thought>", "</seed:think>", "[/THINK]", "<|END_THINKING|>", "◁/think▷"),
)
"""Around thoughts in the text of models whose tokenizer is not here: Qwen 3 and DeepSeek R1, models that learned from
them, Seed, Magistral, Command A, Kimi."""
_ENDS: dict[str, Finish] = {
    "length": "length", "max_tokens": "length", "model_length": "length",
    "filtered": "filtered", "content_filter": "filtered",
}  # fmt: skip
"""Ours, and the stop reasons of Inspect, which older journals hold; everything else is "stop"."""


def answered(
    text: str, finish: str = "stop", reasoning: str | None = None, problem: str | None = None,
    *, n_prompt: int = 0, n_new: int = 0,
) -> Answer:  # fmt: skip
    """The reply that a text is. With `reasoning` ("" for none) the text is known to be free of thoughts; without it
    they are looked for. A `problem` that is known stays."""
    ended: Finish = _ENDS.get(finish, "stop")
    found = _problem(problem)
    if reasoning is None:
        text, reasoning, seen = _split(text)
    elif ended == "length" and reasoning and not text.strip():
        seen = "unfinished_thought"  # cut at the token limit while it was still thinking
    else:
        seen = None if text.strip() else "empty"
    return Answer(text, n_prompt, n_new, ended, reasoning, found or ("content_filter" if ended == "filtered" else seen))


def chosen(sample: Sample, scores: Sequence[float]) -> Answer:
    """The reply to a multiple-choice question: the option with the largest log probability. Where one is no finite
    number the model chose nothing: such a reply is empty, with the problem `not_finite`."""
    if not all(map(isfinite, scores)):
        return answered("", reasoning="", problem="not_finite")
    return answered(sample.choices[max(range(len(scores)), key=scores.__getitem__)], reasoning="")


def in_parts(reply: AnyReply) -> Answer:
    """A reply in its parts. Text is taken apart by the markers of published models. An `Answer` keeps its parts; what
    is wrong with it is named if whoever made it did not."""
    if isinstance(reply, str):
        return answered(reply)
    counts = {"n_prompt": reply.n_prompt, "n_new": reply.n_new}
    return answered(reply.text, reply.finish, reply.reasoning, reply.problem, **counts)


def generated(reply: Answer) -> Answer:
    """What our engine answered. Where it knows the model's markers (`marked`) its parts stand. A model that was tuned
    to think in plain text has none: there a reply that begins with a published opening marker begins with a thought.
    Markers further on, and a closing one that nothing opened, are what the model wrote: a user can ask for them."""
    text, thought, problem = (reply.text, reply.reasoning, reply.problem)
    if not (reply.marked or thought or problem):
        text, thought, problem = _leading(text)
    counts = {"n_prompt": reply.n_prompt, "n_new": reply.n_new}
    return answered(text, reply.finish, thought, problem, **counts)


def from_output(output: "ModelOutput") -> Answer:
    """The reply in what Inspect returned. Our own provider hands over the engine's parts, with what is wrong in the
    metadata. Where the content has reasoning parts, the provider or the server told them apart and the text stays as it
    is. Only a text where nobody did is taken apart by published markers: there a closing marker that nothing opened
    before it ends a thought too, since many servers put the opening one into the prompt.

    A provider that raised an error of its content filter is given out as a completion whose text is the error: only
    the stop reason tells it from an answer of the model.
    """
    if not output.choices:
        return answered("", "filtered" if output.error else "stop", "")
    content, known = output.message.content, output.metadata or {}
    said = [part for part in content if part.type == "reasoning"] if isinstance(content, list) else []
    apart = ["" if part.redacted else part.reasoning or part.summary or "" for part in said]
    thoughts = "\n\n".join(thought for thought in apart if thought.strip())
    used, ended = output.usage, _ENDS.get(output.stop_reason, "stop")
    counts = {"n_prompt": used.input_tokens, "n_new": used.output_tokens} if used else {"n_prompt": 0, "n_new": 0}
    if "marked" in known:  # by our own provider only
        problem = _problem(known.get("problem"))
        return generated(Answer(output.completion, counts["n_prompt"], counts["n_new"], ended, thoughts, problem,
                                bool(known["marked"])))  # fmt: skip
    if not said:
        return answered(output.completion, ended, None, None, **counts)
    cut = ended == "length" and not output.completion.strip()  # while it thought, even if the thought is kept secret
    found = "unfinished_thought" if cut else None
    return answered(output.completion, ended, thoughts, found, **counts)


def _split(text: str) -> Reply:
    """`split_reply` by the markers of published models; a text without a thought stays as it is, white space too. The
    text begins inside a thought where its first marker is a closing one."""
    opened = any(0 <= text.find(end) < _first(text, MARKERS.opening) for end in MARKERS.closing)
    found = split_reply(text, replace(MARKERS, lone_closing=False), opened=opened)
    return found._replace(text=text) if found.text == text.strip() else found


def _first(text: str, markers: Sequence[str]) -> int:
    """Where the first of the markers stands; the length of the text when none does."""
    return min((place for marker in markers if (place := text.find(marker)) >= 0), default=len(text))


def _leading(text: str) -> Reply:
    """The thoughts that a text begins with, each up to its own closing marker, and the rest as it is."""
    thoughts: list[str] = []
    rest = text.strip()
    while pair := next(
        (pair for pair in zip(MARKERS.opening, MARKERS.closing, strict=True) if rest.startswith(pair[0])), None
    ):
        thought, end, rest = rest.removeprefix(pair[0]).partition(pair[1])
        thoughts.append(thought.strip())
        rest = rest.strip()
        if not end:
            return Reply("", "\n\n".join(filter(None, thoughts)), "unfinished_thought")
    return Reply(rest if thoughts else text, "\n\n".join(filter(None, thoughts)), None if rest else "empty")


def _problem(name: str | None) -> Problem | None:
    return name if name in PROBLEMS else None  # type: ignore[return-value] # PROBLEMS are its values
