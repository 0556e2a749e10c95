"""`compare`: two evaluation folders side by side, paired by item, same scorers only."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from counterpoise.base import InputError, Row, read_json

from ._change import Change, changes
from ._folder import EvalFolder


@dataclass(frozen=True)
class Comparison:
    """Changes from `a` to `b`, and the rows that only one of them has."""

    a: EvalFolder
    b: EvalFolder
    changes: tuple[Change, ...]
    only_a: tuple[Row, ...]
    only_b: tuple[Row, ...]
    revisions: tuple[str, ...] = ()
    """One line for each benchmark of which the two have different revisions."""
    shared: tuple[str, ...] = ()
    """One line for each benchmark of which they have different items: how many are in both, and each one's limit."""


def compare(a: Path, b: Path, *, allow_different_scorers: bool = False) -> Comparison:
    """Pair two evaluations by item id.

    Rows are compared only when benchmark, revision, split, modality, metric **and scorer** agree: another judge is
    another metric. Raises InputError when the same benchmark was scored by different scorers, unless
    `allow_different_scorers` is set (such rows are then listed, never subtracted), when items of one id ask different
    things, and when nothing is shared.
    """
    before, after = EvalFolder(a), EvalFolder(b)
    keys_a, keys_b = {row.key for row in before.rows}, {row.key for row in after.rows}
    if not allow_different_scorers:
        _same_scorers(before, after)
    _same_items(before, after)
    revisions = _revisions(before, after)
    found = changes(before, after)
    if not found and not allow_different_scorers:
        if revisions:
            raise InputError(f"no row is shared: {'; '.join(revisions)}")
        names = [", ".join(sorted({row.benchmark for row in folder.rows})) or "nothing" for folder in (before, after)]
        raise InputError(f"no row is shared: {a} holds {names[0]}, {b} holds {names[1]}; evaluate both on one suite")
    return Comparison(
        before,
        after,
        tuple(found),
        tuple(row for row in before.rows if row.key not in keys_b),
        tuple(row for row in after.rows if row.key not in keys_a),
        revisions,
        _shared(before, after),
    )


def _shared(a: EvalFolder, b: EvalFolder) -> tuple[str, ...]:
    counts: dict[str, Counter[str]] = {}
    for key in a.items.keys() | b.items.keys():
        side = "both" if key in a.items and key in b.items else "a" if key in a.items else "b"
        counts.setdefault(key[0], Counter())[side] += 1
    measured = {
        name.partition("/")[0] for name in {row.benchmark for row in a.rows} & {row.benchmark for row in b.rows}
    }
    return tuple(
        f"{name}: compared on the {n['both']:,} items that both have; {n['a']:,} are only in {a.path}{_limit(a)}, "
        f"{n['b']:,} only in {b.path}{_limit(b)}"
        for name, n in sorted(counts.items())
        if name.partition("/")[0] in measured and (n["a"] or n["b"])
    )


def _limit(folder: EvalFolder) -> str:
    """What `run.json` says of the part that was asked."""
    file = folder.path / "run.json"
    record = read_json(file) if file.is_file() else {}
    limit = record.get("limit") if isinstance(record, dict) else None
    return f" (--limit {limit})" if isinstance(limit, int) else ""


def _same_items(a: EvalFolder, b: EvalFolder) -> None:
    """The rows of a source may change under ids that stay: such items are no pairs."""
    shared = a.items.keys() & b.items.keys()
    other = Counter(key[0] for key in shared if _asked(a, key) != _asked(b, key))
    for name, count in sorted(other.items()):
        n = sum(key[0] == name for key in shared)
        raise InputError(
            f"{name}: {count:,} of {n:,} items with the same id ask something else in {a.path} and in {b.path}; its "
            "rows have changed in between, evaluate both on one version"
        )


def _asked(folder: EvalFolder, key: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    return folder.items[key].prompt, folder.items[key].images


def _revisions(a: EvalFolder, b: EvalFolder) -> tuple[str, ...]:
    first, second = ({(row.key[0], *row.key[2:]): row.revision for row in folder.rows} for folder in (a, b))
    both = {
        key[0].partition("/")[0]: (first[key], second[key])
        for key in first.keys() & second.keys()
        if first[key] != second[key]
    }
    return tuple(
        f"{name}: revision {mine!r} in {a.path}, {other!r} in {b.path}; another version is another benchmark, "
        "evaluate both on one"
        for name, (mine, other) in sorted(both.items())
    )


def _same_scorers(a: EvalFolder, b: EvalFolder) -> None:
    def scorers(folder: EvalFolder) -> dict[tuple[str, str], set[str]]:
        result: dict[tuple[str, str], set[str]] = {}
        for row in folder.rows:
            result.setdefault((row.benchmark, row.metric), set()).add(row.scorer)
        return result

    first, second = scorers(a), scorers(b)
    for key in first.keys() & second.keys():
        if not first[key] & second[key]:
            benchmark, metric = key
            raise InputError(
                f"{benchmark} {metric}: scored by {', '.join(sorted(first[key]))} in {a.path} and by "
                f"{', '.join(sorted(second[key]))} in {b.path}; another scorer is another metric, "
                "score both alike or add --allow-different-scorers to list them side by side"
            )
