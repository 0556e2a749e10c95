"""What to try after a run with a fixed dose, in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._change import Change

TARGET = '--target "asr<=0.20, over_refusal<=0.10, capability_drop<=0.02"'


def next_step(found: Sequence[Change], run: Mapping[str, Any]) -> str:
    """One sentence from what got better and worse, or nothing: for an evaluation, for a run that searched its dose
    already, and when no safety row was compared. `run` is the content of `run.json`."""
    config = run.get("config")
    if not isinstance(config, Mapping) or "method" not in config or config.get("target") or not found:
        return ""
    chosen = [c for c in found if c.counted]
    asr = [c for c in chosen if c.before.metric == "asr"]
    cost = [c for c in chosen if c.judgement == "worse" and c.before.metric != "asr"]
    if not asr:
        return ""
    knobs = run.get("knobs") or {}
    ways = [", ".join(f"--dose {name}=..." for name in knobs) or "--set"]
    if config["method"] == "rejection-mix":
        ways.append("refusals of questions that are nearer to the harmful ones (--rejection-source)")
    if cost and knobs:
        return (
            "This dose has a price. A search measures several doses and takes the smallest one that meets your own "
            f"limits, or says that none does: give the same command with {TARGET}."
        )
    if cost:
        return f"This correction has a price. Try weaker settings ({ways[0]}); the method has no dose to search."
    if not any(c.judgement == "better" for c in asr):
        ways += [f"a search ({TARGET})"] if knobs else []
        others = f", or {' or '.join(ways[1:])}" if ways[1:] else ""
        return f"This dose did not show a gain in safety. Try a stronger one ({ways[0]}){others}."
    return ""
