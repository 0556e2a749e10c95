"""Judge the stored answers of an evaluation again. Nothing is generated; the model under test is not loaded."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.base import (
    InputError,
    Progress,
    Row,
    atomic_write,
    json_line,
    load_rows,
    only_process,
    read_jsonl,
    save_rows,
    sha256_bytes,
    write_json,
)
from counterpoise.chat import Image, Sample, user

from .._benchmark import Benchmark
from .._items import Item
from ..scorers import BROKEN, Score, get
from ._correction import Calibration, corrected
from ._journal import VerdictJournal, verdicts
from ._judged_rows import cards_of, judged_rows
from ._labelled import labelled
from ._labels import LabelSet
from ._protocol import Case, Judge, Judgement, unready, unscored
from ._tries import Tries

Told = dict[tuple[str, str], Sample]


@dataclass(frozen=True)
class Judged:
    """What a judging found. `folder` is an evaluation folder like any other, with this judge as its scorer."""

    folder: Path
    rows: list[Row]
    n: int
    judged: int
    """Verdicts made now (of a panel: by all its members); the others were in the journal."""
    unscored: dict[str, int]
    """By reason."""
    cut: int
    """Answers that ended at the token limit: counted as they stand or unscored (`answer_cut`), by the judge's rule."""
    corrected: list[dict[str, Any]]
    """Rates beside the raw ones: by a calibration, then by labels of these answers."""


def judge_run(
    run: Path,
    judge: Judge,
    *,
    out: Path | None = None,
    calibration: Calibration | None = None,
    labels: LabelSet | None = None,
) -> Judged:
    """Judge every answer in `run`/items.jsonl that `judge` is about, and write `out` (default: run/judges/JUDGE).

    There: `verdicts.jsonl` (the journal), `items.jsonl`, `scorecard.json`, `judge.json`, and `corrected.json` when a
    calibration, or `labels` of some of these answers, are given. Killed anywhere, the same call continues and judges no
    row twice. Harm judges see harmful items, the others all items with a side; a judge that is told facts of the
    benchmark (a reference answer, a context) has them from its rows. Raises InputError for a folder without items, a
    benchmark that is not known, rows that are not here, a calibration of another judge, labels of other answers, no
    item that the judge is about, or when another process judges there.
    """
    if calibration is not None and calibration.judge != judge.id:
        raise InputError(f"the calibration measured {calibration.judge}, not {judge.id}; calibrate this judge")
    everything = read_items(run)
    told = facts_of(judge, run, everything)
    items = [each for each in everything if _about(judge, each, told)]
    if not items:
        raise InputError(f"{run}: no item that {judge.facts.name} is about ({judge.facts.measures} of answers)")
    cards = cards_of(run, items)
    before = load_rows(run / "scorecard.json")
    folder = out or run / "judges" / slug(judge.id)
    with only_process(folder):
        return _judge(run, judge, folder, calibration, labels, items, told, cards, before)


def _judge(
    run: Path,
    judge: Judge,
    folder: Path,
    calibration: Calibration | None,
    labels: LabelSet | None,
    items: Sequence[Item],
    told: Told,
    cards: dict[tuple[str, str], Benchmark],
    before: Sequence[Row],
) -> Judged:
    journal = VerdictJournal(folder / "verdicts.jsonl")
    try:
        with Progress(f"judging, {judge.facts.name}", len(items), unit="answers") as progress:
            found = _verdicts(run, judge, items, told, journal, progress)
    finally:
        journal.close()
    made = [_with_score(judge, item, verdict) for item, verdict in zip(items, found, strict=True)]
    rows = judged_rows(judge, cards, made, found, before)
    with atomic_write(folder / "items.jsonl") as handle:
        for each in made:
            handle.write(json_line(each.json()))
    save_rows(folder / "scorecard.json", rows)
    reasons = dict(Counter(each.reason for each in found if each.score is None))
    beside = corrected(rows, calibration) if calibration else []
    beside += labelled(rows, made, labels) if labels else []
    if beside:
        write_json(folder / "corrected.json", beside)
    cut = sum(each.finish == "length" for each in items)
    counts = {"n": len(items), "cut": cut, "judged_now": journal.judged, "found": journal.found, "unscored": reasons}
    made_by = {
        "id": judge.id,
        **judge.facts.json(),
        "run": str(run),
        "counts": counts,
        "detours": getattr(judge, "detours", {}),
    }
    write_json(folder / "judge.json", made_by)
    return Judged(folder, rows, len(items), journal.judged, reasons, cut, beside)


def items_file(run: Path) -> Path:
    """Where an evaluation keeps its answers. Raises InputError when the folder is something else."""
    file = run / "items.jsonl"
    if not file.is_file():
        inside = [side for side in ("before", "after") if (run / side / "items.jsonl").is_file()]
        hint = f"a run has two: give {' or '.join(str(run / side) for side in inside)}" if inside else ""
        raise InputError(f"{run}: no items.jsonl here; {hint or 'expected a folder written by counterpoise eval'}")
    return file


