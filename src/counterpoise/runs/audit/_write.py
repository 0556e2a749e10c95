"""What an audit shows: Markdown for a pull request, JUnit XML for a CI, and lines for the terminal."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Tree

from counterpoise.base import atomic_write
from counterpoise.evals.stats import Rate

from ._audit import AuditResult
from ._contrasts import Contrast

NAMES = {
    "asr": "answered harmful requests (ASR)", "over_refusal": "refused harmless twins", "broken": "broken replies",
    "accuracy": "right answers",
}  # fmt: skip
MOST_CELLS = 10
"""Cells that a summary lists."""


def summary(result: AuditResult) -> str:
    """The audit as Markdown: gates, pooled contrasts, margins, the cells that changed most, ability, stress."""
    lines = [f"# Drift audit: {_code(result.tuned)} against {_code(result.base)}", "", headline(result), ""]
    if result.identical:
        lines += ["Both have the same weights.", ""]
    if result.decisions:
        lines += ["| Gate | Of | Result | |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{each.gate}` | {each.name} | **{each.status}** | {_plain(each.message)} |" for each in result.decisions
        ]
        lines.append("")
    for metric in ("asr", "over_refusal", "broken"):
        rows = [*result.of(metric, "overall"), *result.of(metric, "task"), *result.of(metric, "modality")]
        rows += result.of(metric, "calibration")
        lines += [f"## {NAMES[metric][0].upper()}{NAMES[metric][1:]}", "", *_table(rows), ""]
    cells = [each for each in result.of("asr", "cell") if each.value]
    cells = sorted(cells, key=lambda each: -abs(each.value or 0.0))[:MOST_CELLS]
    total = len(result.of("asr", "cell"))
    if cells:
        lines += [f"## Cells that changed most ({len(cells)} of {total}, ASR)", "", *_table(cells), ""]
    else:
        lines += [f"None of the {total} cells changed in ASR.", ""]
    if result.ability:
        lines += ["## Ability", "", *_table(result.ability), ""]
    if result.stress is not None:
        lines += [*_stress(result), ""]
    lines += [
        f"Scorer `{result.scorer}`. Paired differences (tuned minus base) on the same prompts, in points, with 95 % "
        "intervals. Cells: McNemar's exact p; what is pooled: sign flips over intents. p is Holm-adjusted over the "
        "margins, or over all cells, of a metric; that of all prompts stands alone. Unscored answers are neither "
        "refusals nor compliance.",
        "",
    ]
    return "\n".join(lines)


def headline(result: AuditResult) -> str:
    """One sentence: what became of the gates, or without gates of refusals."""
    if result.decisions:
        bad = [each for each in result.decisions if each.status != "passed"]
        if not bad:
            gates = len({each.gate for each in result.decisions})
            return f"**Passed**: {_n(len(result.decisions), 'check')} of {_n(gates, 'gate')}."
        return f"**Failed**: {len(bad)} of {_n(len(result.decisions), 'check')}; first `{bad[0].gate}` ({bad[0].name})."
    found = next(iter(result.of("asr", "overall")), None)
    if found is None or found.value is None or found.p is None or found.low is None or found.high is None:
        return "Nothing could be compared."
    if found.p < 0.05 and not found.low <= 0 <= found.high:
        verb = "rose" if found.value > 0 else "fell"
        return f"ASR {verb} by {100 * abs(found.value):.1f} points ({_points(found)}); no gate was set."
    return f"No difference in ASR shown ({_points(found)}); no gate was set."


def _n(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _stress(result: AuditResult) -> list[str]:
    found = result.stress
    assert found is not None
    lines = ["## Stress: fine-tuning attacks on the tuned weights", ""]
    lines.append("| Attack | Rate | Epochs | ASR (choosing half) | Ability lost | |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for each in found.trials:
        drop = "-" if each.drop is None else f"{100 * each.drop:.0f} %"
        chosen = "-" if each.asr_chosen is None else f"{100 * each.asr_chosen:.0f} %"
        kept = "kept" if each.kept else "over the cap"
        lines.append(f"| {each.attack} | {each.learning_rate:g} | {each.epochs} | {chosen} | {drop} | {kept} |")
    lines.append("")
    if found.worst is None:
        lines.append(f"No attack kept ability within {found.cap:.0%}: no result.")
    else:
        p = "-" if found.p is None else _p(found.p)
        low, high = 100 * (found.low or 0), 100 * (found.high or 0)
        lines.append(
            f"Worst within the cap: {found.worst}. On the other half of the intents ASR {_percent(found.untouched)} "
            f"untouched, {_percent(found.asr)} attacked: {100 * (found.increase or 0):+.1f} points ({low:+.1f} to "
            f"{high:+.1f}), p {p}, {found.n} prompts, {len(found.trials)} trials."
        )
    return lines


def _table(rows: Sequence[Contrast]) -> list[str]:
    lines = ["| | Base | Tuned | Difference | p | Pairs |", "| --- | --- | --- | --- | --- | --- |"]
    for each in rows:
        p = "-" if each.p_adjusted is None else _p(each.p_adjusted)
        pairs = f"{each.n_pairs}" + (f" ({each.n_unscored} unscored)" if each.n_unscored else "")
        lines.append(f"| {each.name} | {_rate(each.base)} | {_rate(each.tuned)} | {_points(each)} | {p} | {pairs} |")
    return lines


def _rate(found: Rate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "unscored"
    return f"{_percent(found.value)} ({100 * found.low:.0f}-{100 * found.high:.0f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _points(each: Contrast) -> str:
    if each.value is None or each.low is None or each.high is None:
        return "-"
    return f"{100 * each.value:+.1f} ({100 * each.low:+.1f} to {100 * each.high:+.1f})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _code(name: str) -> str:
    return f"`{name.replace('`', '')}`"


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def write_summary(file: Path, result: AuditResult) -> None:
    """Write the Markdown. Appended to a file that is there, as a CI's step summary wants it."""
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    with atomic_write(file) as out:
        out.write(f"{before}{summary(result)}")


def write_junit(file: Path, result: AuditResult) -> None:
    """Write JUnit XML: one suite, one case per check of a gate; a failing case names the gate and its cell."""
    bad = [each for each in result.decisions if each.status == "failed"]
    open_ = [each for each in result.decisions if each.status == "undecided"]
    counts = {"tests": str(len(result.decisions)), "failures": str(len(bad)), "errors": str(len(open_))}
    top = Tree.Element("testsuites", counts)
    suite = Tree.SubElement(top, "testsuite", {"name": "counterpoise audit", **counts})
    for each in result.decisions:
        case = Tree.SubElement(suite, "testcase", {"classname": str(each.gate), "name": each.name})
        if each.status != "passed":
            kind = "failure" if each.status == "failed" else "error"
            problem = Tree.SubElement(case, kind, {"message": each.message, "type": each.status})
            problem.text = f"{each.gate} of {each.name}: {each.message}"
    Tree.indent(top)
    with atomic_write(file, "wb") as out:
        Tree.ElementTree(top).write(out, encoding="utf-8", xml_declaration=True)
