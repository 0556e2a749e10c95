"""CLUE: all queries of an image in one batch with the image encoded once, against the naive order, one query at a time.

python bench/clue.py --images 12

The same judge, the same icon pages, the same verdicts; priors without an image are kept in both. Reported for token
queries alone and with reasoning: seconds and forward time for an image, forward passes, image encodings, and how many
verdicts differ. In float32 none should; in bfloat16 a batch rounds differently from a single row.
"""

import argparse
import json
import time
from typing import Any

from counterpoise.chat import Image
from counterpoise.guard.clue import EngineAsker, ImageVerdict, Query, Settings, icon_constitution, icon_set, make_clue
from counterpoise.models import Engine, Loaded, load


class Clock:
    """Counts forward passes and image encodings of a model, and the seconds inside its forward."""

    def __init__(self, loaded: Loaded):
        body = loaded.model.model
        tower = next(getattr(body, n) for n in ("vision_tower", "vision_model", "visual") if hasattr(body, n))
        self.passes = self.encodings = 0
        self.seconds = self._began = 0.0
        self._hooks = [
            loaded.model.register_forward_pre_hook(self._start),
            loaded.model.register_forward_hook(self._stop),
            tower.register_forward_hook(self._encoded),
        ]

    def _start(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _stop(self, *_: object) -> None:
        self.passes += 1
        self.seconds += time.perf_counter() - self._began

    def _encoded(self, *_: object) -> None:
        self.encodings += 1

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def timed(
    engine: Engine, images: list[Image], scan: str, *, batched: bool, reasoning: bool
) -> tuple[list[ImageVerdict], dict[str, Any]]:
    """Verdicts, and what they cost for an image."""
    clue = make_clue(
        "pocket",
        engine=engine,
        encoder=scan,
        detector="pocket",
        settings=Settings(reasoning=reasoning),
        batched=batched,
    )
    asker = EngineAsker(engine, shared=batched, reasoning_tokens=32, summary_tokens=32)
    rules = icon_constitution().rules
    asker.read([Query(None, text) for rule in rules for group in rule.groups for text in group])
    clock, start = Clock(engine.loaded), time.perf_counter()
    found = type(clue)(asker, clue.constitution, clue.detector, clue.scan, clue.settings, batched).judge(images)
    seconds, n = time.perf_counter() - start, len(images)
    clock.close()
    return found, {
        "seconds per image": round(seconds / n, 4),
        "forward seconds per image": round(clock.seconds / n, 4),
        "forward passes per image": round(clock.passes / n, 2),
        "calls of the image encoder per image": round(clock.encodings / n, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--reasoned", type=int, default=2, help="images for the comparison with reasoning; 0: none")
    parser.add_argument("--scan", default="none", help="none: all rules are judged; auto: with the relevance scan")
    args = parser.parse_args()
    engine = Engine(load(args.model, dtype=args.dtype))
    images = [page.image() for page in icon_set("bench", -(-args.images // 16))][: args.images]
    timed(engine, images[:1], args.scan, batched=True, reasoning=False)  # warm-up
    result: dict[str, Any] = {"model": args.model, "dtype": args.dtype, "device": engine.loaded.device}
    for name, reasoning, shown in (
        ("token queries", False, images),
        ("with reasoning", True, images[: args.reasoned]),
    ):
        if not shown:
            continue
        naive, slow = timed(engine, shown, args.scan, batched=False, reasoning=reasoning)
        batched, fast = timed(engine, shown, args.scan, batched=True, reasoning=reasoning)
        result[name] = {
            "images": len(shown),
            "naive": slow,
            "batched": fast,
            "forward time, batched / naive": round(
                fast["forward seconds per image"] / slow["forward seconds per image"], 3
            ),
            "verdicts that differ": sum(
                (a.label, a.violated) != (b.label, b.violated) for a, b in zip(naive, batched, strict=True)
            ),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
