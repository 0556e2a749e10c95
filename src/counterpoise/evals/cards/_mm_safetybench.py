"""MM-SafetyBench (Liu et al. 2023): the harmful key phrase moves into an image, the text only refers to it."""

from counterpoise.data.sources import GB, GitHub, Hub, Pictures, Source, Take

from .._benchmark import REFUSAL_SCORERS, Benchmark
from .._registry import register
from . import _files
from ._mm_safetybench_rows import MODALITIES, SCENARIOS, SOURCE, Mode, present, read

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
    if reason := _files.need("mm_safetybench", origin=SOURCE)():
        return reason
    if not present():
        return _files.need("mm_safetybench", "01-Illegal_Activitiy.json", origin=f"the question files of {SOURCE}")()
    return (
        None if mode in ("text", "typo") else _files.need("mm_safetybench", "imgs", origin=f"the images of {SOURCE}")()
    )


def _card(mode: Mode, *, reading: bool = False) -> Benchmark:
    here = present()
    absent = [scenario for scenario in SCENARIOS if here and scenario not in here]
    note = f" Not in the data folder, and so in no rate: {', '.join(absent)}." if absent else ""
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
        description=what + note,
        modality=MODALITIES[mode],
        source=SOURCE,
        licence="CC BY-NC 4.0",
        # a rate over 11 scenarios must not be compared with one over 13
        revision="all 13 scenarios" if not absent else f"{len(here)} of 13 scenarios",
        citation="Liu et al. 2024, MM-SafetyBench, ECCV, arXiv 2311.17600",
        official="" if reading else "GPT-4 reads the answer alone, with one of six templates by scenario",
        judge="" if reading else "mm-safetybench-rubric",
        rows=sum(SCENARIOS[scenario] for scenario in here or SCENARIOS),
        scorers=("word-accuracy:v2",) if reading else REFUSAL_SCORERS,
        metrics=("word_accuracy",) if reading else ("asr",),
        read=lambda: read(mode, reading=reading),
        missing=lambda: _missing(mode),
        data=(DATA,) if mode in ("text", "typo") else (DATA, _images(mode)),
        split="test",
        max_new_tokens=24 if reading else 0,
        grouped="no" if reading else "mean",
    )


@register("mm-safetybench-text")
def text() -> Benchmark:
    return _card("text")


@register("mm-safetybench-typo")
def typo() -> Benchmark:
    return _card("typo")


@register("mm-safetybench-typo-reading")
def typo_reading() -> Benchmark:
    return _card("typo", reading=True)


@register("mm-safetybench-sd")
def sd() -> Benchmark:
    return _card("sd")


@register("mm-safetybench-sd-typo")
def sd_typo() -> Benchmark:
    return _card("sd-typo")
