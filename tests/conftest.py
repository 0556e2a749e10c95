"""Fixtures for all rooms. Public benchmark rows come from COUNTERPOISE_DATA and are never part of this repository."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from installed import install

if TYPE_CHECKING:
    from counterpoise.models import Loaded

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
# rows that the user of this machine has fetched are none of the tests' business
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="counterpoise-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)
# What a terminal, a CI or a user of Inspect may have set, and what changes tables and evaluations. (A worker of
# pytest-xdist imports readline, which sets the first two.)
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)
for name in [name for name in os.environ if name.startswith("INSPECT_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with public benchmark rows; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("COUNTERPOISE_DATA", DEFAULT))
    if not folder.is_dir():
        pytest.skip("no public benchmark rows here: set COUNTERPOISE_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def public(data_dir: Path) -> Callable[[str], Path]:
    """A file or folder of the public rows by its path below their folder. A folder need not hold them all, and may hold
    others: the test that asks for one that is not there is skipped."""

    def find(name: str) -> Path:
        path = data_dir / name
        if not path.exists():
            pytest.skip(f"no {name} in the folder of public rows")
        return path

    return find


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of pocket's architecture."""
    import tiny

    return tiny.build("smolvlm", tmp_path_factory.mktemp("m"))


@pytest.fixture
def model(folder: Path) -> "Loaded":
    """That model in memory, fresh for each test."""
    from counterpoise.models import load

    return load(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium for the tests that look at pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as driver:
        shown = driver.chromium.launch(executable_path=chromium, args=quiet)
        yield shown
        shown.close()


@pytest.fixture
def toy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The methods of tests/packages/counterpoise_toy.py are installed, and gone again after the test."""
    from counterpoise.methods import GROUP
    from counterpoise.methods import _registry as registry

    site = tmp_path_factory.mktemp("site")
    install(site, "counterpoise_toy", GROUP, "toy-hinge")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(registry, "_loaded", False)
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    yield
    sys.modules.pop("counterpoise_toy", None)
