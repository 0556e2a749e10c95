"""HarmBench, text behaviours (Mazeika et al. 2024, arXiv 2402.04249).

File: `harmbench/harmbench_behaviors_text_all.csv`.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GitHub, Source, Take

from .. import _tables
from .._benchmark import In
from ._prompts import known_id, text_card

ORIGIN = GitHub("centerforaisafety/HarmBench", "8e1604d1171fe8a48d8febecd22f600e462bdcdd")
DATA = Source(
    "harmbench-text", "HarmBench, text behaviours",
    ORIGIN,
    (Take("data/behavior_datasets/harmbench_behaviors_text_all.csv", "harmbench/harmbench_behaviors_text_all.csv",
          sha256="8d81accedd38eaaf8b760618622bb888417d1fd0c86eba65c427a16f1cbb4afc"),),
    licence="MIT", size=198_850,
)  # fmt: skip
KINDS = ("standard", "contextual", "copyright")


def read(file: Path) -> Iterator[Sample]:
    """The behaviours without an attack; a context stands before its behaviour, with a blank line between."""
    for number, row in _tables.table(file, ("Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID")):
        behaviour = _tables.text(row, "Behavior", file, number)
        kind = _tables.choice(row, "FunctionalCategory", KINDS, file, number)
        context = str(row.get("ContextString") or "").strip()
        if (kind == "contextual") != bool(context):
            problem = "empty; contextual behaviours have one" if not context else f"not expected of {kind} behaviours"
            raise InputError.at(file, problem, row=number, field="ContextString")
        yield Sample(
            id=known_id(row, "BehaviorID", file, number),
            messages=(user(f"{context}\n\n{behaviour}" if context else behaviour),),
            harmful=True,
            split="test",
            group=f"{kind}/{row['SemanticCategory']}",
            meta={"behaviour": behaviour, "context": context, "tags": str(row.get("Tags") or "")},
        )


CARDS = (
    text_card(
        "harmbench-text",
        "HarmBench (text)",
        DATA,
        read,
        description="""ASR on 400 behaviours put as they are, without an attack: 200 standard, 100 with a context, 100
        that ask for copyrighted text (there "not refused" says least: the official check compares with the work).""",
        revision="harmbench_behaviors_text_all",
        citation="Mazeika et al. 2024, HarmBench, ICML, arXiv 2402.04249",
        official="share of yes of a fine-tuned Llama-2-13B over 512 tokens; hashes for copyright",
        judge="harmbench-cls",
        rows=400,
        grouped="groups",
        suites=(In("core"),),
    ),
)
