"""`report.html`: one self-contained file. No request ever leaves it, and everything that a model said is escaped."""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from counterpoise.base import atomic_write

from ._browser_section import transcript_browser
from ._change import changes
from ._dose import DoseCurve
from ._folder import EvalFolder
from ._next import next_step
from ._sections import dose, findings, made, pictures, scorecard
from ._transcripts import transcripts
from ._verdict import verdict
from ._words import text as e


def write_report(
    out: Path, before: EvalFolder, after: EvalFolder | None, dose_curve: DoseCurve | None, run: Mapping[str, Any]
) -> Path:
    """Write `out` (a file ending in .html) and return it.

    `after=None` reports one evaluation without a comparison. `run` is the content of `run.json`, shown as it is.
    The page carries its style, script, pictures and images inside, and a policy that forbids every request.
    """
    found = changes(before, after) if after else []
    data = transcripts(before, after)
    parts = [
        findings(verdict(found), next_step(found, run)) if after else "",
        scorecard(before.rows, found if after else None),
        pictures(before.rows, found if after else None),
        dose(dose_curve) if dose_curve else "",
        transcript_browser(data),
        made(before, after, run),
    ]
    model = before.rows[0].model if before.rows else before.path.name
    headline = verdict(found).headline if after else f"What {model} does"
    sizes = f"{len(before.items):,} items" + (", the same before and after" if after else "")
    with atomic_write(out) as file:
        file.write(_page(f"Counterpoise report: {model}", headline, f"{model} · {sizes}", "".join(parts), data))
    return out


def _page(title: str, headline: str, kicker: str, body: str, data: Mapping[str, Any]) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
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
        f"<footer><p>Made by Counterpoise. This file needs no network and sends nothing anywhere.</p></footer>\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _json(value: object) -> str:
    """JSON that cannot end its script element, whatever a model wrote."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return files("counterpoise.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
