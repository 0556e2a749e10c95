"""The pages of the board: functions from entries to HTML, and the static export."""

from collections.abc import Callable, Sequence
from pathlib import Path

from counterpoise.base import InputError, atomic_write
from counterpoise.evals.judges import Calibration

from .._words import text as e
from ._calibrated import by_judge
from ._compare import compare_page
from ._entry import Entry, Group
from ._metrics import title
from ._scatter import picture, trade_offs
from ._shell import KINDS, link, page_name, shell
from ._standing import standings
from ._table import Ranks, table

ALL = ("subject", "task", "value", "n", "rank", "scorer", "source")
PICTURES = 6
RANKS = (
    '<p class="note">A rank is a span of places within one benchmark revision, split, modality, metric and scorer. '
    "Below it stand its judge and the judge's errors on human labels, where they were measured: a rank is no better "
    "than its judge. Published numbers are what their source states, not measured here.</p>"
    '<details class="more"><summary>How ranks are made</summary><p class="note">All results of a group are drawn again '
    "4,000 times from value and 95 % interval (parametric bootstrap; results on shared items count as independent, so "
    "spans are rather wide) and ranked each time. The span holds 95 % of the places, and the line below says how often "
    "the result is first, if ever. Reported and measured numbers are ranked apart. A place in brackets is by value "
    "alone, because its row has no interval. Sensitivity is the share of refusals (or harmful answers) that the judge "
    "finds, specificity the share of others that it leaves alone, both with 95 % intervals (Wilson).</p></details>"
)


def pages(
    entries: Sequence[Entry], calibrations: Sequence[Calibration] = (), *, served: bool = False
) -> dict[str, Callable[[], str]]:
    """By file name a function that makes the page; nothing outside this mapping exists. `calibrations` are shown beside
    the ranks by their judges."""
    ranks = Ranks(standings(entries), by_judge(calibrations))
    made: dict[str, Callable[[], str]] = {
        "index.html": lambda: index_page(entries, ranks, served=served),
        "compare.html": lambda: compare_page(entries, served=served),
    }
    for kind, attribute in zip(KINDS, ("benchmark", "model", "method"), strict=True):
        for name in sorted({getattr(entry, attribute) for entry in entries} - {""}):
            chosen = [entry for entry in entries if getattr(entry, attribute) == name]
            made[page_name(kind, name)] = _maker(kind, name, chosen, ranks, served)
    return made


def write_pages(entries: Sequence[Entry], out: Path, calibrations: Sequence[Calibration] = ()) -> list[Path]:
    """Write all pages into `out`. Raises InputError for a folder that holds anything but an earlier export, so that no
    page of a result that is gone stays and nothing of the user's is overwritten."""
    made = pages(entries, calibrations)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file; choose another folder")
    old = list(out.iterdir()) if out.is_dir() else []
    if old and not ((out / "index.html").is_file() and all(_ours(path) for path in old)):
        raise InputError(f"{out}: not empty and not an earlier board; choose another folder")
    for name, make in made.items():
        with atomic_write(out / name) as file:
            file.write(make())
    for path in old:
        if path.name not in made:
            path.unlink()
    return [out / name for name in made]


def _ours(path: Path) -> bool:
    starts = ("index.html", "compare.html", *(f"{kind}-" for kind in KINDS))
    return path.is_file() and path.suffix == ".html" and path.name.startswith(starts)


def _maker(kind: str, name: str, chosen: list[Entry], ranks: Ranks, served: bool) -> Callable[[], str]:
    make = benchmark_page if kind == "benchmark" else subject_page
    return lambda: make(kind, name, chosen, ranks, served=served)


def index_page(entries: Sequence[Entry], ranks: Ranks, *, served: bool = False) -> str:
    """Pictures, the lists, and one table of everything with filters."""
    measured = sum(entry.kind == "measured" for entry in entries)
    kicker = (
        f"{len(entries):,} results: {measured:,} measured here, {len(entries) - measured:,} reported with their source"
    )
    found = [(name, points) for name, points in trade_offs(entries).items() if len(points) > 1][:PICTURES]
    shown = "".join(picture(name, points) for name, points in found)
    body = _pictures(shown) + _lists(entries) + f'<section id="all"><h2>All results</h2>{RANKS}{_filters(entries)}'
    ordered = sorted(entries, key=lambda x: (x.kind, x.benchmark, x.split, x.metric, x.scorer, _best(x)))
    body += table(ordered, ranks, columns=ALL, label="All results") + "</section>"
    return shell("Safety, over-refusal and capability", kicker, body, served=served)


