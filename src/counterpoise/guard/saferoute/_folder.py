"""A router's folder and labelled rows -> its evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterpoise.base import InputError

from .._labelled import Labelled
from ._baselines import Fitted
from ._evaluate import Evaluation, evaluate_route
from ._observe import observe, spec_of
from ._routed import saferoute


def evaluate_folder(
    folder: Path, rows: Sequence[Labelled], *, cache: Path | None = None, threshold: float | None = None
) -> Evaluation:
    """Both guards look at the rows (or at what is kept in `cache`), then every way of routing decides.

    Raises InputError when the folder holds no router, or its small guard is another one now.
    """
    pair = saferoute(str(folder))
    pair.router.spec.require(spec_of(pair.small, rows))
    try:
        fitted = Fitted(**pair.router.card["baselines"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: its card lacks what the baselines learned; train the router again") from error
    small, large = observe(pair.small, rows, cache), observe(pair.large, rows, cache)
    gold = np.array([row.unsafe for row in rows])
    return evaluate_route(pair.router, small, large, gold, [row.group for row in rows], fitted, threshold=threshold)
