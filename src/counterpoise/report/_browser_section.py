"""The section of the report in which transcripts are browsed."""

from collections.abc import Mapping
from typing import Any

from ._words import text as e


def transcript_browser(data: Mapping[str, Any]) -> str:
    """Filters, pager and an empty list that the page's script fills."""
    left_out = data["left_out"]
    note = f" {left_out:,} images are not embedded (missing, or over the size limit of a report)." if left_out else ""
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
        f"{pager.format(_STATUS)}<noscript><p>Browsing the transcripts needs JavaScript; they are also in "
        f'<code>items.jsonl</code>.</p></noscript><div id="items"></div>{pager.format("")}</section>'
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
