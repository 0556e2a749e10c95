"""Models: load one, prove its adapter, generate and score in large batches.

loaded = load("pocket")
engine = Engine(loaded)
answers = engine.generate([(user("What is printed here?", Image.from_path("page.png")),)])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._adapter import merge_adapter, prove_adapter
    from ._artifact import read_artifact
    from ._chat import encode, encode_row
    from ._doctor import Check, doctor
    from ._edit import AppliedEdit, Edit, TensorEdit, apply_edit, merge_edit, read_edit, remove_edit, save_edit
    from ._engine import Engine, out_of_memory
    from ._load import load, resolve_device, resolve_dtype
    from ._loaded import AdapterProof, Loaded
    from ._pad import EncodedRow, collate_rows
    from ._parts import (
        connector_modules,
        language_root,
        lora_targets,
        output_layer,
        target_regex,
        vision_root,
    )
    from ._processor import load_processor
    from ._source import find_folder, fingerprint
    from ._template import plain
    from ._values import Answer, AnswerScore, Decoding, Look, Problem, Prompt

_WHERE = {
    "AdapterProof": "_loaded",
    "Answer": "_values",
    "AnswerScore": "_values",
    "AppliedEdit": "_edit",
    "Check": "_doctor",
    "Decoding": "_values",
    "Edit": "_edit",
    "EncodedRow": "_pad",
    "Engine": "_engine",
    "Loaded": "_loaded",
    "Look": "_values",
    "Problem": "_values",
    "Prompt": "_values",
    "TensorEdit": "_edit",
    "apply_edit": "_edit",
    "collate_rows": "_pad",
    "connector_modules": "_parts",
    "doctor": "_doctor",
    "encode": "_chat",
    "encode_row": "_chat",
    "find_folder": "_source",
    "fingerprint": "_source",
    "language_root": "_parts",
    "load": "_load",
    "load_processor": "_processor",
    "lora_targets": "_parts",
    "merge_adapter": "_adapter",
    "merge_edit": "_edit",
    "out_of_memory": "_engine",
    "output_layer": "_parts",
    "plain": "_template",
    "prove_adapter": "_adapter",
    "read_artifact": "_artifact",
    "read_edit": "_edit",
    "remove_edit": "_edit",
    "resolve_device": "_load",
    "resolve_dtype": "_load",
    "save_edit": "_edit",
    "target_regex": "_parts",
    "vision_root": "_parts",
}

__all__ = [
    "AdapterProof",
    "Answer",
    "AnswerScore",
    "AppliedEdit",
    "Check",
    "Decoding",
    "Edit",
    "EncodedRow",
    "Engine",
    "Loaded",
    "Look",
    "Problem",
    "Prompt",
    "TensorEdit",
    "apply_edit",
    "collate_rows",
    "connector_modules",
    "doctor",
    "encode",
    "encode_row",
    "find_folder",
    "fingerprint",
    "language_root",
    "load",
    "load_processor",
    "lora_targets",
    "merge_adapter",
    "merge_edit",
    "out_of_memory",
    "output_layer",
    "plain",
    "prove_adapter",
    "read_artifact",
    "read_edit",
    "remove_edit",
    "resolve_device",
    "resolve_dtype",
    "save_edit",
    "target_regex",
    "vision_root",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for torch."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
