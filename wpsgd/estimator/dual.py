"""Trains one two-class problem by the dual solver: certified, and to machine precision where rows are few."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import DualSolver, total_weight
from wpsgd.estimator.exact import MOST_ROWS, solve_exactly
from wpsgd.estimator.solved import Solved
from wpsgd.evaluate import line_search, objective, regulariser
from wpsgd.trace import Event

MOST_ENTRIES = 20_000_000  # of rows that are made dense
MOST_WORK = 20_000_000  # rows x features^2, below which factorisations beat passes
SURE_TOL = 1e-12  # the gap that a tolerance of 0 or None asks for
STRETCH = 10_000  # rows
SMALL_STEP, MOST_STEPS = 0.01, 1e15


def solve(
    rows: Rows,
    loss: str,
    alpha: float,
    *,
    tol: float | None,
    max_epochs: float,
    seed: int,
    deadline: float = inf,
    start: NDArray[np.float64] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Solved:
    """The model whose duality gap is at most `tol`, else the best found; the objective of w = 0 is 1.

    max_epochs: rows visited over rows held; deadline: on `time.perf_counter`'s clock
    start: alpha to begin with, float64 of shape (n,). Rows of weight 0 must be left out.
    The last look of the trace has F of the weights as they are and its gap, computed anew in float64.
    Raises ConfigError, DataError, Diverged.
    """
    goal = max(tol or 0.0, SURE_TOL)
    found: list[_Found] = []
    if is_small(rows):
        found.append(_exactly(rows, loss, alpha))
        if found[0].objective - found[0].bound <= goal:
            return _solved(rows, alpha, found)
        if found[0].bound > 0.0:  # else rounding left nothing that is better than to begin with zeros
            start = found[0].dual
    solver = DualSolver(rows, loss, alpha, tol=goal, seed=seed, absolute=True)
    if start is not None:
        solver.dual[:] = np.clip(start, 0.0, 1.0 if loss == "hinge" else None)
        solver.weights[:] = weights_of(rows, solver.dual, alpha)
    told, unmet = 0, ""
    while not solver.converged and not unmet:
        solver.advance(solver.left)
        if tell is not None and len(solver.history) > told:
            told, last = len(solver.history), solver.history[-1]
            tell(f"pass {last.epochs:.1f}: objective {last.objective:.6g}, gap {last.gap:.3g}")
        if solver.visits >= max_epochs * len(rows):
            unmet = "max_iter"
        elif time.perf_counter() >= deadline:
            unmet = "max_seconds"
    last = solver.certify()
    trace = [_look(e, f, g) for e, f, g in solver.history[:-1]]
    found.append(_found(rows, loss, alpha, solver.weights, solver.dual, last.epochs, trace))
    solved = _solved(rows, alpha, found)
    if tol is None or solved.trace[-1]["gap"] <= goal:
        return solved
    return replace(solved, unmet=unmet or "rounding")


class _Found(NamedTuple):
    """objective: F(weights) in float64; bound: what F of no model is below; trace: without this look."""

    weights: FloatArray
    dual: NDArray[np.float64]
    objective: float
    bound: float
    epochs: float
    trace: list[Event]


def _found(
    rows: Rows,
    loss: str,
    alpha: float,
    weights: FloatArray,
    dual: NDArray[np.float64],
    epochs: float,
    trace: list[Event],
) -> _Found:
    """Weights judged by themselves, whatever solver they come from; shortened where w = 0 is better."""
    if not np.isfinite(weights).all():
        weights = np.zeros_like(weights)
    value = _objective(rows, loss, alpha, weights)
    if not value <= 1.0:
        shorter, _ = line_search(weights, rows, loss=loss, alpha=alpha)
        weights = (shorter * weights).astype(weights.dtype)
        value = _objective(rows, loss, alpha, weights)
    return _Found(weights, dual, value, lower_bound(rows, loss, alpha, dual), epochs, trace)


def _objective(rows: Rows, loss: str, alpha: float, weights: FloatArray) -> float:
    # margins are of the precision of the weights
    return objective(weights.astype(np.float64, copy=False), rows, loss=loss, alpha=alpha)


def lower_bound(rows: Rows, loss: str, alpha: float, dual: NDArray[np.float64]) -> float:
    """The dual objective in float64, at least that of zeros, which is 0. F of no model is below it.

    D(alpha) = mean of alpha_i (squared hinge: alpha_i - alpha_i^2 / 4) minus lambda/2 ||w(alpha)||^2
    """
    with np.errstate(over="ignore", invalid="ignore"):
        parts = dual if loss == "hinge" else dual - 0.25 * dual**2
        bound = float(np.average(parts, weights=rows.weights))
        bound -= regulariser(weights_of(rows, dual, alpha, np.float64), alpha)
    return max(0.0, bound) if np.isfinite(bound) else 0.0


def _solved(rows: Rows, alpha: float, found: list[_Found]) -> Solved:
    """The best model by F; its gap is the one to the highest of the lower bounds."""
    best = min(found, key=lambda one: one.objective)
    gap = max(0.0, best.objective - max(one.bound for one in found))
    look = _look(best.epochs, best.objective, gap)
    learner = _far_on(rows, alpha, best.epochs)
    return Solved(best.weights, best.epochs, [*best.trace, look], "", learner, best.dual)


def _look(epochs: float, value: float, gap: float) -> Event:
    return {"kind": "look", "rank": 0, "round": epochs, "objective": value, "gap": gap}


def is_small(rows: Rows) -> bool:
    """Whether rows are few, or their features: then they are solved to machine precision."""
    columns = min(rows.features, rows.nonzeros)
    few = len(rows) < MOST_ROWS or len(rows) * columns**2 <= MOST_WORK
    return few and len(rows) * columns <= MOST_ENTRIES


def _exactly(rows: Rows, loss: str, alpha: float) -> _Found:
    exact = solve_exactly(rows, loss, alpha)
    weights = exact.weights.astype(rows.values.dtype)
    return _found(rows, loss, alpha, weights, exact.dual, float(exact.steps), [])


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
    pull = (shares * dual * rows.labels / (alpha * total_weight(rows))).astype(kind)
    weights = np.zeros(rows.features, dtype=kind)
    for first in range(0, len(rows), STRETCH):  # scipy copies what it multiplies in another precision
        part = slice(first, first + STRETCH)
        weights += rows[part].to_scipy().T @ pull[part]
    return weights
