"""The length at which each of several models has the smallest F, over rows that are spread over the nodes.

A helper coroutine, like patterns.py: all models are searched at once, a reduction a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.evaluate import Scorer
from wpsgd.requests import AllReduce

STEPS = 26  # of golden sections: lengths to 4e-6 of the longest, and F to its square
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


class Line(NamedTuple):
    """Models along their lengths, on this node's part of the training rows.

    margins: float64 of shape (models, n); fixed: what an intercept adds to each, (models, n) or (models, 1)
    squares: alpha / 2 ||w||^2, float64 of shape (models,)
    """

    scorer: Scorer
    margins: NDArray[np.float64]
    fixed: NDArray[np.float64]
    squares: NDArray[np.float64]


async def lowest(line: Line) -> list[tuple[float, float]]:
    """(c, F(c w)) of each model, with the c >= 0 that minimises F along it, the intercept fixed.

    1 and F(w) of a model that is 0 or not finite.
    """
    ones = np.ones(len(line.squares))
    nothing, whole = await objectives(line, 0.0 * ones), await objectives(line, ones)
    searched = np.isfinite(whole) & np.isfinite(nothing) & (line.squares > 0.0)
    # F(c w) >= c^2 square, so no minimiser lies beyond sqrt(F(0) / square)
    low = np.zeros(len(ones))
    high = np.sqrt(np.where(searched, nothing, 0.0) / np.where(searched, line.squares, 1.0))
    for _ in range(STEPS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        falls = await objectives(line, left) > await objectives(line, right)
        low, high = np.where(falls, left, low), np.where(falls, high, right)
    middle = (low + high) / 2.0
    ends = np.array([[middle, 0.0 * ones, ones], [await objectives(line, middle), nothing, whole]])
    best = np.argmin(ends[1], axis=0)
    chosen = np.where(searched, best, 2)
    return [(float(ends[0, place, i]), float(ends[1, place, i])) for i, place in enumerate(chosen)]


async def objectives(line: Line, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """F(c w) of each model at a length of its own, on all rows."""
    scorer, models = line.scorer, zip(lengths, line.margins, line.fixed, strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.array([scorer.loss_sums(c * (m - fixed) + fixed) for c, m, fixed in models])
        await AllReduce(sums.reshape(-1))
        values: NDArray[np.float64] = lengths**2 * line.squares + sums[:, 0] / sums[:, 1]
    return values
