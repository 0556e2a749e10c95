"""A live guard server on loopback, with guards that are simple enough to know every right answer."""

import base64
import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import PIL.Image
import uvicorn

from counterpoise.chat import Image
from counterpoise.guard import Exchange, Guard, Inspected, Sees, Verdict, unknown, unseen
from counterpoise.guard.server import ServerConfig, create_app
from counterpoise.guard.server._serve import options

RED, BLUE = (255, 0, 0), (0, 0, 255)


class Plain:
    """Unsafe where a text says `forbidden` or an image is red. In an answer check: the answer and the images."""

    def __init__(self, name: str = "plain", sees: Sees | None = None):
        self.id, self.revision = f"llama-guard-{name}", "1"  # its categories are Llama Guard's
        self.sees = sees or Sees(images=None)
        self.sizes: list[int] = []

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.sizes.append(len(exchanges))
        return [self.one(each) for each in exchanges]

    def one(self, exchange: Exchange) -> Verdict:
        if reason := unseen(self.sees, exchange):
            return unknown(self.id, exchange, reason)
        texts = " ".join(message.text for message in exchange.conversation)
        if exchange.answer is not None:
            texts = exchange.answer
        bad = "forbidden" in texts or any(red(i) for m in exchange.conversation for i in m.images)
        seen = Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images)
        return Verdict(
            "unsafe" if bad else "safe", self.id, seen, p_unsafe=0.9 if bad else 0.1,
            categories=("S1",) if bad else (), calibrated=True,
        )  # fmt: skip


def red(image: Image) -> bool:
    found = image.pil()
    pixel: Any = found.getpixel((found.width // 2, found.height // 2))
    return bool(pixel[0] > 250 and max(pixel[1:]) < 5)  # JPEG's red is not quite red


def data_url(colour: Any = BLUE, kind: str = "PNG", size: tuple[int, int] = (16, 16), mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    PIL.Image.new(mode, size, colour).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def picture(colour: Any = BLUE, **more: Any) -> dict[str, Any]:
    """An image as a part of a message."""
    return {"type": "image_url", "image_url": {"url": data_url(colour, **more)}}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


def settings(**changes: Any) -> ServerConfig:
    """One policy with the guard `plain`, unless told otherwise."""
    changes.setdefault("policies", {"default": {"guards": ["plain"]}})
    return ServerConfig.model_validate(changes)


@contextlib.contextmanager
def live(config: ServerConfig | None = None, **guards: Guard) -> Iterator[str]:
    """The address of a running server."""
    config = config or settings()
    app = create_app(config, guards or {"plain": Plain()})
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # named, so that asyncio turns off delays on it
    sock.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, **options(config)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        sock.close()


def post(base: str, path: str, body: Any, **more: Any) -> httpx.Response:
    return httpx.post(f"{base}{path}", json=body, timeout=30, **more)


def check(base: str, messages: list[dict[str, Any]], **more: Any) -> Any:
    """The answer of our own endpoint."""
    return post(base, "/v1/guard/check", {"messages": messages, **more}).json()


def error_of(response: httpx.Response) -> str:
    """The error code; the body has exactly OpenAI's shape."""
    body = response.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}, body
    assert "\n" not in body["error"]["message"] and "Traceback" not in response.text
    return str(body["error"]["code"])
