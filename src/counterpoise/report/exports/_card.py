"""A model card for the Hugging Face hub, from a run: the metadata that it reads, and a section that it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from counterpoise.base import Row

from .._words import bounds, interval, metric_name, percent, points, unscored_share
from ._evaluation import Evaluation
from ._hub import to_model_index
from ._results import hub_id, source_url
from ._yaml import dump_yaml

_SPECIAL = {ord(sign): f"\\{sign}" for sign in "`*_{}[]<>#|!~"} | {ord(sign): f"&#{ord(sign)};" for sign in "\\$&"}


def to_card(evaluation: Evaluation, datasets: Mapping[str, str] | None = None) -> str:
    """A whole card: front matter with the headline rows as `model-index`, and the section of `to_section` below.

    `datasets` gives hub ids by benchmark, as for `to_model_index`.
    """
    shown = replace(evaluation, rows=tuple(_first_scorer(evaluation.rows)))
    pictures = any(row.modality not in ("text", "all") for row in shown.rows)
    facts: dict[str, Any] = {"pipeline_tag": "image-text-to-text" if pictures else "text-generation"}
    owner = evaluation.model_id.split("/")[0]
    if evaluation.adapter and owner != "local":
        facts["base_model"] = evaluation.model
    facts["tags"] = ["safety", "counterpoise"]
    facts |= to_model_index(shown, datasets) if shown.scored else {}
    title = evaluation.model_id.removeprefix("local/")
    return f"---\n{dump_yaml(facts)}---\n\n# {md(title)}\n\n{to_section(evaluation)}"


def to_section(evaluation: Evaluation) -> str:
    """A section with a heading of level two: what was measured, one table per benchmark, changes against the baseline,
    and what the numbers do not say. Other scorers of the same answers are in the data exports, not here."""
    rows = _first_scorer(evaluation.rows)
    parts = ["## Safety, over-refusal and capability\n", _intro(evaluation)]
    for benchmark, group in groupby(rows, key=lambda row: row.benchmark):
        parts.append(_table(evaluation, benchmark, list(group)))
    if evaluation.differences:
        parts.append(_changes(evaluation))
    parts.append(_limits(evaluation, rows))
    return "\n".join(parts)


def _first_scorer(rows: Sequence[Row]) -> list[Row]:
    """The benchmark's own choice is the first in the scorecard."""
    first: dict[tuple[str, str], str] = {}
    return [row for row in rows if first.setdefault((row.benchmark, row.metric), row.scorer) == row.scorer]


def _intro(evaluation: Evaluation) -> str:
    made = f"Counterpoise {evaluation.versions.get('counterpoise', '')}".strip()
    text = f"Measured with {md(made)} on {evaluation.date.date().isoformat()}"
    if evaluation.method:
        text += f", after alignment with the method {md(evaluation.method)}"
    if evaluation.fingerprint:
        text += f" (weights {md(evaluation.fingerprint)})"
    return (
        f"{text}. Rates in percent with 95 % intervals. An item that its scorer could not judge is unscored: it counts "
        "neither as safe nor as unsafe.\n"
    )


def _table(evaluation: Evaluation, benchmark: str, rows: list[Row]) -> str:
    source, licence = evaluation.source(rows[0])
    facts = ", ".join(part for part in (_link(source), md(licence)) if part)
    lines = [f"### {md(benchmark)}\n", f"Revision {md(rows[0].revision)}{f' ({facts})' if facts else ''}.\n"]
    lines += ["| Metric | Better | Modality | Split | Value | 95 % interval | Scored | Scorer |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in rows:
        count = f"{row.n_scored:,}" + (f" ({row.n_unscored:,} unscored)" if row.n_unscored else "")
        if case := bounds(row):
            count += f", {interval(*case)} with these counted either way"
        if unscored_share(row) > 0.10:
            count += ", incomplete"
        cells = [metric_name(row.metric), row.direction, row.modality, row.split, percent(row.value)]
        cells += [interval(row.ci_low, row.ci_high) or "–", count, row.scorer]
        lines.append("| " + " | ".join(md(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _link(source: str) -> str:
    """A source with an address as a link: in bare text an escaped underscore would cut it short."""
    url, hub = source_url(source), hub_id(source)
    address = f"https://huggingface.co/datasets/{hub}" if hub else url
    if not address:
        return md(source)
    name = hub or address.removeprefix("https://").removeprefix("http://")
    rest = source.partition(name)[2].strip(" ,")
    return f"[{md(name)}](<{address}>)" + (f" {md(rest)}" if rest else "")


def _changes(evaluation: Evaluation) -> str:
    own = {(row.benchmark, row.metric, row.scorer) for row in _first_scorer(evaluation.rows)}
    lines = ["### Change against the model before\n", "Paired by item, in percentage points; p adjusted by Holm.\n"]
    lines += [
        "| Benchmark | Metric | Modality | Change | 95 % interval | Pairs | Verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for change in evaluation.differences:
        row = change.after
        if (row.benchmark, row.metric, row.scorer) in own and change.difference is not None:
            cells = [row.benchmark, metric_name(row.metric), row.modality, points(change.difference)]
            cells += [interval(change.low, change.high), f"{change.n_pairs:,}", change.judgement]
            lines.append("| " + " | ".join(md(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _limits(evaluation: Evaluation, shown: Sequence[Row]) -> str:
    others = len(evaluation.rows) - len(shown)
    lines = ["### Reading these numbers\n"]
    lines.append("- A rate belongs to its scorer: numbers of different scorers must not be compared.")
    lines.append("- ASR by a refusal scorer counts answers that are not refusals, whether or not they would do harm.")
    if others:
        count = f"{others} rows" if others > 1 else "1 row"
        lines.append(f"- By other scorers of the same answers: {count}, in the data export of this run.")
    if evaluation.without_value:
        names = ", ".join(md(name) for name in evaluation.without_value)
        lines.append(f"- Without a value, because nothing could be scored: {names}.")
    return "\n".join(lines) + "\n"


def md(value: object) -> str:
    """Text for one Markdown cell: no markup, no line breaks, no HTML. The hub renders mathematics between `$$` and
    between `\\\\(` and `\\\\)` before it reads Markdown, so dollars and backslashes are written as entities."""
    return " ".join(str(value).split()).translate(_SPECIAL)
