"""The table of facts about published guard models. Sources: their model cards and papers (see docs/guards.md)."""

from counterpoise.evals.judges import CONVERSATION, LLAMA_GUARD_CATEGORIES

from .._values import Sees
from . import _parse, _wording
from ._family import Family
from ._parse import Mode

_MLCOMMONS = {f"S{n}": name for n, name in enumerate(LLAMA_GUARD_CATEGORIES, 1)}
_LLAMA: dict[Mode, str | None] = {"prompt": "\n\n", "response": "\n\n"}
_BLOCK = ("<BEGIN CONVERSATION>", "<END CONVERSATION>")


def _llama_guard(name: str, version: int, models: tuple[str, ...], sees: Sees, n: int, licence: str, note: str, *,
                 needs_image: bool = False) -> Family:  # fmt: skip
    return Family(
        name=name,
        about=f"{models[0]}: MLCommons categories S1 to S{n}; {note}",
        models=models,
        licence=licence,
        sees=sees,
        safe=("safe",),
        unsafe=("unsafe",),
        prefix=_LLAMA,
        parse=_parse.llama_guard,
        max_new_tokens=64,
        needs_image=needs_image,
        raw=_wording.llama_guard(version, n),
        marks=_BLOCK,
        block=_BLOCK,
        delimiters=CONVERSATION,
        categories={key: _MLCOMMONS[key] for key in list(_MLCOMMONS)[:n]},
        note=note,
    )


