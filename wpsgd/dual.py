"""A linear SVM trained to a certified optimum, as one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import Certificate, DualSolver
from wpsgd.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, eq=False)
class DualResult:
    """What a solve came to.

    weights: float of shape (features,), in the precision of the rows
    dual: alpha, float64 of shape (n,), in [0, 1] for the hinge and >= 0 for the squared hinge
    history: the certificates on the way, the last that of the result
    """

    weights: FloatArray
    dual: NDArray[np.float64]
    converged: bool
    history: tuple[Certificate, ...]

    @property
    def objective(self) -> float:
        """F(w)."""
        return self.history[-1].objective

    @property
    def gap(self) -> float:
        """F(w) minus the dual objective, at least F(w) minus the optimum."""
        return self.history[-1].gap

    @property
    def epochs(self) -> float:
        """Rows visited, over rows held."""
        return self.history[-1].epochs


def solve_dual(
    rows: Rows,
    loss: str = "hinge",
    alpha: float = 1e-4,
    *,
    tol: float = 1e-3,
    max_epochs: float = 1000.0,
    seed: int = 0,
) -> DualResult:
    """The linear SVM without intercept whose duality gap is at most `tol` times its objective.

    loss: "hinge" or "squared_hinge"; alpha: L2 strength lambda, LIBLINEAR's 1 / (C sum of sample weights)
    max_epochs: rows visited over rows held, after which the model is given as it is
    The same seed gives the same bits. Raises ConfigError, DataError.
    """
    if not tol > 0.0:
        raise ConfigError(f"tol = {tol}: must be a number > 0")
    if len(rows) == 0:
        raise DataError("no rows to train on")
    solver = DualSolver(rows, loss, alpha, tol=tol, seed=seed)
    while not solver.converged and solver.visits < max_epochs * len(rows):
        solver.advance(solver.left)
    solver.certify()
    return DualResult(solver.weights, solver.dual, solver.converged, tuple(solver.history))
