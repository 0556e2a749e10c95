"""The five analyses of "What Makes and Breaks Safety Fine-tuning?" (Jain et al., NeurIPS 2024, arXiv 2407.10264), as
functions of arrays: the small GPT of the PCFG study and any pair of chat models feed the same ones.

Means and decompositions are in float64, whatever the model's dtype.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.evals import stats

Array = NDArray[np.float64]
ENERGY = 0.9
"""Share of the squared singular values that a weight's leading columns keep."""


class Centroids(NamedTuple):
    """Mean activations (H) of safe and of unsafe reference samples."""

    safe: Array
    unsafe: Array


def centroids(safe_N_H: np.ndarray, unsafe_N_H: np.ndarray) -> Centroids:
    return Centroids(_f64(safe_N_H).mean(0), _f64(unsafe_N_H).mean(0))


def tau(states_N_H: np.ndarray, at: Centroids) -> Array:
    """(N) `||a - mu_U|| - ||a - mu_S||`: above 0 a sample is nearer to the safe centroid (section 4.1, figure 3)."""
    a = _f64(states_N_H)
    return np.asarray(np.linalg.norm(a - at.unsafe, axis=1) - np.linalg.norm(a - at.safe, axis=1))


def tau_cosine(states_N_H: np.ndarray, at: Centroids) -> Array:
    """(N) `cos(a, mu_S) - cos(a, mu_U)`: the same by angle."""
    a = _f64(states_N_H)
    unit = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-30)
    safe, unsafe = (m / max(float(np.linalg.norm(m)), 1e-30) for m in at)
    return np.asarray(unit @ (safe - unsafe))


class Change(NamedTuple):
    """The singular value decomposition of what tuning added to a weight: `dW = left diag(values) right`."""

    left: Array
    """(out, k) left singular vectors, as columns."""
    values: Array
    """(k) singular values, falling."""
    right: Array
    """(k, in) right singular vectors, as rows."""

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the squared singular values as shares: 1 for rank one, k for k equal ones."""
        share = self.values**2 / max(float((self.values**2).sum()), 1e-300)
        share = share[share > 0]
        return float(np.exp(-(share * np.log(share)).sum()))

    def rank_of(self, energy: float = ENERGY) -> int:
        """How many leading directions hold `energy` of the squared singular values."""
        return leading(self.values, energy)


def change_of(delta_out_in: np.ndarray) -> Change:
    """The decomposition of a dense difference."""
    left, values, right = np.linalg.svd(_f64(delta_out_in), full_matrices=False)
    return Change(left, values, right)


def low_rank_change(b_out_r: np.ndarray, a_r_in: np.ndarray, scale: float = 1.0) -> Change:
    """The decomposition of LoRA's `scale B A`, without the (out, in) product: QR of both factors, SVD of the core."""
    qb, rb = np.linalg.qr(_f64(b_out_r))
    qa, ra = np.linalg.qr(_f64(a_r_in).T)
    left, values, right = np.linalg.svd(scale * rb @ ra.T)
    return Change(qb @ left, values, right @ qa.T)


def leading(values: np.ndarray, energy: float = ENERGY) -> int:
    """The smallest k whose first k squared singular values hold more than `energy` of the sum."""
    squares = _f64(values) ** 2
    total = squares.sum()
    return int(np.searchsorted(np.cumsum(squares), energy * total, side="right") + 1) if total > 0 else 0


def column_space(weight_out_in: np.ndarray, *, energy: float = ENERGY, center: bool = True) -> Array:
    """(out, k) orthonormal leading left directions of a weight. `center` subtracts the mean column first; do the same
    to the change that is compared with it, or to neither.

    From the eigenvectors of W Wᵀ (or Wᵀ W, the smaller), so that a wide weight costs its short side cubed.
    """
    w = _f64(weight_out_in)
    if center:
        w = w - w.mean(1, keepdims=True)
    tall = w.shape[0] > w.shape[1]
    squares, vectors = np.linalg.eigh(w.T @ w if tall else w @ w.T)
    values = np.sqrt(np.maximum(squares[::-1], 0))
    k = min(leading(values, energy), w.shape[1] if tall else w.shape[0])
    kept = vectors[:, ::-1][:, :k]
    return np.asarray((w @ kept) / np.maximum(values[:k], 1e-300) if tall else kept)


def outside(directions_out_k: np.ndarray, basis_out_m: np.ndarray) -> Array:
    """(k) sin of the angle between each direction and a column space, `sqrt(1 - |P u|^2)` (section 4.2, figure 4): 0
    inside, 1 in the null space of the weight's transpose. Of directions drawn at random it is about sqrt(1 - m / out),
    which belongs beside it (`by_chance`)."""
    u = _f64(directions_out_k)
    u = u / np.maximum(np.linalg.norm(u, axis=0, keepdims=True), 1e-300)
    inside = ((basis_out_m.T @ u) ** 2).sum(0)
    return np.asarray(np.sqrt(np.clip(1 - inside, 0, 1)))


def by_chance(basis_out_m: np.ndarray) -> float:
    """What `outside` is for a random direction: the root of its mean square."""
    out, m = basis_out_m.shape
    return float(np.sqrt(1 - m / out))


def response(change: Change, entering_N_in: np.ndarray, top: int = 10) -> Array:
    """(N, top) `|sigma_j <a, v_j>| / |a|`: how strongly the change answers each sample, by direction (section 4.2,
    figure 5)."""
    a = _f64(entering_N_in)
    norm = np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-300)
    return np.asarray(np.abs((a @ change.right[:top].T) * change.values[:top]) / norm)


def along(base: np.ndarray, tuned: np.ndarray, alpha: float) -> np.ndarray:
    """`alpha W_tuned + (1 - alpha) W_base`, in the weights' own dtype: 0 and 1 give the two weights themselves."""
    if alpha in (0, 1):
        return (tuned if alpha else base).copy()
    return np.asarray(alpha * tuned + (1 - alpha) * base, dtype=base.dtype)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of the scores of `positive` rows against the others; ties count half. nan when one side
    is empty."""
    found = stats.auc(scores, positive)
    return float("nan") if found is None else found


def _f64(values: np.ndarray) -> Array:
    return np.asarray(values, dtype=np.float64)
