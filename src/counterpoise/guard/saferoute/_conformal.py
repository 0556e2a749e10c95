"""A threshold with a guarantee: the expected share of requests that needed the large guard and were kept is bounded."""

import numpy as np

from counterpoise.base import InputError

from ._labels import Bools, Floats, route


def check_max_miss(max_miss: float) -> None:
    """Raises InputError for a bound outside (0, 1)."""
    if not 0 < max_miss < 1:
        raise InputError(f"--max-miss {max_miss}: give a share between 0 and 1, such as 0.01")


def conformal_threshold(scores: Floats, hard: Bools, max_miss: float, must: Bools | None = None) -> float:
    """The largest threshold that conformal risk control allows (Angelopoulos et al. 2024, equation 4).

    The loss of a request is 1 if it is hard and kept, else 0; it never falls when the threshold rises. With n
    calibration requests, n/(n+1) mean loss + 1/(n+1) <= max_miss makes the expected loss of the next, exchangeable
    request at most `max_miss`. Returns 0 (everything goes to the large guard) when no threshold reaches it, as with
    fewer than 1/max_miss - 1 requests. Raises InputError for a bound outside (0, 1) or no rows.
    """
    check_max_miss(max_miss)
    n = len(scores)
    if n == 0:
        raise InputError("--max-miss: no calibration rows")
    allowed = np.floor((n + 1) * max_miss - 1 + 1e-9)
    if allowed < 0:
        return 0.0
    # misses at threshold s: hard rows that may be kept with a score <= s
    free = np.zeros(n, bool) if must is None else must
    risky = np.sort(np.clip(scores, 1e-12, 1.0)[hard & ~free])
    if len(risky) <= allowed:
        return 1.0
    # just below the score of the first hard row that must not be kept
    return float(np.nextafter(risky[int(allowed)], 0.0))


def miss_share(scores: Floats, hard: Bools, threshold: float, must: Bools | None = None) -> float:
    """Share of all requests that are hard and kept."""
    return float((hard & ~route(scores, threshold, must)).mean())
