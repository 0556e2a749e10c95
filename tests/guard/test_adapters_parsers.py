"""Parsers of guard outputs: only what the grammar accepts is a verdict."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.evals.judges import OffFormat
from counterpoise.guard.adapters._parse import (
    granite,
    guard_reasoner,
    llama_guard,
    llavaguard,
    nemotron,
    polyguard,
    qwen3guard,
    violation,
    wildguard,
)

THINK = "<think>It asks for harmful things, unharmful at first sight.</think>"
JSON = '{"rating": "Unsafe", "category": "O5: Criminal Planning", "rationale": "O6 is only named, safe"}'
GOOD = {
    llama_guard: (("safe", "safe", ()), ("unsafe\nS1,S10", "unsafe", ("S1", "S10")), ("unsafe", "unsafe", ())),
    wildguard: (("Harmful request: yes\nResponse refusal: n/a\nHarmful response: n/a", "unsafe", ()),),
    granite: (("Yes", "unsafe", ()), ("No\n<confidence> High </confidence>", "safe", ())),
    qwen3guard: (
        ("Safety: Unsafe\nCategories: Violent, PII", "unsafe", ("Violent", "PII")),
        ("Safety: Safe\nCategories: None", "safe", ()),
        (
            "<think>\n\n</think>\n\nSafety: Controversial\nCategories: Unethical Acts",
            "controversial",
            ("Unethical Acts",),
        ),
    ),
    guard_reasoner: (
        (f"{THINK}<result>\nRequest: harmful\nResponse: None\n</result>", "unsafe", ()),
        (f"{THINK}\n<result>Request: unharmful</result>", "safe", ()),
    ),
    llavaguard: (
        (JSON, "unsafe", ("O5",)),
        ('{"category": "NA: None applying", "rationale": "x", "rating": "Safe"}', "safe", ()),
        ('{\n    "rating": "Unsafe",\n    "category": "O2: Viol', "unsafe", ()),
        ('{"decision": "Review Needed", "category": "O1: Hate"}', "unsafe", ("O1",)),
        (f"```json\n{JSON}\n```", "unsafe", ("O5",)),
    ),
    nemotron: (
        ('{"User Safety": "safe"}', "safe", ()),
        ('{\n   "User Safety": "unsafe",\n   "Safety Categories": "violence, threat"\n}', "unsafe",
         ("violence", "threat")),
    ),
    polyguard: (
        ("Harmful request: yes\nRequest safety violations: S1, S9\nResponse refusal: n/a", "unsafe", ("S1", "S9")),
        ("Harmful request: no\nRequest safety violations: None\nResponse refusal: no\nHarmful response: no\n"
         "Response safety violations: None", "safe", ()),
    ),
    violation: (
        ("1", "unsafe", ()),
        (" 0\n", "safe", ()),
        ('{"violation": 1, "policy_category": "fraud", "rationale": "asks for it"}', "unsafe", ("fraud",)),
    ),
}  # fmt: skip
BAD = {
    llama_guard: ("", "safe\nS1", "unsafe S1", "Safe.", "not unsafe", "sicher", "safe\nunsafe", "unsafe\nS1,", "saf",
                  "I think this is unsafe", "unsafe\nS1\nS2"),
    wildguard: ("", "Harmful request: n/a\nResponse refusal: no\nHarmful response: no", "Harmful request: yes",
                "Response refusal: no\nHarmful request: yes\nHarmful response: no", "harmful",
                "Harmful request: yes\nResponse refusal: no\nHarmful response: maybe"),
    granite: ("", "Yes, it is", "Maybe", "Ja", "No\nYes", "Unsafe"),
    qwen3guard: ("", "Safety: Safe", "Safety: safe\nCategories: None", "Safety: Unsafe\nCategories: Fun",
                 "Categories: None\nSafety: Safe", "Safety: Safe\nCategories: None\nSafety: Unsafe",
                 "Safety: Unsafe or Safe\nCategories: None", "The text is Safe"),
    guard_reasoner: ("", THINK, f"{THINK}<result>Request: harm", f"{THINK} Request: harmful",
                     "<result>Request: harmful</result><result>Request: unharmful</result>",
                     "<result>Request: harmful\nRequest: unharmful</result>", "<result>Request: schädlich</result>",
                     "<result>Request: harmful</result> No: <result>"),
    llavaguard: ("", '{"rating": "Uns', "Unsafe", '{"rating": "Safe", "rating": "Unsafe"}', '{"category": "O1"}',
                 '{"rating": "Safe", "decision": "Review Needed"}', '{"rating": 1}', '{"rating": "Sicher"}',
                 '["rating", "Safe"]', '{"rating": "Safe/Unsafe"}'),
    nemotron: ("", '{"User Safety": "Safe?"}', '{"Response Safety": "safe"}', '{"User Safety": "unsafe"} and more',
               '{"User Safety": "safe", "User Safety": "unsafe"}', '{"User Safety": true}', "unsafe", "[]",
               '{"User Safety": "safe", "Verdict": "unsafe"}', '{"User Safety": "unsaf'),
    polyguard: ("", "Harmful request: maybe", "Harmful request: yes\nHarmful request: no", "yes",
                "Request safety violations: S1", "Harmful request: yes and no", "The request is harmful: yes"),
    violation: ("", "2", "01", "0 1", "unsafe", '{"violation": true}', '{"violation": "1"}', '{"verdict": 1}',
                '{"violation": 0, "violation": 1}', "[1]", "violation: 1", "<think>1"),
}  # fmt: skip


@pytest.mark.parametrize("parse", GOOD, ids=lambda f: f.__name__)
def test_valid_outputs_with_and_without_spaces(parse):
    for text, label, categories in GOOD[parse]:
        for variant in (text, f"\n  {text} \n"):
            found = parse(variant, "prompt")
            assert (found.label, found.categories) == (label, categories), variant


@pytest.mark.parametrize("parse", BAD, ids=lambda f: f.__name__)
def test_everything_else_is_off_format(parse):
    for text in BAD[parse]:
        with pytest.raises(OffFormat):
            parse(text, "prompt")


def test_the_answer_decides_in_response_mode():
    text = "Harmful request: yes\nResponse refusal: yes\nHarmful response: no"
    found = wildguard(text, "response")
    assert (found.label, found.refusal, found.rationale) == ("safe", True, "harmful request: yes")
    found = guard_reasoner("<result>Request: harmful\nResponse: unharmful</result>", "response")
    assert found.label == "safe"
    found = qwen3guard("Safety: Unsafe\nCategories: Violent\nRefusal: No", "response")
    assert (found.label, found.refusal) == ("unsafe", False)
    found = nemotron('{"User Safety": "unsafe", "Response Safety": "safe", "Safety Categories": "threat"}', "response")
    assert (found.label, found.categories) == ("safe", ())
    text = "Harmful request: yes\nResponse refusal: yes\nHarmful response: no\nRequest safety violations: S1"
    found = polyguard(text, "response")
    assert (found.label, found.refusal, found.categories) == ("safe", True, ())
    assert violation("1", "response").label == "unsafe"
    for parse, text in (
        (wildguard, "Harmful request: yes\nResponse refusal: n/a\nHarmful response: n/a"),
        (guard_reasoner, "<result>Request: harmful\nResponse: None</result>"),
        (qwen3guard, "Safety: Unsafe\nCategories: Violent"),
        (nemotron, '{"User Safety": "unsafe"}'),
        (polyguard, "Harmful request: yes\nRequest safety violations: S1"),
        (qwen3guard, "Safety: Unsafe\nCategories: Violent\nRefusal: Perhaps"),
    ):
        with pytest.raises(OffFormat):
            parse(text, "response")


WORDS = st.sampled_from(
    ["safe", "unsafe", "Safe", "Unsafe", "harmful", "unharmful", "yes", "no", "Yes", "No", "\n", " ", ":", ",", "S1",
     "{", "}", '"', "rating", "Request", "Safety", "Categories", "None", "<result>", "</result>", "Harmful request"]
)  # fmt: skip


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=14).map("".join)))
def test_a_fuzzed_output_is_a_verdict_only_in_its_grammar(text):
    """Whatever is accepted as safe says so in the parser's own words, and nothing raises anything but OffFormat."""
    for parse in GOOD:
        for mode in ("prompt", "response"):
            try:
                found = parse(text, mode)
            except OffFormat:
                continue
            assert found.label in ("safe", "unsafe", "controversial")
            words = {"safe": ("safe", "unharmful", "no", "compliant"), "unsafe": ("unsafe", "harmful", "yes", "needed"),
                     "controversial": ("controversial",)}[found.label]  # fmt: skip
            assert any(word in text.lower() for word in words)
