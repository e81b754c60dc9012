"""What becomes of a model of SGD that ended above the objective of w = 0: a shorter one, which says so.

On columns of unequal scale the last steps may leave weights that point the right way and are far too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from wpsgd.data.rows import FloatArray
from wpsgd.estimator.solved import Solved
from wpsgd.evaluate import losses_at, regulariser

Margins = tuple[NDArray[np.float64], NDArray[np.float64]]  # of one model on some rows, and their weights


def shortened(one: Solved, margins: Margins, loss: str, alpha: float) -> Solved:
    """The model; where it is worse than none, times the length that suits it best, in place.

    margins: on rows of all processes, the same on each of them
    """
    factor = best_part(*margins, regulariser(one.weights, alpha), loss)
    if factor == 0.0:
        one.weights[:] = 0.0  # not times 0: some may not be finite
    elif factor < 1.0:
        one.weights[:] *= one.weights.dtype.type(factor)
    return replace(one, length=factor)


def worse_than_none(weights: FloatArray, margins: Margins, loss: str, alpha: float) -> bool:
    """Whether F(w) > F(0); margins as in `shortened`."""
    return best_part(*margins, regulariser(weights, alpha), loss) < 1.0


def best_part(m: NDArray[np.float64], s: NDArray[np.float64], square: float, loss: str) -> float:
    """1 where F(w) <= F(0), else the c in [0, 1) at which F(c w) is smallest.

    m: margins at w; s: sample weights; square: alpha / 2 ||w||^2
    """

    def at(c: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(c * c * square + np.average(losses_at(loss, c * m), weights=s))

    if s.sum() == 0.0:
        return 1.0
    if not (np.isfinite(m).all() and np.isfinite(square)):
        return 0.0
    nothing = at(0.0)
    if at(1.0) <= nothing:
        return 1.0
    longest, c = 1.0, 0.0
    for _ in range(100):  # F is convex along w: where it is smallest near 0, that end is looked at again
        how: Any = {"bounds": (0.0, longest), "method": "bounded", "options": {"xatol": 1e-7 * longest}}
        c = float(minimize_scalar(at, **how).x)
        if c > 0.01 * longest:
            break
        longest *= 0.02
    return c if at(c) < nothing else 0.0


def joined(parts: Sequence[Margins]) -> Margins:
    """Those of all processes behind one another, in rank order."""
    return np.concatenate([m for m, _ in parts]), np.concatenate([s for _, s in parts])


def said_of_length(solved: Sequence[Solved], strategy: object) -> str:
    """What a warning says where models were shortened, else an empty string. strategy: of the estimator"""
    short = sum(one.length < 1.0 for one in solved)
    if not short:
        return ""
    of_all = "" if len(solved) == 1 else f" in {short} of {len(solved)} classes"
    trainer = {"admm": "ADMM", "cocoa": "CoCoA"}.get(str(strategy), "SGD")
    return f"{trainer} ended above the objective of w = 0{of_all}, and the weights were made shorter"
