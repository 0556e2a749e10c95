"""Conversations as a chat template writes them. What a template takes and does is found out once, by asking it.

What a user or a row of data wrote can never speak with the template's own tokens; what the model or trusted data wrote
keeps its other added tokens (calls of tools), and cannot write a turn. A model's thought is passed to the
template as such, or written with the model's markers; its text is treated like any other text.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message, Role

from ._loaded import Loaded
from ._reply import ReasoningMarkers, find_markers, opens_thought, split_reply, unthought
from ._tokens import BREAK, control_tokens, mark, pattern_of, special_ids
from ._tokens import tokenize as _tokenize

_TRIAL = {"system": "Zebulon", "user": "Quillfeather", "assistant": "Ombrelline", "thought": "Wintergreen"}
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True)
class Traits:
    """What a model's chat template takes and does."""

    strings: frozenset[Role]
    """Roles whose content it takes as a string only; the others' content is a list of parts."""
    thoughts: Literal["field", "text", "none"]
    """Whether it writes the reasoning of the last reply from a field of its own, as part of the text, or not at all."""
    closing: str
    """What it writes behind the last reply."""
    closing_ids: tuple[int, ...]
    ends: tuple[int, ...]
    """The special tokens, one behind the other, that end every reply; those of the last one if there are no such."""
    control: re.Pattern[str]
    """Tokens that a message must not write."""
    turns: re.Pattern[str]
    """Those of them that a trusted message must not write either: special tokens, placeholders of images, markers of
    thoughts, and what the template wrote around the turns of a trial."""
    markers: ReasoningMarkers | None
    opens: bool
    """Whether its generation prompt ends inside a thought."""
    unthought: str
    """What then ends that thought before it began, so that a reply can follow."""

    def forbidden(self, message: Message) -> re.Pattern[str]:
        """The tokens that stay ordinary text in this message."""
        return self.turns if message.role == "assistant" and message.trusted else self.control


def plain(loaded: Loaded, text: str) -> str:
    """`text` for a `Prompt`: its control tokens stand between markers, and are encoded as ordinary text."""
    return mark(text, traits(loaded).control)


def reasoning_markers(loaded: Loaded) -> ReasoningMarkers | None:
    """What stands around this model's thoughts, found in its chat template and added tokens; None: it marks none."""
    return traits(loaded).markers


def traits(loaded: Loaded) -> Traits:
    """Of this model's template; asked once for each template and vocabulary."""
    template = getattr(_owner(loaded), "chat_template", "") or ""
    key = (str(template), len(loaded.tokenizer), loaded.is_vlm)
    known: dict[Any, Traits] = loaded.tokenizer.__dict__.setdefault("_counterpoise_traits", {})
    if key not in known:
        known[key] = _ask(loaded, key[0])
    return known[key]


def _ask(loaded: Loaded, template: str) -> Traits:
    added, owner = loaded.tokenizer.get_added_vocab(), _owner(loaded)
    markers = find_markers(template, added)
    strings, chat, text = _content_kinds(loaded, owner) if template else (frozenset[Role](), [], "")
    thoughts: Literal["field", "text", "none"] = "none"
    seen, going_on, asked = template + text, "", ""
    if chat:
        thought, said = _TRIAL["thought"], chat[-1]
        inside = _TRIAL["assistant"] if markers is None else markers.written(thought) + _TRIAL["assistant"]
        as_text = inside if isinstance(said["content"], str) else [{"type": "text", "text": inside}]
        if thought in (_attempt(owner, [*chat[:-1], said | dict.fromkeys(_THOUGHT_FIELDS, thought)]) or ""):
            thoughts = "field"
        elif thought in (_attempt(owner, [*chat[:-1], said | {"content": as_text}]) or ""):
            thoughts = "text"
        asked = _attempt(owner, chat[:-1], True) or ""
        seen += asked
        going_on = (_attempt(owner, [*chat, chat[-2]]) or "").partition(_TRIAL["assistant"])[2]
    tokens, turns = control_tokens(loaded, seen), control_tokens(loaded, text + asked + going_on)
    turns |= _other_roles(turns, added)
    # A marker that is no token must not be found by the template either. One that consists of several, such as a
    # channel's header, cannot be written once its tokens cannot.
    marks = {m for m in (markers.all if markers else ()) if m in added or not any(token in m for token in added)}
    closing = text.rpartition(_TRIAL["assistant"])[2] if chat else ""
    last, earlier = (tuple(_tokenize(loaded, each, begin=False)) for each in (closing, going_on))
    # Some write more behind the last reply than behind the others (Phi 3.5): that is not what ends a turn.
    shared = [a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(last, earlier, strict=False))]
    ends = _first_special(loaded, shared) or _first_special(loaded, last)
    behind = asked.rpartition(_TRIAL["user"])[2]
    return Traits(
        strings, thoughts, closing, last, ends, pattern_of(tokens | marks), pattern_of(turns | marks), markers,
        opens_thought(behind, markers), unthought(behind, markers),
    )  # fmt: skip


