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
    load_rows,
    read_jsonl,
    save_rows,
    sha256_bytes,
    write_json,
)
from counterpoise.chat import Image, Sample, user

from .._items import Item
from ..scorers import BROKEN, Score, get
from ._correction import Calibration, corrected
from ._journal import VerdictJournal, verdicts
from ._judged_rows import cards_of, judged_rows
from ._labelled import labelled
from ._labels import LabelSet
from ._protocol import Case, Judge, Judgement, unscored


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
    row twice. Harm judges see harmful items, the others all items with a side. Raises InputError for a folder without
    items, a benchmark that is not known, a calibration of another judge, labels of other answers, or no item that the
    judge is about.
    """
    if calibration is not None and calibration.judge != judge.id:
        raise InputError(f"the calibration measured {calibration.judge}, not {judge.id}; calibrate this judge")
    items = [each for each in read_items(run) if _about(judge, each)]
    if not items:
        raise InputError(f"{run}: no item that {judge.facts.name} is about ({judge.facts.measures} of answers)")
    cards = cards_of(run, items)
    before = load_rows(run / "scorecard.json")
    folder = out or run / "judges" / slug(judge.id)
    journal = VerdictJournal(folder / "verdicts.jsonl")
    try:
        with Progress(f"judging, {judge.facts.name}", len(items), unit="answers") as progress:
            found = _verdicts(run, judge, items, journal, progress)
    finally:
        journal.close()
    made = [_with_score(judge, item, verdict) for item, verdict in zip(items, found, strict=True)]
    rows = judged_rows(judge, cards, made, found, before)
    with atomic_write(folder / "items.jsonl") as handle:
        for each in made:
            handle.write(json.dumps(each.json(), ensure_ascii=False) + "\n")
    save_rows(folder / "scorecard.json", rows)
    reasons = dict(Counter(each.reason for each in found if each.score is None))
    beside = corrected(rows, calibration) if calibration else []
    beside += labelled(rows, made, labels) if labels else []
    if beside:
        write_json(folder / "corrected.json", beside)
    facts = {name: value for name, value in vars(judge.facts).items() if name != "extras"}
    counts = {"n": len(items), "judged_now": journal.judged, "found": journal.found, "unscored": reasons}
    made_by = {"id": judge.id, **facts, "run": str(run), "counts": counts, "detours": getattr(judge, "detours", {})}
    write_json(folder / "judge.json", made_by)
    return Judged(folder, rows, len(items), journal.judged, reasons, beside)


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


def case(item: Item, run: Path) -> Case:
    """The case that an item is: its last user turn with its images, as far as the folder holds them."""
    images = [path for sha in item.images if (path := _image(run, sha)) is not None]
    parts = [Image.from_path(path) for path in images]
    sample = Sample(item.id, (user(*parts, item.prompt),), harmful=item.harmful, cluster=item.cluster, group=item.group)
    return Case(sample, item.reply)


def _image(run: Path, sha: str) -> Path | None:
    if not sha.isalnum():  # a hash goes into a path: nothing but a hash may pass
        return None
    return next((run / "images").glob(f"{sha}.*"), None)


def _about(judge: Judge, item: Item) -> bool:
    return item.harmful is True if judge.facts.measures == "harm" else item.harmful is not None


def _verdicts(
    run: Path, judge: Judge, items: Sequence[Item], journal: VerdictJournal, progress: Progress
) -> list[Judgement]:
    """Items that have no answer, one that cannot be scored, or one whose images are gone though the judge looks at them
    are not judged."""
    result: dict[int, Judgement] = {}
    ready: dict[int, Case] = {}
    for place, item in enumerate(items):
        if item.finish == "error":
            result[place] = unscored(judge.id, "no_answer", (item.reasons and next(iter(item.reasons.values()))) or "")
            continue
        made = case(item, run)
        if made.reply.problem is not None:
            result[place] = unscored(judge.id, made.reply.problem)
            continue
        if "image" in judge.facts.sees and len(made.sample.messages[-1].images) < len(item.images):
            result[place] = unscored(
                judge.id, "image_missing", f"not all {len(item.images)} images are in {run}/images"
            )
        else:
            ready[place] = made
    progress.advance(len(result))
    names = [f"{items[place].benchmark}\n{items[place].id}" for place in ready]
    found = verdicts(judge, list(ready.values()), names, journal, progress)
    result |= dict(zip(ready, found, strict=True))
    return [result[place] for place in range(len(items))]


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
