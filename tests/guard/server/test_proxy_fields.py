"""Whatever the proxy passes on was seen by a guard: a marker, in words or in a picture, put anywhere into a request."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from proxy_parts import Upstream, served
from serving import RED, Plain, data_url, live, red, settings

from counterpoise.guard import Exchange, Verdict

MARKER = "zebra crossing"
CLIENT = httpx.Client(timeout=60)
PHOTO = data_url(RED, size=(40, 40))


class Witness(Plain):
    """Lets everything pass, and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.red = False

    def one(self, exchange: Exchange) -> Verdict:
        for message in exchange.conversation:
            self.texts += [part for part in message.parts if isinstance(part, str)]
            self.red = self.red or any(red(image) for image in message.images)
        found = super().one(exchange)
        return Verdict("safe", self.id, found.inspected)


CITY = {"type": "string", "enum": ["Rome", "Oslo"]}
SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": CITY}}
LOOK = {"name": "look", "description": "Looks at it.", "strict": True, "parameters": SCHEMA}
TOOL = {"type": "function", "function": LOOK}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city": "Rome"}'}}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "name": "Ann", "content": [
            {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": data_url(), "detail": "low"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
        {"role": "user", "content": "And tomorrow?"},
    ],
    "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}, "user": "ann-17",
    "stop": ["END"], "metadata": {"team": "blue"}, "logit_bias": {"17": 1}, "temperature": 0.5, "seed": 1,
    "reasoning_effort": "low", "modalities": ["text"], "service_tier": "auto",
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": {"type": "object"}}},
    "prediction": {"type": "content", "content": "Rain."}, "chat_template_kwargs": {"enable_thinking": False},
    "functions": [{"name": "walk", "parameters": {"type": "object"}}], "guided_choice": ["yes", "no"],
    "prompt_cache_key": "k1", "safety_identifier": "s1", "max_tokens": 5, "n": 1, "stop_token_ids": [1],
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "m", "instructions": "Be kind.", "tools": [{"type": "function", **LOOK}],
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "What is this?"},
                                     {"type": "input_image", "image_url": data_url(), "detail": "low"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "Sunny."}]},
        {"type": "message", "role": "assistant", "id": "msg_1",
         "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}]},
        {"role": "user", "content": "And tomorrow?"},
    ],
    "text": {"format": {"type": "text"}, "verbosity": "low"}, "reasoning": {"effort": "low", "summary": "auto"},
    "metadata": {"team": "blue"}, "user": "ann-17", "tool_choice": "auto", "store": False, "max_output_tokens": 5,
}  # fmt: skip
REQUESTS = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSES}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value something can be put: in place of each value, and beside it under another name."""
    if at:
        yield at
    inner: Sequence[Any] = ()
    if isinstance(value, dict):
        yield (*at, "a new name")
        inner = list(value)
    elif isinstance(value, list):
        yield (*at, "a new item")
        inner = range(len(value))
    for each in inner:
        yield from places(value[each], (*at, each))


def planted(body: Any, at: tuple[Any, ...], value: Any, how: str) -> Any:
    """A copy of a request with the value there: in the place of what was there, in its name, or under a new one."""
    made = copy.deepcopy(body)
    holder = made
    for step in at[:-1]:
        holder = holder[step]
    last = at[-1]
    if last == "a new item":
        holder.append(value)
    elif last == "a new name":
        holder[value if how == "name" and isinstance(value, str) else "extra"] = value
    elif how == "name" and isinstance(holder, dict) and isinstance(value, str):
        holder[value] = holder.pop(last)
    elif how == "joined" and isinstance(value, str) and isinstance(holder[last], str):
        holder[last] += f" {value}"
    else:
        holder[last] = value
    return made


WORDS = (MARKER, f"{MARKER} " * 60, MARKER.replace(" ", "-"), "zebra")
PICTURE = {"type": "image_url", "image_url": {"url": PHOTO}}
PICTURES = (PICTURE, {"type": "input_image", "image_url": PHOTO}, [PICTURE], {"images": [PHOTO]}, PHOTO,
            PHOTO.partition(",")[2], {"pixel_values": [0.5] * 64}, {"role": "user", "content": [PICTURE]})  # fmt: skip


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, Witness, Upstream]]:
    witness, upstream = Witness(), Upstream()
    with served(upstream) as url:
        behind = {"base_url": f"{url}/v1", "models": ["m"]}
        with live(settings(upstream=behind, cache=0), plain=witness) as base:
            yield base, witness, upstream


def sent(proxy: tuple[str, Witness, Upstream], path: str, body: Any) -> Any:
    """What arrived at the upstream of a request, or None where it was refused."""
    base, witness, upstream = proxy
    witness.texts, witness.red = [], False
    upstream.asked.clear()
    found = CLIENT.post(base + path, json=body)
    assert found.status_code == 200 or 400 <= found.status_code < 500, found.text
    assert (found.status_code == 200) is bool(upstream.asked), found.text
    return upstream.asked[0] if upstream.asked else None


@pytest.mark.parametrize("path", REQUESTS)
def test_the_requests_that_are_planted_into_pass(proxy: Any, path: str) -> None:
    body = REQUESTS[path]
    assert sent(proxy, path, body) is not None
    _, witness, _ = proxy
    for words in ("Be kind.", "Looks at it.", "look", "city", "Rome", "blue", "Sunny.", "And tomorrow?", "Hm."):
        assert any(words in text for text in witness.texts), words


@pytest.mark.parametrize("path", REQUESTS)
@given(data=st.data())
@hypothesis(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
def test_words_anywhere_are_seen_or_refused(proxy: Any, path: str, data: Any) -> None:
    at = data.draw(st.sampled_from(list(places(REQUESTS[path]))))
    marker, how = data.draw(st.sampled_from(WORDS)), data.draw(st.sampled_from(("value", "name", "joined")))
    arrived = sent(proxy, path, planted(REQUESTS[path], at, marker, how))
    if arrived is not None and marker in json.dumps(arrived):
        assert any(marker in text for text in proxy[1].texts), (at, how, marker)


@pytest.mark.parametrize("path", REQUESTS)
@given(data=st.data())
@hypothesis(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
def test_pictures_anywhere_are_seen_or_refused(proxy: Any, path: str, data: Any) -> None:
    at = data.draw(st.sampled_from(list(places(REQUESTS[path]))))
    value = data.draw(st.sampled_from(PICTURES))
    arrived = json.dumps(sent(proxy, path, planted(REQUESTS[path], at, value, "value")))
    body = PHOTO.partition(",")[2]
    if body in arrived:  # a picture as such, or words of a message that happen to be one
        assert proxy[1].red or any(body in text for text in proxy[1].texts), (at, value)
    if "pixel_values" in arrived:  # numbers in a tool's schema, which the model reads as words
        assert any("pixel values" in text and "0.5 0.5 0.5" in text for text in proxy[1].texts), at


REFUSED = {
    "documents": [{"text": "hi"}], "images": [PHOTO], "prompt_embeds": "AAAA", "chat_template": "{{ 1 }}",
    "chat_template_kwargs": {"system": "hi"}, "mm_processor_kwargs": {"a": 1}, "audio": {"voice": "x"}, "odd": 1,
    "web_search_options": {}, "prompt_token_ids": [1, 2], "modalities": ["text", "audio"],
    "tools": [{"type": "file_search", "vector_store_ids": ["v"]}], "reasoning_effort": "say it", "temperature": "hot",
    "logit_bias": {"say it": 1}, "stop_token_ids": list(range(99)), "model": "say it", "stream": "yes",
    "stream_options": {"note": "hi"}, "user": ["a"], "service_tier": "say it", "store": "no",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_are_not_on_the_list_are_refused(proxy: Any, name: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], name: REFUSED[name]}
    found = httpx.post(f"{proxy[0]}/v1/chat/completions", json=body)
    error = found.json()["error"]
    assert (found.status_code, error["code"]) in ((400, "unsupported_parameter"), (422, "invalid_request")), error
    assert error["param"].startswith(name) and "hi" not in error["message"].split()


STATEFUL: dict[str, Any] = {
    "previous_response_id": "resp_1", "conversation": "conv_1", "prompt": {"id": "p"}, "background": True,
    "include": ["reasoning.encrypted_content"], "tools": [{"type": "mcp", "server_url": "http://x"}],
    "input": [{"type": "item_reference", "id": "msg_1"}],
}  # fmt: skip


@pytest.mark.parametrize("name", STATEFUL)
def test_a_response_may_not_point_at_what_nobody_has_seen(proxy: Any, name: str) -> None:
    found = httpx.post(f"{proxy[0]}/v1/responses", json={"model": "m", "input": "hi", name: STATEFUL[name]})
    assert found.status_code in (400, 422) and found.json()["error"]["param"].startswith(name)


def test_names_that_only_have_to_stay_the_same_go_on_as_hashes(proxy: Any) -> None:
    """Templates show ids to the model; so words in them would be words to the model."""
    secret = "how_to_steal_a_car"
    talk = [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": secret}, {**CALL, "id": "call_2"}]},
            {"role": "tool", "tool_call_id": secret, "content": "x"}]  # fmt: skip
    body = {"model": "m", "messages": talk, "user": secret, "tools": [TOOL]}
    arrived = sent(proxy, "/v1/chat/completions", body)
    first, second = arrived["messages"][1]["tool_calls"]
    assert secret not in json.dumps(arrived) and second["id"] == "call_2"
    assert first["id"] == arrived["messages"][2]["tool_call_id"] and len(first["id"]) == len(secret)
    assert sent(proxy, "/v1/chat/completions", {**body, "user": "another"})["user"] != arrived["user"]
    talk[1]["tool_calls"][0]["id"] = talk[2]["tool_call_id"] = "functions.look:0"  # type: ignore[index]
    assert sent(proxy, "/v1/chat/completions", body)["messages"][2]["tool_call_id"] == "functions.look:0"


def test_the_owner_of_the_server_may_name_more_parameters() -> None:
    witness, upstream = Witness(), Upstream()
    with served(upstream) as url:
        behind = {"base_url": f"{url}/v1", "parameters": ["plugins"]}
        with live(settings(upstream=behind), plain=witness) as base:
            body = {
                "model": "m",
                "messages": [{"role": "user", "content": "hi"}],
                "plugins": [{"id": 1, "say": MARKER}],
            }
            assert httpx.post(f"{base}/v1/chat/completions", json=body).status_code == 200
            body["plugins"] = [{"data": PHOTO}]
            assert httpx.post(f"{base}/v1/chat/completions", json=body).json()["error"]["code"] == "content_blocked"
    assert upstream.asked[0]["plugins"][0]["say"] == MARKER and any(MARKER in text for text in witness.texts)
