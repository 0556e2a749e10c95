"""Fixtures for all rooms. Public benchmark rows come from COUNTERPOISE_DATA and are never part of this repository."""

import os
import shutil
from pathlib import Path

import pytest

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
# rows that the user of this machine has fetched are none of the tests' business
os.environ["XDG_DATA_HOME"] = str(Path(__file__).with_name("no-data-here"))
for name in ("COLUMNS", "LINES"):  # a worker of pytest-xdist imports readline, which sets them: tables would be cut
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with public benchmark rows; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("COUNTERPOISE_DATA", DEFAULT))
    if not folder.is_dir():
        pytest.skip("no public benchmark rows here: set COUNTERPOISE_DATA to their folder")
    return folder


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
