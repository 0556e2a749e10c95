"""The proxy between the real OpenAI client and a real upstream on loopback."""

import base64
import io
import json
import socket
import time
from uuid import uuid4

import httpx
import openai
import PIL.Image
import pytest
from proxy_parts import BAD, SAFE, TOKEN, TokenGuard, Upstream, served

from counterpoise.guard.server import ServerConfig, create_app
from counterpoise.guard.server._observe import Lines
from counterpoise.guard.server._serve import options
from counterpoise.guard.server.proxy._passing import inline

ASK = [{"role": "user", "content": "How is the river?"}]


@pytest.fixture(scope="module")
def upstream():
    app = Upstream()
    with served(app) as url:
        app.url = url
        yield app


TOKEN_GUARD = TokenGuard()


def proxy(upstream, mode="buffer", seconds=30, models=(), **settings):
    behind = {"base_url": f"{upstream.url}/v1", "stream": mode, "window": 40, "seconds": seconds, "models": models}
    policies = {"default": {"guards": ["token"]}}
    config = ServerConfig.model_validate({"policies": policies, "upstream": behind, **settings})
    return served(create_app(config, {"token": TOKEN_GUARD}), **options(config))


@pytest.fixture(scope="module")
def buffered(upstream):
    with proxy(upstream) as url:
        yield url


@pytest.fixture(scope="module")
def hasty(upstream):
    """By mode, with little patience."""
    with proxy(upstream, "buffer", 0.5) as buffer, proxy(upstream, "window", 0.5) as window:
        yield {"buffer": buffer, "window": window}


@pytest.fixture(scope="module")
def windowed(upstream):
    with proxy(upstream, "window") as url:
        yield url


def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-own", max_retries=0)


def text_of(stream):
    chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    finish = [choice.finish_reason for choice in choices if choice.finish_reason]
    return "".join(choice.delta.content or "" for choice in choices), finish, chunks


def png(colour):
    out = io.BytesIO()
    PIL.Image.new("RGBA", (8, 8), colour).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_whole_answer_with_usage_and_the_clients_key(upstream, buffered):
    got = client(buffered).chat.completions.create(model="m", messages=ASK, extra_body={"top_k": 5, "odd": None})
    assert got.choices[0].message.content == SAFE and got.usage.total_tokens == 7
    assert upstream.asked[-1] == {"model": "m", "messages": ASK, "top_k": 5}
    assert upstream.headers[-1]["authorization"] == "Bearer sk-own"
    assert TOKEN not in got.to_json()  # a field beside the choices that nobody has checked


@pytest.mark.parametrize("fixture", ["buffered", "windowed"])
@pytest.mark.parametrize("model", ["m", "line", "empty"])
def test_streamed_answer(request, fixture, model):
    url = request.getfixturevalue(fixture)
    whole = client(url).chat.completions.create(model=model, messages=ASK).choices[0].message.content
    text, finish, chunks = text_of(client(url).chat.completions.create(model=model, messages=ASK, stream=True))
    assert text == whole and finish == ["stop"] and chunks[-1].usage.total_tokens == 7


@pytest.mark.parametrize("model", ["bad", "tools", "reason", "picture"])
@pytest.mark.parametrize("fixture", ["buffered", "windowed"])
def test_blocked_stream_holds_nothing_unsafe(request, fixture, model):
    url = request.getfixturevalue(fixture)
    text, finish, chunks = text_of(client(url).chat.completions.create(model=model, messages=ASK, stream=True))
    assert finish[-1] == "content_filter" and SAFE.startswith(text)
    assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
    assert "UNSAFE" not in "".join(chunk.to_json() for chunk in chunks)
    assert text == "" or fixture == "windowed"


