"""The seventh version: bind the sixth's images to their text twins, on benign rows, with anchors in every batch.

    python scripts/pocket/bind.py OUT --steps 400                                         # from pocket:6
    python scripts/pocket/bind.py OUT --steps 80 --from-layer 4 --fixed-connector         # upper blocks alone

A step holds `BOUND` benign image requests (prints, pictures, pairs), pulled to their text twins; `VISUAL` visual rows
that keep their answers; `TEXT` text requests, harmful and benign, that keep their first token. No harmful request is
shown in an image. The objective is `counterpoise.train.Binding`; factors on the language model and the connector are
trained. Every `--measure` steps the validation families and the capabilities are measured (OUT/held_out.jsonl) and the
weights of that step are kept: which one is taken is decided by them. A killed training goes on from its checkpoint.
"""

import argparse
import itertools
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

from held_out import line, measured
from peft import set_peft_model_state_dict
from rows import visual
from safetensors.torch import load_file

from counterpoise.chat import Sample
from counterpoise.data import pocket_sets, twins
from counterpoise.methods import bind_answered, refusal_token, text_anchors, text_requests, twin_targets
from counterpoise.models import Loaded, load
from counterpoise.train import (
    Binding,
    Bound,
    Lora,
    Projector,
    Scale,
    Stepper,
    TrainConfig,
    digest,
    late_layers,
    target_odds,
    training,
)

BOUND, VISUAL, TEXT = 8, 6, 4
POOL = 320
"""Different text anchors: their targets are computed once and serve again and again."""
REFUSED = 0.5
"""A bound row whose text the model begins with "I" at more than this probability is left out: nothing is refused."""


def visual_rows(seed: int, n: int) -> list[Sample]:
    """In turn: three ordinary ones, one that counts, two in the wordings of other systems."""
    known, asked = visual(seed, 0.4), pocket_sets.system_questions(seed)
    counted = (row for row in pocket_sets.harmless_instructions(seed + 1) if row.group == "count")
    turn = itertools.cycle((known, asked, known, counted, known, asked))
    return [next(stream) for stream in itertools.islice(turn, n)]


def without_leaks(rows: list[Sample]) -> list[Sample]:
    """The rows that touch no validation or test family (texts, families, images, icon styles)."""
    held_out = [s for split in ("validation", "test") for s in twins.samples(split)]  # type: ignore[arg-type]
    leaks = {leak.train for leak in twins.check_leakage(rows, held_out)}
    if leaks:
        print(f"{len(leaks)} of {len(rows)} rows touch a held-out family and are left out", flush=True)
    return [row for row in rows if row.id not in leaks]


def evenly(rows: list[Bound], token: int, n: int) -> list[Bound]:
    """`n` rows with as many of each nat of the log odds of a refusal, as far as there are: most benign texts are far
    from being refused, and rows of one kind teach a level and no order."""
    kinds: dict[int, list[Bound]] = {}
    for row in rows:
        odds = float(target_odds(row.target.tokens[None], row.target.logprobs[None], token)[0])
        kinds.setdefault(round(min(max(odds, -9.0), 0.0)), []).append(row)
    turns = itertools.zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    return [row for turn in turns for row in turn if row is not None][:n]


def batches(
    loaded: Loaded, layers: tuple[int, ...], steps: int, seed: int, out: Path, drawn: float
) -> tuple[list[list[Bound | Sample]], Scale]:
    """The rows of every step, and the units that distances are measured in, from the text anchors."""
    requests = without_leaks(list(itertools.islice(pocket_sets.bound_requests(seed), int(steps * BOUND * drawn))))
    asked = without_leaks(text_requests(seed, min(steps * TEXT, POOL)))
    aims = twin_targets(loaded, [tuple(row.meta["text_twins"]) for row in requests], layers, out / "targets.pt")
    bound = bind_answered(loaded, requests, aims, REFUSED)
    print(f"{len(requests) - len(bound)} of {len(requests)} bound rows are refused as text and left out", flush=True)
    bound = evenly(bound, refusal_token(loaded), steps * BOUND)
    print(f"{len(bound)} of them taken, evenly by the odds of a refusal", flush=True)
    random.Random(seed).shuffle(bound)
    kept, scale = text_anchors(loaded, asked, layers, out / "anchors.pt")
    shown = visual_rows(seed, steps * VISUAL)
    if len(bound) < steps * BOUND or not kept:
        raise SystemExit(f"{len(bound)} bound rows for {steps} steps of {BOUND}")
    turn = itertools.cycle(kept)
    return [
        [*bound[i * BOUND : (i + 1) * BOUND], *shown[i * VISUAL : (i + 1) * VISUAL], *itertools.islice(turn, TEXT)]
        for i in range(steps)
    ], scale


