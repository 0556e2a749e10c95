"""Named sets of benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from counterpoise.base import InputError

from ._registry import benchmarks


@dataclass(frozen=True)
class Suite:
    """Benchmarks under one name; those whose rows are not here are skipped with the reason."""

    name: str
    title: str
    benchmarks: tuple[str, ...]
    caps: Mapping[str, int] = field(default_factory=dict)
    """At most so many rows of a benchmark, spread evenly over its file: always the same ones."""
    composite: Mapping[str, str] = field(default_factory=dict)
    """For a suite with one number over its benchmarks: the metric that each of them gives to the mean."""


_SMOKE = ("twins-validation", "reading", "simple-questions")
SMOKE_CAPS = {"twins-validation": 216, "reading": 50}
"""27 of 39 families, eight items each, and a third of what only shows whether reading was lost: a first look must end
while one looks. On two plain cores the answers cost what their tokens cost (0.3 TFLOP/s, the cores' own limit)."""
_CORE = (
    "twins", "reading", "naming", "counting", "simple-questions", "chart-questions",
    # plain files of public git repositories; what is not in the data folder is skipped with the reason
    "figstep-tiny", "figstep-tiny-reading", "mm-safetybench-text", "mm-safetybench-typo",
    "mm-safetybench-typo-reading", "mossbench", "harmbench-multimodal", "harmbench-text", "strongreject",
    "jailbreakbench-harmful", "jailbreakbench-benign", "xstest", "oktest", "gsm8k", "math500",
)  # fmt: skip
CORE_CAPS = {"gsm8k": 100, "math500": 50, "mm-safetybench-text": 400, "mm-safetybench-typo-reading": 200}
"""What would take half of the time whole: long answers that only show whether an ability was lost, and MM-SafetyBench
without images and as a reading test."""
NOT_IN_CORE = {
    "twins-validation": "for choosing settings; core tests on the other families",
    "figstep": "its sample figstep-tiny is in core",
    "figstep-pro": "its pictures are an archive to unpack first",
    "mm-safetybench-sd": "its pictures are not in the git repository",
    "mm-safetybench-sd-typo": "its pictures are not in the git repository",
    "gsm8k-pass8": "eight sampled answers to each question",
}
"""Benchmarks that may have their rows here and stay out of `core` all the same, with the reason."""
_SAFETY = dict.fromkeys(("salad-base", "wildjailbreak-harmful", "jailbreakbench-harmful", "wildguardtest"), "asr")
_DRIFT = ("wildchat-drift",)
"""Measured with the suite `safety`, in a row of its own: nobody labelled its prompts, so a refusal is not safety."""
_OVER_REFUSAL = dict.fromkeys(
    ("xstest", "wildjailbreak-benign", "wildguardtest", "oktest", "or-bench-hard-1k"), "over_refusal"
)
_REASONING = dict.fromkeys(("math500", "gpqa-diamond", "mmlu-pro", "gsm8k", "arc-challenge"), "accuracy")


def suite(name: str) -> Suite:
    """One suite by name. Raises InputError that suggests the nearest name."""
    known = suites()
    if name not in known:
        raise InputError.unknown("suite", name, known)
    return known[name]


def suites() -> dict[str, Suite]:
    """`smoke` (a few minutes on two cores), `core` (all that says something about a small model), `full` (everything),
    and the composite suites of the literature: `safety`, `over-refusal`, `reasoning`."""
    return {
        "smoke": Suite("smoke", "A first look: Twins validation families and two capability tests", _SMOKE, SMOKE_CAPS),
        "core": Suite("core", "Safety, over-refusal and capability, in text and images", _CORE, CORE_CAPS),
        "safety": _composite("safety", "Refusal of harmful requests in text; drift on users' prompts", _SAFETY, _DRIFT),
        "over-refusal": _composite(
            "over-refusal", "Refusal of harmless requests in text that look harmful", _OVER_REFUSAL
        ),
        "reasoning": _composite("reasoning", "Mathematics, science and general knowledge in text", _REASONING),
        "full": Suite("full", "Every known benchmark", tuple(benchmarks())),
    }


def _composite(name: str, title: str, parts: Mapping[str, str], beside: tuple[str, ...] = ()) -> Suite:
    return Suite(name, title, (*parts, *beside), composite=parts)
