"""What follows from a check of training rows: thresholds that may fail it, and the data card beside the file."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from counterpoise import __version__
from counterpoise.base import InputError, atomic_write, read_limit, sha256_file

from ._check_rows import KINDS, MEANING, Kind, Report

_HEAD = "# Data card: "


class CheckRule(NamedTuple):
    """The check fails when more than this share of the rows has the fault."""

    kind: Kind
    bound: float

    def __str__(self) -> str:
        return f"{self.kind}>{self.bound:g}"


def parse_check_rule(text: str) -> CheckRule:
    """`exact>0`, `near>0.01`, `refusal>30%`. Raises InputError for anything else."""
    name, _, bound = read_limit(text, "'benchmark_exact>0' or 'near>1%'")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        raise InputError(f"--fail-on {text!r}: {InputError.unknown('quantity', name, KINDS)}")
    if bound >= 1:
        raise InputError(f"--fail-on {text!r}: no share exceeds 1; write 0.02 or 2% for two rows in a hundred")
    return CheckRule(kind, bound)


def unmet(report: Report, rules: Iterable[CheckRule]) -> list[str]:
    """One line for every rule that the rows do not keep. What was not looked for, and benchmarks that could not be
    read, keep no rule: a check never passes on what it did not see."""
    lines = []
    for rule in rules:
        share, count = report.share(rule.kind), report.counts[rule.kind]
        if share is None:
            lines.append(f"{rule}: nobody looked for it, or no label could be told")
        elif share > rule.bound:
            lines.append(f"{rule}: {count:,} rows, {share:.2%}")
        elif rule.kind.startswith("benchmark_") and report.not_compared:
            name, reason = next(iter(report.not_compared.items()))
            lines.append(f"{rule}: {name} could not be compared ({reason})")
    return lines


def card_of(file: Path) -> Path:
    """Where the data card of a file lies: `rows.parquet` has `rows.card.md`."""
    return file.with_suffix(".card.md")


def write_card(file: Path, report: Report) -> Path:
    """Write the data card of a file of training rows beside it, and return its path. Raises InputError rather than
    replace a file that is no data card of ours."""
    card = card_of(file)
    if card.is_file() and not card.read_text(encoding="utf-8", errors="replace").startswith(_HEAD):
        raise InputError(f"{card}: is there and no data card of ours; rename it, or give --no-card")
    with atomic_write(card) as out:
        out.write(_text(file, report))
    return card


def _text(file: Path, report: Report) -> str:
    low, middle, high = report.words
    facts = {
        "File": f"`{file.name}`, {file.stat().st_size:,} bytes",
        "SHA-256": f"`{sha256_file(file)}`",
        "Rows": f"{report.rows:,}",
        "Words of a label": f"median {middle:,}; 5th to 95th percentile {low:,} to {high:,}",
        "Languages of the labels": ", ".join(f"{name} {n:,}" for name, n in report.languages.items()) or "not told",
        "Checked": datetime.now(UTC).isoformat(timespec="seconds"),
        "By": f"counterpoise {__version__}",
    }
    lines = [f"{_HEAD}{file.name}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", "| check | rows | share | |", "|---|---|---|---|"]
    for kind in KINDS:
        count, share = report.counts[kind], report.share(kind)
        shown = "not looked for" if count is None else f"{count:,}"
        lines.append(f"| {kind} | {shown} | {'' if share is None else f'{share:.2%}'} | {MEANING[kind]} |")
    compared = ", ".join(f"{name} ({n:,})" for name, n in report.against.items()) or "none"
    lines += ["", f"Compared with the rows of: {compared}."]
    lines += [f"Not compared: {name} ({reason})." for name, reason in report.not_compared.items()]
    return "\n".join(lines) + "\n"
