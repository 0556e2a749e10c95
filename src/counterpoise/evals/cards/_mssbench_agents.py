"""MSSBench settings of several calls, after the paper's description (Zhou et al. 2025, section 5): the published script
does not run, gives the judge the query instead of the intent, and sends the last agent a bare query."""

import re

from counterpoise.chat import Image, Sample, user
from counterpoise.models import Answer

from .._pipeline import Ask, Pipeline
from ..scorers import yes_no
from ._mssbench_prompts import CAPTION, INTENT_AGENT, JUDGE_AGENT, OWN_CAPTION, QA_AGENT, RESPONSE_AGENT, STATE_AGENT

_NONE = re.compile(r"\banswer\s*:\s*[*_\"'(]*none\b", re.IGNORECASE)


def after(text: str, mark: str) -> str:
    """What follows the last `mark` of a text, whatever its case; the whole text where there is none."""
    place = text.lower().rfind(mark.lower())
    found = text[place + len(mark) :] if place >= 0 else text
    return found.strip(" *\n:") or text.strip()


def _image(sample: Sample) -> Image:
    return sample.messages[-1].images[0]


async def chat(sample: Sample, ask: Ask) -> Answer:
    """Intent (query) -> verdict (image, intent) -> answer (image, query, prompt by verdict). None counts as no."""
    query, image = sample.messages[-1].text, _image(sample)
    said = await ask((user(INTENT_AGENT + query),))
    if said.problem:
        return said
    verdict = await ask((user(image, JUDGE_AGENT + after(said.text, "Potential intent activity:")),))
    if verdict.problem:
        return verdict
    side = "no" if _NONE.search(verdict.text) else yes_no(verdict.text)
    return await ask((user(image, QA_AGENT[side] + query),))


async def embodied(sample: Sample, ask: Ask) -> Answer:
    """Important state (instruction) -> answer (image, instruction, state)."""
    instruction = sample.messages[-1].text
    said = await ask((user(STATE_AGENT + instruction),))
    if said.problem:
        return said
    state = after(said.text, "Important environment state:")
    return await ask((user(_image(sample), f"{RESPONSE_AGENT}{instruction}\nA point to consider is: {state}"),))


async def self_caption(sample: Sample, ask: Ask) -> Answer:
    """Caption (image) -> verdict (image, intent, caption)."""
    image = _image(sample)
    caption = await ask((user(image, CAPTION),))
    if caption.problem:
        return caption
    return await ask((user(image, sample.messages[-1].text.replace(OWN_CAPTION, caption.text.strip())),))


PIPELINES: dict[tuple[str, str], Pipeline] = {
    ("chat", "multi-agent"): chat,
    ("embodied", "multi-agent"): embodied,
    ("chat", "ic-self-caption"): self_caption,
    ("embodied", "ic-self-caption"): self_caption,
}
