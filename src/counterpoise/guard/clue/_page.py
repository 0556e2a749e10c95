"""The page of a run: one section per image with its picture, rules, probabilities and rationales, all escaped."""

import base64
import hashlib
import io
import shutil
from collections.abc import Mapping, Sequence
from html import escape as e
from pathlib import Path

from counterpoise.base import atomic_write, write_json
from counterpoise.chat import Image

from ._picture import picture, said
from ._values import Evidence, ImageVerdict, Reading

VERDICTS = "verdicts.json"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5b6470; --line: #d8dce1; --paper: #fff;
  --bad: #b3202f; --good: #2c7a4b; --open: #8a6500 }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --soft: #a2abb7; --line: #3a4048; --paper: #16191d;
  --bad: #ff8a92; --good: #7fd6a0; --open: #e8c15a } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 0 auto; padding: 1.5rem }
section { border-top: 1px solid var(--line); padding: 1.2rem 0 }
img { max-width: 100%; height: auto; border: 1px solid var(--line) }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
.yes { color: var(--bad) } .no { color: var(--good) } .unknown { color: var(--open) } .soft { color: var(--soft) }
.num { font-variant-numeric: tabular-nums; white-space: nowrap }
"""
TONE = {"unsafe": "yes", "safe": "no", "unknown": "unknown"}
PATHS = {
    "a": "absent by its probability",
    "b": "visible by its probability",
    "c": "visible: removing its region changed the answer",
    "d": "reasoned",
    None: "not decided",
}


def save_run(
    folder: Path, images: Sequence[Image], verdicts: Sequence[ImageVerdict], record: Mapping[str, object]
) -> Path:
    """Write `verdicts.json`, `pictures/<number>.png` and `index.html` into a folder. Returns the page.

    Pictures that an earlier run has left there go.
    """
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    for number, (image, verdict) in enumerate(zip(images, verdicts, strict=True)):
        with atomic_write(folder / "pictures" / f"{number:04d}.png", "wb") as file:
            picture(image, verdict).save(file, "PNG")
    found = [verdict.json() for verdict in verdicts]
    write_json(folder / VERDICTS, {**about(images, record), "verdicts": found})
    page = folder / "index.html"
    with atomic_write(page) as file:
        file.write(html(images, verdicts, record))
    return page


def about(images: Sequence[Image], record: Mapping[str, object]) -> dict[str, object]:
    """What a run is about: another one into the same folder would replace it."""
    digest = hashlib.sha256(" ".join(f"{image.source} {image.sha256}" for image in images).encode("utf-8", "replace"))
    return {"record": dict(record), "images": f"{len(images)} with hash {digest.hexdigest()[:12]}"}


def html(images: Sequence[Image], verdicts: Sequence[ImageVerdict], record: Mapping[str, object]) -> str:
    """One self-contained page; nothing in it can run or be fetched."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    counts = {label: sum(v.label == label for v in verdicts) for label in ("unsafe", "unknown", "safe")}
    summary = ", ".join(f"{n} {label}" for label, n in counts.items())
    facts = "".join(f"<tr><th>{e(str(k))}</th><td>{e(str(v))}</td></tr>" for k, v in record.items())
    body = "".join(_section(image, verdict) for image, verdict in zip(images, verdicts, strict=True))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Image verdicts</title>\n<style>{STYLE}</style></head><body>\n"
        f"<h1>{len(verdicts)} images: {summary}</h1>\n{body}"
        f"<section><h2>How these were made</h2><table>{facts}</table></section></body></html>\n"
    )


def _section(image: Image, verdict: ImageVerdict) -> str:
    buffer = io.BytesIO()
    picture(image, verdict).save(buffer, "PNG")
    uri = base64.b64encode(buffer.getvalue()).decode()
    first = verdict.decisive
    because = f" <span class=soft>{e(first.rule)}: {said(first.answer)}</span>" if first else ""
    reason = f"<p>{e(verdict.reason)}</p>" if verdict.reason else ""
    rows = "".join(_row(f.rule, evidence) for f in verdict.findings for group in f.chain for evidence in group)
    head = "<tr><th>Rule</th><th>Precondition</th><th>Satisfied</th><th>Step</th><th>With image</th><th>Without</th>"
    head += "<th>Region removed</th><th>Asked again</th><th>Region</th><th>Rationale</th></tr>"
    table = f"<div class=wide><table>{head}{rows}</table></div>" if rows else ""
    scanned = "".join(
        f"<tr><td>{e(s.rule)}</td><td class=num>{'–' if s.similarity is None else f'{s.similarity:.4f}'}</td>"
        f"<td>{'judged' if s.kept else 'not relevant'}</td></tr>"
        for s in verdict.scan
    )
    scan = f"<details><summary>Relevance scan</summary><table>{scanned}</table></details>" if scanned else ""
    return (
        f"<section><h2><span class={TONE[verdict.label]}>{e(verdict.label)}</span>{because}</h2>"
        f"<p class=soft>{e(verdict.image)}</p>{reason}"
        f'<img alt="The image with the regions that were looked at" src="data:image/png;base64,{uri}">'
        f"{table}{scan}</section>\n"
    )


def _row(rule: str, evidence: Evidence) -> str:
    found = evidence.found
    region = "–" if found is None else f"{tuple(found.box)}, confidence {found.confidence:.2f}"
    step = f"{evidence.path or '–'}: {PATHS[evidence.path]}"
    cells = (
        f"<td>{e(rule)}</td><td>{e(evidence.text)}</td><td class={evidence.answer}>{e(evidence.answer)}</td>"
        f"<td>{e(step)}</td>"
    )
    numbers = "".join(
        f"<td class=num>{_reading(r)}</td>" for r in (evidence.image, evidence.prior, evidence.removed, evidence.again)
    )
    crop = ", judged from its crop" if evidence.cropped else ""
    why = "; ".join(text for text in (evidence.reason, evidence.rationale) if text)
    return f"<tr>{cells}{numbers}<td>{e(region)}{crop}</td><td>{e(why)}</td></tr>"


def _reading(reading: Reading | None) -> str:
    return "–" if reading is None else f"{reading.m:.3f} <span class=soft>of {reading.mass:.0%}</span>"
