"""DPO on safety preferences, as in "Safe to Serve" (arXiv 2412.00074): safety first, then helpfulness.

The spec's section 2.3 in this file: `pair_of` is the pair rule, `draw_pairs` counts its cases, `align` trains with
`counterpoise.train.DPO`: log probabilities summed over answer tokens, the reference is the same weights with the
adapter off, and an image goes through the vision tower once for both answers.
"""

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, atomic_write, sha256_file
from counterpoise.chat import Pair, Sample, assistant, user
from counterpoise.data import Preference, draw, holds_pairs, read_pairs, read_preferences
from counterpoise.train import TrainConfig

from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, check_images, in_turn

if TYPE_CHECKING:
    from counterpoise.models import Loaded

Family = Literal["safety_first", "harmless", "helpful"]
BothUnsafe = Literal["drop", "less_harmful"]
BUILT_IN = 400
PAIR_TOKENS = 2 * 120


class DPOConfig(BaseModel):
    """Which pairs, by which rule, and how to train on them. Our defaults: the paper's values are unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pair_files: Files = ()
    """Preference files: BeaverTails-V, PKU-SafeRLHF, Align-Anything, or rows with chosen and rejected (HH-RLHF
    transcripts, messages, texts). None: the built-in pairs on the training half of Twins."""
    pair_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    family: Family = "safety_first"
    """Which order counts where rows carry both. safety_first: one safe answer is chosen; of two safe ones the more
    helpful. harmless, helpful: one order alone. Rows with one order, such as HH-RLHF's, are taken as they are: give the
    files of the family that is meant."""
    both_unsafe: BothUnsafe = "drop"
    """What becomes of a pair of two unsafe answers under safety_first: left out, or the less harmful one is chosen."""
    n_pairs: int | None = Field(default=None, ge=1)
    """Pairs that are drawn. Default: all of the files, or 400 of the built-in ones."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each file with labels that are left out, counted and listed; one more stops the run."""
    beta: float = Field(default=0.1, gt=0)
    """Strength of the tie to the reference."""
    seed: int = 0
    """Draws, order of pairs, LoRA initialisation."""
    train: TrainConfig = TrainConfig(
        lora_rank=16, lora_alpha=32, lora_dropout=0.05, learning_rate=5e-6, epochs=1, batch_size=32, max_length=1024
    )
    """Training settings; its seed is replaced by the one above. A pair longer than max_length is left out, not cut."""


class Ruled(NamedTuple):
    """What the pair rule says of a row: a pair or none, and by which case."""

    pair: Pair | None
    case: str


def pair_of(row: Preference, family: Family = "safety_first", both_unsafe: BothUnsafe = "drop") -> Ruled:
    """The pair rule. Safety first: exactly one safe answer is chosen; of two safe ones the more helpful; two unsafe
    ones are dropped, or the safer one is chosen. The helpfulness order alone may point to an unsafe answer."""
    if family == "helpful":
        return _found(row, row.more_helpful, "more helpful")
    if family == "harmless":
        return _found(row, row.safer, "safer")
    safe = [reply.safe for reply in row.replies]
    if None in safe:
        return Ruled(None, "dropped: not labelled as safe or unsafe")
    if safe[0] != safe[1]:
        return _found(row, 0 if safe[0] else 1, "one safe")
    if safe[0]:
        return _found(row, row.more_helpful, "both safe, more helpful")
    if both_unsafe == "drop":
        return Ruled(None, "dropped: both unsafe")
    return _found(row, row.safer, "both unsafe, less harmful")


def _found(row: Preference, chosen: Literal[0, 1] | None, case: str) -> Ruled:
    if chosen is None:
        return Ruled(None, f"dropped: no order ({case})")
    if row.replies[0].text == row.replies[1].text:
        return Ruled(None, "dropped: equal answers")
    meta = {**row.meta, "modality": row.modality}
    return Ruled(Pair(row.id, row.prompt, row.replies[chosen].text, row.replies[1 - chosen].text, meta), case)


@dataclass
class PairRecord:
    """What was drawn, what was dropped, and what the answers are like, for `run.json`."""

    n_pairs: int = 0
    n_with_images: int = 0
    rows: int = 0
    """Rows that were read; the cases add up to it."""
    cases: dict[str, int] = field(default_factory=dict)
    """Rows by the case of the pair rule that decided them."""
    overlaps_dropped: int = 0
    """Pairs whose prompt overlaps a row of the evaluation suites."""
    words_chosen: float = 0.0
    """Mean words of a chosen answer: where it is much longer than a rejected one, length is learned."""
    words_rejected: float = 0.0
    refusals_chosen: float = 0.0
    """Share of chosen answers that the refusal classifier takes for refusals."""
    refusals_rejected: float = 0.0