@pytest.mark.parametrize("fixture", ["buffered", "windowed"])
def test_log_probabilities_say_nothing_that_the_text_does_not(request, fixture):
    url = request.getfixturevalue(fixture)
    got = client(url).chat.completions.create(model="probs", messages=ASK, logprobs=True)
    rows = got.choices[0].logprobs.content
    assert "".join(row.token for row in rows) == SAFE and rows[0].logprob == -0.5 and not rows[0].top_logprobs
    chunks = list(client(url).chat.completions.create(model="probs", messages=ASK, logprobs=True, stream=True))
    rows = [row for k in chunks for c in k.choices if c.logprobs for row in c.logprobs.content]
    assert "".join(row.token for row in rows) == SAFE
    assert TOKEN not in got.to_json() + "".join(chunk.to_json() for chunk in chunks)
    for stream in (False, True):  # tokens that spell another text
        body = {"model": "forged", "messages": ASK, "stream": stream}
        text = httpx.post(f"{url}/v1/chat/completions", json=body).text
        assert TOKEN not in text and "The riv" in text and '"logprobs": null' in text


@pytest.mark.parametrize(("model", "stream", "expected"), [
    ("m", False, {"input": "allow", "output": "allow", "blocked": False, "checks": 2, "p_unsafe": 0.01}),
    ("m", True, {"input": "allow", "output": "allow", "blocked": False, "p_unsafe": 0.01}),
    ("bad", False, {"input": "allow", "output": "block", "blocked": True, "guard": "token", "p_unsafe": 0.99}),
    ("bad", True, {"input": "allow", "output": "block", "blocked": True, "guard": "token", "status": 200}),
    ("die", True, {"input": "allow", "error": "upstream_invalid"}),
    (TOKEN, False, {"input": "block", "blocked": True, "status": 400}),
    ("500", False, {"input": "allow", "status": 500, "error": "too_long"}),
])  # fmt: skip
def test_the_log_line_has_the_verdicts_and_no_text(windowed, caplog, model, stream, expected):
    words = TOKEN if model == TOKEN else "How is the river?"
    ask = [{"role": "user", "content": f"{words} (a private matter)"}]
    body = {"model": model, "messages": ask, "stream": stream}
    mine = f"mine-{uuid4().hex}"  # the line of an earlier test's request may come while this one listens
    with caplog.at_level("INFO", "counterpoise.guard"):
        httpx.post(f"{windowed}/v1/chat/completions", json=body, headers={"x-request-id": mine})
        until = time.monotonic() + 10
        while not (lines := [r for r in caplog.records if getattr(r, "request_id", "") == mine]):
            assert time.monotonic() < until, "no line of this request"
            time.sleep(0.01)
    line = json.loads(Lines().format(lines[-1]))
    assert line["policy"] == "default" and {**line, **expected} == line
    assert line["path"] == "/v1/chat/completions"
    assert not any(word in json.dumps(line) for word in ("private", "river", "calm", TOKEN))


def test_half_a_character_in_an_answer(buffered):
    got = httpx.post(f"{buffered}/v1/chat/completions", json={"model": "half", "messages": ASK})
    assert got.json()["choices"][0]["message"]["content"] == "half \ud800 of one"


@pytest.mark.parametrize("model", ["bad", "tools", "picture", "inline"])
def test_blocked_answer(buffered, model):
    got = client(buffered).chat.completions.create(model=model, messages=ASK)
    choice = got.choices[0]
    assert choice.finish_reason == "content_filter" and not choice.message.content and not choice.message.tool_calls
    assert TOKEN not in got.to_json()


def test_one_of_two_choices_is_blocked(buffered, windowed):
    got = client(buffered).chat.completions.create(model="second", messages=ASK, n=2)
    assert [c.finish_reason for c in got.choices] == ["stop", "content_filter"]
    for url in (buffered, windowed):
        chunks = list(client(url).chat.completions.create(model="second", messages=ASK, n=2, stream=True))
        ends = {c.index: c.finish_reason for k in chunks for c in k.choices if c.finish_reason}
        assert ends == {0: "stop", 1: "content_filter"}
        first = "".join(c.delta.content or "" for k in chunks for c in k.choices if c.index == 0)
        assert first == SAFE and "UNSAFE" not in "".join(k.to_json() for k in chunks)


def test_end_leaks_and_flags(upstream):
    with proxy(upstream, "end") as url:
        text, finish, _ = text_of(client(url).chat.completions.create(model="bad", messages=ASK, stream=True))
    assert text == BAD and finish[-1] == "content_filter"


