"""Text written in another code: base64 and its kin, hexadecimal, URL and HTML escapes, numbers, Morse.

What decodes to text becomes that text. What decodes to something else is a file that somebody wrote into the text.
"""

import base64
import binascii
import html
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from ._words import english_share, known_share

LONG = 512
"""A code of at least so many characters that holds no text is a file; shorter ones are keys, hashes and names."""
MANY = 12
"""Bytes of letters beyond ASCII, as UTF-8, that are a text: six Cyrillic letters, four Chinese ones."""
_64 = re.compile(
    r"(?:data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,\s]*)*;base64,\s*)?"
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{8,}(?:\r?\n[A-Za-z0-9+/_-]{8,})*(?:\r?\n[A-Za-z0-9+/_-]{1,7}(?==))?={0,2}"
)
_64_APART = re.compile(r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{4,8}[ \t]+){2,}[A-Za-z0-9+/]{2,8}={0,2}(?![A-Za-z0-9+/])")
_32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])")
_16 = re.compile(r"(?<![A-Za-z0-9])(?:(?:\\x|0x)?[0-9a-fA-F]{2}[\s:,]{0,2}){6,}(?![A-Za-z0-9])")
_2 = re.compile(r"(?<![0-9])(?:[01]{7,8}[\s,]{0,2}){4,}(?![0-9])")
_10 = re.compile(r"(?<![0-9.])(?:[0-9]{2,3}[\s,]{1,2}){5,}[0-9]{2,3}(?![0-9.])")
_ESCAPES = re.compile(r"(?:\\u\{?[0-9a-fA-F]{4,6}\}?|\\x[0-9a-fA-F]{2}){2,}")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_ENTITY = re.compile(r"&(?:#\d{2,7}|#[xX][0-9a-fA-F]{2,6}|\w{2,8});")
_MORSE = re.compile(r"(?<![\w.-])(?:[.·•−–_-]{1,5}(?:[ ]{0,3}[/|][ ]{0,3}|\s{1,4})){4,}[.·•−–_-]{1,5}(?![\w.-])")
_MORSE_CODE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_CODE = dict(zip(_MORSE_CODE.split(" "), "abcdefghijklmnopqrstuvwxyz0123456789", strict=True))


class Decoded(NamedTuple):
    """A text with its codes undone."""

    text: str
    undone: tuple[str, ...]
    files: tuple[bytes, ...]
    """What was written into it and is no text; their codes are taken out of `text`."""


def decode(text: str) -> Decoded:
    """A text with everything decoded that decodes to text."""
    undone: dict[str, None] = {}
    files: list[bytes] = []

    def runs(name: str, pattern: re.Pattern[str], read: Callable[[str], bytes | None]) -> None:
        nonlocal text

        def replaced(found: re.Match[str]) -> str:
            data = read(found[0])
            if data is None:
                return found[0]
            if (made := _as_text(data)) is not None:
                undone[name] = None
                return f" {made} "
            if len(found[0]) >= LONG:
                files.append(data)
                return " "
            return found[0]

        text = pattern.sub(replaced, text)

    runs("binary", _2, _from_2)
    runs("hexadecimal", _16, _from_16)
    runs("base32", _32, _from_32)
    runs("base64", _64, _from_64)
    runs("base64", _64_APART, _from_64_apart)
    runs("numbers", _10, _from_10)
    runs("Morse code", _MORSE, lambda run: _from_morse(run).encode())
    for name, pattern, undo in (
        ("URL encoding", _PERCENT, unquote),
        ("escapes", _ESCAPES, lambda whole: _ESCAPES.sub(lambda found: _unescaped(found[0]), whole)),
        ("HTML entities", _ENTITY, html.unescape),
    ):
        if pattern.search(text) and (made := undo(text)) != text and "\ufffd" not in made:
            undone[name] = None
            text = made
    return Decoded(text, tuple(undone), tuple(files))


def _as_text(data: bytes) -> str | None:
    """The text that bytes hold, or None. What is no text decodes to characters that no text has, or to no words."""
    for code in ("utf-8", "utf-16-le"):
        try:
            text = data.decode(code)
        except UnicodeDecodeError:
            continue
        shown = sum(each.isprintable() or each in "\n\t\r" for each in text)
        words = sum(each.isalpha() or each == " " for each in text)
        if code == "utf-16-le" and not text.isascii():
            continue  # any bytes make characters of some alphabet
        if len(text) >= 4 and shown >= 0.97 * len(text) and words >= 0.6 * len(text) and _speaks(text):
            return text.strip()
    return None


def _speaks(text: str) -> bool:
    """Whether a text has words of some kind; a short one could be chance unless its words are known, it is in letters
    of several bytes, or it is of letters and blanks alone, which bytes that are no text hardly make."""
    if len(text) >= 10 and " " in text.strip() and all(each.isalpha() or each == " " for each in text):
        return True
    if len(text) >= 24 or sum(len(each.encode()) for each in text if each.isalpha() and not each.isascii()) >= MANY:
        return True
    return text.isascii() and (known_share(text) >= 0.5 or english_share(text) >= 0.3)


def _from_64(run: str) -> bytes | None:
    if run[1:].islower() and run.isalpha():
        return None  # a word; what follows costs ten times as much
    body = re.sub(r"\s+", "", run.rpartition("base64,")[2]).rstrip("=").translate(str.maketrans("-_", "+/"))
    if body[1:].islower() and body.isalpha():
        return None  # a word
    try:
        return base64.b64decode(body[: len(body) - (len(body) % 4 == 1)] + "=" * (-len(body) % 4)) if body else None
    except (binascii.Error, ValueError):
        return None


def _from_64_apart(run: str) -> bytes | None:
    """Groups of letters and digits as the bytes that they encode. Words and columns of numbers look like that too; only
    what decodes to text, or mixes large and small letters with digits as data does, is such a code."""
    data = _from_64(run)
    letters = [each for each in run if each.isalpha()]
    mixed = any(map(str.isdigit, run)) and 0.2 < sum(map(str.isupper, letters)) / max(1, len(letters)) < 0.8
    return data if data is None or mixed else _if_text(data)


def _if_text(data: bytes) -> bytes | None:
    return data if _as_text(data) is not None else None


def _from_32(run: str) -> bytes | None:
    body = run.rstrip("=")
    try:
        return base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError):
        return None


def _from_16(run: str) -> bytes | None:
    data = bytes.fromhex("".join(re.findall(r"(?:\\x|0x)?([0-9a-fA-F]{2})", run)))
    return data if re.search("[a-fA-F]", run) else _if_text(data)  # columns of decimal numbers are no file


def _from_2(run: str) -> bytes | None:
    return bytes(int(each, 2) for each in re.findall(r"[01]{7,8}", run))


def _from_10(run: str) -> bytes | None:
    numbers = [int(each) for each in re.findall(r"\d+", run)]
    data = bytes(each if each < 256 else 0 for each in numbers)
    return data if max(numbers) < 256 else _if_text(data)


def _from_morse(run: str) -> str:
    words = re.split(r"\s*[/|]\s*|\s{2,}", run.strip().translate(str.maketrans("·•−–_", "..---")))
    return " ".join("".join(_CODE.get(each, "\0") for each in word.split()) for word in words)


def _unescaped(run: str) -> str:
    codes = re.findall(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})", run)
    points = (int(a or b, 16) for a, b in codes)
    return "".join(chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else " " for point in points)