def look(stepper: Stepper, items: int, modalities: list[str], out: Path, started: float) -> None:
    """Measure the weights as they are, and keep them."""
    with stepper.generating() as engine:
        found = measured(engine, items, tuple(modalities))
    print(f"step {stepper.number}: {line(found)}", flush=True)
    with (out / "held_out.jsonl").open("a") as file:
        file.write(json.dumps({"step": stepper.number, "seconds": round(time.time() - started), **found}) + "\n")


def keep(stepper: Stepper, out: Path) -> None:
    """The adapter as it is, in a folder of its own."""
    shutil.copytree(stepper.artifact().path, out / f"step-{stepper.number}", dirs_exist_ok=True)


def begin(stepper: Stepper, start: Path) -> None:
    """Go on from the weights of an earlier adapter of the same rank; its optimizer state is not taken."""
    model: Any = stepper.trainable.model
    lacking = set_peft_model_state_dict(
        model, load_file(start / "adapter_model.safetensors"), adapter_name=model.active_adapter
    )
    if lacking.unexpected_keys:
        raise SystemExit(f"{start}: {len(lacking.unexpected_keys)} weights have no place")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path), args.add_argument("--model", default="pocket:6")
    args.add_argument("--steps", type=int, default=400), args.add_argument("--measure", type=int, default=50)
    args.add_argument("--items", type=int, default=60), args.add_argument("--seed", type=int, default=7)
    args.add_argument("--rank", type=int, default=16), args.add_argument("--alpha", type=float, default=48)
    args.add_argument("--lr", type=float, default=8e-4), args.add_argument("--first", type=float, default=1.0)
    args.add_argument("--anchor", type=float, default=1.0), args.add_argument("--along", type=float, default=0.5)
    args.add_argument("--reply", type=float, default=1.5), args.add_argument("--keep", type=int, default=40)
    args.add_argument("--odds", type=float, default=0.5)
    args.add_argument("--start", type=Path, help="adapter of an earlier training (same rank) to go on from")
    args.add_argument("--schedule", choices=("cosine", "constant"), default="constant")
    args.add_argument("--drawn", type=float, default=3.0, help="requests drawn for each that is bound")
    args.add_argument("--from-layer", type=int, default=0, help="train factors from this decoder layer on")
    args.add_argument("--fixed-connector", action="store_true", help="leave the connector as it is")
    args.add_argument("--stop", type=int, help="end at this step")
    args.add_argument("--modalities", nargs="+", default=twins.MODALITIES, help="of the families that are measured")
    a = args.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    loaded = load(a.model, dtype="float32")
    layers = late_layers(loaded.model.config.get_text_config().num_hidden_layers)
    plan, scale = batches(loaded, layers, a.steps, a.seed, a.out, a.drawn)
    objective = Binding(layers, first=a.first, anchor=a.anchor, reply=a.reply, along=a.along, scale=scale,
                        odds=a.odds, token=refusal_token(loaded))  # fmt: skip
    lora = Lora(rank=a.rank, alpha=a.alpha, layers_from=a.from_layer)
    groups = (lora,) if a.fixed_connector else (lora, Projector(learning_rate=a.lr / 8))
    config = TrainConfig(
        learning_rate=a.lr, groups=groups, batch_size=BOUND + VISUAL + TEXT, seed=a.seed, micro_batch_tokens=1600,
        warmup_ratio=0.02, feature_cache_mb=0, schedule=a.schedule,
    )  # fmt: skip
    run = digest(
        (config.model_dump(mode="json"), objective.fingerprint(), a.steps, a.seed, loaded.fingerprint, str(a.start))
    )
    started = time.time()
    with training(loaded, config, a.out, total=a.steps, run=run) as stepper, (a.out / "log.jsonl").open("a") as log:
        if a.start and stepper.number == 0:
            begin(stepper, a.start)
        while stepper.number < min(a.steps, a.stop or a.steps):
            if a.measure and stepper.number % a.measure == 0:
                look(stepper, a.items, a.modalities, a.out, started)
            found = stepper.step(objective, stepper.encode(objective, plan[stepper.number]))
            log.write(json.dumps({"step": stepper.number, **found}) + "\n"), log.flush()
            if stepper.number % 10 == 0:
                stepper.save()
            if stepper.number % a.keep == 0:
                keep(stepper, a.out)
        if a.measure:
            look(stepper, a.items, a.modalities, a.out, started)
        artifact = stepper.artifact()
    print(f"{artifact.path}", flush=True)


if __name__ == "__main__":
    main()
