"""How good the models of several classes are that lie side by side in one vector."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.evaluate import Score, Scorer
from wpsgd.kernels.classes import classes_losses, classes_squares
from wpsgd.kernels.losses import LOSSES


@dataclass(frozen=True, slots=True, eq=False)
class ClassesScorer(Scorer):
    """`Scorer` of each class in one pass over the rows, for weights of shape (features * classes,).

    own, tested: int32, the class in which a training row or a test row is +1, -1 for none
    """

    own: NDArray[np.int32] = field(kw_only=True)
    tested: NDArray[np.int32] = field(kw_only=True)
    classes: int = field(kw_only=True)

    def partial(self, weights: FloatArray) -> NDArray[np.float64]:
        """Losses and weights of training and of test rows, weights right of test rows: (5 * classes,).

        Behind them, where it is asked for, what `taken` tells.
        """
        train = self._of_each(weights, self.train, self.own)[:2]
        test = np.zeros((3, self.classes))
        if self.test is not None:
            test = self._of_each(weights, self.test, self.tested)
        return np.concatenate([*train, *test, () if self.taken is None else self.taken()])

    def total(self, weights: FloatArray, sums: NDArray[np.float64]) -> Score:
        """The scores from the sums over all nodes."""
        squares = np.zeros(self.classes)
        classes_squares(weights.reshape(-1, self.classes), squares)
        parts = sums[: 5 * self.classes].reshape(5, self.classes).T
        if len(sums) > parts.size:
            rows, losses = sums[parts.size], sums[parts.size + 1 :]
            parts = np.column_stack([parts, np.full(self.classes, rows), losses])
        each = [
            self.score(0.5 * self.alpha * float(square), part)
            for square, part in zip(squares, parts, strict=True)
        ]
        mean = float(np.mean([one.objective for one in each]))
        tested, right = _mean([one.test_objective for one in each]), _mean([one.accuracy for one in each])
        return Score(mean, tested, right, _mean([one.pass_objective for one in each]), tuple(each))

    def _of_each(self, weights: FloatArray, rows: Rows, own: NDArray[np.int32]) -> NDArray[np.float64]:
        """Losses, weights, weights right: (3, classes)."""
        sums = np.zeros((2, self.classes))
        shares = np.empty(0, rows.values.dtype) if rows.weights is None else rows.weights
        arrays = (rows.indptr, rows.indices.view(np.uint32), rows.values, own, shares)
        total = classes_losses(weights.reshape(-1, self.classes), *arrays, LOSSES[self.loss], sums)
        return np.array([sums[0], np.full(self.classes, total), sums[1]])


def _mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
