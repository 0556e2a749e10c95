"""What a model said, in its parts: the thought and the reply, told apart by the model's own markers.

`reasoning_markers` finds them once in a model's chat template and tokenizer; `read_reply` reads generated ids, in which
a marker is a token and never a text that looks like one; `split_reply` reads the text of a model that runs elsewhere.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ._values import Problem

# Between these, an added token is itself; without them, it is text that looks like it.
TOKEN, CLOSE = "\U000f0003", "\U000f0004"
TAIL = 64  # tokens of a prompt in which its generation prompt lies


@dataclass(frozen=True)
class ReasoningMarkers:
    """What stands around a model's thoughts."""

    opening: tuple[str, ...] = ("<think>",)
    closing: tuple[str, ...] = ("</think>",)
    frame: tuple[str, ...] = ()
    """What stands around the reply itself: dropped, and ends a thought that is open."""
    lone_closing: bool = True
    """Whether a closing marker without an opening one makes what was said before it a thought: with most templates the
    opening one is part of the prompt. Not where the same token also ends a reply (gpt-oss)."""

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.opening, *self.closing, *self.frame)

    def pair(self, kind: int = 0) -> tuple[str, str]:
        """An opening marker and its closing one; several channels share one."""
        return self.opening[kind], self.closing[min(kind, len(self.closing) - 1)]

    def written(self, reasoning: str, kind: int = 0, *, opened: bool = False) -> str:
        """A thought as text before the reply; `opened`: the prompt ends with the opening marker and its line break."""
        opening, closing = self.pair(kind)
        tag = opening.startswith("<") and not opening.startswith("<|")
        line = "\n" if tag or "channel" in opening else ""
        return f"{'' if opened else opening + line}{reasoning}{line}{closing}{line * 2 if tag else ''}"


class Reply(NamedTuple):
    """A reply in its parts."""

    text: str
    """Without the thought; empty when the thought never ended."""
    reasoning: str
    problem: Problem | None
    """"unfinished_thought" when the last thought never ended, "empty" when nothing else was said."""


_WORDS = ("think", "thinking", "thought", "thoughts", "reasoning", "reason", "seed:think")
_PAIRS = (("<{}>", "</{}>"), ("[{}]", "[/{}]"), ("<|{}|>", "<|/{}|>"), ("<|start_{}|>", "<|end_{}|>"),
          ("<|begin_of_{}|>", "<|end_of_{}|>"), ("<|{}_start|>", "<|{}_end|>"), ("◁{}▷", "◁/{}▷"))  # fmt: skip
_ANSWERS = ("response", "answer", "solution")


def find_markers(template: str, added: Iterable[str]) -> ReasoningMarkers | None:
    """The markers of a model from the text of its chat template and its added tokens; None: it marks no thoughts.

    Known forms, of which the closing marker must occur: tags (`</think>`), brackets (`[/THINK]`), Cohere's and others'
    pairs of tokens (`<|END_THINKING|>`), and channels (gpt-oss, Gemma 4).
    """
    tokens = set(added)

    def known(text: str) -> bool:
        return text in tokens or text in template

    def pairs(words: Iterable[str]) -> list[tuple[str, str]]:
        forms = [(o.format(w), c.format(w)) for o, c in _PAIRS for w in words]
        forms += [(o.upper(), c.upper()) for o, c in forms]
        return [(opening, closing) for opening, closing in dict.fromkeys(forms) if known(closing)]

    found = pairs(_WORDS)
    opening, closing = [o for o, _ in found], [c for _, c in found]
    frame = [text for pair in pairs(_ANSWERS) for text in pair] if found else []
    lone = bool(found)
    if known("<|channel|>") and known("<|message|>"):
        opening += [f"<|channel|>{name}<|message|>" for name in ("analysis", "commentary")]
        closing += ["<|end|>"]
        frame += ["<|channel|>final<|message|>", "<|start|>assistant"]
    elif known("<|channel>") and known("<channel|>"):
        opening, closing, lone = [*opening, "<|channel>thought"], [*closing, "<channel|>"], True
    return ReasoningMarkers(tuple(opening), tuple(closing), tuple(frame), lone) if opening else None


def split_reply(text: str, markers: ReasoningMarkers | None = ReasoningMarkers(), *, opened: bool = False) -> Reply:
    """The parts of a text that some model wrote. `opened`: its prompt ended inside a thought.

    Everything between markers is the thought; of several, all are. What stands before a closing marker that nothing
    opened is a thought as well. With markers None, all of it is the reply.
    """
    if markers is None:
        return _reply([], [text], False)
    return _reply(*_scan(text, _pattern(markers, frozenset()), opened, markers.lone_closing))


def opens_thought(text: str, markers: ReasoningMarkers | None) -> bool:
    """Whether a text, what a template writes before every reply, ends inside a thought."""
    return markers is not None and _scan(text, _pattern(markers, frozenset()), False, markers.lone_closing)[2]


