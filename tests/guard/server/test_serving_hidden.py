"""Places where words or images could hide from the guards while a model's server still shows them to its model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from serving import RED, check, data_url, live, picture, post, said, text

LITELLM = "/beta/litellm_basic_guardrail_api"
ESCAPED = '{"a": "\\u0066orbidden"}'
"""Arguments are JSON in a string; servers hand them to templates decoded."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live() as address:
        yield address


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"id": "t1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


MESSAGES: dict[str, dict[str, Any]] = {
    "beside tool calls": {"tool_calls": [call("{}")], "function_call": {"name": "f", "arguments": "forbidden"}},
    "reasoning as an object": {"reasoning": {"text": "forbidden"}},
    "reasoning as a list": {"reasoning_content": [{"text": "forbidden"}]},
    "name as a list": {"name": ["forbidden"]},
    "an id that is no id": {"tool_call_id": "something forbidden"},
    "another id": {"id": "something forbidden"},
    "the id of a call": {"tool_calls": [call("{}", id="something forbidden")]},
    "a field of a call": {"tool_calls": [call("{}", note="forbidden")]},
    "a field of a function": {"tool_calls": [{"function": {"name": "f", "arguments": "{}", "note": "forbidden"}}]},
    "escaped arguments": {"tool_calls": [call(ESCAPED)]},
    "arguments as an object": {"tool_calls": [call({"a": "forbidden"})]},
    "a key": {"tool_calls": [call({"forbidden": 1})]},
    "a field of a text": {"content": [{"type": "text", "text": "b", "note": "forbidden"}]},
    "a field of an image": {"content": [{**picture(), "text": "forbidden"}]},
}


@pytest.mark.parametrize("where", MESSAGES)
def test_words(base: str, where: str) -> None:
    talk = [said("a"), {"role": "assistant", "content": "b", **MESSAGES[where]}, said("c")]
    assert check(base, talk)["verdict"] == "block"


HIDDEN = {
    "with a uuid": {"type": "text", "text": "b", "uuid": "u", "image_url": {"url": data_url(RED)}},  # vLLM shows it
    "beside a text": {"type": "text", "text": "b", "image_url": {"url": data_url(RED)}},
    "beside another": {**picture(), "input_image": data_url(RED)},
    "pixels": {"type": "text", "text": "b", "image_pil": "x"},
    "deep": {"type": "text", "text": "b", "note": {"a": [{"type": "image_url", "image_url": {"url": data_url(RED)}}]}},
    "deep under another name": {"type": "text", "text": "b", "note": {"a": [data_url(RED, size=(40, 40))]}},
    "as plain base64": {"type": "text", "text": "b", "note": data_url(size=(999, 999)).partition(",")[2]},
    "as numbers": {"type": "text", "text": "b", "note": [0.5] * 64},
}


@pytest.mark.parametrize("where", HIDDEN)
def test_images(base: str, where: str) -> None:
    assert check(base, [said([HIDDEN[where]])])["verdict"] == "block"


def test_settings_of_parts_are_no_texts(base: str) -> None:
    parts = [{**text("hi"), "cache_control": {"type": "ephemeral"}, "annotations": [], "logprobs": None}, picture()]
    parts[1]["image_url"]["detail"] = "low"  # type: ignore[index]
    found = check(base, [said(parts), {"role": "assistant", "tool_calls": [call("{}")], "refusal": None}, said("c")])
    assert found["verdict"] == "allow" and found["coverage"]["texts_total"] == 3


def litellm(base: str, **more: Any) -> Any:
    return post(base, LITELLM, {"input_type": "request", "request_data": {}, **more})


def test_litellm_a_request_that_ends_with_the_assistant_is_judged_as_a_request_too(base: str) -> None:
    talk = [said("forbidden"), said("Sure", "assistant")]
    assert litellm(base, structured_messages=talk, texts=["forbidden", "Sure"]).json()["action"] == "BLOCKED"
    assert litellm(base, structured_messages=[said("a"), said("forbidden", "assistant")]).json()["action"] == "BLOCKED"


@pytest.mark.parametrize("side", ["request", "response"])
def test_litellm_escapes_in_calls_and_tools_are_read_as_models_read_them(base: str, side: str) -> None:
    assert litellm(base, input_type=side, texts=["a"], tool_calls=[call(ESCAPED)]).json()["action"] == "BLOCKED"
    tools = [{"type": "function", "function": {"name": "f", "parameters": json.loads(ESCAPED)}}]
    assert litellm(base, texts=["a"], tools=tools).json()["action"] == "BLOCKED"


def test_litellm_nothing_to_check_is_422(base: str) -> None:
    for empty in ({}, {"texts": []}, {"texts": [" "]}, {"texts": None, "images": None, "tool_calls": []}):
        assert litellm(base, **empty).status_code == 422, empty
    assert litellm(base, texts=[], images=[data_url()]).json()["action"] == "NONE"
    assert litellm(base, texts=[], images=[data_url(RED)]).json()["action"] == "BLOCKED"
    # LiteLLM asks about streams that have only begun; an error would break them
    begun = litellm(base, input_type="response", texts=["\n\n"])
    assert begun.json()["action"] == "NONE" and begun.json()["x_guard"]["texts_total"] == 0
    assert litellm(base, input_type="response").status_code == 422


def test_nemo_looks_at_both_sides_where_both_are_there(base: str) -> None:
    talk = [said("forbidden"), said("I will not.", "assistant")]
    found = post(base, "/v1/checks", {"messages": talk}).json()
    assert found["status"] == "blocked" and found["rail"].startswith("input")
    only = post(base, "/v1/checks", {"messages": talk, "guardrails": {"rail_types": ["output"]}}).json()
    assert (only["status"], only["content"]) == ("passed", "I will not.")
    assert post(base, "/v1/checks", {"messages": talk, "guardrails": {"config_id": ""}}).status_code == 422


def test_nemo_looks_at_tools(base: str) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"forbidden": {}}}}}]
    for more in ({"tools": tools}, {"functions": [tools[0]["function"]]}):
        assert post(base, "/v1/checks", {"messages": [said("hi")], **more}).json()["status"] == "blocked"


def test_direction_input_with_an_answer_at_the_end_is_refused(base: str) -> None:
    talk = [said("hi"), said("forbidden", "assistant")]
    for path, more in (("/v1/guard/check", {"direction": "input"}),
                       ("/v1/checks", {"guardrails": {"rail_types": ["input"]}})):  # fmt: skip
        found = post(base, path, {"messages": talk, **more})
        assert found.status_code == 422 and "leave it out" in found.json()["error"]["message"]
