"""One node's learner: its weights, its step count, and what it does with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.errors import ConfigError, Diverged
from wpsgd.kernels.gradient import add_gradient, add_pairs, descend, descend_at
from wpsgd.kernels.limit import REACH
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.sgd import FOLD_BELOW, contraction, sgd_pass
from wpsgd.kernels.sparse import AHEAD, CACHE
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners import changes, gradients
from wpsgd.learners.gradients import GradientSum
from wpsgd.learners.row_order import RowOrder

# SGDClassifier scales the intercept's step on sparse rows by this much: the intercept sees every row,
# a weight only the rows that hold its feature
INTERCEPT_RATE = 0.01
ROWS_AHEAD = 8  # rows before its turn that a row itself is asked for
BLOCK = 64  # rows that stay together in the order of an epoch, where a user does not say
NOTHING = np.empty(0)
NO_COMMON = "its nodes take no gradient step in common"


class Learner(Protocol):
    """What a strategy knows of a node's learner.

    steps: steps taken, the age that step sizes depend on; rows: size of the shard
    """

    steps: int

    @property
    def rows(self) -> int: ...
    @property
    def weights(self) -> FloatArray: ...
    def warm_up(self) -> None: ...
    def advance(self, rows: int) -> None: ...
    def accumulate(self, rows: int) -> None: ...
    def gradient(self) -> FloatArray: ...
    def descend(self, summed: FloatArray) -> None: ...
    def contribution(self) -> FloatArray: ...
    def commit(self, model: FloatArray, steps: int) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised and from where.

    loss: a name of kernels.losses.LOSSES; step: the step sizes, with alpha
    w0: initial weights, a number or float of shape (features,)
    intercept: whether an unregularised intercept is learnt; it is the last entry of every weight vector then
    """

    loss: str
    step: StepSize
    w0: float | FloatArray = 0.0
    intercept: bool = False

    def start(self, features: int, dtype: Any) -> FloatArray:
        """Initial weights, `dtype` of shape (features,), one longer with an intercept. Raises ConfigError."""
        w0 = np.asarray(self.w0, dtype=dtype)
        if w0.ndim > 1 or (w0.ndim == 1 and w0.shape != (features,)):
            raise ConfigError(
                f"w0 has shape {w0.shape}: must be a number or one weight for each of {features} features"
            )
        weights = np.zeros(features + self.intercept, dtype=dtype)
        weights[:features] = w0
        return weights


