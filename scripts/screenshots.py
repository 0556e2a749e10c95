"""Pictures of the results board and of a report for the documentation, taken in a real browser.

python scripts/screenshots.py runs/main            # docs/board*.png, and docs/report*.png of that run
python scripts/screenshots.py runs/main --calibrations calibrations    # with the errors of the judges

The board is made anew from the published numbers of the package with the run beside them; the report is the run's own.
A page that logs an error, asks for anything but its own file, or is wider than its window stops the script. Needs
Chromium and playwright (the dev extra).
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.report.board import Board, page_name, read_calibrations, run_entries, write_pages

DOCS = Path(__file__).parent.parent / "docs"
WIDTH, HEIGHT = 1200, 800


def shots(run: Path, site: Path) -> Iterator[tuple[str, Path, str]]:
    """(name of the picture, page, what is scrolled to the top; empty: the beginning)."""
    yield "board", site / "index.html", ""
    yield "board-benchmark", site / page_name("benchmark", "twins"), "section.group"
    yield "report", run / "report.html", ""
    yield "report-scorecard", run / "report.html", "#scorecard"
    yield "report-modalities", run / "report.html", "#modalities"


def take(browser: Any, page: Path, anchor: str, out: Path) -> None:
    """One picture. Raises InputError when the page is not sound."""
    size = {"width": WIDTH, "height": HEIGHT}
    shown = browser.new_page(viewport=size, color_scheme="light", reduced_motion="reduce")  # scrolled at once
    troubles: list[str] = []
    shown.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    shown.on("pageerror", lambda error: troubles.append(str(error)))
    own = (page.parent.as_uri(), "data:")
    shown.on("request", lambda r: troubles.append(f"asks for {r.url}") if not r.url.startswith(own) else None)
    shown.goto(page.as_uri())
    if anchor:
        shown.locator(anchor).first.evaluate("node => node.scrollIntoView()")
    wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        troubles.append(f"{wide} pixels too wide")
    if troubles:
        raise InputError(f"{page}: {'; '.join(troubles[:3])}")
    shown.screenshot(path=str(out))
    shown.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `counterpoise run`")
    parser.add_argument("--calibrations", type=Path, nargs="*", default=[], help="results of judge calibrate")
    parser.add_argument("--out", type=Path, default=DOCS)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("error: no Chromium on this machine: apt-get install chromium", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    try:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
            with Board(Path(folder) / "board.sqlite") as board:
                board.add(run_entries(args.run))
                board.add_calibrations(read_calibrations(args.calibrations))
                write_pages(board.entries(), Path(folder) / "site", board.calibrations())
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for name, page, anchor in shots(args.run.resolve(), Path(folder) / "site"):
                take(browser, page, anchor, args.out / f"{name}.png")
                print(args.out / f"{name}.png")
            browser.close()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
