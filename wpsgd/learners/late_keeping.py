"""Learners that keep what a combination rule asks for where gradients are late or threads share weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.kernels.tail import gather_tail, share_left
from wpsgd.learners.delay import DelayLearner, StaleDecayLearner
from wpsgd.learners.keeping import AddsSquares, ContributesAverage, SquaresLearner, TailLearner
from wpsgd.learners.sgd import SGDLearner
from wpsgd.learners.threaded import ThreadedLearner

SPACING = 32  # rows between two of the iterates that an average of threads is made of, at least,
SHARE = 32  # and at most, but for wide models, this part of the rows that it is of


@dataclass(eq=False)
class DelayTailLearner(ContributesAverage, DelayLearner):
    """Averages the weights after each step that is applied."""


@dataclass(eq=False)
class DelaySquaresLearner(AddsSquares, DelayLearner):
    """Adds up the gradients that are applied, as late as they are."""


@dataclass(eq=False)
class StaleDecayTailLearner(ContributesAverage, StaleDecayLearner):
    """The same of late decay."""


@dataclass(eq=False)
class StaleDecaySquaresLearner(AddsSquares, StaleDecayLearner):
    """The same of late decay; gradients are those of the loss."""


@dataclass(eq=False)
class ThreadedSquaresLearner(SquaresLearner, ThreadedLearner):
    """Each thread adds up those of its own rows, so that none is lost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._of_helpers = np.zeros((self.threads - 1, len(self._squares)))

    def squares(self) -> NDArray[np.float64]:
        """Squared gradients since the last commit, float64 of the shape of the weights."""
        found = super().squares()
        for squares in self._of_helpers:
            found += squares[: len(found)]
        return found

    def commit(self, model: FloatArray, steps: int) -> None:
        super().commit(model, steps)
        self._of_helpers[:] = 0.0

    def _squares_of(self, thread: int) -> NDArray[np.float64]:
        return self._of_helpers[thread - 1] if thread else self._squares


@dataclass(eq=False)
class ThreadedTailLearner(ContributesAverage, ThreadedLearner):
    """Averages the weights that threads share, where they meet: each stands for all iterates since the last.

    While threads are at work nobody sees an iterate. They meet so often that a pass over the weights costs no
    more than the rows in between, and otherwise often enough for the average's own weights.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._gathered, self._intercept = 0, 0.0
        self._worth = len(self.weights) * len(self.shard) // max(1, self.shard.nonzeros)

    def commit(self, model: FloatArray, steps: int) -> None:
        super().commit(model, steps)
        self._gathered, self._intercept = 0, 0.0

    @property
    def _spacing(self) -> int:
        return max(SPACING, self._worth, self._gathered // SHARE)

    @property
    def _until_meeting(self) -> int:
        return min(super()._until_meeting, self._spacing - (int(self._blend[2]) - self._gathered))

    def _met(self, rows: int) -> None:
        count = int(self._blend[2]) + rows
        left = share_left(self._gathered, count)
        intercept = left * self._intercept + (1.0 - left) * self._carry[1]
        self._blend[:] = left, (1.0 - left) * self.scale, count, intercept
        if count - self._gathered >= self._spacing:
            gather_tail(self._mean, self._blend, self.weights[: self.shard.features])
            self._gathered, self._intercept = count, intercept


KEEPING: Mapping[tuple[type[SGDLearner], type[SGDLearner]], type[SGDLearner]] = MappingProxyType(
    {
        (DelayLearner, TailLearner): DelayTailLearner,
        (DelayLearner, SquaresLearner): DelaySquaresLearner,
        (StaleDecayLearner, TailLearner): StaleDecayTailLearner,
        (StaleDecayLearner, SquaresLearner): StaleDecaySquaresLearner,
        (ThreadedLearner, TailLearner): ThreadedTailLearner,
        (ThreadedLearner, SquaresLearner): ThreadedSquaresLearner,
    }
)
