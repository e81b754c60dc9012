"""Trains one two-class problem by Newton's method on the weights, certified: any loss but the hinge."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any

from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.dual_solver import SURE_TOL
from wpsgd.estimator.costs import newton_goal
from wpsgd.estimator.judging import judged, solved
from wpsgd.estimator.newton import minimise
from wpsgd.estimator.solved import Solved


def solve(
    rows: Rows,
    loss: str,
    alpha: float,
    *,
    tol: float | None,
    max_steps: int,
    deadline: float = inf,
    start: NDArray[Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Solved:
    """The model whose duality gap is at most `tol`, else the best found.

    loss: one of newton.SMOOTH_LOSSES; max_steps: Newton steps; deadline: on `time.perf_counter`'s clock
    start: weights to begin with, of shape (features,). Rows of weight 0 must be left out.
    The last look of the trace has F of the weights as they are and its gap, computed anew in float64.
    Raises ConfigError, DataError.
    """
    goal = max(tol or 0.0, SURE_TOL)

    def halted() -> bool:
        return time.perf_counter() >= deadline

    found = minimise(
        rows,
        loss,
        alpha,
        goal=newton_goal(rows, goal),
        most_steps=max_steps,
        start=start,
        halted=halted,
        tell=tell,
    )
    one = judged(rows, loss, alpha, found.weights, found.dual, float(found.steps), found.trace)
    if tol is None or one.objective - one.bound <= goal:
        return solved(rows, alpha, [one])
    ended = "max_seconds" if halted() else "max_iter" if found.steps >= max_steps else "rounding"
    return solved(rows, alpha, [one], ended)