def benchmark_page(kind: str, name: str, chosen: list[Entry], ranks: Ranks, *, served: bool = False) -> str:
    """One leaderboard per group, best value first."""
    groups: dict[Group, list[Entry]] = {}
    for entry in chosen:
        groups.setdefault(entry.group, []).append(entry)
    columns = ("subject", "value", "n", "rank", "source")
    parts = []
    for group, members in sorted(groups.items(), key=lambda each: (each[0].kind, each[0].split, each[0].metric)):
        where = " · ".join(p for p in (group.split, group.modality, f"revision {group.revision}") if p != "all")
        better = f"{group.direction} is better"
        inner = table(sorted(members, key=_best), ranks, columns=columns, label=f"{title(group.metric)}, {where}")
        parts.append(
            f'<section class="group"><h2>{e(title(group.metric))} <small>{e(where)}</small></h2><p class="note">'
            f"{better} · scorer <code>{e(group.scorer)}</code> · {group.kind}</p>{inner}</section>"
        )
    shown = "".join(picture(key, points) for key, points in trade_offs(chosen).items() if len(points) > 1)
    kicker = f"Benchmark · {len(chosen):,} results in {len(groups):,} leaderboards that must not be mixed"
    return shell(name, kicker, _pictures(shown) + RANKS + "".join(parts), served=served)


def subject_page(kind: str, name: str, chosen: list[Entry], ranks: Ranks, *, served: bool = False) -> str:
    """All results of a model or of a method."""
    ordered = sorted(chosen, key=lambda x: (x.kind, x.benchmark, x.split, x.metric, x.name))
    columns = tuple(column for column in ALL if column != "subject" or kind == "method" or _has_methods(chosen))
    body = f"<section>{RANKS}{table(ordered, ranks, columns=columns, label=f'Results of {name}')}</section>"
    return shell(name, f"{kind.capitalize()} · {len(chosen):,} results", body, served=served)


def _has_methods(entries: Sequence[Entry]) -> bool:
    return any(entry.method for entry in entries)


def _best(entry: Entry) -> float:
    if entry.value is None:
        return 9.0
    return entry.value if entry.direction == "lower" else -entry.value


def _pictures(shown: str) -> str:
    if not shown:
        return ""
    legend = (
        '<ul class="legend"><li><i class="b"></i>the model as it is</li><li><i class="a"></i>with a method</li></ul>'
    )
    return f'<section><h2>Safety against over-refusal</h2>{legend}<div class="trades">{shown}</div></section>'


def _lists(entries: Sequence[Entry]) -> str:
    parts = []
    for kind in KINDS:
        names = sorted({str(getattr(entry, kind)) for entry in entries} - {""}, key=str.lower)
        items = "".join(f"<li>{link(kind, name)}</li>" for name in names)
        parts.append(
            f'<details class="more"><summary>{kind.capitalize()}s ({len(names)})</summary>'
            f'<ul class="names">{items}</ul></details>'
        )
    return f'<section id="lists"><h2>Pages</h2>{"".join(parts)}</section>'


def _filters(entries: Sequence[Entry]) -> str:
    """Hidden until the script shows it: without script all rows are there."""
    benchmarks = sorted({entry.benchmark for entry in entries}, key=str.lower)
    metrics = sorted({entry.metric for entry in entries}, key=title)
    return (
        '<form class="filters" id="filters" role="search" hidden>'
        f"{_select('benchmark', 'Benchmark', {name: name for name in benchmarks})}"
        f"{_select('metric', 'Metric', {name: title(name) for name in metrics})}"
        f"{_select('kind', 'Origin', {'measured': 'Measured here', 'reported': 'Reported'})}"
        '<label>Search<input name="search" type="search" autocomplete="off" placeholder="model, scorer, source">'
        '</label></form><p id="status" role="status" class="note"></p>'
    )


def _select(name: str, label: str, options: dict[str, str]) -> str:
    body = "".join(f'<option value="{e(key)}">{e(words)}</option>' for key, words in options.items())
    return f'<label>{label}<select name="{name}"><option value="">All</option>{body}</select></label>'
