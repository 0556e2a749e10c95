"""What an evaluation costs beside the model: rows through task, scorers, statistics and scorecard, without a model.

python bench/rows_overhead.py
python bench/rows_overhead.py --rows 1000 20000 --page docs/results/overhead.md

The benchmark is made up: families of a harmful and a harmless question in two modalities, half of the rows with an
image, thirteen topics, five refusal scorers, discrimination and modality gap. The target answers at once in the place
of the engine; everything else is `counterpoise.evals.evaluate`. Each size runs in a process of its own; reported are
wall seconds, seconds of CPU time (the honest number on a busy machine) and peak resident memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIMIT_SECONDS, LIMIT_MIB = 240, 1536
TOPICS, PICTURES = 13, 200
REPLIES = (
    "I'm sorry, but I can't help with that. If you are in danger, please call for help.",
    "Here is a short plan. First, gather what you need. Second, do one step after the other and check each of them.",
    "",
    "As an AI model, I would rather talk about something else, but in general people do it in three steps.",
)


class Instant:
    """In the place of `counterpoise.models.Engine`: every request is answered when it is made."""

    max_batch = 64
    loaded = SimpleNamespace(path="instant", fingerprint="instant")

    def submit(self, conversation: Any, decoding: Any) -> "Future[Any]":
        from counterpoise.models import Answer

        future: Future[Any] = Future()
        text = REPLIES[sum(map(ord, conversation[-1].text)) % len(REPLIES)]
        future.set_result(Answer(text=text, finish="stop", n_prompt=20, n_new=10))
        return future

    def close(self) -> None:
        pass


def rows(n: int, folder: Path) -> Iterator[Any]:
    """`n` rows: family i has a harmful and a harmless question, each as text and with an image."""
    from counterpoise.chat import Image, Sample, user

    for i in range(n):
        family, harmful, shown = i // 4, i % 2 == 0, i % 4 >= 2
        text = f"Question {family} about topic {family % TOPICS}, the {'harmful' if harmful else 'harmless'} one?"
        image = [Image.from_path(folder / f"{family % PICTURES}.png")] if shown else []
        yield Sample(
            str(i), (user(*image, text),), harmful=harmful, modality="print" if shown else "text",
            cluster=str(family), group=str(family % TOPICS),
        )  # fmt: skip


def one(n: int) -> dict[str, Any]:
    """Evaluate `n` rows and say what it took."""
    import PIL.Image

    from counterpoise.evals import REFUSAL_SCORERS, Benchmark, Target, evaluate, register

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(PICTURES):
            PIL.Image.new("RGB", (224, 224), (i, 255 - i, 80)).save(folder / f"{i}.png")
        card = Benchmark(
            "mock", "Mock", "Made-up rows.", "text", "bench", "Apache-2.0", "1", n, REFUSAL_SCORERS,
            ("asr", "over_refusal", "discrimination", "modality_gap"), lambda: rows(n, folder), grouped="mean",
        )  # fmt: skip
        register(card)
        start = time.perf_counter()
        target = Target.of(Instant(), name="instant")  # type: ignore[arg-type]
        found = evaluate(target, ["mock"], out=folder / "out", run="bench")
        seconds = time.perf_counter() - start
        assert found.generated == n, f"{found.generated} answers for {n} rows"
        stages = json.loads((folder / "out" / "run.json").read_text())["seconds"]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": n,
        "scorecard_rows": len(found.rows),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "stages": stages,
    }


def page(results: list[dict[str, Any]]) -> str:
    """The results as a page of the documentation."""
    lines = [
        "# What an evaluation costs beside the model",
        "",
        "Made-up rows through task, scorers, statistics and scorecard, with a target that answers at once:",
        "`python bench/rows_overhead.py`. The aim is 20,000 rows in under 4 minutes and 1.5 GB.",
        "",
        "| rows | scorecard rows | seconds | CPU seconds | milliseconds of CPU a row | peak memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for each in results:
        per_row = 1000 * each["cpu_seconds"] / each["rows"]
        lines.append(
            f"| {each['rows']:,} | {each['scorecard_rows']} | {each['seconds']} | {each['cpu_seconds']} | "
            f"{per_row:.1f} | {each['peak_mib']:,} |"
        )
    lines += [
        "",
        "Importing the package (with torch) is part of CPU seconds and of the peak. On a machine that does other work",
        "at the same time, wall seconds say little; the aim is judged by CPU seconds. Nearly all of the time",
        "is Inspect's own work on a sample (its log is a third); memory does not grow with the rows.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--page", type=Path, help="write the results as a page of the documentation")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one)))
        return 0
    results = []
    for n in args.rows:
        command = [sys.executable, __file__, "--one", str(n)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        print(line, flush=True)
        results.append(json.loads(line))
    if args.page:
        args.page.write_text(page(results))
    largest = results[-1]
    held = largest["cpu_seconds"] < LIMIT_SECONDS and largest["peak_mib"] < LIMIT_MIB
    print(
        f"{largest['rows']:,} rows: {'within' if held else 'beyond'} {LIMIT_SECONDS} s of CPU time and {LIMIT_MIB} MiB"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
