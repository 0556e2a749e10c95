"""Latency and throughput of the guard server on this machine, over HTTP on loopback.

    python bench/guard_server.py                       # tiny: 20 requests a second for 30 s, p50 and p99
    python bench/guard_server.py --guard small --batching   # batches against one by one, at equal verdicts

The server is `counterpoise guard serve` in a process of its own, so that the client's work is not counted as the
server's. The requests are texts of our own, all different, so that no verdict comes from the cache. `cpu_ms` is what
the server computes for a request, which other work on the machine changes less than it changes the latency.
"""

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

WORDS = ["how", "do", "people", "plan", "a", "garden", "wall", "trip", "letter", "song", "budget", "meal", "for", "two"]
START = 300
"""Seconds that a server may take to load its guards."""


class Server(NamedTuple):
    """A running server."""

    base: str
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds computed so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def sentence(seed: int) -> str:
    """A harmless request of 8 to 40 words; no two seeds give the same."""
    draw = random.Random(seed)
    return f"{seed}: " + " ".join(draw.choices(WORDS, k=draw.randint(8, 40)))


@contextmanager
def serving(name: str, batch: int) -> Iterator[Server]:
    """A server with one guard, ready."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "guard.yaml"
        file.write_text(json.dumps({"policies": {"default": {"guards": [name]}}, "batch": batch, "cache": 0}))
        command = [sys.executable, "-m", "counterpoise", "guard", "serve", "--config", file, "--port", str(port)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + START
            while not _ready(base):
                if child.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the server did not start; try: counterpoise guard serve")
                time.sleep(0.2)
            yield Server(base, psutil.Process(child.pid))
        finally:
            child.terminate()
            child.wait(20)


def _ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/ready").status_code == 200
    except httpx.TransportError:
        return False


async def paced(server: Server, rate: float, seconds: float) -> tuple[list[float], float]:
    """Seconds of each answer when requests arrive as a Poisson process, whether or not earlier ones are answered, and
    the server's seconds of computing for one."""
    draw, found = random.Random(0), list[float]()

    async def one(client: httpx.AsyncClient, n: int) -> None:
        began = time.perf_counter()
        (await client.post(f"{server.base}/v1/moderations", json={"input": sentence(n)})).raise_for_status()
        found.append(time.perf_counter() - began)

    async with httpx.AsyncClient(timeout=60) as client:
        for n in range(10):
            await one(client, -1 - n)
        found.clear()
        before = server.cpu()
        tasks, due, n = [], time.perf_counter(), 0
        end = due + seconds
        while (due := due + draw.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(client, n)))
            n += 1
        await asyncio.gather(*tasks)
    return found, (server.cpu() - before) / max(1, n)


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
    if not args.batching:
        with serving(args.guard, 32) as server:
            taken, cpu = asyncio.run(paced(server, args.rate, args.seconds))
        found = sorted(1000 * each for each in taken)
        p50, p99 = (found[min(len(found) - 1, int(share * len(found)))] for share in (0.5, 0.99))
        print(json.dumps({"guard": args.guard, "rate": args.rate, "n": len(found), "p50_ms": round(p50, 2),
                          "p99_ms": round(p99, 2), "cpu_ms": round(1000 * cpu, 2)}))  # fmt: skip
        return
    seconds, scores = {}, {}
    for batch in (1, 32):
        with serving(args.guard, batch) as server:
            asyncio.run(flood(server.base, 16, 16))  # warm
            seconds[batch], scores[batch] = asyncio.run(flood(server.base, args.requests, 64))
    apart = [abs(a - b) for a, b in zip(scores[1], scores[32], strict=True) if a is not None and b is not None]
    flipped = sum(((a or 0) >= 0.5) != ((b or 0) >= 0.5) for a, b in zip(scores[1], scores[32], strict=True))
    print(json.dumps({
        "guard": args.guard, "n": args.requests, "one_by_one_per_s": args.requests / seconds[1],
        "batched_per_s": args.requests / seconds[32], "times": seconds[1] / seconds[32],
        "verdicts_changed": flipped, "largest_difference": max(apart, default=None),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
