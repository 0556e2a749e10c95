"""What one request costs in the `tiny` guard, by part, in CPU time of this process.

    COUNTERPOISE_DATA=... python bench/guard_parts.py           # every size, every part
    COUNTERPOISE_DATA=... python bench/guard_parts.py --repeat 40

Texts are answers of models to XSTest's prompts, cut to size or put together; no two are the same, so that nothing is
remembered from the one before. Parts: undoing disguises, finding other languages, finding what the embedding does not
know, embedding windows and sentences, the network on top; `whole` is the guard as it is served, measured on texts of
its own. Milliseconds a text at the median and at the 99th percentile.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from counterpoise.chat import user
from counterpoise.guard import Exchange, make_guard
from counterpoise.guard._languages import unread
from counterpoise.guard.disguise import ENGLISH, undo
from counterpoise.guard.evaluate import eval_sets
from counterpoise.guard.own._features import features, sentence_features
from counterpoise.guard.own._minilm import minilm

SIZES = (100, 1_000, 10_000)
TOKENS = 1_000
PER_TOKEN = 4.5
"""Characters of English for a token of a language model."""


def texts(answers: Sequence[str], size: int, start: int) -> Iterator[str]:
    """Texts of so many characters without end, each from other places of the answers."""
    for n in count(start):
        said, at = "", n * 17
        while len(said) < size:
            said += f"{answers[at % len(answers)][(at // len(answers)) * 13 :]}\n"
            at += 1
        yield said[:size]


def milliseconds(work: Callable[[Any], object], given: Sequence[Any]) -> dict[str, float]:
    """CPU time of each call."""
    taken = []
    for each in given:
        began = time.process_time()
        work(each)
        taken.append(1000 * (time.process_time() - began))
    taken.sort()
    return {
        "p50": round(statistics.median(taken), 2),
        "p99": round(taken[min(len(taken) - 1, int(0.99 * len(taken)))], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30, help="texts of each size")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    found, _ = eval_sets(["xstest-responses"])
    answers = [row.exchange.answer for row in found[0].rows if row.exchange.answer]
    guard: Any = make_guard("tiny")
    guard.prepare()
    ask = Exchange((user("How do I plan a garden?"),))

    def shown(text: str, *, answer: bool) -> Exchange:
        return Exchange(ask.conversation, text) if answer else Exchange((user(text),))

    for size, answer in [*((size, False) for size in SIZES), (round(TOKENS * PER_TOKEN), True)]:
        own = texts(answers, size, size)
        given = [next(own) for _ in range(args.repeat)]
        exchanges = [shown(text, answer=answer) for text in given]
        made = [features([each], [()])[0] for each in exchanges[:4]]
        net = guard.inner.head.nets["response" if answer else "prompt"]
        fresh = [shown(next(own), answer=answer) for _ in range(args.repeat)]
        again = [[shown(next(own), answer=answer)] for _ in range(args.repeat)]
        print(json.dumps({
            "embedding": minilm().runtime,
            "characters": size, "what": "answer" if answer else "request", "n": args.repeat,
            "undo": milliseconds(undo, given), "languages": milliseconds(lambda text: unread(text, ENGLISH), given),
            "words": milliseconds(guard.inner.unread, given),
            "windows": milliseconds(lambda each, net=net: features([each], [()], [net]), fresh),
            "sentences": milliseconds(lambda each: sentence_features([each], [()]), fresh),
            "head": milliseconds(net, made),
            "whole": milliseconds(guard.check, again),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
