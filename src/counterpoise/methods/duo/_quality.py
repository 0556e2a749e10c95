"""What a tuned text-to-image model's pictures are worth beside real ones and beside their prompts: FID and CLIP score.

Both need a trained encoder, which is handed in: `inception_features` is the one that published FIDs are of, through the
package torch-fidelity; the CLIP score takes any dual encoder that `load_dual` loads. Nothing is downloaded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._evaluate import Preserved, preserved

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from counterpoise.models import DualEncoder

Features = Callable[[Sequence["Picture"]], "np.ndarray"]
"""Features (N, d) of N pictures."""
BATCH = 32


class Distance(NamedTuple):
    """A Frechet distance, of which features, between how many pictures."""

    value: float
    features: str
    n_real: int
    n_drawn: int


def fid(features: tuple[str, Features], real: "Sequence[Picture]", drawn: "Sequence[Picture]") -> Distance:
    """Frechet Inception Distance (Heusel et al. 2017, arXiv 1706.08500) where the features are Inception's, and the
    Frechet distance of whatever features are given.

    It is biased upwards by small samples: compare models with the same real pictures and as many drawn ones each; what
    is published is of 10,000 to 30,000. Raises InputError for fewer than two pictures on a side, and features that are
    no matrix of finite numbers.
    """
    name, extract = features
    sides = [_extracted(extract, name, pictures) for pictures in (real, drawn)]
    return Distance(frechet(*sides), name, len(real), len(drawn))


def frechet(a: "np.ndarray", b: "np.ndarray") -> float:
    """Squared Frechet distance of two Gaussians fitted to features a (N, d) and b (M, d), in float64:
    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2), sample covariances (N - 1).

    The square root is that of a symmetric positive matrix, which also exists where the covariances are singular (fewer
    pictures than features). Raises InputError for fewer than two rows, and different widths.
    """
    x, y = (np.asarray(each, dtype=np.float64) for each in (a, b))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"Frechet distance: features of shape {x.shape} and {y.shape}; expected at least two rows of "
                         "equal width on each side")  # fmt: skip
    one, two = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (x, y))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ two @ root).clip(min=0)).sum()
    shift = x.mean(axis=0) - y.mean(axis=0)
    # a distance: what rounding leaves below zero between equal sides is none
    return max(0.0, float(shift @ shift + np.trace(one) + np.trace(two) - 2 * cross))


def inception_features(weights: Path) -> tuple[str, Features]:
    """The 2048 features of the Inception network that published FIDs are of, resized as there, through torch-fidelity.

    `weights`: the file `weights-inception-2015-12-05-6726825d.pth` of that project. It is read as tensors only: a
    pickle that holds anything else is refused. Raises MissingPackageError without the package, InputError for a file
    that is missing or does not fit.
    """
    from counterpoise.base import require, sha256_file

    module = require("torch_fidelity.feature_extractor_inceptionv3", purpose="FID", install="torch-fidelity>=0.4,<0.5")
    import torch

    if not weights.is_file():
        raise InputError(f"{weights}: no such file; FID needs the Inception weights of torch-fidelity (docs/duo.md)")
    try:
        torch.load(weights, weights_only=True, map_location="cpu")  # torch-fidelity itself would run what a pickle says
        net = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
    except Exception as error:
        raise InputError(f"{weights}: not the Inception weights of torch-fidelity ({type(error).__name__})") from error

    def extract(pictures: "Sequence[Picture]") -> "np.ndarray":
        made = []
        for picture in pictures:  # one at a time: they may differ in size
            array = np.array(picture.convert("RGB"))
            made.append(net(torch.from_numpy(array).permute(2, 0, 1)[None])[0])
        return torch.cat(made).numpy()

    return f"inception-2015-12-05 {sha256_file(weights)[:8]}, 2048", extract


def clip_score(encoder: "DualEncoder", pictures: "Sequence[Picture]", prompts: Sequence[str]) -> Preserved:
    """CLIP score (Hessel et al. 2021, arXiv 2104.08718, eq. 1), as reported for text-to-image models: the mean of
    100 max(cos(picture, its prompt), 0), with interval over the pictures. Numbers of two encoders are not comparable.
    Raises InputError unless there is a prompt for each picture.
    """
    from torch.nn.functional import normalize

    from counterpoise.chat import Image

    if not pictures or len(pictures) != len(prompts):
        raise InputError(f"CLIP score: {len(prompts)} prompts for {len(pictures)} pictures; give one for each")
    seen = normalize(encoder.embed_images(Image.from_pil(each) for each in pictures).double(), dim=1)
    told = normalize(encoder.embed_texts(prompts).double(), dim=1)
    return preserved([100 * max(0.0, float(value)) for value in (seen * told).sum(dim=1)])


def _extracted(extract: Features, name: str, pictures: "Sequence[Picture]") -> "np.ndarray":
    if len(pictures) < 2:
        raise InputError(f"FID: {len(pictures)} pictures on a side; give at least two, and thousands for a number that "
                         "others can compare")  # fmt: skip
    found = np.concatenate([extract(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)])
    if found.ndim != 2 or len(found) != len(pictures) or not np.isfinite(found).all():
        raise InputError(f"FID: {name} gave features of shape {found.shape} for {len(pictures)} pictures; expected a "
                         "row of finite numbers for each")  # fmt: skip
    return found