def read_items(run: Path) -> list[Item]:
    """Items of an evaluation folder. Raises InputError for another folder or a broken line."""
    file, items = items_file(run), []
    for number, value in read_jsonl(file):
        try:
            items.append(Item.from_json(value))
        except (TypeError, KeyError) as error:
            raise InputError.at(file, f"no item of an evaluation ({error})", row=number) from error
    return items


def slug(judge: str) -> str:
    """A folder name for a judge's id: readable, short, unlike any other's."""
    plain = re.sub(r"[^A-Za-z0-9.+-]+", "-", judge).strip("-.")[:60]
    return f"{plain}-{sha256_bytes(judge.encode())[:8]}"


def case(item: Item, run: Path, row: Sample | None = None) -> Case:
    """The case that an item is: its last user turn with its images, as far as the folder holds them; and what its
    benchmark's `row` says of it."""
    images = [path for sha in item.images if (path := _image(run, sha)) is not None]
    parts = [Image.from_path(path) for path in images]
    sample = Sample(item.id, (user(*parts, item.prompt),), harmful=item.harmful, cluster=item.cluster, group=item.group)
    if row is not None:
        sample = dataclasses.replace(sample, target=row.target, meta=row.meta)
    return Case(sample, item.reply)


def facts_of(judge: Judge, run: Path, items: Sequence[Item]) -> Told:
    """The rows of the benchmarks that a judge is told of, by benchmark and id of an item. Raises InputError when they
    are not here, or hold an item no more."""
    wanted = {(each.benchmark, each.id) for each in items if each.benchmark in judge.facts.of}
    if not wanted:
        return {}
    found: Told = {}
    for (name, _), card in cards_of(run, items).items():
        if name in judge.facts.of:
            found |= {(name, row.id): row for row in card.stream() if (name, row.id) in wanted}
    if missing := sorted(wanted - found.keys()):
        name, row = missing[0]
        raise InputError(f"{judge.facts.name}: needs the rows of {name}, and {len(missing)} of these items are not "
                         f"among them, such as {row!r}; were they changed since the evaluation?")  # fmt: skip
    return found


def _image(run: Path, sha: str) -> Path | None:
    if not sha.isalnum():  # a hash goes into a path: nothing but a hash may pass
        return None
    return next((run / "images").glob(f"{sha}.*"), None)


def _about(judge: Judge, item: Item, told: Told) -> bool:
    if judge.facts.needs:
        row = told.get((item.benchmark, item.id))
        if row is None or any(Case(row, "").fact(name) is None for name in judge.facts.needs):
            return False
    if judge.facts.measures == "quality":
        return True
    attack = judge.facts.measures == "harm" or (isinstance(judge, Tries) and judge.rule == "any")
    return item.harmful is True if attack else item.harmful is not None


def _verdicts(
    run: Path, judge: Judge, items: Sequence[Item], told: Told, journal: VerdictJournal, progress: Progress
) -> list[Judgement]:
    """Items that have no answer, one that cannot be scored, or one whose images are gone though the judge looks at them
    are not judged."""
    result: dict[int, Judgement] = {}
    ready: dict[int, Case] = {}
    for place, item in enumerate(items):
        if item.finish == "error":
            result[place] = unscored(judge.id, "no_answer", (item.reasons and next(iter(item.reasons.values()))) or "")
            continue
        made = case(item, run, told.get((item.benchmark, item.id)))
        if (reason := unready(judge.facts, made)) is not None:
            result[place] = unscored(judge.id, reason)
            continue
        if "image" in judge.facts.sees and len(made.sample.messages[-1].images) < len(item.images):
            result[place] = unscored(
                judge.id, "image_missing", f"not all {len(item.images)} images are in {run}/images"
            )
        else:
            ready[place] = made
    progress.advance(len(result))
    names = [_row(items[place], ready[place]) for place in ready]
    found = verdicts(judge, list(ready.values()), names, journal, progress)
    result |= dict(zip(ready, found, strict=True))
    return [result[place] for place in range(len(items))]


def _row(item: Item, made: Case) -> str:
    """What a verdict is about, beside the answer: with other facts of the benchmark it is another row."""
    told = {"target": made.sample.target, **made.sample.meta}
    known = {name: value for name, value in told.items() if isinstance(value, str)}
    return f"{item.benchmark}\n{item.id}" + (f"\n{json.dumps(known, sort_keys=True)}" if known else "")


def _with_score(judge: Judge, item: Item, found: Judgement) -> Item:
    """An item's score says how good the answer is: 1 is refused, not harmful, right. StrongREJECT's stays as it is.
    Whether the reply is broken is no judge's business, and told as in the evaluation."""
    score = found.score
    if score is not None and judge.facts.measures == "harm" and judge.facts.metric == "asr":
        score = 1.0 - score
    form = get(BROKEN)(Sample(item.id, ()), item.reply)
    if item.finish == "error":
        form = Score(None, "no_answer")
    whys = {judge.id: found.reason, BROKEN: form.reason or ""}
    reasons = {name: why for name, why in whys.items() if why}
    return dataclasses.replace(item, scores={judge.id: score, BROKEN: form.value}, reasons=reasons)
