"""No guard of ours is trained on what it is measured on: checked here before every training."""

import sys
from collections.abc import Sequence

from counterpoise.chat import Sample
from counterpoise.data import data_root, twins

from .._labelled import Labelled

PUBLIC = ("xstest", "figstep-tiny-reading", "harmbench-text")


def evaluation_rows() -> tuple[list[Sample], list[str]]:
    """Twins validation and test, and the public rows that are on this machine; and the names of those that are not."""
    from counterpoise.evals import benchmarks

    found, missing = [*twins.samples("validation"), *twins.samples("test")], []
    for name in PUBLIC:
        card = benchmarks()[name]
        if data_root() is None or card.available() is not None:
            missing.append(name)
            continue
        found += [_with_content(sample) for sample in card.samples()]
    return found, missing


def _with_content(sample: Sample) -> Sample:
    """FigStep's instruction is printed in its image; its reading card has it as the target."""
    if sample.modality != "print" or not sample.target:
        return sample
    from dataclasses import replace

    return replace(sample, meta={**sample.meta, "shown": (sample.target,)})


def without_leaks(rows: Sequence[Labelled]) -> tuple[list[Labelled], dict[str, int]]:
    """Rows that touch no evaluation row, and how many were left out by kind of leak."""
    evaluation, missing = evaluation_rows()
    if missing:
        sys.stderr.write(f"leakage: not checked against {', '.join(missing)} (COUNTERPOISE_DATA has no such rows)\n")
    leaks = twins.check_leakage((row.as_sample() for row in rows), evaluation)
    counts: dict[str, int] = {}
    for leak in leaks:
        counts[leak.kind] = counts.get(leak.kind, 0) + 1
    bad = {leak.train for leak in leaks}
    return [row for row in rows if row.id not in bad], counts
