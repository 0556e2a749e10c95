"""A picture of a verdict: the image with the regions that were looked at, and a line for each precondition."""

from collections.abc import Iterator

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from counterpoise.base import InputError
from counterpoise.chat import Image

from ._values import Evidence, ImageVerdict

COLOURS = {"yes": (200, 30, 45), "no": (40, 120, 70), "unknown": (150, 110, 0)}
LARGEST, SMALLEST = 640, 320  # pixels of the image's longer side in the picture
LINE, MARGIN, WIDTH = 18, 10, 460


def lines(verdict: ImageVerdict) -> Iterator[tuple[str, str]]:
    """(text, answer) for the picture's column: the label, then each judged rule and its preconditions."""
    tone = {"unsafe": "yes", "safe": "no", "unknown": "unknown"}[verdict.label]
    yield verdict.label.upper(), tone
    if verdict.reason:
        yield verdict.reason, "unknown"
    for finding in verdict.findings:
        yield f"{finding.rule}: {said(finding.answer)}", finding.answer
        for group in finding.chain:
            for evidence in group:
                yield f"   {evidence.text}: {evidence.answer} ({scores(evidence)})", evidence.answer


def said(answer: str) -> str:
    """Of a rule."""
    return {"yes": "violated", "no": "not violated", "unknown": "undecided"}[answer]


def scores(evidence: Evidence) -> str:
    """`b, .91 prior .32`: the step that decided, and M with the image, without it, without the region, and asked again
    after the reasoning."""
    parts: list[str] = [evidence.path or "open"]
    readings = (evidence.image, evidence.prior, evidence.removed, evidence.again)
    for name, reading in zip(("", "prior ", "removed ", "again "), readings, strict=True):
        if reading is not None:
            parts.append(f"{name}{reading.m:.2f}")
    return ", ".join(parts)


def picture(image: Image, verdict: ImageVerdict) -> PIL.Image.Image:
    """RGB picture. A broken image is shown as an empty frame with the reason."""
    try:
        left = image.pil()
    except InputError:
        left = PIL.Image.new("RGB", (SMALLEST, SMALLEST), (230, 230, 230))
    scale = min(LARGEST / max(left.size), max(1.0, SMALLEST / max(left.size)))
    left = left.resize((max(round(left.width * scale), 1), max(round(left.height * scale), 1)))
    draw = PIL.ImageDraw.Draw(left)
    font = PIL.ImageFont.load_default(13)
    for finding in verdict.findings:
        for evidence in (evidence for group in finding.chain for evidence in group):
            if evidence.found is not None:
                corners = [value * scale for value in evidence.found.box]
                draw.rectangle(
                    (corners[0], corners[1], corners[2] - 1, corners[3] - 1), outline=COLOURS[evidence.answer], width=2
                )
    rows = list(lines(verdict))
    height = max(left.height, LINE * len(rows)) + 2 * MARGIN
    page = PIL.Image.new("RGB", (left.width + WIDTH + 3 * MARGIN, height), "white")
    page.paste(left, (MARGIN, MARGIN))
    pen = PIL.ImageDraw.Draw(page)
    for number, (text, answer) in enumerate(rows):
        pen.text((left.width + 2 * MARGIN, MARGIN + LINE * number), _fit(text, font), font=font, fill=COLOURS[answer])
    return page


def _fit(text: str, font: "PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont") -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    if font.getlength(line) <= WIDTH:
        return line
    while line and font.getlength(line + "...") > WIDTH:
        line = line[:-8]
    return line + "..."
