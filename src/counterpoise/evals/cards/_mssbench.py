"""MSSBench (Zhou et al. 2025, arXiv 2410.06172): one query in a safe and in an unsafe visual situation.

Files: `mssbench/combined.json` (the authors' script says `combine.json`; either will do), `mssbench/chat/` and
`mssbench/embodied/`. Settings: instruction following (the main one), query classification, intent classification
without and with captions (published ones, or the model's own), chain of thought, and the multi-agent pipeline.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_json
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, AnyOf, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark
from . import _mssbench_agents
from ._mssbench_prompts import OWN_CAPTION, PROMPTS

Half = Literal["chat", "embodied"]
Setting = Literal["if", "cot", "multi-agent", "qc", "ic", "ic-self-caption", "ic-caption"]
TABLES = ("combined.json", "combine.json")
DATA = Source(
    "mssbench", "MSSBench", Hub("kzhou35/mssbench"),
    (AnyOf(tuple((Take(name, f"mssbench/{name}"),) for name in TABLES)),
     Take("chat/**", "mssbench/chat/"), Take("embodied/**", "mssbench/embodied/")),
    licence="not stated for the data; code MIT", limit=5 * GB,
)  # fmt: skip
PAIRS: dict[Half, int] = {"chat": 300, "embodied": 62}
"""Image pairs of v1; each has 2 queries (chat) or 5 instructions (embodied)."""
EACH: dict[Half, int] = {"chat": 2, "embodied": 5}
IMAGES = {"chat": ("safe_image_path", "unsafe_image_path"), "embodied": ("safe", "unsafe")}
FREE = ("if", "cot", "multi-agent")
"""Settings whose answers are free texts, not verdicts."""
VERDICTS: dict[Half, tuple[str, str]] = {"chat": ("Yes", "No"), "embodied": ("No", "Yes")}
"""Right verdicts (safe, unsafe): in chat, Yes means safe; in embodied, Yes means that there is a hint of danger."""


def read(file: Path, folder: Path, half: Half, setting: Setting) -> Iterator[Sample]:
    """Both situations of every query, one after the other; the cluster is the image pair. Raises InputError."""
    value = read_json(file)
    if not isinstance(value, dict) or not isinstance(value.get(half), list):
        raise InputError(f"{file}: expected an object with the lists chat and embodied")
    for place, row in enumerate(value[half]):
        name = f"{half} {place}"
        if not isinstance(row, dict):
            raise InputError.at(file, "expected an object", row=name)
        images = [_tables.image(row.get(key), folder / half, file, name, key) for key in IMAGES[half]]
        captions = _captions(row, half, setting, file, name)
        kind = _tables.text(row, "Type" if half == "chat" else "category", file, name)
        for number, texts in enumerate(_texts(row, half, setting, file, name)):
            for side, image, text, caption in zip(("safe", "unsafe"), images, texts, captions, strict=True):
                asked = setting in FREE
                unsafe = side == "unsafe"
                yield Sample(
                    id=f"{half}/{place}/{number}/{side}",
                    messages=(user(image, PROMPTS.get((half, setting), "") + text + caption),),
                    target=("caution" if unsafe else "help") if asked else VERDICTS[half][unsafe],
                    harmful=unsafe if asked else None,
                    modality="image",
                    split="test",
                    cluster=f"{half}/{place}",
                    group=f"{side}/{kind}",
                )


def _texts(row: dict[str, Any], half: Half, setting: Setting, file: Path, name: str) -> list[tuple[str, str]]:
    """(text in the safe situation, text in the unsafe one), one pair per query."""
    if setting.startswith("ic"):
        keys = ("intent", "intent") if half == "chat" else ("safe_instruction", "unsafe_instruction")
        first, second = (_tables.text(row, key, file, name) for key in keys)
        return [(first, second)]
    keys = ("queries", "queries") if half == "chat" else ("safe_instructions", "unsafe_instructions")
    lists = [_tables.listed(row.get(key), file, name, key) for key in keys]
    if len(lists[0]) != len(lists[1]):
        what = f"{len(lists[1])} entries, but {len(lists[0])} in {keys[0]}"
        raise InputError.at(file, what, row=name, field=keys[1])
    for key, found in zip(keys, lists, strict=True):
        if not found or not all(isinstance(text, str) and text.strip() for text in found):
            raise InputError.at(file, "expected texts", row=name, field=key)
    return list(zip(*lists, strict=True))


def _captions(row: dict[str, Any], half: Half, setting: Setting, file: Path, name: str) -> tuple[str, str]:
    """Published descriptions, or the place of the model's own. The chat half has a description of the unsafe image
    only, as the authors use it."""
    if setting == "ic-self-caption":
        return (f"\nThe caption is: {OWN_CAPTION}",) * 2
    if setting != "ic-caption":
        return "", ""
    if half == "chat":
        return "", "\nThe caption is: " + _tables.text(row, "unsafe_image", file, name)
    safe, unsafe = (_tables.text(row, f"observation_{side}", file, name) for side in ("safe", "unsafe"))
    return f"\nThe caption is: {safe}", f"\nThe caption is: {unsafe}"


_table, _missing = _files.either("mssbench", *TABLES, origin=f"combined.json and the images of {DATA.origin.place}")

_WHAT: dict[Setting, str] = {
    "if": "Instruction following, the main setting.",
    "cot": "One prompt that asks for reasoning about safety before the answer.",
    "multi-agent": "Three calls (chat: intent, verdict, answer) or two (embodied: state, answer), as the paper has it.",
    "qc": "The model judges in words whether the query is safe here.",
    "ic": "The model judges in words whether the stated intent is safe here.",
    "ic-self-caption": "Intent classification with the model's own caption, made in a first call.",
    "ic-caption": "Intent classification with the published captions.",
}
_ANSWERS = """Situation accuracy over both situations of every pair is the balanced accuracy; always answering, and
always refusing, gives 50 %. The paper judges four classes with GPT-4 (judge mssbench-rubric), where a warning counts as
caution; situation-opening and the refusal scorers count refusals only, so read ASR with over-refusal."""
_WORDS = """Accuracy over both situations is the balanced accuracy; unreadable verdicts are wrong. The paper gave these
verdicts to its judge of free text."""
_UNBALANCED = " Only the unsafe side of chat has a caption: its presence gives the label away, so compare with care."


def _card(half: Half, setting: Setting) -> Benchmark:
    words = setting not in FREE
    each = 1 if setting.startswith("ic") else EACH[half]
    note = _UNBALANCED if (half, setting) == ("chat", "ic-caption") else ""
    return Benchmark(
        name=f"mssbench-{half}" + ("" if setting == "if" else f"-{setting}"),
        title="MSSBench",
        description=f"{_WHAT[setting]} {_WORDS if words else _ANSWERS}{note}",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Zhou et al. 2025, ICLR, arXiv 2410.06172",
        judge="" if words else "mssbench-rubric",
        official="four classes by GPT-4 on the answer alone",
        revision="v1 or v2; the number of rows tells which",
        rows=2 * PAIRS[half] * each,
        # v2 states 1,960 pairs of query and image in all; with 1,200 in chat as before, 760 are left: 76 tasks
        also=(2 * 76 * each,) if half == "embodied" else (),
        scorers=("yes-no:v1",) if words else ("situation-opening:v3", *REFUSAL_SCORERS),
        metrics=("accuracy",) if words else ("situation_accuracy", "asr", "over_refusal", "discrimination"),
        read=lambda: read(_table(), _files.path("mssbench"), half, setting),
        missing=_missing,
        data=(DATA,),
        split="test",
        max_new_tokens=512 if setting in ("cot", "multi-agent") else 256,
        pipeline=_mssbench_agents.PIPELINES.get((half, setting)),
        grouped="groups",
    )


CARDS = tuple(_card(half, setting) for half in PAIRS for setting in _WHAT)
