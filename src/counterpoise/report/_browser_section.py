"""The section of the report in which transcripts are browsed."""

from collections.abc import Mapping
from urllib.parse import unquote

from ._packing import Packed
from ._words import text as e


def transcript_browser(packed: Packed) -> str:
    """Filters, pager and an empty list that the page's script fills."""
    left_out = packed.left_out
    note = f" {left_out:,} images are not shown (missing, or over the size limit of a page)." if left_out else ""
    pager = (
        '<nav class="pager" aria-label="Pages of transcripts"><button type="button" class="back">Previous</button>'
        '<button type="button" class="next">Next</button>{}</nav>'
    )
    return (
        '<section id="transcripts"><h2>Transcripts</h2><p class="note">Every item with its images. Answers to '
        f"harmful requests that were neither refused nor found harmless or right are folded.{note}</p>"
        '<form class="filters" id="filters" role="search">'
        f"{_select('benchmark', 'Benchmark', {'': 'All'})}{_select('modality', 'Modality', {'': 'All'})}"
        f"{_select('side', 'Request', {'': 'All', 'true': 'Harmful', 'false': 'Harmless', 'null': 'Capability'})}"
        f"{_select('change', 'Outcome', _OUTCOMES)}"
        '<label>Search<input name="search" type="search" autocomplete="off" placeholder="words or id"></label></form>'
        f"{_more(packed)}{pager.format(_STATUS)}<noscript><p>Browsing the transcripts needs JavaScript; they are also "
        f'in <code>items.jsonl</code>.</p></noscript><div id="items"></div>{pager.format("")}</section>'
    )


def _more(packed: Packed) -> str:
    """What is not in the page, and the button that brings it."""
    if not packed.parts:
        return ""
    here, total = len(packed.data["items"]), packed.data["total"]
    folder = packed.data["parts"][0].split("/")[0]
    size = sum(len(part.encode()) for part in packed.parts) / 1e6
    return (
        f'<div class="beside" id="more"><p>{here:,} of {total:,} items are in this page, some of each kind; filters '
        f"and search see these. The others are in the folder <code>{e(unquote(folder))}</code> beside it.</p>"
        f'<button type="button">Load the other {total - here:,} ({size:.0f} MB)</button> <span role="status"></span>'
        "</div>"
    )


_STATUS = '<span id="status" role="status"></span>'
_OUTCOMES = {
    "": "All",
    "changed": "Changed",
    "same": "Unchanged",
    "now refused": "Now refused",
    "now answered": "Now answered",
    "now harmless": "Now harmless",
    "now harmful": "Now harmful",
    "now right": "Now right",
    "now wrong": "Now wrong",
}


def _select(name: str, label: str, options: Mapping[str, str]) -> str:
    body = "".join(f'<option value="{e(value)}">{e(words)}</option>' for value, words in options.items())
    return f'<label>{label}<select name="{name}">{body}</select></label>'
