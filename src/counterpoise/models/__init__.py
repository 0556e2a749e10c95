"""Models: load one, prove its adapter, generate and score in large batches.

loaded = load("pocket")
engine = Engine(loaded)
answers = engine.generate([(user("What is printed here?", Image.from_path("page.png")),)])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._adapter import merge_adapter, prove_adapter
    from ._chat import encode, encode_row
    from ._doctor import Check, doctor
    from ._engine import Engine
    from ._load import load, resolve_device, resolve_dtype
    from ._loaded import AdapterProof, Loaded
    from ._lora import lora_targets, target_regex
    from ._pad import EncodedRow
    from ._processor import load_processor
    from ._reply import ReasoningMarkers, Reply, split_reply
    from ._source import find_folder, fingerprint
    from ._template import plain
    from ._values import Answer, AnswerScore, Decoding, Look, Problem, Prompt

_WHERE = {
    "AdapterProof": "_loaded",
    "Answer": "_values",
    "AnswerScore": "_values",
    "Check": "_doctor",
    "Decoding": "_values",
    "EncodedRow": "_pad",
    "Engine": "_engine",
    "Loaded": "_loaded",
    "Look": "_values",
    "Problem": "_values",
    "Prompt": "_values",
    "ReasoningMarkers": "_reply",
    "Reply": "_reply",
    "doctor": "_doctor",
    "encode": "_chat",
    "encode_row": "_chat",
    "find_folder": "_source",
    "fingerprint": "_source",
    "load": "_load",
    "load_processor": "_processor",
    "lora_targets": "_lora",
    "merge_adapter": "_adapter",
    "plain": "_template",
    "prove_adapter": "_adapter",
    "resolve_device": "_load",
    "resolve_dtype": "_load",
    "split_reply": "_reply",
    "target_regex": "_lora",
}

__all__ = [
    "AdapterProof",
    "Answer",
    "AnswerScore",
    "Check",
    "Decoding",
    "EncodedRow",
    "Engine",
    "Loaded",
    "Look",
    "Problem",
    "Prompt",
    "ReasoningMarkers",
    "Reply",
    "doctor",
    "encode",
    "encode_row",
    "find_folder",
    "fingerprint",
    "load",
    "load_processor",
    "lora_targets",
    "merge_adapter",
    "plain",
    "prove_adapter",
    "resolve_device",
    "resolve_dtype",
    "split_reply",
    "target_regex",
]


def __getattr__(name: str) -> Any:
    """Parts are imported when first used: `counterpoise --help` must not wait for torch."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
