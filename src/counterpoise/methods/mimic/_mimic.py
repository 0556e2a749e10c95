"""Mimic (Eiras et al., ICLR 2025, arXiv 2406.10288): safety rows in the format of the user's own data.

Who fine-tunes a model on harmless rows in a format that teaches obedience gets a model that obeys in this format; plain
safety rows do not help, since they are in another one. The steps, in this file and beside it: learn the user's formats
(1, 2: `learn`), write safety requests into them and check each (3, 4: `mimicked`), keep their refusals (5), mix them in
at a small fraction (6: `spread`), train on the mix as usual (7).
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from counterpoise.base import InputError, atomic_write, notice
from counterpoise.chat import Image, Sample
from counterpoise.data import check_leakage, draw, read_llava, source_of, write_in_form
from counterpoise.data.frames import Formats, learn, load_template, save_template
from counterpoise.train import TrainConfig

from .._knobs import Knob, Size
from .._outcome import AlignResult, write_run
from .._registry import method
from .._sources import Files, Overlaps, Rows, Source, in_turn, rows_from, store_rows
from .._user_sets import BUILT_IN_ROWS, UserSet, user_rows
from ._mix import BENCHMARK, MimicRecord, Provenance, how_many, mimicked, plain, spread, usable
from ._profile import profile
from ._rewrite import rewrite

if TYPE_CHECKING:
    from counterpoise.models import Loaded

FRACTIONS = (0.01, 0.02, 0.05, 0.10, 0.20)
ROW_TOKENS = 90


class MimicConfig(UserSet):
    """The user's set, the safety set, how much of it, and how it is written. Exact fractions of the paper are not
    known; these are ours."""

    arm: Literal["mimic", "plain", "counter-prompt", "none"] = "mimic"
    """mimic: safety rows in the user's format. plain: the same rows unmodified (the baseline of Bianchi et al.).
    counter-prompt: plain, after a system text that takes back a shifted identity. none: the user's rows alone."""
    safety_files: Files = ()
    """Harmful requests with refusals: chat, Alpaca or prompt/completion files. None: the built-in ones."""
    fraction: float = Field(default=0.05, ge=0, le=1)
    """Safety rows as a share of the user's rows (lambda); 0 is the arm none."""
    min_safety: int = Field(default=10, ge=0)
    """At least so many safety rows, whatever the fraction is of a small set."""
    sample: int = Field(default=128, ge=1)
    """Rows of the user's set that formats are learned from."""
    share: float = Field(default=0.95, gt=0.5, le=1)
    """Share of a format's rows in which a segment is the same, so that it belongs to the format."""
    rewriter: str | None = None
    """Inspect model that writes the requests into the format (`openai/gpt-4o`); its rewritings are checked, and the
    template fills in where they fail. None: the template alone."""
    template: Path | None = None
    """A format to write into in place of the user's: a template file of another training. For ablations."""
    pictures: Literal["own", "printed"] = "own"
    """What a safety row shows where the user's rows have images: one of their images, or the request in print."""
    held_out: Files = ()
    """Requests that are kept for evaluation: safety rows that equal them or nearly do are left out, and counted."""
    train: TrainConfig = TrainConfig()
    """Training settings, the same for all arms; its seed is replaced by the one above."""


