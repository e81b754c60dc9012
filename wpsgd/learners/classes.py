"""One node's learner for several classes that share its rows, each against the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.errors import ConfigError
from wpsgd.kernels.classes import add_classes_gradient, classes_pass
from wpsgd.kernels.classes_adagrad import adagrad_classes_pass, settle_classes
from wpsgd.learners.adagrad import AdaGradLearner
from wpsgd.learners.row_order import RowOrder
from wpsgd.learners.sgd import Objective, SGDLearner


@dataclass(eq=False)
class ClassesLearner(SGDLearner):
    """`SGDLearner` of each class, bit for bit: a row is read once, and all of them take their step.

    own: int32 (n,), the class in which a row is +1, -1 for none; the labels of the shard have no say
    weights: feature by feature, (features * classes,): whatever treats all coordinates alike, or each by
        itself, treats the classes as if each were alone
    """

    own: NDArray[np.int32] = field(kw_only=True)
    classes: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        indptr, indices, values, _, weights = self._arrays
        self._arrays = (indptr, indices, values, self.own, weights)

    @property
    def coordinates(self) -> int:
        """Weights of all classes."""
        return self.shard.features * self.classes

    @property
    def models(self) -> int:
        return self.classes

    def side_by_side(self, vector: FloatArray) -> FloatArray:
        """A vector of the shape of the weights as (features, classes)."""
        return vector.reshape(self.shard.features, self.classes)

    def _pass(self, order: NDArray[np.int64]) -> int:
        w, how = self.side_by_side(self.weights), (self._loss, self._bound)
        return int(classes_pass(w, self._carry, *self._arrays, order, self.steps, *self._formula, *how))

    def _add_gradient(self, order: NDArray[np.int64]) -> float:
        w, out = self.side_by_side(self.weights), self.side_by_side(self._gradient.vector[:-2])
        return float(
            add_classes_gradient(w, self.scale, *self._arrays, order, *self._limits, out, self._seen)
        )


@dataclass(eq=False)
class AdaGradClassesLearner(AdaGradLearner, ClassesLearner):
    """`AdaGradLearner` of each class, bit for bit."""

    def _pass(self, order: NDArray[np.int64]) -> int:
        step = self.objective.step
        w, squares = self.side_by_side(self.weights), self.side_by_side(self._squares)
        memory = (w, squares, self._touched, self._carry)
        arrays, sizes = self._arrays, (self.steps, step.eta0, step.alpha)
        return int(adagrad_classes_pass(*memory, *arrays, order, *sizes, self._loss))

    def _settle(self, vector: FloatArray, touched: NDArray[np.int64]) -> None:
        step, squares = self.objective.step, self.side_by_side(self._squares)
        settle_classes(self.side_by_side(vector), squares, touched, self.steps, step.eta0, step.alpha)


def make_classes_learner(
    shard: Rows, own: NDArray[np.int32], classes: int, objective: Objective, **order: Any
) -> ClassesLearner:
    """The learner of one node for the objective's schedule.

    order: seed, rank, shuffle and block of `RowOrder`. Raises ConfigError for an unregularised intercept
    """
    if objective.intercept:
        raise ConfigError("several classes at once: an intercept must be a column of the rows")
    kind = AdaGradClassesLearner if objective.step.schedule == "adagrad" else ClassesLearner
    return kind(shard, objective, RowOrder(len(shard), **order), own=own, classes=classes)
