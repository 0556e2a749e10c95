"""Reading what a model wrote about a rule: its objectiveness, a new version, its preconditions, its central words."""

import re

from counterpoise.base import InputError

from ._constitution import Group, read_central

_ITEM = re.compile(r"^\s*(?:\d{1,2}[.):]|[-*•])\s+(.*\S)\s*$")
_MEMBER = re.compile(r"\{([^{}]+)\}")
_NOTHING = {"none", "n/a", "no pre-conditions", "no preconditions"}


def read_objectiveness(text: str) -> int:
    """The last `Rating: [[n]]`, n from 1 to 10. Raises InputError when there is none."""
    found = re.findall(r"Rating:\s*\[\[\s*(\d{1,2})\s*\]\]", text, re.IGNORECASE)
    if not found or not 1 <= int(found[-1]) <= 10:
        raise InputError(f"no rating of the form Rating: [[1..10]] in {_short(text)}")
    return int(found[-1])


def read_guideline(text: str) -> str:
    """What follows the last `Guideline:`, one line. Raises InputError when there is none."""
    found = re.findall(r"^\W*Guideline:\W*?[ \t]*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    if not found:
        raise InputError(f"no line of the form Guideline: ... in {_short(text)}")
    return " ".join(str(found[-1]).strip('*`" ').split())


def read_preconditions(text: str) -> tuple[Group | str, ...]:
    """Numbered items in order, `{a} or {b}` as OR groups; prose around the list is left out, repeated items too.

    Raises InputError for an empty list, and for an item with braces that is not an OR group.
    """
    items: list[Group | str] = []
    for line in text.splitlines():
        if (found := _ITEM.match(line)) is None:
            continue
        item = found[1].strip("*` ").rstrip(".")
        if not item or item.lower() in _NOTHING:
            continue
        part = _group(item)
        if part not in items:
            items.append(part)
    if not items:
        raise InputError(f"no numbered pre-conditions in {_short(text)}")
    return tuple(items)


def _group(item: str) -> Group | str:
    members = [" ".join(member.split()) for member in _MEMBER.findall(item)]
    if not members and "{" not in item and "}" not in item:
        return " ".join(item.split())
    rest = [part.strip(" ,.").lower() for part in _MEMBER.split(item)[::2]]
    if not members or not all(members) or rest[0] or rest[-1] or any(part not in ("or", "") for part in rest):
        raise InputError(f"item {item!r}: with braces, write {{a}} or {{b}} and nothing else")
    unique = tuple(dict.fromkeys(members))
    return unique[0] if len(unique) == 1 else Group(any=unique)


def read_central_line(text: str) -> str:
    """The first line with brackets, without a leading `Central:`; empty when there is none (step c is then skipped)."""
    for line in text.splitlines():
        bare = re.sub(r"^\W*Central:\s*", "", line, flags=re.IGNORECASE).strip().rstrip(".")
        if "[" in bare:
            try:
                read_central(bare)
            except InputError:
                continue
            return bare
    return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:79] + "…")
