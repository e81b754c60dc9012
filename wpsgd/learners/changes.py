"""What a round changed in one node's model: the coordinates of its rows; all others only decayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wpsgd.kernels.wire import STRETCH, add_changed, folds, mark_columns

if TYPE_CHECKING:
    from wpsgd.data.rows import FloatArray
    from wpsgd.learners.sgd import SGDLearner

NONE = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Of a learner since its last commit, at which it was `age` steps old.

    taken: numbers of the rows that may have changed its model, in pieces
    """

    learner: SGDLearner
    age: int
    taken: list[NDArray[np.int64]]

    @classmethod
    def of(cls, learner: SGDLearner) -> Changes:
        """From now on, where the learner goes on from a model that was committed."""
        taken = list(learner.pending_rows)
        learner.order.tell(taken)
        return cls(learner, learner.steps, taken)

    @property
    def expected_entries(self) -> float:
        """About as many as `entries`, without a look at each row."""
        shard = self.learner.shard
        return sum(map(len, self.taken)) * shard.nonzeros / max(1, len(shard))

    @property
    def entries(self) -> int:
        """Of all rows together: at least as many as the columns they touch."""
        indptr = self.learner.shard.indptr
        return sum(int((indptr[rows + 1] - indptr[rows]).sum()) for rows in self.taken)

    def factors(self, at_most: int) -> NDArray[np.float64]:
        """What the untouched coordinates were multiplied by, one after another; empty where more often."""
        steps = (self.age, self.learner.steps - self.age, *self.learner.objective.step.formula)
        count = folds(*steps, NONE)
        if count >= at_most:
            return NONE
        found = np.empty(count + 1)
        folds(*steps, found)
        found[count] = self.learner.scale
        return found

    def columns(self) -> NDArray[np.int32]:
        """The touched columns, ascending; with an unregularised intercept its place behind them too."""
        shard, weights = self.learner.shard, self.learner.weights
        seen = np.zeros(shard.features, dtype=np.uint8)
        columns = np.empty(min(self.entries, shard.features), dtype=np.int32)
        found = 0
        for rows in self.taken:
            found = mark_columns(rows, shard.indptr, shard.indices.view(np.uint32), seen, columns, found)
        behind = np.arange(shard.features, len(weights), dtype=np.int32)
        return np.concatenate([np.sort(columns[:found]), behind])


def sum_changed(
    x0: FloatArray,
    start: float,
    omegas: NDArray[np.float64],
    factors: list[NDArray[np.float64]],
    indices: list[NDArray[np.integer]],
    values: list[FloatArray],
    out: FloatArray,
) -> None:
    """start x0 + sum of omega_i w_i into `out`, of what each node told of its w_i, in rank order."""
    factor_ends = np.cumsum([0, *map(len, factors)])
    ends = np.cumsum([0, *map(len, indices)])
    told = (np.concatenate(factors), factor_ends, np.concatenate(indices), np.concatenate(values), ends)
    add_changed(x0, start, omegas, *told, np.empty(STRETCH, x0.dtype), out)


def warm_up(learner: SGDLearner) -> None:
    """Compiles what a sparse round calls, on no coordinates."""
    shard, nothing = learner.shard, learner.weights[:0]
    columns = np.empty(0, dtype=np.int32)
    order = np.empty(0, dtype=np.int64)
    mark_columns(order, shard.indptr, shard.indices.view(np.uint32), np.zeros(0, np.uint8), columns, 0)
    folds(0, 0, *learner.objective.step.formula, NONE)
    sum_changed(nothing, 0.0, np.ones(1), [np.ones(1)], [columns], [nothing], nothing.copy())