PLACES = {
    "last turn": {"messages": [{"role": "user", "content": TOKEN}]},
    "old turn": {"messages": [{"role": "user", "content": TOKEN}, {"role": "assistant", "content": "No."}, *ASK]},
    "part": {"messages": [{"role": "user", "content": [{"type": "text", "text": TOKEN}]}]},
    "system": {"messages": [{"role": "system", "content": TOKEN}, *ASK]},
    "tool result": {"messages": [*ASK, {"role": "tool", "tool_call_id": "1", "content": TOKEN}]},
    "before a prefill": {"messages": [{"role": "user", "content": TOKEN}, {"role": "assistant", "content": "Sure"}]},
    "prefill": {"messages": [*ASK, {"role": "assistant", "content": TOKEN}]},
    "tools": {"messages": ASK, "tools": [{"type": "function", "function": {"name": "f", "description": TOKEN}}]},
    "tool name": {"messages": ASK, "tools": [{"type": "function", "function": {"name": TOKEN}}]},
    "property": {"messages": ASK, "functions": [{"name": "f", "parameters": {"properties": {TOKEN: {}}}}]},
    "format": {"messages": ASK, "response_format": {"type": "json_schema", "json_schema": {"name": TOKEN}}},
    "metadata": {"messages": ASK, "metadata": {"note": f"It says {TOKEN}"}},
    "red image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": png("red")}}]}]},
    "audio": {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A"}}]}]},
}


@pytest.mark.parametrize("place", PLACES)
def test_blocked_input_never_reaches_the_model(upstream, buffered, place):
    before = len(upstream.asked)
    with pytest.raises(openai.BadRequestError) as caught:
        client(buffered).chat.completions.create(model="m", messages=[], extra_body=PLACES[place])
    assert caught.value.code == "content_blocked" and TOKEN not in caught.value.response.text
    assert caught.value.response.json()["x_guard"]["blocked"] and len(upstream.asked) == before


def test_images_go_on_as_the_guard_saw_them(upstream, buffered):
    clear = {"type": "image_url", "image_url": {"url": png((0, 0, 0, 0)), "detail": "low"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, clear]}]
    tools = [{"type": "function", "function": {"name": "f", "description": "Looks."}}]
    client(buffered).chat.completions.create(model="m", messages=messages, tools=tools)
    part = upstream.asked[-1]["messages"][0]["content"][1]["image_url"]
    seen = PIL.Image.open(io.BytesIO(base64.b64decode(part["url"].split(",")[1])))
    assert seen.mode == "RGB" and seen.getpixel((0, 0)) == (255, 255, 255) and part["detail"] == "low"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "status", "code"), [
    ("400", 400, "too_long"), ("429", 429, "too_long"), ("500", 500, "too_long"), ("503", 503, "too_long"),
    ("302", 502, "upstream_error"), ("html", 502, "upstream_invalid"), ("silent", 504, "upstream_timeout"),
    ("crash", 503, "guard_unavailable"),
])  # fmt: skip
def test_what_goes_wrong_before_the_first_byte_has_its_status(buffered, hasty, model, status, code, stream):
    url = hasty["buffer"] if model == "silent" else buffered
    got = httpx.post(f"{url}/v1/chat/completions", json={"model": model, "messages": ASK, "stream": stream}, timeout=60)
    assert got.status_code == status and got.json()["error"]["code"] == code
    if model.isdigit() and model != "302":
        assert got.headers["retry-after"] == "7" and got.headers["retry-after-ms"] == "7000"  # the upstream's own
        assert got.headers["x-upstream-status"] == model
        error = got.json()["error"]
        assert (error["param"], error["type"]) == ("max_tokens", "invalid_request_error")
        assert "max_tokens is too large" in error["message"]
    else:
        assert "x-upstream-status" not in got.headers  # not the upstream's word


@pytest.mark.parametrize("model", ["die", "reset", "hang"])
def test_an_upstream_that_dies_in_the_stream(buffered, windowed, hasty, model):
    if model == "hang":
        buffered, windowed = hasty["buffer"], hasty["window"]
    body = {"model": model, "messages": ASK, "stream": True}
    got = httpx.post(f"{buffered}/v1/chat/completions", json=body)
    assert got.status_code in (502, 504) and "river" not in got.text
    with pytest.raises(openai.APIError):
        list(client(windowed).chat.completions.create(model=model, messages=ASK, stream=True))
    got = httpx.post(f"{windowed}/v1/chat/completions", json=body)
    events = [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: {")]
    assert got.status_code == 200 and "[DONE]" not in got.text
    assert events[-1]["error"]["code"] in ("upstream_broken", "upstream_invalid", "upstream_timeout")
    text = "".join(c["delta"].get("content") or "" for e in events[:-1] for c in e["choices"])
    assert SAFE.startswith(text) and len(text) <= len(SAFE) - 40


def test_a_header_that_cannot_go_on_stays_here(upstream, buffered):
    odd = {"openai-organization": "Zürich".encode(), "openai-project": b"p1"}
    got = httpx.post(f"{buffered}/v1/chat/completions", json={"model": "m", "messages": ASK}, headers=odd)
    assert got.status_code == 200
    assert "openai-organization" not in upstream.headers[-1] and upstream.headers[-1]["openai-project"] == "p1"


@pytest.mark.parametrize("text", [
    "![x](data:image/png;charset=utf-8;base64,{})", "![x](DATA:IMAGE/PNG;BASE64,{})",
    "<a href='data:text/html;base64,{}'>",
])  # fmt: skip
def test_files_written_into_a_text_are_found_however_they_are_spelled(text):
    assert inline(text.format("A" * 64)) and not inline("data:image/png;base64, is how such an address begins")


def test_nobody_is_there():
    upstream = type("U", (), {"url": "http://127.0.0.1:9"})
    with proxy(upstream) as url:
        got = httpx.post(f"{url}/v1/chat/completions", json={"model": "m", "messages": ASK})
    assert got.status_code == 502 and got.json()["error"]["code"] == "upstream_unreachable"


@pytest.mark.parametrize("body", [
    {"messages": "x"}, {"messages": []}, {"messages": [1]}, {"messages": ASK, "stream": "yes"},
    {"messages": ASK, "n": 0}, {"messages": ASK, "n": "2"}, {"messages": [{"role": "king", "content": "x"}]},
])  # fmt: skip
def test_wrong_requests(buffered, body):
    got = httpx.post(f"{buffered}/v1/chat/completions", json=body)
    assert got.status_code == 422 and got.json()["error"]["code"] == "invalid_request"


def test_without_an_upstream():
    config = ServerConfig.model_validate({"policies": {"default": {"guards": ["token"]}}})
    with served(create_app(config, {"token": TokenGuard()})) as url:
        got = httpx.post(f"{url}/v1/chat/completions", json={"messages": ASK})
    assert got.status_code == 404 and got.json()["error"]["code"] == "no_upstream"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_call(upstream, windowed, stream):
    upstream.cancelled.clear()
    model = "hang" if stream else "silent"
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": model, "messages": ASK, "stream": stream}
        httpx.post(f"{windowed}/v1/chat/completions", json=body, timeout=0.7)
    assert upstream.cancelled.wait(15)  # well before the upstream's own limit of 30 s


def test_a_slow_client_holds_the_upstream_back(upstream, windowed):
    """A client that does not read: the endless upstream must stop sending instead of filling this server's memory."""
    upstream.sent = 0
    body = json.dumps({"model": "endless", "messages": ASK, "stream": True}).encode()
    host, port = windowed.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        slow.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        sent = []
        for _ in range(40):
            time.sleep(0.25)
            sent.append(upstream.sent)
            if len(sent) > 4 and sent[-1] == sent[-4] > 0:
                break
        assert sent[-1] == sent[-4] > 0, sent
    upstream.sent = 0


def test_a_client_that_never_reads_is_given_up(upstream):
    upstream.cancelled.clear()
    body = json.dumps({"model": "endless", "messages": ASK, "stream": True}).encode()
    with proxy(upstream, "window", limits={"read_seconds": 0.5}) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
            slow.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
            assert upstream.cancelled.wait(110), f"{upstream.sent:,} bytes"  # while the client is still there
    upstream.sent = 0
