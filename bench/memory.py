"""Peak memory of a training with 1,000 and with 20,000 rows, each in a process of its own.

python bench/memory.py --model pocket
python bench/memory.py --model my/folder --rows 1000 20000
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

BATCHES = 40  # both trainings do the same number of steps, drawn from all of their rows


def one(model: str, n: int) -> None:
    """Write `n` rows with images, train on some, print the peak resident memory in MiB."""
    import PIL.Image

    from counterpoise.chat import Image, Sample, assistant, user
    from counterpoise.data import SampleFile, write_samples
    from counterpoise.models import load
    from counterpoise.train import TrainConfig, fit, sft_loss

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(200):
            PIL.Image.new("RGB", (224, 224), (i, 255 - i, 80)).save(folder / f"{i}.png")
        rows = (
            Sample(
                str(i), (user(Image.from_path(folder / f"{i % 200}.png"), f"Colour {i}?"), assistant(f"Number {i}."))
            )
            for i in range(n)
        )
        write_samples(folder / "mix.jsonl", rows)
        config = TrainConfig(epochs=BATCHES * 8 / n, batch_size=8, lora_rank=8, lora_alpha=16)
        fit(load(model), SampleFile(folder / "mix.jsonl"), sft_loss, config, folder / "out")
    print(json.dumps({"rows": n, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(args.model, args.one)
    peaks = []
    for n in args.rows:
        command = [sys.executable, __file__, "--model", args.model, "--one", str(n)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        print(line)
        peaks.append(json.loads(line)["peak_mib"])
    print(f"largest / smallest peak: {max(peaks) / min(peaks):.3f}")


if __name__ == "__main__":
    main()
