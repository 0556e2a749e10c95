"""Where samples come from: readers of training data, mixes, leakage checks, our own suites, renderers of images.

    rows = read_llava("rows.json", skip_bad=10)
    mixed = shuffled(draw(rows, 2000, seed=0, purpose="benign"), seed=0)

`counterpoise.data.sources` fetches public rows, `counterpoise.data.render` draws images, `counterpoise.data.twins` is
our safety suite and `counterpoise.data.pocket_sets` holds what the pocket model is trained and tested on.
"""

from typing import TYPE_CHECKING, Any

from ._root import concepts, data_home, data_root, lexicon

if TYPE_CHECKING:
    from ._instructions import PromptStyle, instruction_prompt, read_instructions, read_prompts, read_training
    from ._leakage import Leak, LeakKind, check_leakage, overlap_with
    from ._llava import ReadRecord, read_llava
    from ._mix import SampleFile, draw, rank, shuffled, source_of, write_samples
    from ._preferences import SEVERITIES, Preference, Rated, Reply, Severity, rated, read_preferences, read_rated
    from ._quadruples import Quadruple, image_classes, read_quadruples
    from ._rewrites import Rewrite, RewriteRecord, read_rewrites
    from ._row_files import read_parquet
    from ._transcripts import holds_pairs, read_pairs

_WHERE = {
    "PromptStyle": "_instructions",
    "instruction_prompt": "_instructions",
    "read_instructions": "_instructions",
    "read_training": "_instructions",
    "read_prompts": "_instructions",
    "Leak": "_leakage",
    "LeakKind": "_leakage",
    "Preference": "_preferences",
    "Quadruple": "_quadruples",
    "Rated": "_preferences",
    "ReadRecord": "_llava",
    "Reply": "_preferences",
    "SEVERITIES": "_preferences",
    "SampleFile": "_mix",
    "Severity": "_preferences",
    "check_leakage": "_leakage",
    "draw": "_mix",
    "image_classes": "_quadruples",
    "overlap_with": "_leakage",
    "rank": "_mix",
    "rated": "_preferences",
    "Rewrite": "_rewrites",
    "RewriteRecord": "_rewrites",
    "read_rewrites": "_rewrites",
    "holds_pairs": "_transcripts",
    "read_pairs": "_transcripts",
    "read_llava": "_llava",
    "read_parquet": "_row_files",
    "read_preferences": "_preferences",
    "read_quadruples": "_quadruples",
    "read_rated": "_preferences",
    "shuffled": "_mix",
    "source_of": "_mix",
    "write_samples": "_mix",
}

__all__ = [
    "SEVERITIES",
    "Leak",
    "LeakKind",
    "Preference",
    "PromptStyle",
    "Quadruple",
    "Rated",
    "ReadRecord",
    "Reply",
    "Rewrite",
    "RewriteRecord",
    "SampleFile",
    "Severity",
    "check_leakage",
    "concepts",
    "data_home",
    "data_root",
    "draw",
    "holds_pairs",
    "image_classes",
    "instruction_prompt",
    "lexicon",
    "overlap_with",
    "rank",
    "rated",
    "read_instructions",
    "read_llava",
    "read_pairs",
    "read_parquet",
    "read_preferences",
    "read_prompts",
    "read_quadruples",
    "read_rated",
    "read_rewrites",
    "read_training",
    "shuffled",
    "source_of",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for NumPy and Pillow."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
