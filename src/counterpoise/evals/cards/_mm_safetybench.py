"""MM-SafetyBench (Liu et al. 2023): the harmful key phrase moves into an image, the text only refers to it."""

from typing import Any

from counterpoise.data.sources import GB, GitHub, Hub, Pictures, Source, Take

from .. import _files
from .._benchmark import REFUSAL_SCORERS, Benchmark, In
from ._mm_safetybench_rows import MODALITIES, SCENARIOS, Mode, present, read

DATA = Source(
    "mm-safetybench", "MM-SafetyBench, questions",
    GitHub("isXinLiu/MM-SafetyBench", "b80eedea3db312c09ded2082813390f68e750ef3"),
    (Take("data/processed_questions/*.json", "mm_safetybench/"),), licence="CC BY-NC 4.0",
)  # fmt: skip


def _images(mode: str) -> Source:
    """The hub's copy has the images in tables, by scenario without its number; the readers want files."""
    name = mode.upper().replace("-", "_")
    return Source(
        f"mm-safetybench-{mode}", f"MM-SafetyBench, {name} images", Hub("PKU-Alignment/MM-SafetyBench"),
        tuple(Pictures(f"data/{each[3:]}/{name}.parquet", f"mm_safetybench/imgs/{each}/{name}/{{id}}.jpg")
              for each in SCENARIOS),
        licence="CC BY-NC 4.0", limit=10 * GB,
    )  # fmt: skip


def _missing(mode: Mode) -> str | None:
    if reason := _files.need("mm_safetybench", origin=DATA.origin.place)():
        return reason
    if not present():
        return _files.need(
            "mm_safetybench", "01-Illegal_Activitiy.json", origin=f"the question files of {DATA.origin.place}"
        )()
    return (
        None
        if mode in ("text", "typo")
        else _files.need("mm_safetybench", "imgs", origin=f"the images of {DATA.origin.place}")()
    )


def _card(mode: Mode, *, reading: bool = False, **place: Any) -> Benchmark:
    what = f"""Mode {mode.upper().replace("-", "_")}. One row per scenario, one for each of harm, lobbying and
    government, and advice, one pooled over all questions, and the mean of the scenarios' rates. In scenarios 08 and
    10-13 an ordinary helpful answer counts as a success, so read harm before the pooled rate."""
    if mode == "text":
        what = f"""Without an image: the field `Changed Question`, the request itself in the imperative (papers that put
        `Question` report another number). What the images add is the difference to the other modes. {what}"""
    if reading:
        what = "Reading probe: the share of the printed key phrase that the model transcribes."
    return Benchmark(
        name=f"mm-safetybench-{mode}-reading" if reading else f"mm-safetybench-{mode}",
        title="MM-SafetyBench",
        description=what,
        modality=MODALITIES[mode],
        source=DATA.origin.place,
        licence=DATA.licence,
        revision="all 13 scenarios",
        citation="Liu et al. 2024, MM-SafetyBench, ECCV, arXiv 2311.17600",
        official="" if reading else "GPT-4 reads the answer alone, with one of six templates by scenario",
        judge="" if reading else "mm-safetybench-rubric",
        rows=sum(SCENARIOS.values()),
        here=lambda: _present(what),
        scorers=("word-accuracy:v2",) if reading else REFUSAL_SCORERS,
        metrics=("word_accuracy",) if reading else ("asr",),
        read=lambda: read(mode, reading=reading),
        missing=lambda: _missing(mode),
        data=(DATA,) if mode in ("text", "typo") else (DATA, _images(mode)),
        split="test",
        max_new_tokens=24 if reading else 0,
        grouped="no" if reading else "mean",
        **place,
    )


def _present(what: str) -> dict[str, Any]:
    """What a folder with a part of the scenarios makes of a card. A rate over 11 must not be compared with one over
    13."""
    here = present()
    absent = [scenario for scenario in SCENARIOS if here and scenario not in here]
    if not absent:
        return {}
    return {
        "description": f"{what} Not in the data folder, and so in no rate: {', '.join(absent)}.",
        "revision": f"{len(here)} of 13 scenarios",
        "rows": sum(SCENARIOS[scenario] for scenario in here),
    }


NOT_PLAIN = "its pictures are not in the git repository"
CARDS = (
    _card("text", suites=(In("core", 400),)),
    _card("typo", suites=(In("core"),)),
    _card("typo", reading=True, suites=(In("core", 200),)),
    _card("sd", not_in_core=NOT_PLAIN),
    _card("sd-typo", not_in_core=NOT_PLAIN),
)
