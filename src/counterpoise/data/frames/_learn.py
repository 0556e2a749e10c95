"""Learn the formats of a set from some of its rows, by aligning their tokens. No model is needed.

1. Rows are grouped by system turn and images, and by the labels and lines that many of them repeat ("### Input:").
2. In a group, enumerated lines become one token. What at least 95 % of the rows begin with is the frame's beginning,
   what they end with its end, and between them the longest common run of tokens splits each row in two, and so on.
3. What is left between constant runs are slots. The slot that differs most is the one for the request.
4. Groups that yield the same format are one.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Sample

from ._template import IMAGE, Labels, Slot, Template, flat, option_block, prompt_of

MIN_ROWS = 8
"""Of fewer rows everything looks constant."""
CARRIERS = 32
"""Rows of a format that it keeps."""
RARE = 0.03
"""A format of a smaller share of the rows, or of fewer than `MIN_ROWS` / 2, is not learned; its rows are counted."""
_TOKEN = re.compile(r"\0[^\0]*\0|\w+|\s|[^\w\s]")
_LABEL = re.compile(r"\s*(\S[^\n]{0,23}?[:)\]>])(?:\s|$)")
_END_MARKS = (".", "?", "!")
_WORDS = 4
"""Words at the beginning of a row that tell formats apart, where a fifth of the rows share them."""


@dataclass(frozen=True)
class Formats:
    """What was learned from a sample of rows."""

    templates: tuple[Template, ...]
    """Those with the most constant text first: a row is in the first one that it fits."""
    shares: tuple[float, ...]
    """Share of the rows that are in each."""
    unmatched: int
    """Rows that are in none: noise, and formats too rare to learn."""

    def of(self, row: Sample) -> int | None:
        """Number of the template that a row is in; None where it is in none."""
        system, text = _system(row), flat(prompt_of(row)[-1])
        for number, each in enumerate(self.templates):
            if (each.system is None or each.system == system) and each.match(text) is not None:
                return number
        return None


class _Row(NamedTuple):
    sample: Sample
    system: str | None
    text: str
    """Flat, with each block of options as one token."""
    options: tuple[tuple[Labels, int], ...]


def learn(rows: Iterable[Sample], *, share: float = 0.95) -> Formats:
    """The formats of these rows (a sample of a set; some dozens suffice).

    Raises InputError for fewer than `MIN_ROWS` rows, and where no format was found that several rows have.
    """
    given = [_row(sample) for sample in rows]
    if len(given) < MIN_ROWS:
        raise InputError(f"a prompt format is learned from {MIN_ROWS} rows or more, and there are {len(given)}")
    least = max(MIN_ROWS // 2, round(RARE * len(given)))
    found: dict[str, Template] = {}
    left = given
    while len(left) >= least:  # a format that is rare in the set is not rare among the rows that others leave
        before = len(found)
        for group in _groups(left, least):
            template = _learned(group, share) if len(group) >= least else None
            if template is not None:
                found.setdefault(template.id, template)
        framed = Formats(_ordered(each for each in found.values() if each.framed), (), 0)
        left = [row for row in left if framed.of(row.sample) is None]
        if len(found) == before:
            break
    return _counted(_ordered(found.values()), [row.sample for row in given])


def _ordered(templates: Iterable[Template]) -> tuple[Template, ...]:
    """Those with more text first: a bare request fits everything."""
    return tuple(sorted(templates, key=lambda each: (-sum(map(len, each.constants)), each.id)))


def _counted(templates: tuple[Template, ...], rows: Sequence[Sample]) -> Formats:
    """The formats with the rows that are in them. Those that other formats left without rows are dropped."""
    first = Formats(templates, (), 0)
    places = [first.of(row) for row in rows]
    counts = Counter(places)
    kept = [
        (number, replace(each, carriers=tuple(row for row, at in zip(rows, places, strict=True) if at == number)))
        for number, each in enumerate(templates)
        if counts[number]
    ]
    if not kept:
        raise InputError(f"no prompt format was found in {len(rows)} rows")
    cut = tuple(replace(each, carriers=each.carriers[:CARRIERS]) for _, each in kept)
    return Formats(cut, tuple(counts[number] / len(rows) for number, _ in kept), counts[None])


def _system(row: Sample) -> str | None:
    return row.messages[0].text if row.messages[0].role == "system" else None


def _row(sample: Sample) -> _Row:
    """Blocks of enumerated lines become one token each: \\0, what labels them, \\0."""
    lines, found, written = flat(prompt_of(sample)[-1]).replace("\0", "").split("\n"), [], []
    while lines:
        block = option_block(lines)
        if block is None:
            written.append(lines.pop(0))
            continue
        labels, count = block
        found.append((labels, count))
        written.append(f"\0{labels.before}|{labels.first}|{labels.after}\0")
        del lines[:count]
    return _Row(sample, _system(sample), "\n".join(written), tuple(found))


# Groups


def _groups(rows: Sequence[_Row], least: int) -> list[list[_Row]]:
    """Rows that may share a format: alike in system turn and images, then in the marks that many of them have."""
    systems = Counter(row.system for row in rows)

    def shape(row: _Row) -> tuple[str, int]:
        known = row.system if row.system is not None and systems[row.system] >= least else ""
        return ("none" if row.system is None else f"system {known}"), row.text.count(IMAGE)

    found: list[list[_Row]] = []
    for alike in _by(rows, shape):
        often = Counter(mark for row in alike for mark in _marks(row.text))
        kept = {m for m, n in often.items() if n >= max(3, (0.2 if m.startswith("^") else 0.1) * len(alike))}
        by_marks = _by(alike, lambda row, kept=kept: frozenset(_marks(row.text) & kept))  # type: ignore[misc]
        found += by_marks
        if len(by_marks) > 1 and max(map(len, by_marks)) < 0.9 * len(alike):
            found.append(alike)  # marks of contents, perhaps: what all have in common is tried too
    return found


def _by(rows: Sequence[_Row], key: Callable[[_Row], object]) -> list[list[_Row]]:
    groups: dict[object, list[_Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return sorted(groups.values(), key=len, reverse=True)


def _marks(text: str) -> set[str]:
    """Labels at the beginning of lines, short whole lines, and the first words. A line of one or two bare words is
    rather a value that several rows have."""
    found = {"^" + " ".join(text.split()[:_WORDS])} if len(text.split()) > _WORDS else set()
    for line in text.split("\n"):
        if match := _LABEL.match(line):
            found.add(match[1])
        elif 0 < len(text := line.strip()) <= 40 and (len(text.split()) > 2 or not (text[0] + text[-1]).isalnum()):
            found.add(text)
    return found


# One format


def _learned(rows: Sequence[_Row], share: float) -> Template | None:
    """The format of a group; None where nothing is left for a request."""
    tokens = [_TOKEN.findall(row.text) for row in rows]
    need = share * len(rows)
    head = _common(tokens, need)
    rest = [each[len(head) :] for each in tokens if each[: len(head)] == head]
    tail = _without_end_mark(_common([each[::-1] for each in rest], need)[::-1])
    middle = [each[: len(each) - len(tail)] for each in rest if not tail or each[-len(tail) :] == tail]
    runs = _runs(middle, need)
    constants = ["".join(head), *("".join(run) for run in runs), "".join(tail)]
    parts = _with_options(constants, rows)
    if parts is None:
        return None
    texts = [flat(prompt_of(row.sample)[-1]) for row in rows]
    system = Counter(row.system for row in rows).most_common(1)[0]
    lengths = sorted(map(len, texts))
    found = Template(
        parts, system[0] if system[1] >= need else None, len(rows), 0.0,
        (lengths[len(lengths) // 100], lengths[-1 - len(lengths) // 100]), _opening(rows, share),
    )  # fmt: skip
    found = _with_request(found, texts)
    matched = sum(found.match(text) is not None for text in texts)
    return replace(found, confidence=matched / len(texts)) if matched else None


def _common(rows: Sequence[Sequence[str]], need: float) -> list[str]:
    """The longest beginning that at least `need` rows share."""
    found: list[str] = []
    left = list(rows)
    while True:
        following = Counter(row[len(found)] for row in left if len(row) > len(found))
        if not following:
            return found
        token, count = following.most_common(1)[0]
        if count < need:
            return found
        left = [row for row in left if len(row) > len(found) and row[len(found)] == token]
        found.append(token)


def _runs(rows: Sequence[Sequence[str]], need: float) -> list[list[str]]:
    """Runs of tokens that stand once in at least `need` rows, in order: the longest one, and those beside it."""
    best = _longest(rows, need)
    if not best:
        return []
    left, right = [], []
    for row in rows:
        place = _find(row, best)
        if place is not None:
            left.append(row[:place])
            right.append(row[place + len(best) :])
    return [*_runs(left, need), best, *_runs(right, need)]


def _longest(rows: Sequence[Sequence[str]], need: float) -> list[str]:
    """The longest run that counts as a delimiter. Runs grow token by token: none that holds a rare one is frequent."""
    best: tuple[str, ...] = ()
    frequent: set[tuple[str, ...]] | None = None
    size = 1
    while True:
        counts: Counter[tuple[str, ...]] = Counter()
        once: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            own = Counter(
                gram
                for gram in (tuple(row[i : i + size]) for i in range(len(row) - size + 1))
                if frequent is None or (gram[:-1] in frequent and gram[1:] in frequent)
            )
            counts.update(own.keys())
            once.update(gram for gram, number in own.items() if number == 1)
        frequent = {gram for gram, number in counts.items() if number >= need}
        if not frequent:
            return _without_end_mark(list(best))
        fit = sorted(gram for gram in frequent if once[gram] >= need and _delimits(gram))
        best = fit[0] if fit else best
        size += 1


def _delimits(gram: Sequence[str]) -> bool:
    """A line end, options, or two tokens that are no white space: single words and marks are shared by chance."""
    run = _without_end_mark(list(gram))
    lines = any(token == "\n" or token.startswith("\0") or token == IMAGE for token in run)
    return lines or sum(not token.isspace() for token in run) >= 2


def _without_end_mark(run: list[str]) -> list[str]:
    """Questions end in a question mark, which belongs to the question."""
    if all(token in _END_MARKS for token in run):
        return []
    while run and run[0] in _END_MARKS:
        run = run[1:]
    return run


def _find(row: Sequence[str], run: Sequence[str]) -> int | None:
    return next((i for i in range(len(row) - len(run) + 1) if list(row[i : i + len(run)]) == list(run)), None)


def _with_options(constants: Sequence[str], rows: Sequence[_Row]) -> tuple[str | Slot, ...] | None:
    """Constants and slots between them; a token of options in a constant is a slot of its own. None where there is no
    place for a request."""
    counts = Counter(count for row in rows for _, count in row.options)
    usual = counts.most_common(1)[0][0] if counts else 0
    parts: list[str | Slot] = []
    for number, constant in enumerate(constants):
        if number:
            parts.append(Slot("text"))
        for piece in re.split(r"(\0[^\0]*\0)", constant):
            if piece.startswith("\0"):
                before, first, after = piece.strip("\0").split("|")
                parts.append(Slot("options", Labels(before, first, after), usual))
            elif piece:
                parts.append(piece)
    return tuple(parts) if any(isinstance(part, Slot) and part.kind == "text" for part in parts) else None


def _with_request(template: Template, texts: Sequence[str]) -> Template:
    """The text slot whose values differ most, by number and then by length, is the request's."""
    trial = replace(template, parts=_chosen(template.parts, None))
    values = [found for text in texts if (found := trial.match(text)) is not None]
    places = [place for place, part in enumerate(trial.parts) if isinstance(part, Slot)]
    scored = []
    for number, place in enumerate(places):
        part = trial.parts[place]
        if isinstance(part, Slot) and part.kind == "text":
            column = [row[number] for row in values]
            scored.append((len(set(column)), sum(map(len, column)), -place))
    return replace(template, parts=_chosen(template.parts, -max(scored)[2]))


def _chosen(parts: Sequence[str | Slot], place: int | None) -> tuple[str | Slot, ...]:
    return tuple(replace(part, kind="request") if number == place else part for number, part in enumerate(parts))  # type: ignore[type-var]


def _opening(rows: Sequence[_Row], share: float) -> str:
    """What replies begin with, when it is longer than one token and not the whole of them."""
    replies = [
        _TOKEN.findall(row.sample.messages[-1].text) for row in rows if row.sample.messages[-1].role == "assistant"
    ]
    if not replies:
        return ""
    found = _common(replies, share * len(replies))
    return "".join(found) if len(found) >= 3 and any(len(reply) > len(found) for reply in replies) else ""
