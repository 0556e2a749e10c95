"""Inspect tasks by name, found through the entry point: `inspect eval counterpoise/twins --model ...`.

Each of our benchmarks is a task of the same name, with `_` or `-` between words; `counterpoise/benchmark -T name=...`
runs any benchmark, those of installed packages too. Nothing heavy is imported before a task is made.
"""

from inspect_ai import Task
from inspect_ai import task as _task

NAMES = (
    "twins", "twins-validation", "figstep", "figstep-tiny", "figstep-tiny-reading", "mm-safetybench-text",
    "mm-safetybench-typo",
    "mm-safetybench-typo-reading", "mm-safetybench-sd", "mm-safetybench-sd-typo", "xstest", "gsm8k",
    "gsm8k-pass8", "reading",
    "naming", "counting", "simple-questions", "chart-questions",
    "arc-challenge", "gpqa-diamond", "mmlu-pro", "figstep-pro", "harmbench-multimodal", "holisafe", "jailbreakv",
    "jailbreakv-mini", "math500", "mis-easy", "mis-hard", "mis-real", "mm-vet", "mmbench", "mmmu", "mossbench",
    "mossbench-image-pairs", "mssbench-chat", "mssbench-chat-cot",
    "mssbench-chat-multi-agent", "mssbench-chat-ic-self-caption", "mssbench-embodied-multi-agent",
    "mssbench-embodied-ic-self-caption", "mssbench-chat-qc", "mssbench-chat-ic",
    "mssbench-chat-ic-caption", "mssbench-embodied", "mssbench-embodied-cot", "mssbench-embodied-qc",
    "mssbench-embodied-ic", "mssbench-embodied-ic-caption", "siuo", "siuo-mcqa", "vizwiz-vqa", "vlguard-unsafe",
    "vlguard-safe-unsafe", "vlguard-safe-safe",
    "advbench", "do-not-answer", "harmbench-text", "jailbreakbench-harmful", "jailbreakbench-benign", "oktest",
    "or-bench-hard-1k", "or-bench-toxic", "salad-base", "salad-attack", "salad-defence", "salad-mcq",
    "strongreject", "strongreject-small", "wildchat-drift",
    "wildguardtest", "wildjailbreak-harmful", "wildjailbreak-benign",
)  # fmt: skip
"""Ours; listed here because Inspect must see the tasks without the readers being imported."""


@_task
def benchmark(name: str) -> Task:
    """Any benchmark that `counterpoise list benchmarks` names."""
    from ._registry import benchmark as find
    from ._task import task

    card = find(name)
    return task(card, card.samples())


def _declare(name: str) -> None:
    def made() -> Task:
        from ._registry import benchmark as find
        from ._task import task

        card = find(name)
        return task(card, card.samples())

    made.__doc__ = f"The benchmark {name}."
    for spelling in {name, name.replace("-", "_")}:
        _task(name=spelling)(made)


for _name in NAMES:
    _declare(_name)

__all__ = ["benchmark"]