def unthought(text: str, markers: ReasoningMarkers | None) -> str:
    """What ends the thought in which a text ends, as if nothing had been thought; "" when it ends in none."""
    if markers is None or not opens_thought(text, markers):
        return ""
    last = max(range(len(markers.opening)), key=lambda kind: text.rfind(markers.opening[kind]))
    return markers.written("", last, opened=True)


def read_reply(
    tokenizer: Any,
    markers: ReasoningMarkers | None,
    special: frozenset[int],
    prompt: Sequence[int],
    ids: Sequence[int],
    stop: Sequence[str] = (),
    *,
    opened: bool = False,
) -> Reply:
    """The parts of generated `ids`, which end before the first of the `stop` strings. Special tokens (`special`) are no
    text, the markers among them are seen all the same.

    Where every marker holds a token the prompt's ids say whether the thought began there, since no user can write one.
    Elsewhere a user's text looks like a marker, and it is the template that says so (`opened`).
    """
    if markers is None:
        return split_reply(_before(_decode(tokenizer, ids, special), stop), None)
    tokens = _marker_tokens(tokenizer, markers)
    pattern = _pattern(markers, frozenset(tokens.values()))
    if all(any(token in marker for token in tokens.values()) for marker in (*markers.opening, *markers.closing)):
        _, _, opened = _scan(_shown(tokenizer, prompt[-TAIL:], special, tokens), pattern, False, markers.lone_closing)
    text = _before(_shown(tokenizer, ids, special, tokens), stop)
    thoughts, said, inside = _scan(text, pattern, opened, markers.lone_closing)
    hidden = {content for id, content in tokens.items() if id in special}

    def clean(piece: str) -> str:
        return re.sub(f"{TOKEN}(.*?){CLOSE}", lambda found: "" if found[1] in hidden else found[1], piece)

    return _reply([clean(piece) for piece in thoughts], [clean(piece) for piece in said], inside)


def _reply(thoughts: list[str], said: list[str], inside: bool) -> Reply:
    reasoning = "\n\n".join(piece for each in thoughts if (piece := each.strip()))
    if inside:
        return Reply("", reasoning, "unfinished_thought")
    text = "".join(said).strip()
    return Reply(text, reasoning, None if text else "empty")


def _scan(text: str, pattern: re.Pattern[str], inside: bool, lone_closing: bool) -> tuple[list[str], list[str], bool]:
    """(thoughts, what was said, whether a thought is open at the end); what was said before such a thought is with the
    thoughts, since there is no reply."""
    thoughts: list[str] = []
    said: list[str] = []
    at = 0
    for found in pattern.finditer(text):
        (thoughts if inside else said).append(text[at : found.start()])
        at = found.end()
        if found.lastgroup == "closing" and not inside and lone_closing:
            thoughts, said = thoughts + said, []
        inside = found.lastgroup == "opening"
    (thoughts if inside else said).append(text[at:])
    return (said + thoughts, [], True) if inside else (thoughts, said, False)


@lru_cache(maxsize=32)
def _pattern(markers: ReasoningMarkers, tokens: frozenset[str]) -> re.Pattern[str]:
    """Finds markers in a text in which `tokens` stand between `TOKEN` and `CLOSE`."""
    known = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")

    def any_of(texts: Sequence[str]) -> str:
        shown = [known.sub(lambda found: f"{TOKEN}{found[0]}{CLOSE}", text) for text in texts]
        return "|".join(map(re.escape, sorted(shown, key=len, reverse=True))) or "(?!)"

    groups = {"opening": markers.opening, "closing": markers.closing, "frame": markers.frame}
    return re.compile("|".join(f"(?P<{name}>{any_of(texts)})" for name, texts in groups.items()))


def _marker_tokens(tokenizer: Any, markers: ReasoningMarkers) -> dict[int, str]:
    """The tokens that markers consist of: each marker itself, or those of a channel's header."""
    pieces = {piece for marker in markers.all for piece in (marker, *re.findall(r"<\|?[^<>]+\|?>", marker))}
    ids = {piece: tokenizer.convert_tokens_to_ids(piece) for piece in pieces}
    return {
        int(id): piece for piece, id in ids.items() if id is not None and tokenizer.convert_ids_to_tokens(id) == piece
    }


def _shown(tokenizer: Any, ids: Sequence[int], special: frozenset[int], tokens: dict[int, str]) -> str:
    """Text of ids with the `tokens` of markers in it, as tokens; other special tokens are left out."""
    result: list[str] = []
    run: list[int] = []
    for id in ids:
        if id in tokens:
            result += [_decode(tokenizer, run, special), f"{TOKEN}{tokens[id]}{CLOSE}"]
            run = []
        else:
            run.append(id)
    return "".join((*result, _decode(tokenizer, run, special)))


def _decode(tokenizer: Any, ids: Sequence[int], special: frozenset[int]) -> str:
    kept = [id for id in ids if id not in special]
    text = str(tokenizer.decode(kept, skip_special_tokens=True)) if kept else ""
    return text.replace(TOKEN, "").replace(CLOSE, "")


def _before(text: str, stop: Sequence[str]) -> str:
    for end in stop:
        text = text.partition(end)[0]
    return text