@dataclass(eq=False)
class SGDLearner:
    """SGD on the rows of one node, weights = scale x vector.

    weights: the vector, float of shape (features,), with an unregularised intercept one longer; the model
    itself while scale is 1, that is, after each `commit`.
    """

    shard: Rows
    objective: Objective
    order: RowOrder
    steps: int = 0
    weights: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.weights = self.objective.start(self.coordinates, self.shard.values.dtype)
        self._spare = np.empty_like(self.weights)
        self._gradients: list[GradientSum] = []  # of each thread, where one was asked for
        self._carry = np.array([1.0, self._intercept_of(self.weights)])  # and losses, once somebody asks
        self._arrays = kernel_arrays(self.shard)
        self._formula = self.objective.step.formula
        self._loss = LOSSES[self.objective.loss]
        self._rate = INTERCEPT_RATE if self.objective.intercept else 0.0
        self._ahead = AHEAD if self.weights.nbytes > CACHE else 0
        # in stretches, the processor sees by itself what comes next
        scattered = self.order.shuffle and (self._ahead > 0 or self.order.block == 1)
        self._rows_ahead = ROWS_AHEAD if scattered else 0
        # (squares, mean, blend) that a rule asks for, as kernels take them (learners/keeping.py)
        self._kept = (NOTHING, NOTHING, NOTHING)

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return len(self.shard)

    @property
    def coordinates(self) -> int:
        """Weights without an unregularised intercept's."""
        return self.shard.features

    @property
    def reach(self) -> float:
        """How far a row of a smooth loss may take its own margin in a step: see kernels/limit.py."""
        return REACH

    @property
    def _bound(self) -> float | None:
        """The same as the fastest kernels take it: None for the hinge, which has none."""
        return None if self.objective.loss == "hinge" else self.reach

    @property
    def scale(self) -> float:
        """What the vector is to be multiplied by."""
        return float(self._carry[0])

    @property
    def pending_rows(self) -> list[NDArray[np.int64]]:
        """Numbers of rows that were taken from the order and are still to be applied, in pieces."""
        return []

    def advance(self, rows: int) -> None:
        """Applies the next `rows` rows. Raises Diverged with the step at which a margin is not finite."""
        for order in self.order.take(rows):
            done = self._pass(order)
            self.steps += done
            if done < len(order):
                self._diverged(self.steps + 1)

    def warm_up(self) -> None:
        """Compiles what `advance`, `accumulate` and `descend` call, on no rows."""
        nothing = np.empty(0, dtype=np.int64)
        self._pass(nothing)
        self._add_gradient(nothing)
        self.order.warm_up()
        contraction(float(self.objective.step.etas(0, 1)[0]), self.objective.step.alpha)
        gradients.warm_up(self.shard, self.weights[:0])
        changes.warm_up(self)

    # losses on the way, for whoever decides when to stop

    @property
    def models(self) -> int:
        """How many lie side by side in the weights."""
        return 1

    def watch_losses(self) -> None:
        """From now on, losses of rows are added up, each as it is before the row's step."""
        self._carry = np.append(self._carry[:2], np.zeros(1 + self.models))

    def taken_losses(self) -> NDArray[np.float64]:
        """[rows, sum of their losses times sample weights of each model] since this was called before."""
        losses = self._seen.copy()
        self._seen[:] = 0.0
        return losses

    @property
    def _seen(self) -> NDArray[np.float64]:
        return self._carry[2:]

    def contribution(self) -> FloatArray:
        """This node's model in a buffer of its own, for a reduction to overwrite."""
        scale, intercept = self._carry[:2]
        features = self.coordinates
        np.multiply(self.weights[:features], scale, out=self._spare[:features])
        if self.objective.intercept:
            self._spare[features] = intercept
        return self._spare

    def commit(self, model: FloatArray, steps: int) -> None:
        """Goes on from `model`, which the learner keeps, at the age of `steps` steps."""
        if model is self._spare:
            self.weights, self._spare = model, self.weights
        else:
            self.weights[:] = model
        self.steps = steps
        self._carry[:2] = 1.0, self._intercept_of(self.weights)

    # a gradient step in common, for mini-batch SGD; all rows of a step are taken at the same weights

    def accumulate(self, rows: int) -> None:
        """Adds the loss gradients of the next `rows` rows at the current weights. Raises Diverged."""
        for order in self.order.take(rows):
            count = self._add_gradient(order)
            if not np.isfinite(count):
                self._diverged(self.steps + 1)
            self._gradient.vector[-1] += count

    def gradient(self) -> FloatArray:
        """The sum of the accumulated loss gradients, for a reduction: float64 (features + 2,).

        The last entry but one is the intercept's, the last is the number of rows.
        """
        for part in self._gradients[1:]:
            self._gradient.add(part)
        return self._gradient.vector

    def pairs(self) -> tuple[NDArray[np.int32], FloatArray]:
        """What is not 0 of `gradient()`, which is 0 afterwards: places in it and what stands there."""
        self.gradient()
        return self._gradient.pairs()

    def put_back(self, places: NDArray[np.int32], values: FloatArray) -> None:
        """Undoes `pairs`, for whoever wants the gradient after all."""
        add_pairs(places, values, self._gradient.vector)

    def descend(self, summed: FloatArray) -> None:
        """w <- (1 - eta lambda) w - eta mean gradient, from the `gradient()` of all nodes added up."""
        descend(self.weights[: self.coordinates], summed, self._decay(summed))
        self._gradient.taken.clear()

    def descend_at(self, places: Sequence[NDArray[np.integer[Any]]], values: Sequence[FloatArray]) -> None:
        """`descend` from the `pairs()` of all nodes, in rank order: the same bits from as many numbers."""
        summed, columns = self._gradient.vector, np.concatenate(places)
        add_pairs(columns, np.concatenate(values), summed)
        descend_at(self.weights[: self.coordinates], columns, summed, self._decay(summed))
        self._gradient.taken.clear()

    def _decay(self, summed: FloatArray) -> float:
        """All of a step but for the vector's part along the gradient, by this factor; 0 for no rows."""
        eta, rows = float(self.objective.step.etas(self.steps, 1)[0]), float(summed[-1])
        scale = self.scale * contraction(eta, self.objective.step.alpha)
        if scale < FOLD_BELOW:
            self.weights[: self.coordinates] *= scale
            scale = 1.0
        size = eta / rows if rows > 0.0 else 0.0
        self._carry[:2] = scale, self._carry[1] - self._rate * size * summed[-2]
        self.steps += 1
        return size / scale

    @property
    def _gradient(self) -> GradientSum:
        """The first thread's sum, and after `gradient()` that of all."""
        if not self._gradients:
            self._gradients = [GradientSum(self.shard, self.coordinates) for _ in range(self._summing)]
        return self._gradients[0]

    @property
    def _summing(self) -> int:
        """Threads that add up gradients."""
        return 1

    # what a checkpoint keeps

    def state(self) -> dict[str, Any]:
        """All but the weights, taken between rounds."""
        return {"steps": self.steps, "epoch": self.order.epoch, "cursor": self.order.cursor}

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        """Goes back to a saved place."""
        if weights.shape != self.weights.shape:
            raise ConfigError(
                f"the saved weights have shape {weights.shape}, these data need {self.weights.shape}"
            )
        self.commit(weights.astype(self.weights.dtype, copy=False), int(state["steps"]))
        self.order.move_to(int(state["epoch"]), int(state["cursor"]))

    def _pass(self, order: NDArray[np.int64]) -> int:
        return int(
            sgd_pass(
                self.weights[: self.shard.features],
                self._carry,
                *self._arrays,
                order,
                self.steps,
                *self._formula,
                self._loss,
                self._bound,
                self._rate,
                self._ahead,
                self._rows_ahead,
            )
        )

    def _add_gradient(self, order: NDArray[np.int64]) -> float:
        out = self._gradient
        out.taken.append(order)
        at = (self.weights[: self.shard.features], self.scale, float(self._carry[1]))
        return float(add_gradient(*at, *self._arrays, order, *self._limits, out.vector[:-1], self._seen))

    @property
    def _limits(self) -> tuple[int, float, float]:
        """What shortens the gradients of single rows in a step in common, in which none is late."""
        return self._loss, float(self.objective.step.etas(self.steps, 1)[0]), REACH

    def _intercept_of(self, weights: FloatArray) -> float:
        return float(weights[-1]) if self.objective.intercept else 0.0

    def _diverged(self, step: int) -> None:
        raise Diverged(
            f"diverged at step {step} on rank {self.order.rank}: a margin is not a finite number;"
            f" {self.objective.step.advice}, lower w0, or scale the rows to unit length"
        )


KernelArrays: TypeAlias = tuple[Any, Any, Any, Any, Any]


def kernel_arrays(rows: Rows) -> KernelArrays:
    """(indptr, indices, values, labels, weights) as the kernels take them."""
    weights = np.empty(0, dtype=rows.values.dtype) if rows.weights is None else rows.weights
    return rows.indptr, rows.indices.view(np.uint32), rows.values, rows.labels, weights
