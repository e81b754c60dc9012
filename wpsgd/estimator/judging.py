"""Models judged by themselves, whatever solver they come from: F, a lower bound of it, and what is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import total_weight
from wpsgd.estimator.solved import Solved
from wpsgd.evaluate import line_search, losses_at, objective, regulariser
from wpsgd.kernels.newton import add_rows
from wpsgd.learners.sgd import kernel_arrays
from wpsgd.trace import Event

SMALL_STEP, MOST_STEPS = 0.01, 1e15


class Found(NamedTuple):
    """objective: F(weights) in float64; bound: what F of no model is below; trace: without this look."""

    weights: FloatArray
    dual: NDArray[np.float64]
    objective: float
    bound: float
    epochs: float
    trace: list[Event]


def judged(
    rows: Rows,
    loss: str,
    alpha: float,
    weights: FloatArray,
    dual: NDArray[np.float64],
    epochs: float,
    trace: list[Event],
) -> Found:
    """Weights in the rows' precision and what they are worth; shortened where w = 0 is better."""
    weights = weights.astype(rows.values.dtype, copy=False)
    if not np.isfinite(weights).all():
        weights = np.zeros_like(weights)
    value = _objective(rows, loss, alpha, weights)
    if not value <= float(losses_at(loss, np.zeros(1))[0]):
        shorter, _ = line_search(weights, rows, loss=loss, alpha=alpha)
        weights = (shorter * weights).astype(weights.dtype)
        value = _objective(rows, loss, alpha, weights)
    return Found(weights, dual, value, lower_bound(rows, loss, alpha, dual), epochs, trace)


def _objective(rows: Rows, loss: str, alpha: float, weights: FloatArray) -> float:
    # margins are of the precision of the weights
    return objective(weights.astype(np.float64, copy=False), rows, loss=loss, alpha=alpha)


def lower_bound(rows: Rows, loss: str, alpha: float, dual: NDArray[np.float64]) -> float:
    """The dual objective in float64, at least that of zeros, which is 0. F of no model is below it.

    D(alpha) = mean of minus the loss's conjugate at -alpha_i, minus lambda/2 ||w(alpha)||^2. The former is
    alpha_i (hinge), alpha_i - alpha_i^2 / 4 (squared hinge; modified Huber, up to 4), or alpha_i's entropy.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if loss == "log_loss":
            parts = np.asarray(entr(dual) + entr(1.0 - dual))
        else:
            parts = dual if loss == "hinge" else dual - 0.25 * dual**2
        bound = float(np.average(parts, weights=rows.weights))
        bound -= regulariser(weights_of(rows, dual, alpha, np.float64), alpha)
    return max(0.0, bound) if np.isfinite(bound) else 0.0


def solved(rows: Rows, alpha: float, found: list[Found], unmet: str = "") -> Solved:
    """The best model by F; its gap is the one to the highest of the lower bounds."""
    best = min(found, key=lambda one: one.objective)
    gap = max(0.0, best.objective - max(one.bound for one in found))
    last = look(best.epochs, best.objective, gap)
    learner = _far_on(rows, alpha, best.epochs)
    return Solved(best.weights, best.epochs, [*best.trace, last], unmet, learner, best.dual)


def look(epochs: float, value: float, gap: float) -> Event:
    """An event of a trace."""
    return {"kind": "look", "rank": 0, "round": epochs, "objective": value, "gap": gap}


def told(count: str, value: float, gap: float) -> str:
    """A line for those who watch. count: as in "pass 3"."""
    return f"{count}: objective {value:.6g}, gap {gap:.3g}"


def _far_on(rows: Rows, alpha: float, passes: float) -> dict[str, int]:
    """Where SGD goes on from, if it is to: its first step sizes would undo what was solved.

    There a step of size 1 / (lambda t) moves the margin of its own row by SMALL_STEP at most, on average.
    """
    lengths = regulariser(rows.values, 2.0) / max(1, len(rows))
    steps = min(max(passes * len(rows), lengths / (SMALL_STEP * alpha)), MOST_STEPS)
    return {"steps": round(steps), "epoch": 0, "cursor": 0}


def weights_of(
    rows: Rows, dual: NDArray[np.float64], alpha: float, dtype: type[np.floating] | None = None
) -> FloatArray:
    """w = sum_i s_i / (lambda S) alpha_i y_i x_i, of shape (features,), in the rows' precision or `dtype`."""
    kind = rows.values.dtype if dtype is None else np.dtype(dtype)
    shares = 1.0 if rows.weights is None else rows.weights.astype(np.float64)
    weights = np.zeros(rows.features)
    indptr, indices, values, labels, _ = kernel_arrays(rows)
    add_rows(indptr, indices, values, shares * dual * labels / (alpha * total_weight(rows)), weights)
    return weights.astype(kind, copy=False)
