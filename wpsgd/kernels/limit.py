"""How far one row may take its own margin: a bound on the step along the gradient of a smooth loss.

A step of size eta on row i multiplies the distance of its margin from where the loss pulls it to by about
1 - eta c s_i ||x_i||^2, c the largest curvature of the loss: the step overshoots where the product is above
1, and diverges above 2. So the gradient's part of a step takes min(eta, reach / (c s_i ||x_i||^2)). The decay
stays that of the schedule, and with it the contraction that nodes agree on. The hinge has no curvature: its
slope is bounded, and so are its steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.losses import HINGE, curvature_at

REACH = 1.0  # just to where the loss pulls, and no further

# positions are unsigned: as in sparse.py
_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@kernel
def squared_norm(values: Any, start: int, end: int) -> float:
    """||x||^2 over the entries start..end, in float64, in four lanes."""
    a = b = c = d = 0.0
    j, stop = np.uint64(start), np.uint64(end)
    while j + _FOUR <= stop:
        a += np.float64(values[j]) * np.float64(values[j])
        b += np.float64(values[j + _ONE]) * np.float64(values[j + _ONE])
        c += np.float64(values[j + _TWO]) * np.float64(values[j + _TWO])
        d += np.float64(values[j + _THREE]) * np.float64(values[j + _THREE])
        j += _FOUR
    while j < stop:
        a += np.float64(values[j]) * np.float64(values[j])
        j += _ONE
    return (a + b) + (c + d)


@kernel
def limited(eta: float, loss: int, reach: float, weight: float, values: Any, start: int, end: int) -> float:
    """The step size of the loss gradient of the row start..end: eta, or less where the loss is too curved.

    weight: its sample weight; reach: the most that eta c s ||x||^2 may be, in (0, 1]
    """
    if loss == HINGE:
        return eta
    steepness = curvature_at(loss) * np.float64(weight) * squared_norm(values, start, end)
    return reach / steepness if eta * steepness > reach else eta


@kernel
def log_norms(indptr: Any, values: Any, weights: Any, order: Any) -> tuple[float, int]:
    """The sum of log(s_i ||x_i||^2) over those rows of `order` where it is finite, and how many these are."""
    total, count = 0.0, 0
    for i in order:
        s = np.float64(weights[i]) if weights.size > 0 else 1.0
        norm = s * squared_norm(values, indptr[i], indptr[i + 1])
        if 0.0 < norm < math.inf:
            total += math.log(norm)
            count += 1
    return total, count
