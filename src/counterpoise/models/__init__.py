"""Models: load one, prove its adapter, generate and score in large batches.

loaded = load("pocket")
engine = Engine(loaded)
answers = engine.generate([(user("What is printed here?", Image.from_path("page.png")),)])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._adapter import merge_adapter, prove_adapter
    from ._alpaca import alpaca
    from ._artifact import read_artifact
    from ._completion import Completion, encode_completion
    from ._cores import release_cores
    from ._device import resolve_device, resolve_dtype
    from ._doctor import Check, doctor
    from ._dual import DualEncoder, is_dual, load_dual
    from ._edit import (
        AppliedEdit,
        Edit,
        TensorEdit,
        apply_edit,
        merge_edit,
        read_edit,
        refuse_carrying,
        remove_edit,
        save_edit,
    )
    from ._encoding import EncodedRow, collate_rows, encode, encode_row
    from ._engine import Engine, out_of_memory
    from ._generate import reply_ends
    from ._load import load
    from ._loaded import AdapterProof, Loaded
    from ._parts import (
        connector_modules,
        language_root,
        lora_targets,
        output_layer,
        target_regex,
        vision_root,
    )
    from ._processor import load_processor
    from ._provider import CounterpoiseAPI, to_conversation
    from ._reply import ReasoningMarkers, Reply, split_reply
    from ._score import last_states
    from ._serving import on_other_base, save_base, save_system, served_system, with_system
    from ._source import adapter_base, find_folder, fingerprint
    from ._steering import (
        AppliedSteering,
        Steering,
        changed_states,
        decoder_layers,
        read_steering,
        save_steering,
        steer,
        unsteer,
    )
    from ._template import plain, reasoning_markers
    from ._tokens import special_ids
    from ._values import IMAGE_SOURCE, Answer, AnswerScore, Decoding, EngineError, Look, Problem, Prompt

_WHERE = {
    "AdapterProof": "_loaded",
    "Answer": "_values",
    "AnswerScore": "_values",
    "AppliedEdit": "_edit",
    "AppliedSteering": "_steering",
    "Check": "_doctor",
    "Completion": "_completion",
    "CounterpoiseAPI": "_provider",
    "Decoding": "_values",
    "DualEncoder": "_dual",
    "Edit": "_edit",
    "EncodedRow": "_encoding",
    "Engine": "_engine",
    "EngineError": "_values",
    "IMAGE_SOURCE": "_values",
    "Loaded": "_loaded",
    "Look": "_values",
    "Problem": "_values",
    "Prompt": "_values",
    "ReasoningMarkers": "_reply",
    "Reply": "_reply",
    "Steering": "_steering",
    "TensorEdit": "_edit",
    "alpaca": "_alpaca",
    "apply_edit": "_edit",
    "changed_states": "_steering",
    "collate_rows": "_encoding",
    "connector_modules": "_parts",
    "decoder_layers": "_steering",
    "doctor": "_doctor",
    "encode": "_encoding",
    "encode_completion": "_completion",
    "encode_row": "_encoding",
    "adapter_base": "_source",
    "find_folder": "_source",
    "fingerprint": "_source",
    "is_dual": "_dual",
    "language_root": "_parts",
    "last_states": "_score",
    "load": "_load",
    "load_dual": "_dual",
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
    "read_steering": "_steering",
    "reasoning_markers": "_template",
    "release_cores": "_cores",
    "remove_edit": "_edit",
    "resolve_device": "_device",
    "resolve_dtype": "_device",
    "refuse_carrying": "_edit",
    "save_edit": "_edit",
    "on_other_base": "_serving",
    "reply_ends": "_generate",
    "save_base": "_serving",
    "save_system": "_serving",
    "served_system": "_serving",
    "save_steering": "_steering",
    "special_ids": "_tokens",
    "split_reply": "_reply",
    "steer": "_steering",
    "target_regex": "_parts",
    "to_conversation": "_provider",
    "unsteer": "_steering",
    "vision_root": "_parts",
    "with_system": "_serving",
}

__all__ = [
    "IMAGE_SOURCE",
    "AdapterProof",
    "Answer",
    "AnswerScore",
    "AppliedEdit",
    "AppliedSteering",
    "Check",
    "Completion",
    "CounterpoiseAPI",
    "Decoding",
    "DualEncoder",
    "Edit",
    "EncodedRow",
    "Engine",
    "EngineError",
    "Loaded",
    "Look",
    "Problem",
    "Prompt",
    "ReasoningMarkers",
    "Reply",
    "Steering",
    "TensorEdit",
    "adapter_base",
    "alpaca",
    "apply_edit",
    "changed_states",
    "collate_rows",
    "connector_modules",
    "decoder_layers",
    "doctor",
    "encode",
    "encode_completion",
    "encode_row",
    "find_folder",
    "fingerprint",
    "is_dual",
    "language_root",
    "last_states",
    "load",
    "load_dual",
    "load_processor",
    "lora_targets",
    "merge_adapter",
    "merge_edit",
    "on_other_base",
    "out_of_memory",
    "output_layer",
    "plain",
    "prove_adapter",
    "read_artifact",
    "read_edit",
    "read_steering",
    "reasoning_markers",
    "refuse_carrying",
    "release_cores",
    "remove_edit",
    "reply_ends",
    "resolve_device",
    "resolve_dtype",
    "save_base",
    "save_edit",
    "save_steering",
    "save_system",
    "served_system",
    "special_ids",
    "split_reply",
    "steer",
    "target_regex",
    "to_conversation",
    "unsteer",
    "vision_root",
    "with_system",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for torch."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
