"""What one client's long texts and large pictures do to everybody else at the guard server on this machine.

    python bench/guard_load.py                      # tiny: 450,000 characters at once beside 20 short requests a second
    python bench/guard_load.py --characters 60000 --seconds 60

Short requests of neighbours arrive at a steady rate (a Poisson process), and `/health` is asked ten times a second, all
over HTTP on loopback, from a process of its own. First nobody else is there, then one client sends long texts, one
after the other (English sentences, and once as long a text in Greek letters), then one sends photographs. For each part
the statuses and the latencies of the neighbours and of `/health`, how the long requests ended, the server's CPU time
and the machine's load.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import httpx
import numpy as np
import PIL.Image
from guard_server import sentence, serving


def long_text(characters: int, seed: int) -> str:
    """Sentences without end, no two the same."""
    draw, parts, size = random.Random(seed), list[str](), 0
    while size < characters:
        parts.append(sentence(draw.randrange(10**9)) + ".")
        size += len(parts[-1]) + 1
    return " ".join(parts)[:characters]


def foreign(text: str) -> str:
    """The same in letters that the embedding does not know."""
    return text.translate({ord(a): ord(b) for a, b in zip("abcdeghiklmnopqrstuw", "αβψδεγηιξλμνοπχρστθω", strict=True)})


def photograph(seed: int) -> str:
    """A JPEG of about 3 MB, as cameras make it."""
    small = np.random.default_rng(seed).integers(0, 256, (563, 750, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = PIL.Image.fromarray(small).resize((3000, 2250), PIL.Image.Resampling.BICUBIC)
    image.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def summary(found: Sequence[tuple[int, float]]) -> dict[str, object]:
    """Of (status, seconds)."""
    taken = sorted(1000 * seconds for _, seconds in found)
    at = lambda share: round(taken[min(len(taken) - 1, int(share * len(taken)))], 1) if taken else None  # noqa: E731
    return {"n": len(taken), "statuses": dict(Counter(str(status) for status, _ in found)), "p50_ms": at(0.5),
            "p99_ms": at(0.99), "max_ms": at(1.0)}  # fmt: skip


async def part(base: str, seconds: float, bodies: Sequence[object], seed: int, rate: float) -> dict[str, object]:
    """`rate` neighbours a second and `/health`, for so long or until all of `bodies`, sent one by one, are answered."""
    draw, short, health, long = random.Random(seed), [], [], []
    tasks: list[asyncio.Task[None]] = []

    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:

        async def timed(into: list[tuple[int, float]], ask: Callable[[], Awaitable[httpx.Response]]) -> None:
            began = time.perf_counter()
            answer = await ask()
            into.append((answer.status_code, time.perf_counter() - began))

        async def heavy() -> None:
            for body in bodies:
                await timed(long, lambda body=body: client.post(f"{base}/v1/guard/check", json=body))

        async def neighbours() -> None:
            n = seed * 100_000
            while time.perf_counter() < end or not sender.done():
                n += 1
                body = {"input": sentence(n)}
                tasks.append(asyncio.create_task(
                    timed(short, lambda body=body: client.post(f"{base}/v1/moderations", json=body))))  # fmt: skip
                await asyncio.sleep(draw.expovariate(rate))

        async def watch() -> None:
            while time.perf_counter() < end or not sender.done():
                tasks.append(asyncio.create_task(timed(health, lambda: client.get(f"{base}/health"))))
                await asyncio.sleep(0.1)

        end = time.perf_counter() + seconds
        sender = asyncio.create_task(heavy())
        await asyncio.gather(neighbours(), watch(), sender)
        await asyncio.gather(*tasks)
    return {"short": summary(short), "health": summary(health),
            "long": [{"status": status, "seconds": round(taken, 2)} for status, taken in long]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guard", default="tiny")
    parser.add_argument("--characters", type=int, default=450_000)
    parser.add_argument("--long", type=int, default=1, help="English long texts, one after the other")
    parser.add_argument("--rate", type=float, default=20, help="short requests of neighbours a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each part, at least")
    parser.add_argument("--parts", default="quiet,long,foreign,photos", help="those to run, in this order")
    args = parser.parse_args()

    def ask(content: object) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": content}]}

    texts = [ask(long_text(args.characters, n)) for n in range(args.long)]
    photos = [ask([{"type": "image_url", "image_url": {"url": photograph(n)}}]) for n in range(5)]
    parts = {"quiet": [], "long": texts, "foreign": [ask(foreign(long_text(args.characters, 99)))], "photos": photos}
    with serving(args.guard, 32) as server:
        asyncio.run(part(server.base, 3, [], 9, args.rate))  # warm
        for number, name in enumerate(args.parts.split(",")):
            before = server.cpu()
            found = asyncio.run(part(server.base, args.seconds, parts[name], number, args.rate))
            cpu = round(server.cpu() - before, 1)
            print(json.dumps({"part": name, **found, "server_cpu_s": cpu, "load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
