"""A small upstream that speaks OpenAI's protocol on loopback, badly where its model's name says so, and a guard."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from contextlib import contextmanager

import uvicorn

from counterpoise.guard import Exchange, Inspected, Sees, Verdict

TOKEN = "UNSAFE-TOKEN"
SAFE = "The river is calm today. Boats go by. " * 4
BAD = SAFE + TOKEN + " and more. " + SAFE


class TokenGuard:
    """Unsafe where the token stands in a text; sees images, red ones are unsafe. The word CRASH breaks it."""

    id, sees, revision = "token", Sees(images=None), "1"

    def __init__(self):
        self.images = []  # that it was shown

    def check(self, exchanges):
        return [self.one(exchange) for exchange in exchanges]

    def one(self, exchange: Exchange):
        text = "".join(message.text for message in exchange.conversation) + (exchange.answer or "")
        if "CRASH" in text:
            raise RuntimeError("model gone")
        self.images += [image for message in exchange.conversation for image in message.images]
        red = any(i.pil().getpixel((0, 0)) == (255, 0, 0) for m in exchange.conversation for i in m.images)
        seen = Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images)
        bad = TOKEN in text or red
        return Verdict("unsafe" if bad else "safe", self.id, seen, p_unsafe=0.99 if bad else 0.01)


class Upstream:
    """Answers by the name of the model; remembers what it was asked and whether it was hung up on."""

    def __init__(self):
        self.asked, self.headers, self.cancelled, self.sent = [], [], threading.Event(), 0
        self.sizes, self.peers = [], []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.peers.append(scope["client"])
        if scope["method"] == "GET":
            return await self.models(scope["path"], send)
        value = json.loads(body)
        self.sizes.append(len(body))
        self.asked.append(value)
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        gone = asyncio.ensure_future(receive())
        kind = self.response if scope["path"].endswith("/responses") else self.answer
        work = asyncio.ensure_future(kind(value, send))
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not work.done():
            self.cancelled.set()
            work.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def models(self, path, send):
        card = {"id": "org/m", "object": "model", "created": 1, "owned_by": "org", "note": f"It says {TOKEN}"}
        if path.endswith("/models"):
            return await reply(
                send, 200, json.dumps({"object": "list", "data": [card, {**card, "id": "b"}]}).encode(), {}
            )
        if path.endswith("/models/org/m"):
            return await reply(send, 200, json.dumps(card).encode(), {})
        error = {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        await reply(send, 404, json.dumps({"error": error}).encode(), {})

    async def response(self, value, send):
        model = value["model"]
        if model.isdigit():
            return await self.answer(value, send)
        whole = {"id": "resp_1", "object": "response", "created_at": 1, "model": model, "status": "in_progress",
                 "output": [], "error": None, "note": TOKEN, "usage": None}  # fmt: skip
        item, events = output(model)
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "note": f"It says {TOKEN}"}
        done = {**whole, "status": "completed", "output": [item], "usage": usage}
        if not value.get("stream"):
            return await reply(send, 200, json.dumps(done).encode(), {})
        await start(send, 200, {"content-type": "text/event-stream"})
        every = [{"type": "response.created", "response": whole}, *events]
        if model != "die":
            every.append({"type": "response.completed", "response": done})
        for number, each in enumerate(every):
            data = json.dumps({**each, "sequence_number": number})
            body = f"event: {each['type']}\ndata: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if model == "hang":
            await asyncio.sleep(30)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, value, send):
        model = value["model"]
        if model.isdigit():
            error = {"error": {"message": "max_tokens is too large", "type": "invalid_request_error",
                               "param": "max_tokens", "code": "too_long"}}  # fmt: skip
            headers = {"retry-after": "7", "retry-after-ms": "7000"}
            return await reply(send, int(model), json.dumps(error).encode(), headers)
        if model == "html":
            return await reply(send, 200, b"<html>", {})
        if model == "silent":
            return await asyncio.sleep(30)
        if value.get("stream"):
            return await self.stream(model, value, send)
        message = {"role": "assistant", "content": said(model)}
        if model == "picture":
            message["images"] = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        if model == "inline":
            message["content"] = "![x](data:image/png;base64," + "A" * 64 + ")"
        if model == "tools":
            message["tool_calls"] = [call(TOKEN)]
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(value.get("n", 1))]
        if model in ("probs", "forged"):
            choices[0]["logprobs"] = probs(SAFE if model == "probs" else TOKEN)
        if model == "second":
            choices[1] = {**choices[1], "message": {"role": "assistant", "content": BAD}}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": choices,
                 "usage": {**usage, "note": f"It says {TOKEN}"}, "hint": TOKEN}  # fmt: skip
        await reply(send, 200, json.dumps(whole).encode(), {})

    async def stream(self, model, value, send):
        await start(send, 200, {"content-type": "text/event-stream"})
        base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}

        async def event(index, delta, finish=None):
            choice = {"index": index, "delta": delta, "finish_reason": finish}
            if model in ("probs", "forged"):
                choice["logprobs"] = probs(delta.get("content", "") if model == "probs" else TOKEN)
            await out(json.dumps({**base, "choices": [choice]}, ensure_ascii=False))

        async def out(text):
            self.sent += len(text)
            await send({"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True})

        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        for index in range(value.get("n", 1)):
            await event(index, {"role": "assistant", "content": ""})
            text = BAD if model == "second" and index == 1 else said(model)
            for at in range(0, len(text), 7):
                await event(index, {"content": text[at : at + 7]})
            if model == "die":
                return await send({"type": "http.response.body", "body": b'data: {"cho', "more_body": False})
            if model == "reset":
                raise RuntimeError("the upstream dies")
            if model == "reason":
                await event(index, {"reasoning_content": TOKEN[:6]})
                await event(index, {"reasoning_content": TOKEN[6:]})
            if model == "tools":
                for piece in (TOKEN[:4], TOKEN[4:]):
                    await event(index, {"tool_calls": [call(piece)]})
            if model == "picture":
                await event(index, {"images": [{"type": "image_url"}]})
            if model == "endless":
                while True:
                    await event(index, {"content": "All is well here. " * 200})
                    await asyncio.sleep(0)  # send does not suspend once the client has gone: nobody could cancel this
            if model == "hang":
                await asyncio.sleep(30)
            await event(index, {}, "stop")
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        await out(json.dumps({**base, "choices": [], "usage": usage}))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def said(model):
    return {"bad": BAD, "crash": "CRASH", "empty": "", "line": "a\u2028b 北京 🔥.", "half": "half \ud800 of one"}.get(
        model, SAFE
    )


def output(model):
    """An item of a response, and the events in which it comes."""
    place = {"item_id": "i_1", "output_index": 0}
    if model == "tools":
        item = {"type": "function_call", "id": "i_1", "call_id": "call_1", "name": "look", "arguments": TOKEN}
        pieces = [{"type": "response.function_call_arguments.delta", **place, "delta": each}
                  for each in (TOKEN[:4], TOKEN[4:])]  # fmt: skip
        whole = {"type": "response.function_call_arguments.done", **place, "arguments": TOKEN}
        return item, [
            {"type": "response.output_item.added", **place, "item": {**item, "arguments": ""}},
            *pieces,
            whole,
        ]
    if model == "picture":
        item = {"type": "image_generation_call", "id": "i_1", "result": "AAAA"}
        return item, [{"type": "response.output_item.added", **place, "item": item}]
    text = said(model)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": TOKEN, "logprob": -1}]}
    item = {"type": "message", "id": "i_1", "role": "assistant", "status": "completed", "content": [part]}
    place["content_index"] = 0
    events = [{"type": "response.output_item.added", **place, "item": {**item, "content": []}},
              {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}]  # fmt: skip
    events += [{"type": "response.output_text.delta", **place, "delta": text[at : at + 7], "logprobs": part["logprobs"]}
               for at in range(0, len(text), 7)]  # fmt: skip
    last = BAD if model == "says-another-thing-at-the-end" else text
    events += [{"type": "response.output_text.done", **place, "text": last, "logprobs": part["logprobs"]},
               {"type": "response.output_item.done", **place, "item": item}]  # fmt: skip
    return item, events


def probs(text):
    """The tokens of a text, each with an alternative that nobody has said."""
    other = {"token": TOKEN, "logprob": -2.0, "bytes": list(TOKEN.encode())}
    rows = [{"token": text[at : at + 3], "logprob": -0.5, "bytes": list(text[at : at + 3].encode()),
             "top_logprobs": [other]} for at in range(0, len(text), 3)]  # fmt: skip
    return {"content": rows, "refusal": None, "note": TOKEN}


def call(arguments):
    return {"index": 0, "id": "t1", "type": "function", "function": {"name": "look", "arguments": arguments}}


async def start(send, status, headers):
    own = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": own})


async def reply(send, status, body, headers):
    await start(send, status, {"content-type": "application/json", **headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(app, **options):
    """The address of an ASGI application that runs in a thread."""
    options = {"port": 0, "log_level": "critical", "timeout_graceful_shutdown": 1, **options}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    listening = server.servers[0].sockets[0]
    # connections inherit it: a client that does not read is felt after 64 KiB instead of 4 MiB of checked text
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive(), "a server that goes on takes the time of all tests after it"
