"""Where samples come from: readers of training data, mixes, leakage checks, our own suites, renderers of images.

    rows = read_llava("rows.json", skip_bad=10)
    mixed = shuffled(draw(rows, 2000, seed=0, purpose="benign"), seed=0)

`counterpoise.data.sources` fetches public rows, `counterpoise.data.render` draws images, `counterpoise.data.twins` is
our safety suite, `counterpoise.data.pairs` our set of image pairs, and `counterpoise.data.pocket_sets` holds what the
pocket model is trained and tested on.
"""

from typing import TYPE_CHECKING, Any

from ._root import concepts, data_home, data_root, lexicon

if TYPE_CHECKING:
    from ._check_card import card_of, parse_check_rule, unmet, write_card
    from ._check_rows import KINDS, MEANING, Finding, Report, check_rows
    from ._instructions import PromptStyle, instruction_prompt, read_instructions, read_prompts, read_training
    from ._leakage import Leak, LeakKind, check_leakage, overlap_with
    from ._llava import ReadRecord, read_llava
    from ._mis import MISRecord, read_mis_train, write_mis_test, write_mis_train
    from ._mix import SampleFile, draw, rank, shuffled, source_of, write_samples
    from ._preference_files import read_preferences, read_rated
    from ._preferences import SEVERITIES, Preference, Rated, Reply, Severity, rated
    from ._quadruples import Quadruple, image_classes, read_quadruples
    from ._rewrites import Rewrite, RewriteRecord, read_rewrites
    from ._row_files import read_parquet
    from ._same_form import write_in_form
    from ._training_rows import BadRow, training_rows
    from ._transcripts import holds_pairs, read_pairs

_WHERE = {
    "KINDS": "_check_rows",
    "MEANING": "_check_rows",
    "BadRow": "_training_rows",
    "Finding": "_check_rows",
    "PromptStyle": "_instructions",
    "instruction_prompt": "_instructions",
    "read_instructions": "_instructions",
    "read_training": "_instructions",
    "read_prompts": "_instructions",
    "Leak": "_leakage",
    "LeakKind": "_leakage",
    "MISRecord": "_mis",
    "Preference": "_preferences",
    "Quadruple": "_quadruples",
    "Rated": "_preferences",
    "ReadRecord": "_llava",
    "Report": "_check_rows",
    "card_of": "_check_card",
    "Reply": "_preferences",
    "SEVERITIES": "_preferences",
    "SampleFile": "_mix",
    "Severity": "_preferences",
    "check_leakage": "_leakage",
    "check_rows": "_check_rows",
    "draw": "_mix",
    "image_classes": "_quadruples",
    "overlap_with": "_leakage",
    "parse_check_rule": "_check_card",
    "rank": "_mix",
    "rated": "_preferences",
    "Rewrite": "_rewrites",
    "RewriteRecord": "_rewrites",
    "read_rewrites": "_rewrites",
    "holds_pairs": "_transcripts",
    "read_pairs": "_transcripts",
    "read_llava": "_llava",
    "read_mis_train": "_mis",
    "read_parquet": "_row_files",
    "read_preferences": "_preference_files",
    "read_quadruples": "_quadruples",
    "read_rated": "_preference_files",
    "shuffled": "_mix",
    "source_of": "_mix",
    "write_in_form": "_same_form",
    "training_rows": "_training_rows",
    "unmet": "_check_card",
    "write_card": "_check_card",
    "write_mis_test": "_mis",
    "write_mis_train": "_mis",
    "write_samples": "_mix",
}

__all__ = [
    "KINDS",
    "MEANING",
    "SEVERITIES",
    "BadRow",
    "Finding",
    "Leak",
    "LeakKind",
    "MISRecord",
    "Preference",
    "PromptStyle",
    "Quadruple",
    "Rated",
    "ReadRecord",
    "Reply",
    "Report",
    "Rewrite",
    "RewriteRecord",
    "SampleFile",
    "Severity",
    "card_of",
    "check_leakage",
    "check_rows",
    "concepts",
    "data_home",
    "data_root",
    "draw",
    "holds_pairs",
    "image_classes",
    "instruction_prompt",
    "lexicon",
    "overlap_with",
    "parse_check_rule",
    "rank",
    "rated",
    "read_instructions",
    "read_llava",
    "read_mis_train",
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
    "training_rows",
    "unmet",
    "write_card",
    "write_in_form",
    "write_mis_test",
    "write_mis_train",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for NumPy and Pillow."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
