"""Figures of a PCFG study as one SVG file that stands alone, for a page of the documentation.

    python scripts/study_figures.py runs/study docs/study-pcfg.svg --only clusters --only tau

Without `--only` all of the report's figures; their names are said when one is unknown.
"""

import argparse
from pathlib import Path

from counterpoise.base import InputError, atomic_write, read_json
from counterpoise.report._lines import panels
from counterpoise.report._study import figures

CAPTIONS = {
    "clusters": "Separation of the clusters, by block",
    "tau": "Tau by block: above 0 nearer to safe",
    "outside": "Sin of dW1 to the column space of W1",
    "response": "What the change answers, by direction",
    "sensitivity": "Gradient norm at the first output",
    "intervention": "Along the change of SSFT",
    "attacks": "Attack success",
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append")
    given = parser.parse_args()
    found = figures(read_json(given.study / "results.json"))
    wanted = given.only or list(found)
    if unknown := [name for name in wanted if name not in found]:
        raise InputError.unknown("figure", unknown[0], list(found))
    with atomic_write(given.out) as file:
        file.write(panels({CAPTIONS[name]: found[name][1] for name in wanted}))
