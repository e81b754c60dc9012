"""Learners that keep, beside the weights, what a combination rule asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.kernels.squares import squares_pass
from wpsgd.kernels.tail import gather_tail, tail_pass
from wpsgd.learners.sgd import SGDLearner
from wpsgd.reducers import Rule

NOTHING_YET = (1.0, 0.0, 0.0, 0.0)


@runtime_checkable
class KeepsSquares(Protocol):
    """A learner of the rule `diagonal`."""

    def squares(self) -> NDArray[np.float64]:
        """Squared gradients added up, float64 of the shape of the weights."""


@dataclass(eq=False)
class KeepsAverage(SGDLearner):
    """Keeps the polynomial-decay average of its iterates since the last commit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._mean = np.zeros(self.shard.features)
        self._blend = np.array(NOTHING_YET)
        self._kept = (self._kept[0], self._mean, self._blend)

    def iterate(self) -> FloatArray:
        """The last iterate, in the buffer of `contribution`."""
        return super().contribution()

    def average(self) -> FloatArray:
        """The average of the iterates, the model itself before the first, in the buffer of `contribution`."""
        if self._blend[2] == 0.0:
            return self.iterate()
        features, model = self.shard.features, self._mean.copy()
        gather_tail(model, self._blend.copy(), self.weights[:features])
        self._spare[:features] = model
        if self.objective.intercept:
            self._spare[features] = self._blend[3]
        return self._spare

    def warm_up(self) -> None:
        super().warm_up()
        gather_tail(self._mean[:0], np.array(NOTHING_YET), self.weights[:0])

    def commit(self, model: FloatArray, steps: int) -> None:
        super().commit(model, steps)
        self._mean[:] = 0.0
        self._blend[:] = NOTHING_YET


@dataclass(eq=False)
class ContributesAverage(KeepsAverage):
    """Contributes it, for the rule `tail`."""

    def contribution(self) -> FloatArray:
        return self.average()


@dataclass(eq=False)
class IteratesLearner(KeepsAverage):
    """Of one thread whose gradients are fresh."""

    def _pass(self, order: NDArray[np.int64]) -> int:
        step, vector = self.objective.step, self.weights[: self.shard.features]
        etas = step.etas(self.steps, len(order))
        squares, mean, blend = self._kept
        kept = (self._carry, mean, blend, squares)
        how = (self._loss, self.reach, self._rate)
        return tail_pass(vector, *kept, *self._arrays, order, etas, step.alpha, *how)


@dataclass(eq=False)
class TailLearner(ContributesAverage, IteratesLearner):
    """The same for the rule `tail`."""


@dataclass(eq=False)
class LateTailLearner(TailLearner):
    """Averages no iterate before step `after` + 1, and contributes the last one until then."""

    after: int = 0

    def warm_up(self) -> None:
        super().warm_up()
        SGDLearner._pass(self, np.empty(0, dtype=np.int64))

    def _pass(self, order: NDArray[np.int64]) -> int:
        plain = min(max(self.after - self.steps, 0), len(order))
        done = SGDLearner._pass(self, order[:plain]) if plain else 0
        if done < plain or plain == len(order) > 0:
            return done
        self.steps += plain  # the steps that sizes are of; `advance` counts all of them
        try:
            return plain + super()._pass(order[plain:])
        finally:
            self.steps -= plain


@dataclass(eq=False)
class AddsSquares(SGDLearner):
    """Adds up the squared gradients of its rows since the last commit, for the rule `diagonal`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._squares = np.zeros(self.shard.features + 1)
        self._kept = (self._squares, *self._kept[1:])

    def squares(self) -> NDArray[np.float64]:
        """Squared gradients since the last commit, float64 of the shape of the weights."""
        return self._squares[: len(self.weights)].copy()

    def commit(self, model: FloatArray, steps: int) -> None:
        super().commit(model, steps)
        self._squares[:] = 0.0


@dataclass(eq=False)
class SquaresLearner(AddsSquares):
    """Of one thread whose gradients are fresh."""

    def _pass(self, order: NDArray[np.int64]) -> int:
        step, vector = self.objective.step, self.weights[: self.shard.features]
        etas = step.etas(self.steps, len(order))
        rest = (*self._arrays, order, etas, step.alpha, self._loss, self.reach, self._rate)
        return squares_pass(vector, self._carry, self._squares, *rest)


@dataclass(eq=False)
class AskedLearner(AddsSquares, IteratesLearner):
    """Keeps averages and squares, so that all rules can be asked about its iterates, which it contributes."""


@dataclass(eq=False)
class AskedTailLearner(AddsSquares, TailLearner):
    """The same for a run of the rule `tail`: contributes averages."""


def averaging(after: int = 0) -> Callable[..., SGDLearner]:
    """The kind of learner of the rule `tail` that averages no iterate before step `after` + 1."""
    return partial(LateTailLearner, after=after) if after else TailLearner


def learner_for(rule: Rule, asked: bool = False) -> type[SGDLearner]:
    """The kind of learner that a rule needs where the step size is one for all coordinates.

    asked: whether other rules are to be asked about its models too
    """
    if asked:
        return AskedTailLearner if "average" in rule.needs else AskedLearner
    if "average" in rule.needs:
        return TailLearner
    return SquaresLearner if "squares" in rule.needs else SGDLearner


def unfit(rule: Rule, learner: object) -> str:
    """What the rule needs and the learner does not keep, else an empty string."""
    if "average" in rule.needs and not isinstance(learner, ContributesAverage):
        return "a learner that averages its iterates: make_learner(..., kind=TailLearner)"
    if "squares" in rule.needs and not isinstance(learner, KeepsSquares):
        return "a learner that adds up squared gradients: make_learner(..., kind=SquaresLearner)"
    return ""