def draw_pairs(
    config: DPOConfig, rows: Iterable[Preference | Pair], n: int | None, *, overlaps: Overlaps | None = None
) -> tuple[list[Pair], PairRecord]:
    """Pairs by the rule, `n` of them (None: all) by the seed, with counts that add up to the rows.

    Raises InputError when there are fewer.
    """
    cases: Counter[str] = Counter()
    record, found = PairRecord(), list[Pair]()

    def usable() -> Iterator[Sample]:
        for row in rows:
            pair, case = (row, "as given") if isinstance(row, Pair) else pair_of(row, config.family, config.both_unsafe)
            cases[case] += 1
            if pair is None:
                continue
            answers = (
                assistant(pair.chosen),
                user(""),
                assistant(pair.rejected),
            )  # for the draw: both tell pairs apart
            sample = Sample(pair.id, (*pair.prompt, *answers), meta={**pair.meta, "place": len(found)})
            if overlaps is not None and overlaps(dataclasses.replace(sample, messages=pair.prompt)):
                record.overlaps_dropped += 1
                continue
            found.append(pair)
            yield sample

    drawn = draw(usable(), n if n is not None else sys.maxsize, seed=config.seed, purpose="pairs")
    pairs = [found[sample.meta["place"]] for sample in drawn]
    record.rows, record.cases = sum(cases.values()), dict(sorted(cases.items()))
    if not pairs or (n is not None and len(pairs) < n):
        counted = ", ".join(f"{case}: {count}" for case, count in record.cases.items())
        raise InputError(
            f"dpo: {len(pairs)} usable pairs among {record.rows} rows, {n or 'some'} are wanted ({counted}); lower "
            "n_pairs, or choose another family"
        )
    _describe(pairs, record)
    return pairs, record


def _describe(pairs: Sequence[Pair], record: PairRecord) -> None:
    from counterpoise.evals.scorers import refusal_probability

    record.n_pairs = len(pairs)
    record.n_with_images = sum(any(message.images for message in pair.prompt) for pair in pairs)
    for name, texts in (("chosen", [p.chosen for p in pairs]), ("rejected", [p.rejected for p in pairs])):
        setattr(record, f"words_{name}", round(fmean(len(text.split()) for text in texts), 2))
        setattr(record, f"refusals_{name}", round(float((refusal_probability(texts) >= 0.5).mean()), 4))


def read_rows(config: DPOConfig, loaded: "Loaded") -> tuple[Iterable[Preference | Pair], int | None, dict[str, Any]]:
    """(rows, how many pairs, origin) of the files, told apart by their first row, or of the built-in set."""
    if not config.pair_files:
        from counterpoise.data.pocket_sets import preference_pairs

        rows = preference_pairs("train", seed=config.seed)
        fit = [row for row in rows if loaded.is_vlm or row.modality == "text"]
        origin = {"from": "counterpoise.data.pocket_sets.preference_pairs", "seed": config.seed}
        return fit, config.n_pairs or BUILT_IN, origin
    files = sorted(config.pair_files, key=lambda file: file.name)
    hashes = {file.name: sha256_file(file) for file in files if file.is_file()}

    def read() -> Iterator[Preference | Pair]:
        for file in files:
            if holds_pairs(file):
                yield from read_pairs(file)
            else:
                yield from read_preferences(file, config.pair_images, skip_bad=config.skip_bad_rows)

    return read(), config.n_pairs, {"from": "files", "sha256": hashes}


def store_pairs(out: Path, pairs: Sequence[Pair]) -> dict[str, str]:
    """Check the images and write `out/data/pairs.jsonl`: texts, and images by their hash."""
    check_images([Sample(pair.id, pair.prompt, meta=pair.meta) for pair in pairs])
    file = out / "data" / "pairs.jsonl"
    with atomic_write(file) as handle:
        for pair in pairs:
            prompt = [{"role": message.role, "content": message.text} for message in pair.prompt]
            images = [image.sha256 for message in pair.prompt for image in message.images]
            row = {"id": pair.id, "prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            handle.write(json.dumps(row | ({"images": images} if images else {}), ensure_ascii=False) + "\n")
    return {"file": file.relative_to(out).as_posix(), "sha256": sha256_file(file)}


def size(config: DPOConfig) -> Size:
    """Pairs, each of two sequences; how many a file holds is not known before it is read."""
    return Size(config.n_pairs or BUILT_IN, PAIR_TOKENS, config.train.epochs)


@method(
    "dpo",
    title="DPO on safety preferences",
    paper="Amballa et al., Safe to Serve: Aligning Instruction-Tuned Models for Safety and Helpfulness, 2024, arXiv "
    "2412.00074; Rafailov et al., Direct Preference Optimization, NeurIPS 2023, arXiv 2305.18290",
    source="none was released",
    licence="none (written from the papers)",
    config=DPOConfig,
    knobs=(
        Knob("amount", "pairs", "rows", setting="n_pairs", current=lambda c: c.n_pairs or BUILT_IN),
        Knob("beta", "beta", direction="falling", grid=(0.5, 0.3, 0.1, 0.05)),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: DPOConfig,
    out: Path,
    *,
    pairs: Iterable[Preference | Pair] | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Direct preference optimisation on pairs in which the safe answer is chosen, and of two safe ones the helpful.

    Needs pairs of both kinds: with refusals chosen everywhere it learns to refuse everything. The likelihood of both
    answers may fall; `metrics.jsonl` holds their rewards apart.

    Pairs come from `pairs` when given, else from the files that the config names, else from a built-in set. Writes
    `out/data/pairs.jsonl`, `out/adapter/`, `out/run.json`; running again resumes or returns what is there. Raises
    InputError for anything the user can mend.
    """
    from counterpoise.train import DPO, Uncut, fit

    started = time.monotonic()
    rows, n, origin = (pairs, config.n_pairs, {"from": "caller"}) if pairs is not None else read_rows(config, loaded)
    with in_turn(out):
        drawn, record = draw_pairs(config, rows, n, overlaps=overlaps)
        file = store_pairs(out, drawn)
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, drawn, Uncut(DPO(config.beta)), train, out, resume=resume)
    return write_run(
        out,
        method="dpo",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"rows": origin, "pairs": file, "pair_record": dataclasses.asdict(record)},
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )
