"""`/v1/responses` through the proxy, and what else of the upstream a client sees, with the real OpenAI client."""

import base64
import io
import json

import httpx
import numpy as np
import openai
import PIL.Image
import pytest
from proxy_parts import SAFE, TOKEN, Upstream, served
from serving import RED, data_url
from test_proxy import ASK, TOKEN_GUARD, client, proxy

SAYS = "says-another-thing-at-the-end"


@pytest.fixture(scope="module")
def upstream():
    app = Upstream()
    with served(app) as url:
        app.url = url
        yield app


@pytest.fixture(scope="module")
def urls(upstream):
    """By mode."""
    with proxy(upstream) as buffer, proxy(upstream, "window") as window:
        yield {"buffer": buffer, "window": window}


def test_a_whole_response(upstream, urls):
    asked = {"model": "m", "input": "How is the river?", "instructions": "Be kind."}
    got = client(urls["buffer"]).responses.create(**asked, user="a")
    assert got.output_text == SAFE and got.status == "completed" and got.usage.total_tokens == 7
    assert got.instructions == "Be kind." and got.error is None
    assert upstream.asked[-1] == {**asked, "user": upstream.asked[-1]["user"]}
    assert TOKEN not in got.to_json()  # neither in fields beside the output nor in log-probabilities


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_a_streamed_response(urls, mode):
    with client(urls[mode]).responses.stream(model="m", input="hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == SAFE
    assert final.output_text == SAFE and final.status == "completed" and final.usage.total_tokens == 7
    assert TOKEN not in "".join(e.to_json() for e in events)
    numbers = [e.sequence_number for e in events]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("model", ["bad", "tools", "picture"])
def test_a_blocked_response(urls, model):
    got = client(urls["buffer"]).responses.create(model=model, input="hi")
    assert (got.status, got.incomplete_details.reason, got.output) == ("incomplete", "content_filter", [])
    assert TOKEN not in got.to_json() and got.to_dict()["x_guard"][0]["blocked"]


@pytest.mark.parametrize("mode", ["buffer", "window"])
@pytest.mark.parametrize("model", ["bad", "tools", "picture", SAYS])
def test_a_blocked_stream_of_a_response(urls, mode, model):
    events = list(client(urls[mode]).responses.create(model=model, input="hi", stream=True))
    if model != SAYS:
        text = "".join(e.delta for e in events if e.type.endswith("text.delta"))
        assert SAFE.startswith(text) and (not text or mode == "window")
        assert events[0].type == "response.created" and events[-1].type == "response.incomplete"
        assert events[-1].response.incomplete_details.reason == "content_filter"
    assert TOKEN not in "".join(e.to_json() for e in events)
    assert not any("function_call" in e.type for e in events)


def test_a_text_that_ends_otherwise_than_it_grew_is_read(urls):
    raw = httpx.post(f"{urls['window']}/v1/responses", json={"model": SAYS, "input": "hi", "stream": True})
    assert raw.status_code == 200 and TOKEN not in raw.text


def test_a_stream_of_a_response_that_is_cut_off(urls):
    body = {"model": "die", "input": "hi", "stream": True}
    got = httpx.post(f"{urls['buffer']}/v1/responses", json=body)
    assert got.status_code == 502 and got.json()["error"]["code"] == "upstream_broken"
    with pytest.raises(openai.APIError) as caught:
        list(client(urls["window"]).responses.create(model="die", input="hi", stream=True))
    assert caught.value.code == "upstream_broken"


INPUTS = {
    "text": TOKEN,
    "old turn": [{"role": "user", "content": TOKEN}, {"role": "assistant", "content": "No."}, *ASK],
    "result": [*ASK, {"type": "function_call_output", "call_id": "c", "output": TOKEN}],
    "call": [*ASK, {"type": "function_call", "call_id": "c", "name": "f", "arguments": TOKEN}, *ASK],
    "reasoning": [*ASK, {"type": "reasoning", "summary": [{"type": "summary_text", "text": TOKEN}]}, *ASK],
    "image": [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(RED)}]}],
    "image of a tool": [*ASK, {"type": "function_call_output", "call_id": "c",
                               "output": [{"type": "input_image", "image_url": data_url(RED)}]}],
    "file": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}],
}  # fmt: skip


@pytest.mark.parametrize("place", INPUTS)
def test_blocked_input_of_a_response_never_reaches_the_model(upstream, urls, place):
    before = len(upstream.asked)
    with pytest.raises(openai.BadRequestError) as caught:
        client(urls["buffer"]).responses.create(model="m", input=INPUTS[place])
    assert caught.value.code == "content_blocked" and len(upstream.asked) == before
    with pytest.raises(openai.BadRequestError):
        client(urls["buffer"]).responses.create(model="m", input="hi", instructions=TOKEN)


def test_errors_of_a_response_are_the_upstreams(urls):
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as caught:
            client(urls["buffer"]).responses.create(model="429", input="hi", stream=stream)
        assert (caught.value.code, caught.value.param) == ("too_long", "max_tokens")
        assert caught.value.response.headers["retry-after"] == "7"


def test_the_models_are_the_upstreams(upstream, urls):
    own = client(urls["buffer"])
    assert [each.id for each in own.models.list()] == ["org/m", "b"]
    assert own.models.retrieve("org/m").owned_by == "org" and TOKEN not in own.models.list().to_json()
    with pytest.raises(openai.NotFoundError) as caught:
        own.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"
    assert [each["id"] for each in own.models.list().to_dict()["policies"]] == ["default"]
    with proxy(upstream, models=["b"]) as url:
        assert [each.id for each in client(url).models.list()] == ["b"]
        with pytest.raises(openai.NotFoundError):
            client(url).chat.completions.create(model="org/m", messages=ASK)


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_connections_to_the_upstream_are_used_again(upstream, mode):
    with proxy(upstream, mode) as url:
        upstream.peers.clear()
        for _ in range(3):
            list(client(url).chat.completions.create(model="m", messages=ASK, stream=True))
            list(client(url).responses.create(model="m", input="hi", stream=True))
            client(url).chat.completions.create(model="m", messages=ASK)
        assert len(upstream.peers) == 9 and len(set(upstream.peers)) == 1


def photo(side, **more):
    """A JPEG that has as many bytes as one of a camera."""
    noise = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(noise).resize((side, side), PIL.Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, **more)
    return out.getvalue()


def arrived(upstream, url, data, kind="jpeg"):
    """(what was sent, what the upstream got of it)."""
    sent = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    part = {"type": "image_url", "image_url": {"url": sent}}
    client(url).chat.completions.create(model="m", messages=[{"role": "user", "content": [part]}])
    return sent, upstream.asked[-1]["messages"][0]["content"][0]["image_url"]["url"]


def test_images_that_were_only_looked_at_go_on_as_they_came(upstream, urls):
    data = photo(1600)
    assert len(data) > 300_000
    sent, got = arrived(upstream, urls["buffer"], data)
    assert got == sent
    sent, got = arrived(upstream, urls["buffer"], data, "png")  # its bytes, under their own name
    assert got == sent.replace("image/png", "image/jpeg")


def test_images_that_others_would_see_otherwise_go_on_as_the_guards_saw_them(upstream, urls):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = photo(800, exif=exif)
    _, got = arrived(upstream, urls["buffer"], data)
    body = base64.b64decode(got.partition(",")[2])
    turned = PIL.Image.open(io.BytesIO(body))
    assert got.startswith("data:image/jpeg") and len(body) < 3 * len(data) and 0x0112 not in turned.getexif()
    upright = np.asarray(PIL.Image.open(io.BytesIO(data)).rotate(-90, expand=True).convert("RGB"), dtype=float)
    assert np.abs(np.asarray(turned, dtype=float) - upright).mean() < 3
    seen = TOKEN_GUARD.images[-1]  # the guard was shown the very bytes that went on
    assert seen.read() == body


def test_a_text_in_a_stream_error_of_the_upstream_is_named(upstream):
    """An upstream that answers 200 and then an error: its code and message."""

    class Fails(Upstream):
        async def stream(self, model, value, send):
            head = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            error = {"error": {"message": "out of memory", "code": "oom", "param": None, "type": "server_error"}}
            await send({"type": "http.response.body", "body": f"data: {json.dumps(error)}\n\n".encode()})

    app = Fails()
    with served(app) as app.url, proxy(app) as url:
        got = httpx.post(f"{url}/v1/chat/completions", json={"model": "m", "messages": ASK, "stream": True})
    assert (got.status_code, got.json()["error"]["code"]) == (502, "oom")
    assert "out of memory" in got.json()["error"]["message"]
