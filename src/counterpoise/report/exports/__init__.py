"""Scorecard rows in the formats of others: pure functions from an evaluation to a document, and back.

Start with `export` (files) or `load_evaluations` and a `to_...` function (documents). Every Eval Ever keeps everything;
the others lose what they have no field for and say so in their notes.
"""

from ._card import to_card
from ._evaluation import Evaluation, row_name, slug
from ._every_eval_ever import file_stem, from_every_eval_ever, to_every_eval_ever
from ._hub import from_eval_results, from_model_index, to_eval_results, to_model_index
from ._lm_eval import from_lm_eval, to_lm_eval
from ._load import checked, load_evaluations
from ._sample_schema import SampleRow
from ._samples import sample_lines
from ._schema import Aggregate
from ._tables import from_csv, read_parquet, to_csv, to_records, write_parquet
from ._write import FORMATS, Options, export
from ._yaml import dump_yaml, load_yaml

__all__ = [
    "FORMATS",
    "Aggregate",
    "Evaluation",
    "Options",
    "SampleRow",
    "checked",
    "dump_yaml",
    "export",
    "file_stem",
    "from_csv",
    "from_eval_results",
    "from_every_eval_ever",
    "from_lm_eval",
    "from_model_index",
    "load_evaluations",
    "load_yaml",
    "read_parquet",
    "row_name",
    "sample_lines",
    "slug",
    "to_card",
    "to_csv",
    "to_eval_results",
    "to_every_eval_ever",
    "to_lm_eval",
    "to_model_index",
    "to_records",
    "write_parquet",
]
