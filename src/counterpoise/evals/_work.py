"""One benchmark's part of an evaluation."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counterpoise.base import Progress
from counterpoise.chat import Sample

from ._benchmark import Benchmark
from ._journal import Journal
from ._target import Target


@dataclass(frozen=True)
class Work:
    """Samples of one benchmark, who answers them, and where answers and logs go."""

    bench: Benchmark
    samples: Sequence[Sample]
    target: Target
    journal: Journal
    logs: Path
    progress: Progress
    display: bool = False

    def part(self, samples: Sequence[Sample]) -> "Work":
        """The same with other samples."""
        return dataclasses.replace(self, samples=samples)

    def key(self, sample: Sample) -> str:
        """Of the sample's answer in the journal."""
        return self.journal.key(sample, self.bench.settings(sample))