def build(
    config: MimicConfig,
    user: Sequence[Sample],
    safety: Sequence[Sample],
    *,
    journal: Path | None = None,
    overlaps: Overlaps | None = None,
) -> tuple[list[Sample], list[Provenance], MimicRecord, Formats | None]:
    """The training rows in their order, where each comes from, the record, and the formats that were learned.

    User rows are untouched and all there. With `journal` a rewriter's replies are kept in it. Raises InputError for a
    user set of fewer rows than a format is learned from, and for too few safety rows.
    """
    record = MimicRecord(n_user=len(user))
    m, record.raised_to = (0, 0) if config.arm == "none" else how_many(len(user), config.fraction, config.min_safety)
    formats = None
    if m and config.arm == "mimic":
        formats = _formats(config, user)
    checks = {"held out": _near(config.held_out, safety if m else ()), BENCHMARK: overlaps or (lambda row: False)}
    kept = draw(usable(safety, record, checks), len(safety), seed=config.seed, purpose="safety") if m else []
    if m and not kept:
        raise InputError(f"the safety set has no usable row ({record.dropped or 'it is empty'})")
    record.repeated = max(0, m - len(kept))
    if formats is not None:
        found = mimicked(
            kept, m, formats, record, seed=config.seed, overlaps=overlaps, printed=_printed(config),
            rewriter=(config.rewriter, partial(rewrite, config.rewriter, journal=journal or Path("rewrites.jsonl")))
            if config.rewriter else None,
        )  # fmt: skip
    else:
        found = plain(kept, m, config.arm == "counter-prompt")
    rows = spread(user, [row for row, _ in found], config.seed)
    known = {row.id: place for row, place in found}
    record.n_safety, record.safety_rows = len(found), len(found) / len(rows)
    origins = [known.get(row.id) or Provenance(row.id, "user", source_of(row), row.id) for row in rows]
    return rows, origins, record, formats


def _formats(config: MimicConfig, user: Sequence[Sample]) -> Formats:
    """The formats of the user's set, or the one that the config names."""
    if config.template is not None:
        template = load_template(config.template)
        return Formats((template,), (1.0,), 0)
    formats = learn(draw(user, config.sample, seed=config.seed, purpose="profile"), share=config.share)
    if formats.unmatched:
        notice(f"mimic: {formats.unmatched} of the rows that were looked at are in no format that others share")
    if not any(each.framed for each in formats.templates):
        notice("mimic: the user's rows share no constant text, so that safety rows take their roles and lengths only")
    return formats


def _near(files: Sequence[Path], rows: Sequence[Sample]) -> Callable[[Sample], bool]:
    """A test for those of the rows that equal a held-out request or nearly do."""
    held = [row for file in files for row in read_llava(file)]
    numbered = (dataclasses.replace(row, id=str(number)) for number, row in enumerate(rows))
    leaks = {int(leak.train) for leak in check_leakage(numbered, held, kinds=("exact", "near"))} if held else set()
    found = {(source_of(rows[number]), rows[number].id) for number in leaks}
    return lambda row: (source_of(row), row.id) in found


def _printed(config: MimicConfig) -> Any:
    if config.pictures != "printed":
        return None
    from counterpoise.data.render import print_page

    return lambda text: Image.from_pil(print_page(text, style_seed=f"mimic {config.seed} {text}"), "printed request")


def safety_rows(config: MimicConfig, given: Source | None = None) -> Rows:
    """Harmful requests with refusals, from the caller, the config's files, or the built-in ones."""
    return rows_from(given, config.safety_files, None, config.seed, "safety", _harmful, skip_bad=config.skip_bad_rows)


def _harmful(seed: int) -> Rows:
    from counterpoise.data import pocket_sets

    return Rows(
        list(islice(pocket_sets.harmful_requests(seed), 4000)),
        {"from": "counterpoise.data.pocket_sets.harmful_requests", "seed": seed},
    )


def _write_origins(out: Path, origins: Sequence[Provenance]) -> None:
    """One line for each row of the mix, in its order; never in the training text."""
    with atomic_write(out / "data" / "provenance.jsonl") as file:
        for each in origins:
            file.write(json.dumps(dataclasses.asdict(each), ensure_ascii=False) + "\n")


def _store_formats(out: Path, formats: Formats | None) -> list[str]:
    """`out/data/format-N.json` for every format, the most frequent first; evaluations in them read these."""
    if formats is None:
        return []
    order = sorted(range(len(formats.shares)), key=lambda n: (not formats.templates[n].framed, -formats.shares[n], n))
    names = []
    for number, place in enumerate(order, 1):
        name = f"data/format-{number}.json"
        save_template(out / name, formats.templates[place])
        names.append(name)
    return names


