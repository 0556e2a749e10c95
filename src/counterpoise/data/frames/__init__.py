"""Prompt formats: what the rows of a set have in common, learned from examples, and filled with another request.

    formats = learn(rows)                        # templates, each with its confidence; needs no model
    formats.templates[0].fill("How do I ...?")   # the request as another row of the set

`strategy("aoa")` and its like are the user-side formats that are studied (benign, identity shift, auto-instruction
following); their wordings stand in one file, `strategies.yaml`.
"""

from ._learn import MIN_ROWS, Formats, learn
from ._strategies import STRATEGIES, Strategy, strategy
from ._template import IMAGE, Labels, Slot, Template, flat, load_template, prompt_of, save_template

__all__ = [
    "IMAGE",
    "MIN_ROWS",
    "STRATEGIES",
    "Formats",
    "Labels",
    "Slot",
    "Strategy",
    "Template",
    "flat",
    "learn",
    "load_template",
    "prompt_of",
    "save_template",
    "strategy",
]
