"""Instruction files in the layouts of Alpaca and of safety-tuned-llamas (Bianchi et al. 2023), and training files of
either these or the LLaVA layout.

Two layouts: a list of {"instruction", "input", "output"}, to train on; and {"instructions": [...], "inputs": [...]},
prompts to evaluate on.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_json
from counterpoise.chat import Sample, assistant, user

from ._llava import ReadRecord, read_llava
from ._row_files import raw_rows

PromptStyle = Literal["chat", "alpaca"]
"""`chat`: the instruction as the user's turn, a blank line, the input. `alpaca`: both inside Alpaca's frame. What was
measured with one is not comparable to the other."""
_OPENING = "Below is an instruction that describes a task{}. Write a response that appropriately completes the request."
_PAIRED = ", paired with an input that provides further context"


def instruction_prompt(instruction: str, given: str = "", style: PromptStyle = "chat") -> str:
    """The user's text of one instruction with its input."""
    if style == "chat":
        return f"{instruction}\n\n{given}" if given else instruction
    context = f"\n\n### Input:\n{given}" if given else ""
    return f"{_OPENING.format(_PAIRED if given else '')}\n\n### Instruction:\n{instruction}{context}\n\n### Response:"


def read_instructions(file: Path, style: PromptStyle = "chat") -> Iterator[Sample]:
    """The rows of such a file: with the answer as the assistant's turn (list layout), or the prompts alone.

    Raises InputError naming file, row and field of a row that lacks its instruction or, in the list layout, its output.
    """
    if _layout(file) == "prompts":
        yield from _prompts(file, style)
        return
    for number, row in raw_rows(file):
        yield _sample(row, file, number, style)


def _sample(row: dict[str, Any] | str, file: Path, number: int, style: PromptStyle) -> Sample:
    if isinstance(row, str):
        raise InputError.at(file, row, row=number)
    instruction, output = (_text(row.get(name), file, number, name) for name in ("instruction", "output"))
    given = _text(row.get("input"), file, number, "input", needed=False)
    messages = (user(instruction_prompt(instruction, given, style)), assistant(output))
    return Sample(f"row{number}", messages, split="train", meta={"source": file.name, "row": number})


def read_training(
    file: Path, images: Path | None = None, *, style: PromptStyle = "chat", skip_bad: int = 0, record: ReadRecord
) -> Iterator[Sample]:
    """Rows that end in a reply, of an instruction file or of a LLaVA/ShareGPT one, told apart by the first row.

    Raises InputError as `read_instructions` and `read_llava` do, and for a file of prompts without answers.
    """
    kind = _layout(file)
    if kind == "prompts":
        raise InputError(f"{file}: prompts without answers; training needs rows with instruction and output")
    if kind == "llava":
        yield from read_llava(file, images, skip_bad=skip_bad, record=record)
        return
    for number, row in raw_rows(file):
        try:
            sample = _sample(row, file, number, style)
        except InputError as error:
            record.bad_rows.append(str(error))
            if len(record.bad_rows) > skip_bad:
                raise
            continue
        record.rows += 1
        yield sample


def read_prompts(file: Path, images: Path | None = None, *, style: PromptStyle = "chat") -> Iterator[Sample]:
    """The prompts of a file of any of these layouts, without the answers that may stand there."""
    kind, record = _layout(file), ReadRecord()
    rows = read_training(file, images, style=style, record=record) if kind != "prompts" else _prompts(file, style)
    for row in rows:
        asked = row.messages[:-1] if row.messages[-1].role == "assistant" else row.messages
        yield replace(row, id=f"{file.stem}-{row.id}" if kind != "prompts" else row.id, messages=asked)


def _layout(file: Path) -> Literal["list", "prompts", "llava"]:
    """Told by the beginning: an object with `instructions`, or a first row with `instruction`."""
    try:
        with file.open("rb") as opened:
            head = opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    if head.startswith(b"{") and b'"instructions"' in head:
        return "prompts"
    first = next((row for _, row in islice(raw_rows(file), 1)), {})
    return "list" if isinstance(first, dict) and "instruction" in first else "llava"


def _prompts(file: Path, style: PromptStyle) -> Iterator[Sample]:
    value = read_json(file)
    texts = value.get("instructions")
    inputs = value.get("inputs") or ([""] * len(texts) if isinstance(texts, list) else None)
    if not isinstance(texts, list) or not isinstance(inputs, list) or len(texts) != len(inputs):
        raise InputError(f"{file}: expected lists of one length, instructions and (where there are any) inputs")
    for number, (instruction, given) in enumerate(zip(texts, inputs, strict=True), 1):
        text = _text(instruction, file, number, "instructions")
        context = _text(given, file, number, "inputs", needed=False)
        meta = {"source": file.name, "row": number}
        yield Sample(
            f"{file.stem}-{number}", (user(instruction_prompt(text, context, style)),), split="test", meta=meta
        )


def _text(value: Any, file: Path, number: int, field: str, *, needed: bool = True) -> str:
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value.strip()):
        raise InputError.at(file, "missing or empty; expected text", row=number, field=field)
    return value.strip()
