"""What an answer says about itself: which part each reason is about, and how many parts there were."""

from typing import Any

import pytest
from serving import RED, Plain, check, live, picture, post, said, settings, text

from counterpoise.chat import user
from counterpoise.guard import Exchange, Inspected, Sees, Verdict
from counterpoise.guard.server._config import Policy
from counterpoise.guard.server._judge import judge
from counterpoise.guard.server._views import View

TWO = settings(policies={"default": {"guards": ["words", "eyes"]}, "words": {"guards": ["words"]}})


@pytest.fixture(scope="module")
def base() -> Any:
    guards = {"words": Plain("words", Sees()), "eyes": Plain("eyes", Sees(texts=False, images=1, answers=False))}
    with live(TWO, **guards) as address:
        yield address


def places(base: str, messages: list[dict[str, Any]], **more: Any) -> list[Any]:
    found = check(base, messages, **more)
    assert found["verdict"] == "block" and all(reason["policy"] in TWO.policies for reason in found["reasons"])
    return [each["part"] and (each["part"]["message"], each["part"]["part"]) for each in found["reasons"]]


def test_a_reason_says_which_part(base: str) -> None:
    hidden = [said([text("a"), picture(), picture(RED)]), said("b", "assistant"), said([text("c")])]
    assert places(base, hidden) == [(0, 2)]
    assert places(base, [said("forbidden")]) == [(0, None)]
    assert places(base, [said([text("forbidden")])]) == [(0, 0)]
    assert places(base, [said("a"), said([text("forbidden")], "assistant")]) == [(1, 0)]
    assert places(base, [said("a"), said("b", "assistant"), said("forbidden")]) == [None]  # of the whole talk


def test_what_nobody_has_seen_is_named_one_by_one(base: str) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA"}}
    assert places(base, [said([text("a"), audio]), said("b", "assistant"), said([text("c"), audio])]) == [
        (0, 1),
        (2, 1),
    ]
    unseen = [said([text("a"), picture()]), said("b", "assistant"), said([picture(), text("c")])]
    assert places(base, unseen, policies=["words"]) == [(0, 1), (2, 0)]


def test_other_protocols_say_it_too(base: str) -> None:
    found = post(base, "/v1/moderations", {"input": [text("a"), picture(), picture(RED)]}).json()["results"][0]
    assert found["x_guard"]["parts"] == [{"message": 0, "part": 2}]
    body = {"input_type": "request", "request_data": {}, "tools": [{"type": "function", "function": {"name": "f"}}]}
    talk = [said("a"), said([text("b"), picture(RED)])]
    found = post(base, "/beta/litellm_basic_guardrail_api", {**body, "structured_messages": talk}).json()
    assert found["x_guard"]["parts"] == [{"message": 1, "part": 1}]
    tools = [{"type": "function", "function": {"name": "f", "description": "forbidden"}}]
    alone = post(base, "/beta/litellm_basic_guardrail_api", {**body, "tools": tools, "structured_messages": []}).json()
    assert alone["x_guard"]["parts"] == [{"message": -1, "part": None}]


def test_the_proxys_places_are_the_clients(base: str) -> None:
    """Tools stand before the messages there; a wrong image is still called by the number the client knows."""
    config = settings(upstream={"base_url": "http://127.0.0.1:9"})
    with live(config, plain=Plain("plain", Sees())) as proxy:
        body = {"model": "m", "messages": [said([text("a"), picture()])],
                "tools": [{"type": "function", "function": {"name": "f", "description": "Looks."}}]}  # fmt: skip
        found = post(proxy, "/v1/chat/completions", body).json()["x_guard"]["reasons"]
        assert [each["part"] for each in found] == [{"message": 0, "part": 1}]
        body["messages"][0]["content"][1]["image_url"]["url"] = "data:image/png;base64,AAAA"  # type: ignore[index]
        assert post(proxy, "/v1/chat/completions", body).json()["error"]["param"] == "messages.0.content.1"


def test_counts_are_of_what_was_sent(base: str) -> None:
    def counts(messages: list[dict[str, Any]], **more: Any) -> tuple[int, int, int]:
        found = check(base, messages, **more)["coverage"]
        return found["texts_total"], found["texts_checked"], found["bytes"]

    assert counts([said("rules", "system")]) == (1, 1, 5)  # the turn that templates want is not the client's
    assert counts([said("yes", "assistant")]) == (1, 1, 3)
    assert counts([said("a"), said("bcd", "assistant")]) == (2, 2, 4)
    assert counts([said("a"), said("bcd", "assistant")], direction="both") == (2, 2, 4)
    assert counts([said("(nothing)")]) == (1, 1, 9)


def verdict(p: float, *categories: str, label: Any = "safe") -> tuple[View, Verdict]:
    exchange = Exchange((user("a"),))
    view = View(exchange, frozenset({"texts"}))  # type: ignore[arg-type]
    return view, Verdict(label, "llama-guard-x", Inspected(1, 1, 0, 0), p_unsafe=p, categories=categories)


@pytest.mark.parametrize(
    ("thresholds", "found", "blocked", "category"),
    [
        ({"S1": 0.05}, verdict(0.3, "S1", "S2"), True, "S1"),  # S2 has no threshold; that of S1 still holds
        ({"S1": 0.95}, verdict(0.9, "S1", "S2", label="unsafe"), True, "S2"),  # S2's label still holds
        ({"S1": 0.95}, verdict(0.9, "S1", label="unsafe"), False, None),
        ({"S1": 0.5, "S2": 0.2}, verdict(0.3, "S1", "S2"), True, "S2"),
        ({"S1": 0.6, "S9": 0.1}, verdict(0.3), True, "S9"),  # below its own 0.5 a guard names no category
        ({"S1": 0.6, "S9": 0.4}, verdict(0.3), False, None),
        ({"O1": 0.1}, verdict(0.3), False, None),  # another guard's
        ({"S1": 0.99}, verdict(0.9, label="unsafe"), True, None),  # its label still holds
    ],
)
def test_each_category_has_its_own_threshold(thresholds: Any, found: Any, blocked: bool, category: Any) -> None:
    decision = judge("p", Policy(guards=("g",), thresholds=thresholds), found[0].exchange, [found])
    assert decision.blocked is blocked
    assert [reason.category for reason in decision.reasons] == ([category] if blocked else [])
