"""AdaGrad on the rows of one node: a step size for each coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.kernels.sgd import adagrad_pass, settle
from wpsgd.learners.sgd import NO_COMMON, SGDLearner


@dataclass(eq=False)
class AdaGradLearner(SGDLearner):
    """SGD with the steps of Duchi, Hazan and Singer (2011).

    The accumulated squares stay on their node when models are combined.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._squares = np.zeros(self.coordinates)
        self._touched = np.zeros(self.shard.features, dtype=np.int64)
        self._carry[0] = 0.0  # the intercept's accumulated squares: these weights have no scale

    def _pass(self, order: NDArray[np.int64]) -> int:
        step = self.objective.step
        vector = self.weights[: self.shard.features]
        accumulators = (self._squares, self._touched, self._carry)
        arrays, now = self._arrays, self.steps
        return adagrad_pass(
            vector, *accumulators, *arrays, order, now, step.eta0, step.alpha, self._loss, self._rate
        )

    @property
    def scale(self) -> float:
        """1: each coordinate decays by itself."""
        return 1.0

    def _decay(self, summed: FloatArray) -> float:
        raise ConfigError(f"rank {self.order.rank}: adagrad has a step size for each coordinate: {NO_COMMON}")

    def warm_up(self) -> None:
        super().warm_up()
        self.contribution()

    def squares(self) -> NDArray[np.float64]:
        """Squared gradients of the whole run, float64 of the shape of the weights."""
        intercept = self._carry[:1] if self.objective.intercept else ()
        return np.append(self._squares, intercept)

    def contribution(self) -> FloatArray:
        self._spare[:] = self.weights
        if self.objective.intercept:
            self._spare[-1] = self._carry[1]
        self._settle(self._spare[: self.coordinates], self._touched.copy())
        return self._spare

    def commit(self, model: FloatArray, steps: int) -> None:
        squares = self._carry[0]
        super().commit(model, steps)
        self._carry[0] = squares
        self._touched[:] = steps

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "squares": self._squares.copy(),
            "intercept_squares": float(self._carry[0]),
        }

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        super().restore(weights, state)
        self._squares[:] = state["squares"]
        self._carry[0] = float(state["intercept_squares"])

    def _settle(self, vector: FloatArray, touched: NDArray[np.int64]) -> None:
        step = self.objective.step
        settle(vector, self._squares, touched, self.steps, step.eta0, step.alpha)
