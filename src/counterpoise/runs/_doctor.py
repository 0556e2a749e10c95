"""`doctor`: what this machine has and lacks, from the models up to the benchmarks."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.models import Check, doctor

PACKAGES = {
    "datasets": "reading Parquet data needs it: pip install 'counterpoise[parquet]'",
    "playwright": "checking reports in a browser needs it: pip install 'counterpoise[browser]'",
}
FONTS = ("LiberationSans-Regular", "FreeMonoBold")


def checkup() -> list[Check]:
    """All checks, cheapest first. Never raises, never changes anything, loads no model."""
    return [*doctor(), *_packages(), *_disk(), *_fonts(), *_rows(), *_benchmarks()]


def _packages() -> Iterator[Check]:
    for name, hint in PACKAGES.items():
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "optional", hint)


def _disk() -> Iterator[Check]:
    yield Check("disk", "ok", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here")


def _fonts() -> Iterator[Check]:
    from counterpoise.data.render import find_font

    for name in FONTS:
        try:
            yield Check(f"font {name}", "ok", str(find_font(name)))
        except InputError as error:
            yield Check(f"font {name}", "optional", str(error))


def _rows() -> Iterator[Check]:
    from counterpoise.data import data_home, data_root

    try:
        root, hint = (
            data_root(),
            "`counterpoise data fetch --suite core` gets rows, COUNTERPOISE_DATA names another folder",
        )
        yield Check("benchmark data", "ok" if root else "optional", str(root or f"none in {data_home()}; {hint}"))
    except InputError as error:
        yield Check("benchmark data", "optional", str(error))


def _benchmarks() -> Iterator[Check]:
    from counterpoise.evals import benchmarks

    for name, benchmark in benchmarks().items():
        reason = benchmark.available()
        yield Check(f"benchmark {name}", "optional" if reason else "ok", reason or f"{benchmark.rows} rows")
