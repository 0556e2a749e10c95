"""Making an answer safe to show to a judge: it is data, and must not be able to speak as the template or the judge."""

import re
import unicodedata
from collections.abc import Sequence

from counterpoise.base import sha256_bytes

REMOVED = "[line removed: written like a verdict]"
_CONTROL = re.compile(
    r"<\|[^<>|\n]{1,40}\|>"  # <|im_end|>, <|eot_id|>, <|start_header_id|>
    r"|\[/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_CALLS)\]"
    r"|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|end_of_utterance|image|video|audio|think)>"
    r"|</?(?:BEGIN|END)[ _](?:CONVERSATION|UNSAFE CONTENT CATEGORIES)>",
    re.IGNORECASE,
)
"""Without white space inside: no tokenizer makes a token of `[ INST]`, which is how a token is broken up here."""
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn"}  # control, format (zero width, bidi), private, surrogate, unassigned
_KEPT = "\n\t\u200c\u200d"  # joiners are letters' business in several scripts, and part of emoji


def clean(text: str) -> str:
    """Without invisible characters, and with control tokens of chat templates broken up (a space after their first
    character), so that a reader still sees what was there but no tokenizer makes a token of it."""
    visible = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _INVISIBLE)
    bare = re.compile("[\u200c\u200d]").sub("", visible)
    if _CONTROL.search(bare) and not _CONTROL.search(visible):
        visible = bare  # joiners hid a token
    return _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", visible)


def quiet(text: str, delimiters: Sequence[str] = (), verdicts: Sequence[str] = ()) -> str:
    """`clean`, with the template's delimiters broken up and lines that look like the judge's own verdict cut out.

    `delimiters` are literal (any case, any white space between words); `verdicts` are patterns of a line.
    """
    result = clean(text)
    for delimiter in delimiters:
        words = r"\s+".join(re.escape(word) for word in delimiter.split())
        result = re.sub(words, lambda found: f"{found[0][0]} {found[0][1:]}", result, flags=re.IGNORECASE)
    if not verdicts:
        return result
    pattern = re.compile("|".join(f"(?:{each})" for each in verdicts), re.IGNORECASE)
    lines = result.split("\n")
    return "\n".join(REMOVED if any(map(pattern.search, _plain(line))) else line for line in lines)


def fence(text: str, title: str) -> str:
    """The text between two lines that it cannot contain: they carry a hash of the text itself."""
    mark = sha256_bytes(text.encode("utf-8", "replace"))[:12]
    return f"<<< {title} {mark}\n{text}\n>>> END OF {title} {mark}"


def _plain(line: str) -> tuple[str, str]:
    """Compatibility forms folded (full-width letters), with and without markup, for recognising a verdict."""
    folded = unicodedata.normalize("NFKC", line).strip()
    return folded, re.sub(r"[*_`>#]", "", folded).strip()
