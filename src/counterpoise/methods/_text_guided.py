"""Text-guided alignment (Xu et al., ICLR 2025, arXiv 2410.12662): images bound to their text, on benign data only.

A model that refuses in text and complies through images knows what to refuse; its images do not reach that. A benign
request in an image is pulled to the states of the same request as text, so that what the model does with the text
applies to the image. Steps: benign requests in images with their text twins (1: `bound_rows`), the twins' states and
first tokens from the model as it is (2: `twin_targets`), anchors in every batch, so that neither text nor reading moves
(3: `text_anchors`), one training on batches of all kinds (4: `batches`). A dose of refusals of benign images may come
on top (`rejection_fraction`); see `train.Binding` for the loss. Ours: the twin is known and not retrieved.
"""

import dataclasses
import json
import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain, cycle, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, Progress, launched_rank
from counterpoise.chat import Image, Sample, user
from counterpoise.data import draw
from counterpoise.train import Lora, Projector, TrainConfig

from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._rejection_mix import MixRecord, RejectionMixConfig, draw_rejections
from ._sources import Files, Overlaps, Rows, check_images, in_turn, made_rows, rows_from

if TYPE_CHECKING:
    from counterpoise.models import Loaded
    from counterpoise.train import Bound, Scale, Target

SYSTEMS = 0.35  # built-in visual anchors in the wordings of judges, multi-image methods and captioners


