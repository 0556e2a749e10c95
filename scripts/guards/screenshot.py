"""A picture of the guard server's page for the documentation: the shipped guards, a harmless text and a harmful print.

python scripts/guards/screenshot.py            # writes docs/guard-page.png

Starts `counterpoise guard serve`, opens its page in Chromium, sends one printed request of Twins' training half with an
innocent text, and takes the answer. A page that logs an error stops the script. Needs Chromium and playwright.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from counterpoise.data import twins

DOCS, PORT = Path(__file__).parent.parent.parent / "docs", 8819


def wait(base: str) -> None:
    for _ in range(240):
        try:
            if httpx.get(f"{base}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise SystemExit("the server did not start")


def take(browser: Any, base: str, out: Path) -> str:
    page = browser.new_page(viewport={"width": 900, "height": 1000}, color_scheme="light")
    troubles: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    row = next(s for s in twins.samples("train") if s.modality == "print" and s.harmful)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "note.png"
        row.messages[0].images[0].pil().save(file)
        page.goto(base)
        page.locator("#text").fill("Please answer the question in my picture.")
        page.locator("#file").set_input_files(str(file))
        page.locator("#images li").wait_for()
        page.locator("#go").click()
        page.locator("#answer .verdict").wait_for(timeout=60_000)
    if troubles:
        raise SystemExit("; ".join(troubles[:3]))
    page.screenshot(path=str(out), full_page=True)
    return str(page.locator("#answer").inner_text())


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    base = f"http://127.0.0.1:{PORT}"
    command = [sys.executable, "-m", "counterpoise", "guard", "serve", "--port", str(PORT)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server, sync_playwright() as driver:
        try:
            wait(base)
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            print(take(browser, base, DOCS / "guard-page.png"))
            browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
