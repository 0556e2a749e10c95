"""The number that an answer ends in. A fraction, a time, a ratio or a date is one thing, and not the last "
"number in it."""

import re
from fractions import Fraction

_BEFORE = str.maketrans({"−": "-", "⁄": "/", "∶": ":", "₤": "$", "€": "$", "£": "$"})
_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_FRAC = re.compile(r"\\[dtc]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*(-?[\d.,]+)\s*\}|\\[dtc]?frac(\d)(\d)")
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+(?![\w.]))?|(?<!\d)\.\d+"
# a sign counts unless it joins two words or numbers: 3-4 holds 3 and 4
_NUMBER = re.compile(
    rf"(?:(?<![\w)])[-+])?(?:(\d+) (?=\d+/\d+(?![/\d])))?((?:{_PLAIN})(?:[:/^](?:{_PLAIN}))*)", re.IGNORECASE
)
_MARKED = re.compile(
    rf"####[ \t]*(?:=[ \t]*)?([-+]?[ \t]*\$?[ \t]*(?:{_PLAIN})(?:[:/^](?:{_PLAIN}))*)([.):]?[ \t]+[A-Za-z])?"
)


def last_value(text: str) -> Fraction | str | None:
    """What an answer gives as its number: the one right behind `####`, else the last one of the text; None when it has
    none. Times, ratios, dates and powers are the text that they are (`11:30`).

    Of several `####` the first counts and what follows is not looked at, as in the rule of GSM8K (Cobbe et al. 2021,
    arXiv 2110.14168). Numbered headings (`#### 1. Find x`) are none.
    """
    plain = _plain(text)
    headings = 0
    for found in _MARKED.finditer(plain):
        value = _value(found.group(1).replace(" ", "").replace("$", ""))
        if found.group(2) and value == headings + 1:
            headings += 1
        elif value is not None:
            return value
    every = list(_NUMBER.finditer(plain.replace("-$", "-").replace("$", "")))
    return _value(every[-1].group(0)) if every else None


def last_number(text: str) -> float | None:
    """`last_value` as a float; None as well where it is a time, a ratio, a date or a power."""
    found = last_value(text)
    return float(found) if isinstance(found, Fraction) else None


def same_value(given: Fraction | str | None, target: Fraction | str) -> bool:
    """Whether two values are the same: numbers to a millionth, everything else as text."""
    if isinstance(given, Fraction) and isinstance(target, Fraction):
        return abs(given - target) <= Fraction(1, 10**6) * max(Fraction(1), abs(target))
    return given == target


def _plain(text: str) -> str:
    for sign, digits in _VULGAR.items():
        text = re.sub(rf"(?<=\d)\s?{sign}", f" {digits}", text).replace(sign, digits)
    text = text.translate(_BEFORE)
    return _FRAC.sub(lambda found: f"{found.group(1) or found.group(3)}/{found.group(2) or found.group(4)}", text)


def _value(token: str) -> Fraction | str | None:
    """A number, a fraction or a mixed number as a Fraction; other combinations as text."""
    sign, body = (-1, token[1:]) if token.startswith("-") else (1, token.removeprefix("+"))
    whole, _, rest = body.rpartition(" ")
    parts = rest.replace(",", "").split("/")
    try:
        if len(parts) == 2 and ":" not in rest and "^" not in rest:
            part = _decimal(parts[0]) / _decimal(parts[1])
        elif len(parts) == 1 and ":" not in rest and "^" not in rest:
            part = _decimal(parts[0])
        else:
            return body if sign > 0 else f"-{body}"
    except (ZeroDivisionError, ValueError):  # also what is too long to be a number that anybody meant
        return token
    return sign * (part + (Fraction(whole) if whole else 0))


def _decimal(text: str) -> Fraction:
    """Raises ValueError for more than 300 places, with those of its exponent: a model may write 1e999999999."""
    digits, _, power = text.lower().partition("e")
    if len(digits) + len(power) > 300 or (power and len(digits) + abs(int(power)) > 300):
        raise ValueError("too long")
    return Fraction(text)
