"""`counterpoise rewrite`: a rewriter over the rows of a CSV file, with a page of what changed."""

import csv
import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from counterpoise.base import (
    InputError,
    Progress,
    atomic_write,
    notice,
    only_process,
    read_csv,
    read_json,
    sha256_bytes,
    sha256_file,
    write_json,
)
from counterpoise.chat import Sample, user
from counterpoise.models import Answer
from counterpoise.report import write_page

if TYPE_CHECKING:
    from counterpoise.models import Engine

COLUMNS = ("unsafe_text", "biased_text", "text")
"""Where the text stands when no column is named: the first of these that is there."""
ADDED = ("rewrite", "rewrite_status", "meaning")
Status = Literal["rewritten", "unchanged", "empty", "too_long", "cut", "refused", "broken", "no_reply"]
WORDS, CHARACTERS = 40, 250  # of a piece that is embedded: MiniLM reads 254 word pieces, at worst one a character
SHOWN, SHOWN_CHARACTERS = 2000, 4000  # rows of the page, characters of a cell on it


class Rewritten(NamedTuple):
    """One row's outcome."""

    text: str
    """The rewrite; empty when there is none."""
    status: Status
    """Only rewritten and unchanged are successes: a refusal, a cut or broken reply is none."""
    meaning: float | None
    """Cosine of the sentence embeddings of text and rewrite; None: not measured."""
    judged: Mapping[str, float | None]


@dataclass
class RewriteResult:
    """What `rewrite_file` wrote."""

    table: Path
    page: Path
    counts: dict[str, int]
    """Rows by status; they add up to the rows of the file."""
    meaning: float | None
    """Mean cosine of the rows that were rewritten or came back unchanged."""
    judges: tuple[str, ...]


def rewrite_file(
    file: Path, engine: "Engine", out: Path, *, column: str | None = None, judge: str | None = None
) -> RewriteResult:
    """Rewrite one column of a CSV file: `out/rewritten.csv` (the file's columns in their order, and what was added),
    `out/differences.html`, `out/rewrite.json`. Given again it continues; no text is generated twice.

    With `judge`, the name of an Inspect model, it is asked for bias and toxicity before and after, and whether the
    meaning was kept. Raises InputError for a file that cannot be read, a column that is not there or already is, and a
    folder that holds the rewrites of another file or model.
    """
    from counterpoise.methods import rewrite_texts

    column = _column(file, column)
    with only_process(out, "rewrites into this folder"):
        identity = {"file": sha256_file(file), "column": column, "model": engine.loaded.fingerprint, "judge": judge}
        _check_same(out, identity)
        write_json(out / "rewrite.json", {"identity": identity, "finished": False})
        texts = [row[column] for _, row in read_csv(file, (column,))]
        asked = [place for place, text in enumerate(texts) if text.strip()]
        replies = rewrite_texts(engine, [texts[place] for place in asked], out / "replies.jsonl")
        outcomes: list[tuple[str, Status]] = [("", "empty") for _ in texts]
        for number, reply in replies:
            outcomes[asked[number]] = (_text(reply), _status(texts[asked[number]], reply))
        done = [place for place, (_, status) in enumerate(outcomes) if status in ("rewritten", "unchanged")]
        cosines = _cosines([(texts[place], outcomes[place][0]) for place in done])
        meaning = dict(zip(done, cosines, strict=True)) if cosines is not None else {}
        found = _judged([(texts[place], outcomes[place][0]) for place in done], judge, out) if judge else {}
        judged = {name: dict(zip(done, own, strict=True)) for name, own in found.items()}
        rows = [
            Rewritten(text, status, meaning.get(place), {name: own.get(place) for name, own in judged.items()})
            for place, (text, status) in enumerate(outcomes)
        ]
        counts = dict(sorted(Counter[str](row.status for row in rows).items()))
        _write_table(out / "rewritten.csv", file, column, rows)
        _write_page(out / "differences.html", file, engine.loaded.name, texts, rows, counts)
        mean = sum(cosines) / len(cosines) if cosines else None
        detours = engine.detours
        write_json(
            out / "rewrite.json",
            {"identity": identity, "finished": True, "model": engine.loaded.name, "adapter": engine.loaded.adapter,
             "rows": len(rows), "counts": counts, "meaning": mean, "judges": sorted(judged), "detours": detours},
        )  # fmt: skip
    return RewriteResult(out / "rewritten.csv", out / "differences.html", counts, mean, tuple(sorted(judged)))


def _column(file: Path, column: str | None) -> str:
    """The column that holds the text."""
    first = next(iter(read_csv(file, () if column is None else (column,))), None)
    if first is None:
        raise InputError(f"{file}: no rows")
    names = list(first[1])
    if taken := [name for name in ADDED if name in names]:
        raise InputError(f"{file}: has a column {taken[0]} already, which would be added; rename it")
    found = column or next((name for name in COLUMNS if name in names), None)
    if found is None:
        raise InputError(f"{file}: has no column {' or '.join(COLUMNS)}; give --column, one of {', '.join(names)}")
    return found


def _check_same(out: Path, identity: Mapping[str, Any]) -> None:
    record = out / "rewrite.json"
    if not record.is_file():
        return
    before = read_json(record)
    if not isinstance(before, dict) or before.get("identity") != identity:
        raise InputError(f"{out}: holds the rewrites of another file, column, model or judge; choose another --out")


def _text(reply: Answer | None) -> str:
    return reply.text.strip() if reply is not None else ""


