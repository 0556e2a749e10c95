"""Where samples come from: readers of training data, mixes, leakage checks, our own suites, renderers of images.

    rows = read_llava("rows.json", skip_bad=10)
    mixed = shuffled(draw(rows, 2000, seed=0, purpose="benign"), seed=0)

`counterpoise.data.sources` fetches public rows, `counterpoise.data.render` draws images, `counterpoise.data.twins` is
our safety suite and `counterpoise.data.pocket_sets` holds what the pocket model is trained and tested on.
"""

from typing import TYPE_CHECKING, Any

from ._root import concepts, data_home, data_root, lexicon

if TYPE_CHECKING:
    from ._check_card import card_of, parse_check_rule, unmet, write_card
    from ._check_rows import KINDS, MEANING, Finding, Report, check_rows
    from ._leakage import Leak, LeakKind, check_leakage, overlap_with
    from ._llava import ReadRecord, read_llava
    from ._mix import SampleFile, draw, rank, shuffled, source_of, write_samples
    from ._quadruples import Quadruple, image_classes, read_quadruples
    from ._row_files import read_parquet
    from ._training_rows import BadRow, training_rows

_WHERE = {
    "KINDS": "_check_rows",
    "MEANING": "_check_rows",
    "BadRow": "_training_rows",
    "Finding": "_check_rows",
    "Leak": "_leakage",
    "LeakKind": "_leakage",
    "Quadruple": "_quadruples",
    "ReadRecord": "_llava",
    "Report": "_check_rows",
    "SampleFile": "_mix",
    "card_of": "_check_card",
    "check_leakage": "_leakage",
    "check_rows": "_check_rows",
    "draw": "_mix",
    "image_classes": "_quadruples",
    "overlap_with": "_leakage",
    "parse_check_rule": "_check_card",
    "rank": "_mix",
    "read_llava": "_llava",
    "read_parquet": "_row_files",
    "read_quadruples": "_quadruples",
    "shuffled": "_mix",
    "source_of": "_mix",
    "training_rows": "_training_rows",
    "unmet": "_check_card",
    "write_card": "_check_card",
    "write_samples": "_mix",
}

__all__ = [
    "KINDS",
    "MEANING",
    "BadRow",
    "Finding",
    "Leak",
    "LeakKind",
    "Quadruple",
    "ReadRecord",
    "Report",
    "SampleFile",
    "card_of",
    "check_leakage",
    "check_rows",
    "concepts",
    "data_home",
    "data_root",
    "draw",
    "image_classes",
    "lexicon",
    "overlap_with",
    "parse_check_rule",
    "rank",
    "read_llava",
    "read_parquet",
    "read_quadruples",
    "shuffled",
    "source_of",
    "training_rows",
    "unmet",
    "write_card",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for NumPy and Pillow."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
