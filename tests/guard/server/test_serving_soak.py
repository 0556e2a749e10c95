"""Twenty minutes of load with random faults: nothing crashes, leaks, stays unanswered or passes unchecked."""

import asyncio
import gc
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import BLUE, RED, Plain, live, picture, said, settings, text

from counterpoise.guard import Exchange

SECONDS = float(os.environ.get("COUNTERPOISE_SOAK_SECONDS", "1200"))
RATE = 20


class Moody(Plain):
    """Fails now and then, and sometimes takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self._draw = random.Random(1)

    def check(self, exchanges: Sequence[Exchange]) -> Any:
        dice = self._draw.random()
        if dice < 0.02:
            raise MemoryError
        if dice < 0.04:
            return []
        if dice < 0.05:
            time.sleep(0.3)
        return super().check(exchanges)


def memory() -> int:
    """Resident bytes of this process, which holds the server."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def one(client: httpx.AsyncClient, base: str, n: int, draw: random.Random) -> str:
    bad = draw.random() < 0.3
    parts = [text(f"{'forbidden' if bad else 'fine'} {n}"), picture(RED if bad else BLUE)]
    dice = draw.random()
    if dice < 0.05:
        sent: dict[str, Any] = {"content": draw.randbytes(200), "headers": {"content-type": "application/json"}}
    elif dice < 0.1:
        sent = {"json": {"messages": [said([text("a"), {"type": "image_url", "image_url": {"url": "data:x"}}])]}}
    else:
        sent = {"json": {"messages": [said(parts)]}}
    answer = await client.post(f"{base}/v1/guard/check", **sent)
    if dice < 0.1:
        assert 400 <= answer.status_code < 500, answer.text
        return "malformed"
    if answer.status_code != 200:
        assert answer.status_code in (429, 503, 504), answer.text
        return "refused"
    assert (answer.json()["verdict"] == "block") is bad, answer.text  # whatever happened around it
    return "decided"


async def load(base: str, seconds: float, start: int) -> list[str]:
    draw, tasks, n = random.Random(start), list[asyncio.Task[str]](), start
    async with httpx.AsyncClient(timeout=60) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tasks.append(asyncio.create_task(one(client, base, n, draw)))
            n += 1
            await asyncio.sleep(draw.expovariate(RATE))
        return list(await asyncio.gather(*tasks))


@pytest.mark.slow
def test_soak() -> None:
    with live(settings(cache=500, seconds=5), plain=Moody()) as base:
        asyncio.run(load(base, min(60.0, SECONDS / 10), 0))  # the cache and the allocator's pools fill
        before = memory()
        found = asyncio.run(load(base, SECONDS, 10_000_000))
        after = memory()
        assert httpx.get(f"{base}/health").status_code == 200
    assert len(found) > 0.5 * RATE * SECONDS and found.count("decided") > 0.7 * len(found)
    assert after < 1.05 * before, f"{before:,} -> {after:,} bytes"
