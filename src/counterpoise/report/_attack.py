"""What passed a guard under attack: a terminal table and a self-contained page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import git_commit, versions
from counterpoise.guard.attack import Share, Target

from ._html import write_page
from ._words import interval, percent
from ._words import text as e

if TYPE_CHECKING:
    from rich.table import Table

_HEAD = ("attack", "passed", "caught", "unknown", "controls blocked", "of them unknown")


def _lines(found: Sequence[Share]) -> list[tuple[str, ...]]:
    """A line for each family, and for each of its variants below it: harmful tries, then their benign controls."""
    made: list[tuple[str, ...]] = []
    families = list(dict.fromkeys(each.family for each in found))
    keys = dict.fromkeys((each.family, each.variant) for each in found)
    for key in sorted(keys, key=lambda key: (families.index(key[0]), key[1] != "")):
        own = {each.harmful: each for each in found if (each.family, each.variant) == key}
        harmful, benign = own.get(True), own.get(False)
        name = f"  {key[1]}" if key[1] else key[0]
        made.append((
            name, _wrong(harmful), str(harmful.caught) if harmful else "", str(harmful.unknown) if harmful else "",
            _wrong(benign), str(benign.unknown) if benign else "",
        ))  # fmt: skip
    return made


def _wrong(share: Share | None) -> str:
    if share is None:
        return "no such tries"
    if not share.n:
        return f"none of {share.not_run} run"
    wrong = share.passed if share.harmful else share.caught + share.unknown
    left = f", {share.not_run} not run" if share.not_run else ""
    return f"{wrong} of {share.n}: {percent(share.wrong.value)} ({interval(share.wrong.low, share.wrong.high)}){left}"


def attack_table(name: str, found: Sequence[Share]) -> "Table":
    """For a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(name), title_justify="left", header_style="bold", pad_edge=False, box=None)
    for number, head in enumerate(_HEAD):
        table.add_column(head, justify="right" if number else "left", no_wrap=bool(number))
    for line in _lines(found):
        table.add_row(*map(Text, line))
    return table


def _named(name: str) -> str:
    """A family in bold, its variants without."""
    return e(name.strip()) if name.startswith(" ") else f"<strong>{e(name)}</strong>"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def attack_summary(of: Target, found: Sequence[Share], gates: Mapping[str, Sequence[str]]) -> str:
    """One paragraph: what was asked, how much was caught, the worst family, the gates, and of what it is true."""
    whole = [each for each in found if not each.variant]
    harmful, benign = ([each for each in whole if each.harmful is side and each.n] for side in (True, False))
    tries, controls = sum(each.n for each in harmful), sum(each.n for each in benign)
    caught, unjudged, passed = (
        sum(getattr(each, kind) for each in harmful) for kind in ("caught", "unknown", "passed")
    )
    blocked = sum(each.caught + each.unknown for each in benign)
    said = [
        f"Of {_count(tries, 'harmful try', 'harmful tries')} from {_count(len(harmful), 'family', 'families')} "
        f"{of.name} caught {caught} and could not judge {unjudged}, which a gate that fails closed blocks; {passed} "
        f"passed. Of {_count(controls, 'harmless one')} in the same forms {blocked} were blocked."
    ]
    if worst := max(harmful, key=lambda each: each.wrong.value or 0.0, default=None):
        said.append(
            f"Most passed in {worst.family}: {_wrong(worst)}." if worst.passed else "In no family did one pass."
        )
    if left := sum(each.not_run for each in whole):
        said.append(f"{_count(left, 'try', 'tries')} could not be run.")
    for rule, lines in gates.items():
        broken = [f"{line.partition(':')[0]} ({line.rpartition(': ')[2]})" for line in lines]
        said.append(f"Gate {rule}: " + (f"broken by {', '.join(broken)}." if broken else "kept."))
    commit = git_commit()
    package = f"Counterpoise {versions(())['counterpoise']}" + (f", commit {commit[:10]}" if commit else "")
    said.append((f"Revision of the guard: {of.revision}; " if of.revision else "") + f"{package}.")
    return " ".join(said)


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def write_attack(
    out: Path, of: Target, found: Sequence[Share], settings: Mapping[str, Any],
    gates: Mapping[str, Sequence[str]] | None = None,
) -> Path:  # fmt: skip
    """Write the page (a file ending in .html) and return its path. It carries everything and requests nothing.

    `gates`: rules as they were given, and a line for each family that breaks one."""
    name = of.name
    rows = "".join(
        f'<tr><th scope="row">{_named(line[0])}</th>'
        + "".join(f'<td data-label="{e(h)}" class="num">{e(c)}</td>' for h, c in zip(_HEAD[1:], line[1:], strict=True))
        + "</tr>"
        for line in _lines(found)
    )
    heads = "".join(f'<th scope="col">{e(each)}</th>' for each in _HEAD)
    body = (
        f'<section id="summary"><p>{e(attack_summary(of, found, gates or {}))}</p></section>'
        '<section id="attacks"><h2>What passed</h2><p class="note">Harmful tries that passed, were caught, or could '
        "not be judged (unknown, which a gate that fails closed blocks); beside them the same forms of harmless "
        "requests, and how many of those were blocked. Intervals are 95 % (Wilson, with the effective number of tries "
        "where they are of one request)."
        f"</p><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
        '<section id="made"><h2>How it was measured</h2><p>'
        + "; ".join(f"{e(key)}: {e(_value(value))}" for key, value in settings.items() if value not in ([], None))
        + "</p></section>"
    )
    return write_page(out, f"Counterpoise attack: {name}", name, "What can be talked past this guard", body)
