"""Probabilities from decision values: Platt scaling on held-out margins.

Platt (1999), with the targets and the damped Newton method of Lin, Lin, Weng (2007), Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from wpsgd.export.probabilities import calibrated as probabilities

__all__ = ["calibration", "carried_over", "platt", "probabilities"]

Floats = NDArray[np.float64]
STEPS, HALVINGS = 100, 30
FLAT = 1e-10  # a gradient this small, relative to the rows, ends it
RIDGE = 1e-12  # on the diagonal of the Hessian


def platt(
    scores: Floats,
    positive: NDArray[np.bool_],
    weights: Floats | None = None,
    total: Callable[[Floats], Floats] = lambda sums: sums,
) -> tuple[float, float]:
    """(a, b) of P(+1 | f) = 1 / (1 + exp(-(a f + b))), the most likely for these rows.

    scores, weights: float64 of shape (n,); total: adds up an array over all processes that hold rows
    """
    weights = np.ones(len(scores)) if weights is None else weights
    masses = total(np.array([weights[positive].sum(), weights[~positive].sum()]))
    high, low = (masses[0] + 1.0) / (masses[0] + 2.0), 1.0 / (masses[1] + 2.0)
    targets = np.where(positive, high, low)

    def at(a: float, b: float) -> Floats:
        """Minus the log likelihood, its gradient, and its second derivatives aa, ab, bb."""
        z = a * scores + b
        p = expit(z)
        loss = weights * (np.logaddexp(0.0, z) - targets * z)
        slope, bend = weights * (p - targets), weights * p * (1.0 - p)
        parts = (loss, slope * scores, slope, bend * scores**2, bend * scores, bend)
        return total(np.array([part.sum() for part in parts]))

    a, b = 0.0, float(np.log((masses[0] + 1.0) / (masses[1] + 1.0)))
    now = at(a, b)
    for _ in range(STEPS):
        if np.abs(now[1:3]).max() <= FLAT * masses.sum():
            break
        hessian = np.array([[now[3] + RIDGE, now[4]], [now[4], now[5] + RIDGE]])
        da, db = -np.linalg.solve(hessian, now[1:3])
        length, slope = 1.0, float(now[1] * da + now[2] * db)
        for _ in range(HALVINGS):
            then = at(a + length * da, b + length * db)
            if then[0] <= now[0] + 1e-4 * length * slope:
                break
            length /= 2.0
        else:
            break
        a, b, now = a + length * da, b + length * db, then
    return float(a), float(b)


def carried_over(
    found: tuple[float, float],
    scores: Floats,
    others: Floats,
    weights: Floats | None = None,
    total: Callable[[Floats], Floats] = lambda sums: sums,
) -> tuple[float, float]:
    """(a, b) for the model of `scores`, where that of `others` has (a, b) = `found`; arguments as above.

    By the line others = slope scores + shift, of least squares on rows that both were trained on. SGD leaves
    models of other lengths and intercepts each time it ends, which are no matter of the probabilities.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    # not weights @ scores: the threads that a BLAS wakes for it go on spinning, next to ranks that work
    mass, first, second = total(
        np.array([part.sum() for part in (weights, weights * scores, weights * others)])
    )
    scores, others = scores - first / mass, others - second / mass
    square, product = total(np.array([(weights * part * scores).sum() for part in (scores, others)]))
    slope = product / square if square > 0.0 else 1.0
    a, b = found
    return float(a * slope), float(b + a * (second - slope * first) / mass)


def calibration(
    scores: Floats,
    others: Floats,
    positive: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    weights: Floats | None = None,
    total: Callable[[Floats], Floats] = lambda sums: sums,
) -> tuple[float, float]:
    """(a, b) of a model that was trained on all rows and has `scores`.

    others: decision values of one trained without the `chosen` rows; else arguments as above, (n,)
    """
    judging, common = (None if weights is None else weights[rows] for rows in (chosen, ~chosen))
    found = platt(others[chosen], positive[chosen], judging, total)
    return carried_over(found, scores[~chosen], others[~chosen], common, total)
