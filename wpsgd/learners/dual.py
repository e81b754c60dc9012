"""One node's dual learner: dual coordinate ascent behind the protocol that strategies know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import DualSolver
from wpsgd.errors import ConfigError
from wpsgd.learners.sgd import Objective


class NoGradientSteps:
    """What mini-batch SGD asks of a learner, refused by those that hold dual variables."""

    reason = "the dual solver takes no gradient steps: minibatch needs the solver 'sgd'"

    def accumulate(self, rows: int) -> None:
        """Raises ConfigError: there are no gradient steps in the dual."""
        self._refuse()

    def gradient(self) -> FloatArray:
        """Raises ConfigError."""
        self._refuse()

    def descend(self, summed: FloatArray) -> None:
        """Raises ConfigError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ConfigError(self.reason)


@dataclass(eq=False)
class DualLearner(NoGradientSteps):
    """Visits rows of the shard as a `DualSolver` orders them; steps counts visits.

    tol: relative duality gap at which it stands still, whatever it is to advance; 0 never

    The model is what its dual variables make of the rows, so that a learner with rows goes on from its own
    model only. One without rows holds whatever model it is given. Raises ConfigError for an objective that
    has another start than 0, an intercept or an unfit loss.
    """

    shard: Rows
    objective: Objective
    seed: int
    rank: int
    shuffle: bool = True
    tol: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        check_objective(self.objective)
        order: dict[str, Any] = {"seed": self.seed, "rank": self.rank, "shuffle": self.shuffle}
        loss, alpha = self.objective.loss, self.objective.step.alpha
        self.solver = DualSolver(self.shard, loss, alpha, tol=self.tol, **order)
        self._spare = np.empty_like(self.weights)

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return len(self.shard)

    @property
    def weights(self) -> FloatArray:
        """The model, float of shape (features,)."""
        return self.solver.weights

    def warm_up(self) -> None:
        """Compiles what `advance` calls, on no rows."""
        self.solver.warm_up()

    def advance(self, rows: int) -> None:
        """Visits the next `rows` rows, or until `tol` is met. Raises ConfigError without rows, Diverged."""
        while rows > 0 and not self.converged:
            visits = min(rows, self.solver.left) if self.tol and self.rows else rows
            self.solver.advance(visits)
            self.steps += visits
            rows -= visits

    @property
    def converged(self) -> bool:
        """Whether the model is certified to meet `tol`."""
        return self.tol > 0.0 and self.rows > 0 and self.solver.converged

    def contribution(self) -> FloatArray:
        """This node's model in a buffer of its own, for a reduction to overwrite."""
        self._spare[:] = self.weights
        return self._spare

    def commit(self, model: FloatArray, steps: int) -> None:
        """Goes on at the age of `steps` steps. Raises ConfigError for a model that is not this learner's."""
        if self.rows == 0:
            self.weights[:] = model
        elif not np.array_equal(model, self.weights):
            raise ConfigError(
                f"rank {self.rank}: the dual solver cannot go on from a model that was combined with others':"
                " no dual variables belong to it"
            )
        self.steps = steps

    # what a checkpoint keeps

    def state(self) -> dict[str, Any]:
        """All but the weights."""
        return {"steps": self.steps, **self.solver.state()}

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        """Goes back to a saved place. Raises ConfigError where it is one of other rows."""
        self.solver.restore(weights, state)
        self.steps = int(state["steps"])


def check_objective(objective: Objective) -> None:
    """Raises ConfigError for a start or an intercept that no dual variables stand for."""
    if np.any(np.asarray(objective.w0) != 0.0):
        raise ConfigError("w0: the dual solver starts from 0, where all dual variables are 0")
    if objective.intercept:
        raise ConfigError("an unregularised intercept has no place in the dual solver: use a column")