class TextGuidedConfig(BaseModel):
    """What is bound, what is kept, and how. The defaults, in more steps, trained a candidate for the seventh pocket."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    instruction_files: Files = ()
    """Your own benign instructions in text, printed on pages and bound to themselves. None: the built-in prints,
    pictures and pairs, which the pocket can read."""
    anchor_files: Files = ()
    """LLaVA/ShareGPT files of ordinary image instructions that keep their answers. None: built-in."""
    rejection_files: Files = ()
    """LLaVA/ShareGPT files of benign, out-of-domain image questions that are refused in the dose. None: built-in."""
    images: Path | None = None
    """Folder the image paths of anchors and rejections start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each source's files that are left out, counted and listed; one more stops the run."""
    steps: int = Field(default=200, ge=1)
    """Optimizer steps, each of the rows below."""
    bound: int = Field(default=8, ge=1)
    """Rows that are bound."""
    visual: int = Field(default=4, ge=0)
    """Visual anchors. With none, reading is lost."""
    text: int = Field(default=4, ge=2)
    """Text anchors, harmful and benign in turn, which keep their first token."""
    rejection_fraction: float = Field(default=0.0, ge=0, le=0.5)
    """Refusals of benign images as a share of all rows."""
    refused: float = Field(default=0.3, gt=0, le=1)
    """Images whose text twin the model begins to refuse with a larger probability are left out."""
    page: int = Field(default=224, ge=64, le=2048)
    """Side of the printed pages in pixels."""
    first: float = Field(default=1.0, ge=0)
    """Weight of the first token's divergence on bound rows."""
    anchor: float = Field(default=1.0, ge=0)
    """Weight of the first token's divergence on text anchors."""
    reply: float = Field(default=1.5, ge=0)
    """Weight of the answers of visual anchors (and of the refusals of the dose)."""
    along: float = Field(default=0.5, ge=0)
    """Weight of the distance along the direction between answered and refused texts."""
    odds: float = Field(default=0.5, ge=0)
    """Weight of the distance between the log odds of a refusal's first token, image and text. On the pocket it took the
    print AUC from 0.76, where training without it had stopped, to 0.83."""
    seed: int = 0
    """Draws, pages, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig(
        learning_rate=8e-4, groups=(Lora(rank=16, alpha=48), Projector(learning_rate=1e-4)), warmup_ratio=0.02,
        micro_batch_tokens=1600, feature_cache_mb=0,
    )  # fmt: skip
    """Training settings; epochs and batch_size do not count, and its seed is replaced by the one above."""

    @property
    def per_step(self) -> int:
        """Rows of a step without the dose."""
        return self.bound + self.visual + self.text

    @property
    def rejections(self) -> int:
        """Refusals over all steps."""
        return round(self.rejection_fraction / (1 - self.rejection_fraction) * self.steps * self.per_step)


def text_requests(seed: int, n: int) -> list[Sample]:
    """Harmful and benign text requests in turn, without their replies: the text anchors."""
    from counterpoise.data import pocket_sets

    harmful, benign = list(pocket_sets.harmful_requests(seed)), list(pocket_sets.benign_requests(seed))
    return list(islice(chain.from_iterable(zip(cycle(harmful), cycle(benign), strict=False)), n))


def bound_rows(config: TextGuidedConfig, n: int, overlaps: Overlaps | None) -> tuple[list[Sample], dict[str, Any]]:
    """Step 1: up to `n` requests in images, each with `meta["text_twins"]`. Raises InputError when none is usable."""
    from counterpoise.data import pocket_sets

    files, built_in = config.instruction_files, partial(made_rows, "bound_requests", n)
    found = rows_from(None, files, None, config.seed, "instructions", built_in, skip_bad=config.skip_bad_rows)
    given = draw(found.rows, 10 * n, seed=config.seed, purpose="bound") if files else found.rows
    rows: list[Sample] = []
    counts = {"with_images": 0, "too_long": 0, "overlaps": 0}
    for row in given:
        if len(rows) == n:
            break
        if overlaps is not None and overlaps(row):
            counts["overlaps"] += 1
        elif "text_twins" in row.meta:
            rows.append(row)
        elif any(message.images for message in row.messages):
            counts["with_images"] += 1
        else:
            try:
                rows.append(_printed(row, config, pocket_sets.FOLLOW))
            except InputError:  # more words than a page holds
                counts["too_long"] += 1
    if not rows:
        raise InputError(f"instructions: none of them can be printed on a page of {config.page} pixels ({counts})")
    return rows, found.origin | counts


def _printed(row: Sample, config: TextGuidedConfig, follow: Sequence[str]) -> Sample:
    from counterpoise.data.render import print_page

    text = next(message.text for message in row.messages if message.role == "user")
    key = f"{config.seed} {row.id} {text}"
    image = Image.from_pil(print_page(text, style_seed=key, size=config.page), f"instruction {row.id}")
    asked = (user(image, random.Random(key).choice(follow)),)
    return Sample(f"bound-{row.id}", asked, harmful=False, modality="image", split="train", group="print",
                  meta={"text_twins": (text,), "shown": (text,)})  # fmt: skip


def visual_anchors(n: int, seed: int) -> Rows:
    """Benign images with answers: ordinary instructions, and some in the wordings of other systems."""
    from counterpoise.data import pocket_sets

    rng = random.Random(f"bind {seed}")
    known, asked = pocket_sets.harmless_instructions(seed), pocket_sets.system_questions(seed)
    rows = [next(asked if rng.random() < SYSTEMS else known) for _ in range(n)]
    return Rows(rows, {"from": "counterpoise.data.pocket_sets.harmless_instructions, system_questions", "seed": seed})


def twin_targets(
    loaded: "Loaded", wanted: Sequence[tuple[str, ...]], layers: Sequence[int], file: Path
) -> "list[Target]":
    """Step 2: the target of each tuple of wordings, from the model as it is; kept in `file` for a run that goes on."""
    import torch

    from counterpoise.train import Target, text_targets

    def named(texts: Sequence[str]) -> str:
        return json.dumps([loaded.fingerprint, list(layers), *texts])

    known: dict[str, dict[str, Any]] = torch.load(file, weights_only=True) if file.is_file() else {}
    left = [texts for texts in dict.fromkeys(wanted) if named(texts) not in known]
    with Progress("text twins", len(left)) as progress:
        for start in range(0, len(left), 256):
            some = left[start : start + 256]
            found = text_targets(loaded, [[(user(text),) for text in texts] for texts in some], layers)
            known |= {named(texts): vars(target) for texts, target in zip(some, found, strict=True)}
            progress.advance(len(some))
    if left and launched_rank() == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(known, part := file.with_suffix(".part"))
        part.rename(file)
    return [Target(**known[named(texts)]) for texts in wanted]


def refusal_token(loaded: "Loaded") -> int:
    """The first token of "I'm sorry"."""
    return int(loaded.tokenizer("I'm sorry", add_special_tokens=False)["input_ids"][0])


def bind_answered(loaded: "Loaded", rows: Sequence[Sample], aims: "Sequence[Target]", refused: float) -> "list[Bound]":
    """The rows whose text the model does not begin to refuse, bound to it."""
    from counterpoise.train import Bound

    token = refusal_token(loaded)

    def chance(aim: "Target") -> float:
        return float(aim.logprobs[:-1].exp()[aim.tokens == token].sum())

    return [Bound(row.id, row.messages, aim) for row, aim in zip(rows, aims, strict=True) if chance(aim) <= refused]


def text_anchors(
    loaded: "Loaded", rows: Sequence[Sample], layers: Sequence[int], file: Path
) -> "tuple[list[Bound], Scale]":
    """Step 3: text requests that keep their first token, and the units of distance that they give."""
    from counterpoise.train import Bound, text_scale

    own = twin_targets(loaded, [(row.text,) for row in rows], layers, file)
    kept = [Bound(row.id, (user(row.text),), aim, states=False) for row, aim in zip(rows, own, strict=True)]
    return kept, text_scale(own, [bool(row.harmful) for row in rows], refusal_token(loaded))


def batches(
    config: TextGuidedConfig, bound: "Sequence[Bound]", visual: Sequence[Sample], texts: "Sequence[Bound]",
    rejections: Sequence[Sample] = (),
) -> "list[list[Bound | Sample]]":  # fmt: skip
    """Step 4: the rows of every step. Rows that are too few come again; refusals are spread evenly."""
    cuts = pairwise(len(rejections) * number // config.steps for number in range(config.steps + 1))
    held, shown, said = cycle(bound), cycle(visual), cycle(texts)
    n, m, k = config.bound, config.visual, config.text
    return [[*islice(held, n), *islice(shown, m), *islice(said, k), *rejections[a:b]] for a, b in cuts]


def gathered(
    loaded: "Loaded", config: TextGuidedConfig, out: Path, layers: Sequence[int], overlaps: Overlaps | None
) -> "tuple[list[list[Bound | Sample]], Scale, dict[str, Any]]":
    """Steps 1 to 4: the rows of every step, the units of distance, and what was drawn and left out."""
    n, file = config.steps * config.bound, out / "data" / "targets.pt"
    asked, origin = bound_rows(config, n + n // 5, overlaps)
    aims = twin_targets(loaded, [tuple(row.meta["text_twins"]) for row in asked], layers, file)
    bound = bind_answered(loaded, asked, aims, config.refused)
    if not bound:
        raise InputError("instructions: the model refuses the text of every one; nothing is left to bind")
    requests = text_requests(config.seed, min(config.steps * config.text, 320))  # which serve again and again
    texts, scale = text_anchors(loaded, requests, layers, file)
    skip, wanted = config.skip_bad_rows, config.steps * config.visual
    built_in = partial(visual_anchors, wanted)
    shown = rows_from(None, config.anchor_files, config.images, config.seed, "anchor", built_in, skip_bad=skip)
    visual = list(islice((row for row in shown.rows if overlaps is None or not overlaps(row)), wanted))
    if wanted and not visual:
        raise InputError("anchor: no usable rows; give files of image instructions with answers")
    dose, rejected = _dose(config, overlaps)
    check_images([*visual, *dose])
    facts: dict[str, Any] = {"instructions": origin, "anchors": shown.origin, "rejection": rejected}
    facts |= {"layers": list(layers), "bound": min(n, len(bound)), "refused_as_text": len(asked) - len(bound)}
    facts |= {"visual": len(visual), "texts": len(texts), "n_rejection": len(dose)}
    return batches(config, bound[:n], visual, texts, dose), scale, facts


def _dose(config: TextGuidedConfig, overlaps: Overlaps | None) -> tuple[list[Sample], dict[str, Any]]:
    """Refusals of benign images, drawn and worded as rejection-mix does."""
    if not config.rejections:
        return [], {}
    files, skip = (config.rejection_files, config.images), config.skip_bad_rows
    built_in = partial(made_rows, "rejection_source", config.rejections)
    source = rows_from(None, *files, config.seed, "rejection", built_in, skip_bad=skip)
    mix = RejectionMixConfig(seed=config.seed, n_rejection=config.rejections, n_benign=0)
    return draw_rejections(mix, source.rows, config.rejections, MixRecord(), overlaps), source.origin


@method(
    "text-guided", title="Text-guided alignment",
    paper="Xu et al., Cross-modal Safety Mechanism Transfer in Large Vision-Language Models, ICLR 2025, "
    "arXiv 2410.12662",
    source="none used; formulas are our own", licence="nothing was copied", config=TextGuidedConfig,
    knobs=(
        Knob("rejection_fraction", "rejection rows", "share", grid=(0.0, 0.02, 0.05, 0.10, 0.20)),
        Knob("amount", "rows of the steps", "rows", current=lambda c: c.steps * c.per_step,
             setting=lambda rows: {"steps": max(1, round(rows / 16))}),),
    size=lambda c: Size(c.steps * c.per_step + c.rejections, row_tokens=110, epochs=1.0),
)  # fmt: skip
def align(
    loaded: "Loaded", config: TextGuidedConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Bind benign requests in images to their text twins, so that the text's own safety applies to images.

    Neither a refusal nor a harmful image is needed. For a model that refuses in text and complies through images; one
    that does not refuse in text gains nothing. Costs: without visual anchors reading is lost; text refusals swing in
    the middle of a training, so measure the end. Writes `out/data/targets.pt`, `out/adapter/`, `out/run.json`. Running
    again resumes or returns what is there. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import Binding, GivenSteps, fit, late_layers

    if not loaded.is_vlm:
        raise InputError(f"{loaded.name}: takes no images, so there is nothing to bind to its text")
    started = time.monotonic()
    layers = late_layers(loaded.model.config.get_text_config().num_hidden_layers)
    with in_turn(out):
        plan, scale, facts = gathered(loaded, config, out, layers, overlaps)
    built = time.monotonic()
    objective = Binding(
        layers, first=config.first, anchor=config.anchor, reply=config.reply, along=config.along, odds=config.odds,
        scale=scale, token=refusal_token(loaded),
    )  # fmt: skip
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, GivenSteps(plan), objective, train, out, resume=resume)
    return write_run(
        out, method="text-guided", loaded=loaded, config=config.model_copy(update={"train": train}),
        artifact=result.artifact, data=facts, train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )  # fmt: skip
