"""For the soak test: a guard with moods that remembers what it has seen, and an upstream that breaks off."""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from serving import Plain

from counterpoise.guard import Exchange, Sees, Verdict

SENTENCES = "The river is calm today. Boats go by. Nobody is in a hurry. " * 3


class Moody(Plain):
    """Fails now and then, and sometimes takes its time. What it gave a verdict about is kept until it is taken."""

    def __init__(self) -> None:
        super().__init__(sees=Sees(images=None, languages=frozenset({"en"})))
        self.asked, self.answers = set[int](), dict[int, str]()
        self._draw = random.Random(1)

    def check(self, exchanges: Sequence[Exchange]) -> Any:
        dice = self._draw.random()
        if dice < 0.02:
            raise MemoryError
        if dice < 0.04:
            return []
        if dice < 0.05:
            time.sleep(0.3)
        self.sizes.clear()
        return super().check(exchanges)

    def one(self, exchange: Exchange) -> Verdict:
        number = int(re.findall(r"#(\d+)#", " ".join(message.text for message in exchange.conversation))[0])
        if exchange.answer is None:
            self.asked.add(number)
        else:
            self.answers[number] = max(self.answers.get(number, ""), exchange.answer, key=len)
        return super().one(exchange)

    def take(self, number: int) -> tuple[bool, str]:
        """Whether it has seen this request, and the longest piece of its answer that it has seen."""
        found = number in self.asked, self.answers.pop(number, "")
        self.asked.discard(number)
        return found


MOODS = ("fine", "fine", "fine", "bad", "reset-first", "reset-later", "cut", "garbage", "500")


class Upstream:
    """Speaks OpenAI's protocol over bare sockets. The name of the model says what becomes of the answer."""

    def __init__(self) -> None:
        self.did: Counter[str] = Counter()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            asked = json.loads(await reader.readexactly(int(re.findall(r"content-length: (\d+)", head)[0])))
            mood = str(asked.get("model"))
            self.did[mood] += 1
            if mood != "reset-first":
                await self._answer(asked, mood, writer)
            if mood.startswith("reset"):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    async def _answer(self, asked: Any, mood: str, writer: asyncio.StreamWriter) -> None:
        if "messages" in asked:
            text = answer(asked["messages"][0]["content"], mood)
            pieces = [event({"delta": {"content": text[at : at + 9]}}) for at in range(0, len(text), 9)]
            pieces = [*pieces, event({"delta": {}, "finish_reason": "stop"}), b"data: [DONE]\n\n"]
        else:
            text = answer("", mood)
            item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
            done = {"id": "r1", "object": "response", "status": "completed", "output": [item]}
            pieces = [f"data: {json.dumps({'type': 'response.completed', 'response': done})}\n\n".encode()]
        kind = "text/event-stream"
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            kind, whole = "application/json", json.dumps({"choices": [choice]} if "messages" in asked else done)
            pieces = [whole[: len(whole) // 2].encode(), whole[len(whole) // 2 :].encode()]
        status = "500 No" if mood == "500" else "200 OK"
        size = sum(map(len, pieces))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n"
                     "Connection: close\r\n\r\n".encode())  # fmt: skip
        for piece in pieces[: len(pieces) // 2] if mood in ("reset-later", "cut") else pieces:
            writer.write(b"?" * len(piece) if mood == "garbage" else piece)
            await writer.drain()
        if mood == "reset-later":
            await asyncio.sleep(0.05)  # what was sent arrives before the reset


def answer(question: str, mood: str) -> str:
    return f"{SENTENCES}{'Something forbidden. ' if mood == 'bad' else ''}{SENTENCES}{question}"


def event(choice: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n".encode()


@contextlib.contextmanager
def listening(handle: Upstream) -> Iterator[str]:
    """The address of an upstream that runs in a thread."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


def memory() -> int:
    """Resident bytes of this process, which holds the servers, without what the allocator keeps for later."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def files() -> int:
    """Open files and sockets of this process."""
    return len(os.listdir("/proc/self/fd"))