_OPEN_CATEGORIES = {
    "O1": "Hate, Humiliation, Harassment", "O2": "Violence, Harm, or Cruelty", "O3": "Sexual Content",
    "O4": "Nudity Content", "O5": "Criminal Planning", "O6": "Weapons or Substance Abuse", "O7": "Self-Harm",
    "O8": "Animal Cruelty", "O9": "Disasters or Emergencies",
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        _llama_guard(
            "llama-guard-3", 3, ("meta-llama/Llama-Guard-3-8B",), Sees(), 14, "Llama 3.1 Community, gated",
            "text, 8 languages",
        ),
        _llama_guard(
            "llama-guard-3-1b", 3, ("meta-llama/Llama-Guard-3-1B",), Sees(), 13, "Llama 3.2 Community, gated",
            "text, 8 languages",
        ),
        _llama_guard(
            "llama-guard-3-vision", 3, ("meta-llama/Llama-Guard-3-11B-Vision",), Sees(images=1), 13,
            "Llama 3.2 Community, gated",
            "exactly one image with text, English; marks answers that identify people", needs_image=True,
        ),
        _llama_guard(
            "llama-guard-4", 4, ("meta-llama/Llama-Guard-4-12B",), Sees(images=None), 14,
            "Llama 4 Community, gated",
            "text and several images; its card: recall 41 % with one image, unfit as the only image guard",
        ),
        Family(
            name="shieldgemma-2",
            about="google/shieldgemma-2-4b-it: images only, one pass per image and policy; no text",
            models=("google/shieldgemma-2-4b-it",),
            licence="Gemma terms, gated",
            sees=Sees(texts=False, images=1, answers=False),
            safe=("No",),
            unsafe=("Yes",),
            needs_image=True,
            compose=_wording.image_with_policy,
            generation_prompt=False,  # its template ends with the opening of the reply by itself
            policies=True,
            categories={"dangerous": "Dangerous Content", "sexual": "Sexually Explicit", "violence": "Violence/Gore"},
            note="Yes means that the image violates the policy",
        ),
        Family(
            name="llavaguard",
            about="AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf: images against an editable policy O1 to O9; no text",
            models=("AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf", "AIML-TUDA/LlavaGuard-v1.2-0.5B-OV-hf"),
            licence="weights gated; arXiv 2406.05113",
            sees=Sees(texts=False, images=1, answers=False),
            safe=("Safe",),
            unsafe=("Unsafe",),
            prefix={"prompt": '{\n    "rating": "', "response": '{\n    "rating": "'},
            parse=_parse.llavaguard,
            max_new_tokens=200,
            needs_image=True,
            compose=_wording.image_with_policy,
            policy=_wording.llavaguard_policy(),
            official=False,
            categories=_OPEN_CATEGORIES,
            note="policy in our words; give the authors' with the option policy=FILE",
        ),
        Family(
            name="guardreasoner-vl",
            about="yueliu1999/GuardReasoner-VL-7B: text, image or both; reasons first, so no probability",
            models=(
                "yueliu1999/GuardReasoner-VL-7B", "yueliu1999/GuardReasoner-VL-3B",
                "yueliu1999/GuardReasoner-VL-Eco-7B", "yueliu1999/GuardReasoner-VL-Eco-3B",
            ),
            licence="see its card",
            sees=Sees(images=1),
            safe=(),
            unsafe=(),
            prefix={"prompt": None, "response": None},
            parse=_parse.guard_reasoner,
            max_new_tokens=2048,
            turns="folded",
            compose=_wording.guard_reasoner,
            policy=_wording.GUARD_REASONER,
            official=False,
            delimiters=("Human user:", "AI assistant:", "<think>", "</think>", "<result>", "</result>"),
            note="system text partly in our words; give the authors' with the option policy=FILE; seconds per exchange",
        ),
        Family(
            name="qwen3guard",
            about="Qwen/Qwen3Guard-Gen-4B: text, three levels with `controversial`; 119 languages",
            models=("Qwen/Qwen3Guard-Gen-4B", "Qwen/Qwen3Guard-Gen-0.6B", "Qwen/Qwen3Guard-Gen-8B"),
            licence="Apache-2.0",
            sees=Sees(),
            safe=("Safe", " Safe"),
            unsafe=("Unsafe", " Unsafe"),
            controversial=("Controversial", " Controversial"),
            prefix={"prompt": "Safety:", "response": "Safety:"},
            parse=_parse.qwen3guard,
            max_new_tokens=128,
            marks=("Safety:",),
            generation_prompt=False,  # its template opens the reply by itself
            categories={name: name for name in _parse.QWEN_CATEGORIES[:-1]},
            note="p_unsafe counts controversial as unsafe, as its authors' evaluation does",
        ),
        Family(
            name="granite-guardian",
            about="ibm-granite/granite-guardian-3.0-8b: text, yes or no to the risk `harm`",
            models=(
                "ibm-granite/granite-guardian-3.0-8b", "ibm-granite/granite-guardian-3.1-8b",
                "ibm-granite/granite-guardian-3.2-5b",
            ),
            licence="Apache-2.0",
            sees=Sees(),
            safe=("No", " No"),
            unsafe=("Yes", " Yes"),
            parse=_parse.granite,
            max_new_tokens=20,
            turns="folded",  # its template reads the last messages only
            template_options={"guardian_config": {"risk_name": "harm"}},
            marks=("Yes", "No"),
            categories={"harm": "harm"},
        ),
        Family(
            name="wildguard",
            about="allenai/wildguard: text; harm of request and answer, and refusal",
            models=("allenai/wildguard",),
            licence="weights gated; arXiv 2406.18495",
            sees=Sees(),
            safe=("no", " no"),
            unsafe=("yes", " yes"),
            prefix={"prompt": "Harmful request:", "response": None},
            anchor="harmful response:",
            parse=_parse.wildguard,
            max_new_tokens=32,
            turns="folded",
            raw=_wording.wildguard,
            delimiters=("Human user:", "AI assistant:", "[INST]", "[/INST]"),
        ),
        Family(
            name="nemotron",
            about="nvidia/Llama-3.1-Nemotron-Safety-Guard-8B-v3: text, 9 languages, 23 categories",
            models=("nvidia/Llama-3.1-Nemotron-Safety-Guard-8B-v3",),
            licence="NVIDIA Open Model License, Llama 3.1 Community",
            sees=Sees(),
            safe=("safe",),
            unsafe=("unsafe",),
            prefix={"prompt": '{"User Safety": "', "response": None},
            anchor='"Response Safety": "',
            parse=_parse.nemotron,
            max_new_tokens=100,
            turns="folded",
            compose=_wording.nemotron,
            block=_BLOCK,
            delimiters=(*_BLOCK, "\nresponse: agent:"),
            categories={f"S{n}": name for n, name in enumerate(_wording.NEMOTRON_CATEGORIES, 1)},
            note="prompt of its card; the JSON's spacing, on which p depends, was never seen from the weights here",
        ),
        Family(
            name="polyguard",
            about="ToxicityPrompts/PolyGuard-Qwen: text, 17 languages; harm of request and answer, and refusal",
            models=(
                "ToxicityPrompts/PolyGuard-Qwen", "ToxicityPrompts/PolyGuard-Qwen-Smol",
                "ToxicityPrompts/PolyGuard-Ministral",
            ),
            licence="CC-BY-4.0; arXiv 2504.04377",
            sees=Sees(),
            safe=("no", " no"),
            unsafe=("yes", " yes"),
            prefix={"prompt": "Harmful request:", "response": None},
            anchor="harmful response:",
            parse=_parse.polyguard,
            max_new_tokens=100,
            turns="folded",
            compose=_wording.polyguard,
            delimiters=("Human user:", "AI assistant:"),
            categories={f"S{n}": name for n, name in enumerate(_wording.POLYGUARD_CATEGORIES, 1)},
            note="prompt of its cards",
        ),
        Family(
            name="gpt-oss-safeguard",
            about="openai/gpt-oss-safeguard-20b: text against a policy of yours; reasons first, so no probability",
            models=("openai/gpt-oss-safeguard-20b", "openai/gpt-oss-safeguard-120b"),
            licence="Apache-2.0",
            sees=Sees(),
            safe=(),
            unsafe=(),
            prefix={"prompt": None, "response": None},
            parse=_parse.violation,
            max_new_tokens=2048,
            turns="folded",
            compose=_wording.policy_then_content,
            policy=_wording.SAFEGUARD,
            official=False,
            marks=("<|start|>assistant",),
            delimiters=("User request:", "Assistant answer:"),
            note="policy in our words; give yours with the option policy=FILE, which must ask for 0 or 1, or for JSON "
            "with `violation`; seconds per exchange",
        ),
    )
}  # fmt: skip
