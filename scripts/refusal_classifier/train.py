"""Train the refusal classifier and write its weights: python scripts/refusal_classifier/train.py (a minute)."""

import argparse
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parent))
from answers import corpus

from counterpoise.evals.scorers._classifier import WEIGHTS
from counterpoise.evals.scorers._features import BUCKETS, Features, features


def train(rows: Features, truth: np.ndarray, *, l2: float, steps: int, rate: float = 0.3) -> np.ndarray:
    """Full-batch Adam on the mean log loss plus l2 |w|^2."""
    weights, first, second = (np.zeros(BUCKETS) for _ in range(3))
    sizes = np.diff(rows.start)
    for step in range(1, steps + 1):
        error = (1 / (1 + np.exp(-rows.dot(weights))) - truth) / (len(truth) * np.sqrt(sizes))
        slope = np.bincount(rows.bucket, weights=np.repeat(error, sizes), minlength=BUCKETS) + 2 * l2 * weights
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-9)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--l2", type=float, default=1e-5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    answers, truth = zip(*corpus(options.rows, options.seed), strict=True)
    weights = train(features(answers), np.array(truth, dtype=float), l2=options.l2, steps=options.steps)
    held, labels = zip(*corpus(2_000, options.seed + 1), strict=True)
    right = (features(held).dot(weights) >= 0) == np.array(labels)
    save_file({"weights": weights.astype(np.float16)}, options.out)
    size = options.out.stat().st_size
    print(f"{options.out}: {size:,} bytes; {100 * right.mean():.1f} % right on 2,000 unseen fillings")


if __name__ == "__main__":
    main()