def _other_roles(turns: Iterable[str], added: Iterable[str]) -> set[str]:
    """Added tokens that begin turns of roles which no trial has: `<|tool|>` where `<|user|>` begins a turn."""
    names, others = ("system", "user", "assistant"), ("tool", "function", "observation", "developer", "ipython")
    found = {t.lower().replace(name, other) for t in turns for name in names if name in t.lower() for other in others}
    return {token for token in added if token.lower() in found}


def _first_special(loaded: Loaded, ids: Iterable[int]) -> tuple[int, ...]:
    """The first special tokens, as many as follow each other."""
    special = special_ids(loaded)
    found = itertools.dropwhile(lambda id: id not in special, ids)
    return tuple(itertools.takewhile(special.__contains__, found))


def _content_kinds(loaded: Loaded, owner: Any) -> tuple[frozenset[Role], list[dict[str, Any]], str]:
    """Which roles take strings only, a trial conversation, and what the template wrote for it.

    A template that takes strings prints a list as Python would, or fails on it; one that takes parts drops a string or
    goes through its letters. The first choice that writes every turn cleanly is right.
    """
    roles: tuple[Role, ...] = ("system", "user", "assistant")
    choices = list(itertools.product((False, True), repeat=3)) if loaded.is_vlm else [(True, True, True)]
    for order in (roles, roles[1:]):  # some templates have no system role
        for choice in sorted(choices, key=sum):
            chosen = frozenset(role for role, string in zip(roles, choice, strict=True) if string)
            chat = [
                {"role": r, "content": _TRIAL[r] if r in chosen else [{"type": "text", "text": _TRIAL[r]}]}
                for r in order
            ]
            text = _attempt(owner, chat)
            if text is not None and all(_clean(text, _TRIAL[role]) for role in order):
                return chosen, chat, text
    return frozenset(() if loaded.is_vlm else roles), [], ""


def _clean(text: str, word: str) -> bool:
    """Written, and not as part of a printed list."""
    return word in text and re.search(rf"""["']\s*:\s*["']{word}""", text) is None


def _attempt(owner: Any, chat: list[dict[str, Any]], add_generation_prompt: bool = False) -> str | None:
    try:
        return str(owner.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt))
    except MemoryError:
        raise
    except Exception:  # a template is a program: it can fail in any way
        return None


def _owner(loaded: Loaded) -> Any | None:
    """Processor or tokenizer, whichever has the chat template; None when none has."""
    both = (loaded.processor, loaded.tokenizer)
    return next((each for each in both if each is not None and getattr(each, "chat_template", None)), None)


