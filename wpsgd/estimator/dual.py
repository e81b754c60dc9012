"""Trains one two-class problem by its dual: certified, and to machine precision where rows are few.

Passes, factorisations and Newton steps (rounding.py: of the hinge too), in the order of what they are
foreseen to cost on these rows (costs.py); each goes on from what the one before it found, and the best model
by F is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import SURE_TOL, DualSolver
from wpsgd.estimator import costs
from wpsgd.estimator.exact import solve_exactly
from wpsgd.estimator.judging import Found, judged, look, lower_bound, solved, told, weights_of
from wpsgd.estimator.newton import minimise
from wpsgd.estimator.rounding import rounded
from wpsgd.estimator.solved import Solved
from wpsgd.trace import Event

__all__ = ["is_small", "lower_bound", "solve", "weights_of"]


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

    max_epochs: rows visited over rows held, and factorisations; deadline: on `time.perf_counter`'s clock
    start: alpha to begin with, float64 of shape (n,). Rows of weight 0 must be left out.
    The last look of the trace has F of the weights as they are and its gap, computed anew in float64.
    Raises ConfigError, DataError, Diverged.
    """
    search = _Search(rows, loss, alpha, max(tol or 0.0, SURE_TOL), max_epochs, seed, deadline, tell)
    if start is not None:
        search.dual = np.clip(start, 0.0, 1.0 if loss == "hinge" else None)
    for stage in _plan(search):
        stage()
        if search.done:
            break
    if tol is None or search.gap <= search.goal:
        return solved(rows, alpha, search.found)
    return solved(rows, alpha, search.found, search.ended or "rounding")


def is_small(rows: Rows) -> bool:
    """Whether rows are so few that they are solved to machine precision, in memory that can be afforded."""
    return len(rows) < costs.MOST_ROWS and costs.interior(rows) < inf


def _plan(search: _Search) -> Iterator[Callable[[], None]]:
    """What to try, in this order, until the goal is met.

    Of two ways the likely cheaper comes first, and for no longer than the other takes: so that no more than
    twice the time of the better one is spent, however hard the rows are.
    """
    rows, one_pass = search.rows, costs.one_pass(search.rows)
    factorisations = costs.interior(rows)
    squared = search.loss == "squared_hinge"
    if is_small(rows):
        if squared and rows.features < len(rows):
            yield search.newton
        yield search.exactly
    elif squared:
        if not costs.steps_are_cheap(rows):
            yield partial(search.passes, costs.newton(rows) / one_pass)
        yield search.newton
    else:
        if costs.steps_are_cheap(rows):
            # what another fit left may be near, and passes over sparse rows cost little beside Newton steps
            if search.dual is not None or costs.row_by_row(rows):
                yield partial(search.passes, costs.newton(rows) / one_pass)
            yield search.rounded
        yield partial(search.passes, factorisations / one_pass)
        if factorisations <= search.left * one_pass:
            yield search.exactly
    yield partial(search.passes, inf)


@dataclass(eq=False)
class _Search:
    """A solve in progress.

    found: models so far; dual: alpha to go on from, or None; spent: passes and factorisations
    ended: what ended it before the goal, else empty
    """

    rows: Rows
    loss: str
    alpha: float
    goal: float
    max_epochs: float
    seed: int
    deadline: float
    tell: Callable[[str], None] | None
    found: list[Found] = field(default_factory=list)
    dual: NDArray[np.float64] | None = None
    spent: float = 0.0
    ended: str = ""

    @property
    def gap(self) -> float:
        """From the best model to the highest lower bound."""
        if not self.found:
            return inf
        return min(one.objective for one in self.found) - max(one.bound for one in self.found)

    @property
    def left(self) -> float:
        """Passes and factorisations that there may still be."""
        return self.max_epochs - self.spent

    @property
    def done(self) -> bool:
        """Whether the goal is met, or may not be worked for any longer."""
        if not self.ended and self.gap > self.goal:
            used_up = self.left * len(self.rows) < 0.5  # visits are whole
            self.ended = "max_seconds" if self.halted() else "max_iter" if used_up else ""
        return bool(self.ended) or self.gap <= self.goal

    def halted(self) -> bool:
        """Whether time is up."""
        return time.perf_counter() >= self.deadline

    def exactly(self) -> None:
        """An interior point on the dual."""
        most = max(1, ceil(self.left))
        exact = solve_exactly(self.rows, self.loss, self.alpha, most_steps=most, halted=self.halted)
        self._take(exact.weights, exact.dual, exact.steps, [])

    def newton(self) -> None:
        """Newton steps on the weights."""
        begin = None if self.dual is None else weights_of(self.rows, self.dual, self.alpha, np.float64)
        result = minimise(
            self.rows,
            self.loss,
            self.alpha,
            goal=costs.newton_goal(self.rows, self.goal),
            most_steps=max(1, ceil(self.left)),
            start=begin,
            halted=self.halted,
            tell=self.tell,
        )
        self._take(result.weights, result.dual, result.steps, result.trace)

    def rounded(self) -> None:
        """Newton steps on the hinge with its kink rounded off, until it takes too many."""
        begun, trace = self.spent, list[Event]()
        about: dict[str, Any] = {"goal": self.goal, "seed": self.seed, "most_steps": self.left}
        for found in rounded(self.rows, self.alpha, **about, halted=self.halted):
            self.spent = begun + found.epochs
            self._keep(found._replace(trace=list(trace)))
            seen = found.epochs, found.objective, found.objective - found.bound
            trace.append(look(*seen))
            if self.tell is not None:
                self.tell(told(f"step {seen[0]:.1f}", *seen[1:]))

    def passes(self, most: float) -> None:
        """Dual ascent, for so many passes at most."""
        solver = DualSolver(self.rows, self.loss, self.alpha, tol=self.goal, seed=self.seed, absolute=True)
        if self.dual is not None:
            solver.dual[:] = self.dual
            solver.weights[:] = weights_of(self.rows, self.dual, self.alpha)
        left = max(1, ceil(min(self.left, 1e15) * len(self.rows)))  # of max_iter's visits
        most, seen = min(most * len(self.rows), left), 0
        while not solver.converged and (solver.visits < most or not solver.visits) and not self.halted():
            solver.advance(min(solver.left, left - solver.visits))
            if self.tell is not None and len(solver.history) > seen:
                seen, last = len(solver.history), solver.history[-1]
                self.tell(told(f"pass {last.epochs:.1f}", last.objective, last.gap))
        passed = solver.visits / len(self.rows)
        solver.certify()  # looks at all rows and moves nothing: no pass of max_iter
        trace = [look(*one) for one in solver.history[:-1]]
        self._take(solver.weights, solver.dual, passed, trace)

    def _take(
        self, weights: FloatArray, dual: NDArray[np.float64], epochs: float, trace: list[Event]
    ) -> None:
        self.spent += epochs
        self._keep(judged(self.rows, self.loss, self.alpha, weights, dual, float(epochs), trace))

    def _keep(self, found: Found) -> None:
        """Keeps what was found, to go on from the highest of the lower bounds: zeros have one too, 0."""
        best = max((one.bound for one in self.found), default=0.0)
        self.found.append(found)
        if found.bound > best:
            self.dual = found.dual
