"""The judge of all competitors: objective and certified bound, in float64 numpy and scipy alone.

It shares no code with the project, so that no mistake is made twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def hinge_objective(matrix: Any, labels: NDArray[Any], alpha: float, weights: NDArray[Any]) -> float:
    """alpha/2 ||w||^2 + mean max(0, 1 - y <w, x>), no intercept.

    matrix: scipy CSR (n, d); labels: -1 or +1, (n,); weights: (d,)
    """
    w = np.asarray(weights, dtype=np.float64)
    margins = labels.astype(np.float64) * (matrix @ w)
    return float(0.5 * alpha * np.sum(w * w) + np.maximum(0.0, 1.0 - margins).mean())


def hinge_bound(matrix: Any, labels: NDArray[Any], alpha: float, dual: NDArray[np.float64]) -> float:
    """The dual objective at `dual`, clipped to [0, 1]: no weights have a smaller objective than that."""
    a = np.clip(dual, 0.0, 1.0)
    w = (matrix.T @ (a * labels)) / (alpha * len(labels))
    return float(a.mean() - 0.5 * alpha * np.sum(w * w))
