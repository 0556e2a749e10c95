"""Final answers of mathematics: the last `\\boxed{}`, else what follows "the answer is", else a reply of one line;
equal as text in a normal form or as a number. Markup, delimiters, units in words and asides ("42, as shown") are no
part of it."""

import math
import re

from counterpoise.chat import Sample

from ._math_numbers import LONGEST, number
from ._scorer import Score, Scorer, register

_FINAL = re.compile(
    r"\b(?:final |correct )?answer\b(?: to [^.\n:]{1,80}?|, [^,.\n]{1,60},)?\s*"
    r"(?::|=|(?:is|was|equals|would be|should be|must be)\b|-(?=\s))[\s:]*(.+?)\s*(?:[.;]?\s*$|[.;]\s|\n)"
    r"|^[ \t]*(?:final )?answer[ \t]*\n+(.+?)[.]?\s*$"
    r"|([^.\n:,]{1,80}?) is (?:the|our|my) (?:final |correct )?answer\b",
    re.IGNORECASE | re.MULTILINE,
)
_EMPHASIS = re.compile(
    r"(?<![\w*])(\*{1,3}|__)(?=[^\s*])([^*\n]{1,200}?)(?<=\S)\1(?![\w*])|^[ \t]*#{1,6}[ \t]+", re.MULTILINE
)
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|(?<!\\)\$+|`+")
_BEFORE_VALUE = re.compile(
    r"^(?:(?:the |our |my )?(?:final )?(?:result|solution|total|sum|value)\s*(?::|=|is\b)\s*)?"
    r"(?:(?:therefore|thus|so|hence|then|simply|just|exactly|indeed|clearly|equal to|equals|approximately|about|around"
    r"|roughly|hence|that|given by|is)\b[,:]?\s*|\\approx\s*|≈\s*|=\s*)*",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    # "because ...", ", as shown", "(forty-two)", "- the second root"
    r"[,;:]?\s+(?:as|because|since|so|which|where|when|for|by|after|per|in total|altogether|total)\b.*$"
    r"|[,;]\s+(?:(?!(?:and|or)\b)[A-Za-z]{2,}|i\.\s?e\b|e\.\s?g\b).*$|\s+\([A-Za-z][A-Za-z -]+\)\s*$"
    r"|\s+[-–—]\s+[A-Za-z].*$",
    re.DOTALL,
)
_FORMULA = r"\\[dtc]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}|\\sqrt\s*\{[^{}]*\}|\\pi|π"
_VALUE = re.compile(rf"[-+−]?(?:[€£¥]\s*)?(?:\d[\d.,/]*(?: \d+/\d+)?)?(?:{_FORMULA})*")
_UNIT = re.compile(r"(?!(?:and|or|not|to|over|plus|minus|times|by)$)[A-Za-z²³°]{2,20}\.?|[mgshLNJWV][²³]?")
_CURRENCY = re.compile(r"^([-+−]?)\s*(?:[€£¥]|USD|EUR|Rs\.?)\s*(?=\d)")
_NOT_BUT = re.compile(r"^not .+?,? but (?:rather )?", re.IGNORECASE)
ONE_LINE = 80
"""Characters of a reply of one line that is taken as its own final answer."""
_DROP = re.compile(
    r"\\(?:left|right|big|Big|bigl|bigr|displaystyle|limits)(?![a-zA-Z])|\\[!,;: ]|\\\$|\$|"
    r"\^\{?\\circ\}?|\\degree|~|\\%|%"
)
_SIGNS = str.maketrans(
    {"−": "-", "π": "\\pi", "×": "*", "·": "*", "÷": "/", "²": "^2", "³": "^3", "∞": "\\infty", "°": ""}
)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_MIXED = re.compile(r"^(-?)(\d+)(\\frac\{\d+\}\{\d+\})$")
_UNITS = re.compile(r"\\(?:text|mbox|mathrm|textrm)\{\s*(?:~|\\ )?\s*([^{}]*)\}(?:\^\{?\d\}?)?")


def final_answer(text: str) -> str | None:
    """The content of the last `\\boxed{}` (or `\\fbox{}`) with its braces balanced, else what follows the last "answer
    is" (the last one with a number or a formula, where one has), else the whole of a reply of one short line."""
    boxes = [found.end() for found in re.finditer(r"\\f?boxed|\\fbox", text)]
    if boxes:
        return _in_braces(text[boxes[-1] :].lstrip())
    plain = _DELIMITERS.sub("", _EMPHASIS.sub(r"\2", text)).strip()
    found: list[str] = [next(filter(None, groups)) for groups in _FINAL.findall(plain) if any(groups)]
    if found:
        values = [each for each in found if re.search(r"[\d\\]", each)]
        return (values or found)[-1]
    alone = "\n" not in plain and len(plain) <= ONE_LINE and not plain.endswith("?")
    return plain if alone and plain and (re.search(r"[\d\\]", plain) or len(plain.split()) <= 3) else None


def _in_braces(rest: str) -> str | None:
    if not rest.startswith("{"):
        return rest.split("$")[0].split()[0] if rest.split("$")[0].split() else None
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:place]
    return None


def readings(given: str) -> list[str]:
    """A final answer as it stands, and without what people write around a value: "therefore", asides, units, an
    exclamation mark."""
    found = [given]
    if len(given) > LONGEST:
        return found
    for step in (
        lambda text: _DELIMITERS.sub("", _EMPHASIS.sub(r"\2", text)),
        lambda text: _BEFORE_VALUE.sub("", _NOT_BUT.sub("", text)),
        lambda text: _ASIDE.sub("", text),
        lambda text: re.sub(r"^[a-zA-Z]\s*=\s*", "", text),
        lambda text: re.sub(r",?\s+(?:and|or)\s+", ", ", text),
        lambda text: text.rstrip(" .,;:!"),
        lambda text: _CURRENCY.sub(r"\1", text),
        _without_unit,
    ):
        less = step(found[-1].strip())
        if less and less != found[-1]:
            found.append(less)
    return found


def _without_unit(text: str) -> str:
    """A number or a formula without at most four words behind it."""
    value = _VALUE.match(text)
    if value is None or not value.group(0):
        return text
    units = text[value.end() :].replace("/", " ").split()
    return value.group(0) if len(units) <= 4 and all(map(_UNIT.fullmatch, units)) else text


def normal_math(text: str) -> str:
    """A normal form: no spaces, sizes, currency, degrees or units; one spelling of fractions; no `x =` in front."""
    text = _UNITS.sub(lambda found: found.group(1) if len(text) == len(found.group(0)) else _word(found.group(1)), text)
    text = _DROP.sub("", text).replace("\\tfrac", "\\frac").replace("\\dfrac", "\\frac").replace("\\cfrac", "\\frac")
    text = (
        re.sub(r"\\(?:cdot|times)(?![a-zA-Z])", "*", text).replace("\\ne", "!=").replace("\\{", "{").replace("\\}", "}")
    )
    text = re.sub(r"√\s*(\d+|\w)", r"\\sqrt{\1}", text.translate(_SIGNS)).strip().rstrip(".,")
    text = re.sub(r"(?<![\w.])(\d+)\s+(\d+/\d+)(?![\w.])", r"(\1+\2)", text)
    text = re.sub(r"\s+", "", text)
    text = re.sub(r"^(?:[a-zA-Z]|[a-zA-Z]\([a-z]\))(?:=|\\in)(?=.)", "", text)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac(\d)\{", r"\\frac{\1}{", text)
    text = _MIXED.sub(r"\1(\2+\3)", text)
    text = re.sub(r"\\sqrt(\d)", r"\\sqrt{\1}", text)
    return re.sub(r"_\{(\w)\}", r"_\1", re.sub(r"\^\{(\w)\}", r"^\1", text))


def _word(text: str) -> str:
    """Words in the middle of an answer join or are units: "and" and "or" separate values, the rest is dropped."""
    return "," if text.strip() in ("and", "or") else ""


def equal_math(given: str, target: str) -> bool:
    """Whether two final answers are the same: as text, as numbers (to 1e-9), or part by part in tuples and lists.

    A list without brackets may stand in any order; a tuple or an interval may not.
    """
    a, b = normal_math(given), normal_math(target)
    if a == b and a:
        return True
    x, y = number(a), number(b)
    if x is not None and y is not None:
        return math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12)
    left, right = _parts(a), _parts(b)
    if len(left) != len(right) or len(left) < 2 or max(len(a), len(b)) > LONGEST:
        return False
    if a[0] in "([" or b[0] in "([":
        return (a[0], a[-1]) == (b[0], b[-1]) and all(_same(x, y) for x, y in zip(left, right, strict=True))
    rest = list(right)
    for part in left:
        match = next((other for other in rest if _same(part, other)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _same(a: str, b: str) -> bool:
    x, y = number(a), number(b)
    return a == b or (x is not None and y is not None and math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12))


def _parts(text: str) -> list[str]:
    """Parts between commas outside of brackets, of what stands in the outer brackets."""
    inner = text[1:-1] if len(text) > 1 and text[0] in "([{" and text[-1] in ")]}" else text
    parts, depth = [""], 0
    for character in inner:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _math_final(sample: Sample, answer: str) -> Score:
    if not sample.target:
        return Score(None, "no_target")
    given = final_answer(answer)
    if given is None:
        return Score(0.0, label="no_final_answer")
    return Score(float(any(equal_math(each, sample.target) for each in readings(given))))


math_final = register(
    Scorer(
        "math-final:v2",
        "answer",
        _math_final,
        official=False,
        source="last \\boxed{} (else 'answer is X', else a reply of one line), equal in a normal form or as a "
        "constant; no computer algebra",
        known_bias="equal expressions with variables in another form count as wrong",
        checks=(
            ("So \\boxed{42}.", 1.0),
            ("The answer is $42.0$.", 1.0),
            ("Answer: **42 dollars**, as shown", 1.0),
            ("\\boxed{24}, not 42", 0.0),
            ("42?", 0.0),
        ),
    )
)
