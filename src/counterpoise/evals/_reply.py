"""What of a reply is scored: its text, never its thought, and nothing at all where something is wrong with it.

Everywhere in this room a reply that is a `str` is raw and is taken apart here; an `Answer` is in parts already.
"""

from typing import TYPE_CHECKING, Literal

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


def in_parts(reply: AnyReply) -> Answer:
    """A reply in its parts. Text is taken apart by the markers of published models. An `Answer` keeps its parts; what
    is wrong with it is named if whoever made it did not."""
    if isinstance(reply, str):
        return answered(reply)
    counts = {"n_prompt": reply.n_prompt, "n_new": reply.n_new}
    return answered(reply.text, reply.finish, reply.reasoning, reply.problem, **counts)


def generated(reply: Answer) -> Answer:
    """What our engine answered. It knows the markers of the model's tokenizer and template; a model that was tuned to
    think in plain text has none there, so what it did not find is looked for in the text."""
    counts = {"n_prompt": reply.n_prompt, "n_new": reply.n_new}
    return answered(reply.text, reply.finish, reply.reasoning or None, reply.problem, **counts)


def from_output(output: "ModelOutput") -> Answer:
    """The reply in what Inspect returned: reasoning from its own parts of the content, where the provider or the server
    told them apart, and from the text where nobody did.

    A provider that raised an error of its content filter is given out as a completion whose text is the error: only
    the stop reason tells it from an answer of the model.
    """
    if not output.choices:
        return answered("", "filtered" if output.error else "stop", "")
    content = output.message.content
    said = [part for part in content if part.type == "reasoning"] if isinstance(content, list) else []
    apart = ["" if part.redacted else part.reasoning or part.summary or "" for part in said]
    ended, found = _ENDS.get(output.stop_reason, "stop"), _split(output.completion)
    thoughts = [thought for thought in (*apart, found.reasoning) if thought.strip()]
    problem = _problem((output.metadata or {}).get("problem")) or found.problem  # our own provider names it
    if ended == "filtered":
        problem = "content_filter"
    elif problem == "empty" and ended == "length" and said:
        problem = "unfinished_thought"
    used = output.usage
    counts = {"n_prompt": used.input_tokens, "n_new": used.output_tokens} if used else {}
    return answered(found.text, ended, "\n\n".join(thoughts), problem, **counts)


def _split(text: str) -> Reply:
    """`split_reply` by the markers of published models; a text without a thought stays as it is, white space too."""
    found = split_reply(text, MARKERS)
    return found._replace(text=text) if found.text == text.strip() else found


def _problem(name: str | None) -> Problem | None:
    return name if name in PROBLEMS else None  # type: ignore[return-value] # PROBLEMS are its values
