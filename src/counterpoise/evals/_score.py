"""From the journal to `items.jsonl` and the rows of the scorecard, without holding the answers."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from counterpoise.base import Row, atomic_write, json_line
from counterpoise.chat import Sample

from ._benchmark import Benchmark
from ._composite import Composite
from ._items import Item, item, unanswered
from ._journal import Journal
from ._scorecard import rows


def score(
    plans: Sequence[tuple[Benchmark, Sequence[Sample]]],
    journal: Journal,
    failed: dict[str, dict[str, str]],
    out: Path,
    model: str,
    run: str,
    planned: dict[str, int],
    composite: Composite | None,
) -> list[Row]:
    """Stream items to `items.jsonl` benchmark by benchmark; what rows need of them is all that stays in memory."""
    made: list[Row] = []
    with atomic_write(out / "items.jsonl") as handle:
        for bench, samples in plans:
            slim = []
            for one in _items(bench, samples, journal, failed[bench.name]):
                handle.write(json_line(one.json()))
                slim.append(dataclasses.replace(one, prompt="", answer=one.answer.strip()[:1], reasoning="", images=()))
            made += rows(bench, slim, model=model, run=run, n_planned=planned.get(bench.name))
            if (
                composite and bench.name not in planned
            ):  # there is no interval for a mean with a part that stopped early
                composite.add(bench, slim)
    return made + (composite.rows(model=model, run=run) if composite else [])


def _items(bench: Benchmark, samples: Sequence[Sample], journal: Journal, failed: dict[str, str]) -> Iterator[Item]:
    for sample in samples:
        found = journal.reply(journal.key(sample, bench.settings(sample)))
        if found is None:
            yield unanswered(bench, sample, failed.get(sample.id, "api_error"))
        else:
            yield item(bench, sample, found)
