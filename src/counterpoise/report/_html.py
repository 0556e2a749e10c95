"""`report.html`: a page that needs no network, under 8 MB whatever was measured. Transcripts for which it has no room
are in files beside it. Everything that a model said is escaped."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import atomic_write

from ._browser_section import transcript_browser
from ._change import changes
from ._dose import DoseCurve
from ._folder import EvalFolder
from ._images import Images
from ._next import next_step
from ._packing import PAGE, Packed, as_json, pack, write_parts
from ._sections import dose, findings, made, pictures, scorecard
from ._transcripts import transcripts
from ._verdict import verdict
from ._words import text as e


def write_report(
    out: Path, before: EvalFolder, after: EvalFolder | None, dose_curve: DoseCurve | None, run: Mapping[str, Any]
) -> Path:
    """Write `out` (a file ending in .html) and return it; see `files_beside` for what may stand beside it.

    `after=None` reports one evaluation without a comparison. `run` is the content of `run.json`, shown as it is.
    The page carries its style, script and pictures inside, and a policy that forbids every request but those for the
    files beside it.
    """
    found = changes(before, after) if after else []
    parts = [
        findings(verdict(found), next_step(found, run)) if after else "",
        scorecard(before.rows, found if after else None),
        pictures(before.rows, found if after else None),
        dose(dose_curve) if dose_curve else "",
        _BROWSER,
        made(before, after, run),
    ]
    model = before.rows[0].model if before.rows else before.path.name
    headline = verdict(found).headline if after else f"What {model} does"
    sizes = f"{len(before.items):,} items" + (", the same before and after" if after else "")
    frame = _Frame(f"Counterpoise report: {model}", headline, f"{model} · {sizes}", "".join(parts))
    room = PAGE - len(frame.page(pack([], Images(out.parent), 0, "")).encode()) - _MARGIN
    beside = files_beside(out)
    packed = pack(transcripts(before, after), Images(out.parent, before, after), max(room, 0), beside.name)
    write_parts(packed.parts, beside)
    with atomic_write(out) as file:
        file.write(frame.page(packed))
    return out


def files_beside(page: Path) -> Path:
    """The folder of the transcripts for which a report has no room. It is there only when there are any."""
    return page.with_name(f"{page.stem}_files")


_BROWSER = "<!-- transcripts -->"
_MARGIN = 20_000
"""Bytes for what the transcripts' section says of them."""


class _Frame(NamedTuple):
    """A page without its transcripts."""

    title: str
    headline: str
    kicker: str
    body: str

    def page(self, packed: Packed) -> str:
        body = self.body.replace(_BROWSER, transcript_browser(packed), 1)
        return _page(self.title, self.headline, self.kicker, body, packed)


def _page(title: str, headline: str, kicker: str, body: str, packed: Packed) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    # only a script that this one makes may be loaded, and only an image of this folder
    more = " 'strict-dynamic'" if packed.parts else ""
    images = " 'self' file:" if packed.addresses else ""
    policy = (
        f"default-src 'none'; img-src data:{images}; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'{more}; base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n'
        f"<title>{e(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#scorecard">Skip to the scorecard</a>\n'
        f'<header class="top"><p class="kicker">{e(kicker)}</p><h1>{e(headline)}</h1></header>\n'
        f"<main>{body}</main>\n"
        f"<footer><p>Made by Counterpoise. This page needs no network and sends nothing anywhere.</p></footer>\n"
        f'<script type="application/json" id="data">{as_json(packed.data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def write_page(out: Path, title: str, kicker: str, headline: str, body: str, *, style: str = "") -> Path:
    """Write a page without scripts and transcripts and return `out`. It carries everything and requests nothing.
    `style` is added to that of reports; `body` is HTML, the other texts are escaped."""
    rules = _asset("report.css") + style
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(rules)}'; base-uri 'none'"
    with atomic_write(out) as file:
        file.write(
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<link rel="icon" href="data:,">\n<title>{e(title)}</title>\n<style>{rules}</style>\n</head>\n<body>\n'
            f'<header class="top"><p class="kicker">{e(kicker)}</p><h1>{e(headline)}</h1></header>\n'
            f"<main>{body}</main>\n<footer><p>Made by Counterpoise. This file needs no network and sends nothing "
            "anywhere.</p></footer>\n</body>\n</html>\n"
        )
    return out


def _asset(name: str) -> str:
    return files("counterpoise.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