def _status(text: str, reply: Answer | None) -> Status:
    from counterpoise.evals.rewriting import refuses
    from counterpoise.evals.scorers import broken

    if reply is None:
        return "too_long"
    if reply.problem is not None:
        return "no_reply"
    if " ".join(reply.text.split()) == " ".join(text.split()):
        return "unchanged"
    if reply.finish == "length":
        return "cut"
    if broken(reply.text) is not None:
        return "broken"
    declines, before = refuses([reply.text, text])
    return "refused" if declines and not before else "rewritten"


def _cosines(pairs: Sequence[tuple[str, str]]) -> list[float] | None:
    """Cosine of each pair's embeddings; None, and a line, when the embedding is not installed."""
    from counterpoise.guard.own import minilm

    try:
        embed = minilm()
    except InputError as error:
        notice(f"meaning is not measured: {error}")
        return None
    import numpy as np

    if not pairs:
        return []
    pieces = [_pieces(text) for pair in pairs for text in pair]
    rows = embed([piece for own in pieces for piece in own])
    ends = np.cumsum([len(own) for own in pieces])
    means = [rows[end - len(own) : end].mean(0) for own, end in zip(pieces, ends, strict=True)]
    units = [mean / max(float(np.linalg.norm(mean)), 1e-9) for mean in means]
    return [float(before @ after) for before, after in zip(units[::2], units[1::2], strict=True)]


def _pieces(text: str) -> list[str]:
    """A text in pieces that the embedding reads whole; its vector is their mean."""
    words = text.split()
    return [" ".join(words[at : at + WORDS])[:CHARACTERS] for at in range(0, max(len(words), 1), WORDS)]


def _judged(pairs: Sequence[tuple[str, str]], model: str, out: Path) -> dict[str, list[float | None]]:
    """Scores of a judge by column: 1 is no bias, no toxicity, meaning kept. No case is asked twice, also by a run that
    goes on after a kill."""
    from counterpoise.evals.judges import Case, RubricJudge, VerdictJournal, verdicts
    from counterpoise.evals.rewriting import BIAS, MEANING, TOXICITY

    journal = VerdictJournal(out / "verdicts.jsonl")
    asked = [Sample(sha256_bytes(before.encode("utf-8", "replace")), (user(before),)) for before, _ in pairs]
    judges = {"unbiased": RubricJudge(BIAS, model), "untoxic": RubricJudge(TOXICITY, model)}
    plan = [
        (f"{name}_{when}", judge, side)
        for name, judge in judges.items()
        for side, when in enumerate(("before", "after"))
    ]
    plan.append(("meaning_judged", RubricJudge(MEANING, model), 1))
    found = {}
    with Progress("judged", len(plan) * len(pairs)) as progress:
        for column, judge, side in plan:
            cases = [Case(sample, pair[side]) for sample, pair in zip(asked, pairs, strict=True)]
            said = verdicts(judge, cases, [sample.id for sample in asked], journal, progress)
            found[column] = [verdict.score for verdict in said]
    journal.close()
    return found


def _write_table(target: Path, file: Path, column: str, rows: Sequence[Rewritten]) -> None:
    """The file's rows in their order with what was added."""
    extra = list(rows[0].judged) if rows else []
    with atomic_write(target) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        for (number, row), found in zip(read_csv(file, (column,)), rows, strict=True):
            if number == 1:
                writer.writerow([*row, *ADDED, *extra])
            numbers = [found.meaning, *(found.judged[name] for name in extra)]
            cells = ["" if value is None else f"{value:.3f}" for value in numbers]
            writer.writerow([*row.values(), found.text, found.status, *cells])


def difference(before: str, after: str) -> Iterator[tuple[Literal["same", "del", "ins"], str]]:
    """Word by word what was kept, taken out and put in."""
    a, b = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(a[i:j])
            continue
        if i < j:
            yield "del", "".join(a[i:j])
        if k < m:
            yield "ins", "".join(b[k:m])


STYLE = "del{background:#fbd9d9}ins{background:#d6f0d6;text-decoration:none}td{vertical-align:top}"


def _write_page(
    target: Path, file: Path, model: str, texts: Sequence[str], rows: Sequence[Rewritten], counts: Mapping[str, int]
) -> None:
    """A page without scripts; everything from the file or the model is escaped."""
    e = html.escape
    lines = []
    for number, (text, row) in islice(enumerate(zip(texts, rows, strict=True), 1), SHOWN):
        before, after = text[:SHOWN_CHARACTERS], (row.text or text)[:SHOWN_CHARACTERS]
        pieces = difference(before, after)
        shown = "".join(e(piece) if kind == "same" else f"<{kind}>{e(piece)}</{kind}>" for kind, piece in pieces)
        shown += " (cut on this page)" if max(len(text), len(row.text)) > SHOWN_CHARACTERS else ""
        meaning = "" if row.meaning is None else f"{row.meaning:.2f}"
        lines.append(f"<tr><td>{number}</td><td>{shown}</td><td>{row.status}</td><td>{meaning}</td></tr>")
    left = f"<p>The first {SHOWN:,} of {len(rows):,} rows; the table has all.</p>" if len(rows) > SHOWN else ""
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    body = (
        f"<p>{len(rows):,} rows: {said}.</p>"
        "<p><del>Taken out</del>, <ins>put in</ins>. Meaning: cosine of the sentence embeddings.</p>"
        "<table><thead><tr><th>Row</th><th>Text</th><th>Status</th><th>Meaning</th></tr></thead><tbody>"
        f"{''.join(lines)}</tbody></table>{left}"
    )
    title = f"Rewrites of {file.name}"
    write_page(target, title, model, title, body, style=STYLE)