def render(loaded: Loaded, conversation: Conversation, add_generation_prompt: bool) -> str:
    """The chat template's text, in which the control tokens of messages are marked.

    A trusted reply that holds its own thought is read by the model's markers first. A thought goes to the template,
    which may drop it from history; a model without markers for thoughts never sees one. Raises InputError when there is
    no template, or it rejects the conversation.
    """
    owner, known = _owner(loaded), traits(loaded)
    if owner is None:
        raise InputError(f"{loaded.name}: has no chat template (a base model?); choose an instruction-tuned model")

    def written(messages: Conversation) -> str:
        chat = [_as_template_takes_it(loaded, known, message) for message in messages]
        return str(owner.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt))

    attempts = [conversation]
    if conversation[0].role == "system" and len(conversation) > 1:  # some templates have no system role
        first = conversation[1]
        attempts.append((replace(first, parts=(conversation[0].text + "\n\n", *first.parts)), *conversation[2:]))
    for attempt in attempts:
        try:
            return written(attempt)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # a template is a program: it can fail in any way
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise InputError(f"{loaded.name}: its chat template rejects the conversation ({reason})")


def _as_template_takes_it(loaded: Loaded, known: Traits, message: Message) -> dict[str, Any]:
    message = with_thought(known, message)
    control = known.forbidden(message)
    texts = [part for part in message.parts if isinstance(part, str)]
    joins = len(control.findall("".join(texts))) > sum(len(control.findall(text)) for text in texts)
    gap = BREAK if joins else ""  # pieces of a token in two parts must not meet
    parts: list[str | Image] = [
        part if isinstance(part, Image) else mark(part, control) + gap for part in message.parts
    ]
    found: dict[str, Any] = {"role": message.role}
    if message.reasoning and known.thoughts == "field":
        found |= dict.fromkeys(_THOUGHT_FIELDS, mark(message.reasoning, control))
    elif message.reasoning and known.thoughts == "text" and known.markers is not None:
        parts.insert(0, known.markers.written(mark(message.reasoning, control)))
    if message.role in known.strings or not loaded.is_vlm:
        return found | {"content": _as_string(loaded, parts)}
    listed = [{"type": "image"} if isinstance(part, Image) else {"type": "text", "text": part} for part in parts]
    return found | {"content": listed}


def with_thought(known: Traits, message: Message) -> Message:
    """The message; of a trusted reply the thoughts are read from its text, if they are whole. One that is only a
    thought becomes that thought with an empty reply; one whose thought never ended stays as it is."""
    if message.role != "assistant" or not message.trusted or message.reasoning or message.images:
        return message
    text, reasoning, problem = split_reply(message.text, known.markers)
    whole = reasoning and problem != "unfinished_thought"
    return replace(message, parts=(text,), reasoning=reasoning) if whole else message


def _as_string(loaded: Loaded, parts: Sequence[str | Image]) -> str:
    """Content for a template that takes strings: each image is the processor's placeholder, on a line of its own."""
    token = getattr(loaded.processor, "image_token", None)
    if not token and any(isinstance(part, Image) for part in parts):
        raise InputError(
            f"{loaded.name}: its chat template takes text only and its processor "
            f"({type(loaded.processor).__name__}) names no image token, so an image has no place in it"
        )
    last = len(parts) - 1
    return "".join(
        (f"{token}\n" if place < last else str(token)) if isinstance(part, Image) else part
        for place, part in enumerate(parts)
    )


def expand(loaded: Loaded, text: str, replacements: Sequence[str]) -> str:
    """Put each image's tokens where the template put its placeholder (one that a user wrote is marked)."""
    token = getattr(loaded.processor, "image_token", None)
    if not token:
        return text
    pieces = text.split(token)
    if len(pieces) - 1 != len(replacements):
        raise InputError(
            f"{loaded.name}: its chat template wrote {len(pieces) - 1} image placeholder(s) for {len(replacements)} "
            "image(s); images may be in a role that the template ignores"
        )
    return pieces[0] + "".join(r + p for r, p in zip(replacements, pieces[1:], strict=True))


def tokenize(loaded: Loaded, text: str) -> list[int]:
    """Ids of a rendered chat; marked control tokens become plain text.

    A processor adds a beginning-of-sequence token unless the template wrote it, a tokenizer never does: the convention
    of `apply_chat_template`.
    """
    bos, owner = loaded.tokenizer.bos_token, _owner(loaded) or loaded.processor
    begin = owner is not None and owner is loaded.processor and not (bos and text.startswith(bos))
    return _tokenize(loaded, text, begin=begin)