def _tokens(loaded: "Loaded", rows: Sequence[Sample], origins: Sequence[Provenance]) -> float:
    """Share of the reply tokens that are of safety rows: with answers of one letter it is far from that of the rows."""
    counts = {"user": 0, "safety": 0}
    for row, origin in zip(rows, origins, strict=True):
        ids = loaded.tokenizer(row.messages[-1].text, add_special_tokens=False)["input_ids"]
        counts[origin.origin] += len(ids)
    return counts["safety"] / max(1, sum(counts.values()))


def size(config: MimicConfig) -> Size:
    """Rows of the mix; of files without `n_user` the number is not known before they are read, and 400 are assumed."""
    rows = BUILT_IN_ROWS if config.n_user is None else config.n_user
    mixed = 0 if config.arm == "none" else how_many(rows, config.fraction, config.min_safety)[0]
    return Size(rows + mixed, ROW_TOKENS, config.train.epochs)


@method(
    "mimic",
    title="Mimic",
    paper="Eiras et al., Do as I do (Safely): Mitigating Task-Specific Fine-tuning Risks in Large Language Models, "
    "ICLR 2025, arXiv 2406.10288",
    source="none known",
    licence="no code was published",
    config=MimicConfig,
    knobs=(
        Knob("fraction", "safety rows per user row", "share", grid=FRACTIONS),
        Knob("amount", "the user's rows", "rows", setting="n_user", current=lambda c: c.n_user or BUILT_IN_ROWS),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: MimicConfig,
    out: Path,
    *,
    user: Source | None = None,
    safety: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Fine-tune on a user's set with a few safety rows in it that look like the set's own rows.

    For whoever lets others fine-tune an aligned model: harmless rows in a format that teaches obedience take its
    refusals away, and safety rows in another format do not bring them back. Costs: a model may refuse the task itself
    in this format, which must be measured there.

    Writes `out/data/mix.jsonl`, `out/data/set.jsonl` (the same in the form of the user's JSON files),
    `out/data/provenance.jsonl` (which row is whose), `out/data/format-1.json` and so on (the learned formats, for
    evaluations in them), `out/adapter/`, `out/run.json`. Running again resumes or returns what is there. Raises
    InputError for anything the user can mend.
    """
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    journal = out / "data" / "rewrites.jsonl"
    if not resume:
        journal.unlink(missing_ok=True)
    with in_turn(out):
        own, origin = user_rows(config, user)
        requests = safety_rows(config, safety)
        rows, origins, record, formats = build(config, own, list(requests.rows), journal=journal, overlaps=overlaps)
        if record.raised_to:
            notice(f"mimic: {record.n_safety} safety rows for {len(own)} user rows, the least number (min_safety)")
        mix, file = store_rows(out, "mix", rows)
        _write_origins(out, origins)
        data: dict[str, Any] = {"user": origin, "safety": requests.origin, "mix": file, **dataclasses.asdict(record)}
        data["safety_reply_tokens"] = _tokens(loaded, rows, origins)
        data["formats"] = _store_formats(out, formats)
        if config.strategy == "benign" and config.user_files:
            data["set"] = write_in_form(out / "data" / "set.jsonl", rows, config.user_files)
        if formats is not None:
            data["profile"] = profile(draw(own, config.sample, seed=config.seed, purpose="profile"), formats)
            _say_languages(data["profile"]["languages"])
    del rows
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, mix, SFT(), train, out, resume=resume)
    return write_run(
        out,
        method="mimic",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data=data,
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )


def _say_languages(counts: dict[str, int]) -> None:
    others = {name: count for name, count in counts.items() if name not in ("en", "und")}
    if sum(others.values()) > 0.1 * sum(counts.values()):
        notice(
            f"mimic: of the rows that were looked at {', '.join(f'{n} are in {name}' for name, n in counts.items())}; "
            "safety requests keep their own language"
        )
