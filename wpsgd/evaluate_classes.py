"""How good the models of several classes are that lie side by side in one vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd import evaluate
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


def class_values(coef: FloatArray, intercepts: FloatArray, rows: Rows) -> NDArray[np.float64]:
    """<w_k, x_i> + intercept_k, float64 of shape (n, classes). coef: (classes, features)"""
    return np.column_stack([evaluate.decision_values(one, rows) for one in _vectors(coef, intercepts)])


def class_scores(
    coef: FloatArray,
    intercepts: FloatArray,
    rows: Rows,
    numbers: NDArray[np.integer[Any]],
    *,
    loss: str,
    alpha: float,
) -> dict[str, Any]:
    """Scores of models that tell each class from the rest.

    accuracy: share of rows whose class, `numbers`, has the largest value, the first of equals; auc: mean over
    the classes that some of the rows have and others have not, None without one; objective: mean over all
    """
    values, objectives, curves = [], [], []
    for number, vector in enumerate(_vectors(coef, intercepts)):
        own = rows.with_labels(np.where(numbers == number, 1.0, -1.0))
        values.append(evaluate.decision_values(vector, own))
        objectives.append(evaluate.objective(vector, own, loss=loss, alpha=alpha))
        curves.append(evaluate.auc(vector, own))
    chosen = np.argmax(np.column_stack(values), axis=1)
    return {
        "rows": len(rows),
        "accuracy": float(np.average(chosen == numbers, weights=rows.weights)),
        "auc": _mean(curves),
        "objective": float(np.mean(objectives)),
    }


def _vectors(coef: FloatArray, intercepts: FloatArray) -> Iterator[FloatArray]:
    return (
        np.append(weights, np.asarray(intercept, dtype=weights.dtype))
        for weights, intercept in zip(coef, intercepts, strict=True)
    )


def _mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
