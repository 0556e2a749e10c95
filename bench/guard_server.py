"""Latency and throughput of the guard server on this machine, over HTTP on loopback.

    python bench/guard_server.py                       # tiny: 20 requests a second for 30 s, p50 and p99
    python bench/guard_server.py --guard small --batching   # batches against one by one, at equal verdicts

The requests are texts of our own, all different, so that no verdict comes from the cache.
"""

import argparse
import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from counterpoise.guard import Guard, make_guard
from counterpoise.guard.server import ServerConfig, create_app

WORDS = ["how", "do", "people", "plan", "a", "garden", "wall", "trip", "letter", "song", "budget", "meal", "for", "two"]


def sentence(seed: int) -> str:
    """A harmless request of 8 to 40 words; no two seeds give the same."""
    draw = random.Random(seed)
    return f"{seed}: " + " ".join(draw.choices(WORDS, k=draw.randint(8, 40)))


@contextmanager
def serving(name: str, guard: Guard, batch: int) -> Iterator[str]:
    """A live server with one guard."""
    config = ServerConfig.model_validate({"policies": {"default": {"guards": [name]}}, "batch": batch, "cache": 0})
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # named, so that asyncio turns off delays on it, as uvicorn has it
    sock.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(config, {name: guard}), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


async def paced(base: str, rate: float, seconds: float) -> list[float]:
    """Seconds of each answer when requests arrive as a Poisson process, whether or not earlier ones are answered."""
    draw, found = random.Random(0), list[float]()

    async def one(client: httpx.AsyncClient, n: int) -> None:
        began = time.perf_counter()
        (await client.post(f"{base}/v1/moderations", json={"input": sentence(n)})).raise_for_status()
        found.append(time.perf_counter() - began)

    async with httpx.AsyncClient(timeout=60) as client:
        for n in range(10):
            await one(client, -1 - n)
        found.clear()
        tasks, due, n = [], time.perf_counter(), 0
        end = due + seconds
        while (due := due + draw.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(client, n)))
            n += 1
        await asyncio.gather(*tasks)
    return found


async def flood(base: str, n: int, clients: int) -> tuple[float, list[float | None]]:
    """(seconds, p_unsafe of each) for n requests by so many clients at once."""
    scores: list[float | None] = [None] * n
    free = asyncio.Semaphore(clients)

    async def one(client: httpx.AsyncClient, number: int) -> None:
        async with free:
            answer = await client.post(f"{base}/v1/moderations", json={"input": sentence(number)})
            scores[number] = answer.raise_for_status().json()["results"][0]["x_guard"]["p_unsafe"]

    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=clients)) as client:
        began = time.perf_counter()
        await asyncio.gather(*(one(client, number) for number in range(n)))
        return time.perf_counter() - began, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guard", default="tiny")
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--batching", action="store_true", help="compare batches with one by one instead")
    parser.add_argument("--requests", type=int, default=256)
    args = parser.parse_args()
    guard = make_guard(args.guard)
    if not args.batching:
        with serving(args.guard, guard, 32) as base:
            found = sorted(1000 * each for each in asyncio.run(paced(base, args.rate, args.seconds)))
        p50, p99 = (found[min(len(found) - 1, int(share * len(found)))] for share in (0.5, 0.99))
        print(json.dumps({"guard": args.guard, "rate": args.rate, "n": len(found), "p50_ms": p50, "p99_ms": p99}))
        return
    seconds, scores = {}, {}
    for batch in (1, 32):
        with serving(args.guard, guard, batch) as base:
            asyncio.run(flood(base, 16, 16))  # warm
            seconds[batch], scores[batch] = asyncio.run(flood(base, args.requests, 64))
    apart = [abs(a - b) for a, b in zip(scores[1], scores[32], strict=True) if a is not None and b is not None]
    flipped = sum(((a or 0) >= 0.5) != ((b or 0) >= 0.5) for a, b in zip(scores[1], scores[32], strict=True))
    print(json.dumps({
        "guard": args.guard, "n": args.requests, "one_by_one_per_s": args.requests / seconds[1],
        "batched_per_s": args.requests / seconds[32], "times": seconds[1] / seconds[32],
        "verdicts_changed": flipped, "largest_difference": max(apart, default=None),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
