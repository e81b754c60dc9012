"""How good weights are: one set of functions for everybody, peers included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.kernels.gradient import losses, margins
from wpsgd.kernels.losses import LOSSES


class Score(NamedTuple):
    """F(w) on training rows; on test rows, and the share of them classed right, None where there are none.

    pass_objective: F with the loss of each row as SGD met it since the score before, None where nobody asked
    each: of several models side by side the score of each, and the others are means of theirs
    """

    objective: float
    test_objective: float | None
    accuracy: float | None
    pass_objective: float | None = None
    each: tuple[Score, ...] = ()

    def fields(self) -> dict[str, Any]:
        """As a trace has them."""
        own = {name: value for name, value in self._asdict().items() if name != "each"}
        if self.pass_objective is None:
            del own["pass_objective"]
        return {**own, "each": [one.fields() for one in self.each]} if self.each else own


def margins_of(weights: FloatArray, rows: Rows) -> NDArray[np.float64]:
    """y_i (<w, x_i> + intercept), float64 of shape (n,).

    weights: float of shape (features,) or (features + 1,); the last entry is the intercept then.
    """
    vector, intercept = split_intercept(weights, rows.features)
    out = np.empty(len(rows))
    margins(vector, intercept, rows.indptr, rows.indices.view(np.uint32), rows.values, rows.labels, out)
    return out


def decision_values(weights: FloatArray, rows: Rows) -> NDArray[np.float64]:
    """<w, x_i> + intercept, float64 of shape (n,)."""
    return margins_of(weights, rows) * rows.labels


def losses_at(loss: str, m: NDArray[np.float64]) -> NDArray[np.float64]:
    """The loss at each margin."""
    out = np.empty_like(m)
    losses(LOSSES[loss], m, out)
    return out


def objective(weights: FloatArray, rows: Rows, *, loss: str, alpha: float) -> float:
    """F(w) = alpha/2 ||w||^2 + weighted mean loss (DESIGN.md, "The mathematics", 1).

    An intercept, the last entry of `weights` where it is one longer than the features, is not regularised.
    """
    vector, _ = split_intercept(weights, rows.features)
    mean_loss = np.average(losses_at(loss, margins_of(weights, rows)), weights=rows.weights)
    return regulariser(vector, alpha) + float(mean_loss)


def accuracy(weights: FloatArray, rows: Rows) -> float:
    """Weighted share of rows on the right side; a decision value of exactly 0 counts as class -1."""
    return float(np.average(_right(margins_of(weights, rows), rows), weights=rows.weights))


def auc(weights: FloatArray, rows: Rows) -> float | None:
    """Area under the ROC curve, or None where the rows are of one class."""
    if len(np.unique(rows.labels)) < 2:
        return None
    return float(roc_auc_score(rows.labels, decision_values(weights, rows), sample_weight=rows.weights))


def line_search(weights: FloatArray, rows: Rows, *, loss: str, alpha: float) -> tuple[float, float]:
    """(c, F(c w)) with the c >= 0 that minimises F along w, the intercept fixed.

    Tells a model that is too short from one that points the wrong way.
    """
    vector, intercept = split_intercept(weights, rows.features)
    length = float(np.max(np.abs(vector), initial=0.0))
    if length == 0.0:
        return 1.0, objective(weights, rows, loss=loss, alpha=alpha)
    # along w / max |w_j|, whose square is in range whatever the length of w
    fixed = rows.labels * intercept
    along = (margins_of(weights, rows) - fixed) / length
    square = regulariser(vector / length, alpha)

    def at(c: float) -> float:
        return c * c * square + float(np.average(losses_at(loss, c * along + fixed), weights=rows.weights))

    # F(c w) >= c^2 square, so no minimiser lies beyond sqrt(F(0) / square)
    longest = float(np.sqrt(at(0.0) / square))
    found = minimize_scalar(at, bounds=(0.0, longest), method="bounded", options={"xatol": 1e-9 * longest})
    with np.errstate(over="ignore"):
        best, c = min((at(c), c) for c in (float(found.x), length, 0.0))
    return c / length, best


def regulariser(vector: FloatArray, alpha: float) -> float:
    """alpha / 2 ||w||^2, added up in float64."""
    # not np.dot: the threads that a BLAS wakes for it go on spinning, next to ranks that work
    with np.errstate(over="ignore"):  # weights on their way out of range have an infinite objective
        return 0.5 * alpha * float(np.einsum("i,i->", vector, vector, dtype=np.float64))


def split_intercept(weights: FloatArray, features: int) -> tuple[FloatArray, float]:
    """(weights of the features, intercept)."""
    return weights[:features], float(weights[features]) if len(weights) > features else 0.0


def _right(m: NDArray[np.float64], rows: Rows) -> NDArray[np.bool_]:
    return np.where(rows.labels > 0, m > 0.0, m >= 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """Scores weights that all nodes hold: each node sums over its part of the rows, the sums are added.

    taken: [rows, sum of losses] as SGD met them since it was asked before (SGDLearner.taken_losses), for a
        pass_objective, or None
    """

    train: Rows
    test: Rows | None
    loss: str
    alpha: float
    taken: Callable[[], NDArray[np.float64]] | None = None

    def partial(self, weights: FloatArray) -> NDArray[np.float64]:
        """(train loss, train weight, test loss, test weight, test weight right), sums of this node's part.

        Behind them, where it is asked for, what `taken` tells.
        """
        sums = self.sums(*self.margins(weights))
        return sums if self.taken is None else np.append(sums, self.taken())

    def total(self, weights: FloatArray, sums: NDArray[np.float64]) -> Score:
        """The score from the sums over all nodes."""
        vector, _ = split_intercept(weights, self.train.features)
        return self.score(regulariser(vector, self.alpha), sums)

    def margins(self, weights: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """On this node's training rows and on its test rows."""
        none = np.empty(0)
        return margins_of(weights, self.train), none if self.test is None else margins_of(weights, self.test)

    def sums(self, train: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
        """`partial` of weights with these margins."""
        tested = (0.0, 0.0, 0.0) if self.test is None else self._sums(test, self.test)
        return np.array([*self._sums(train, self.train)[:2], *tested])

    def loss_sums(self, train: NDArray[np.float64]) -> tuple[float, float]:
        """(loss, weight), sums over this node's training rows."""
        return self._sums(train, self.train)[:2]

    def score(self, square: float, sums: NDArray[np.float64]) -> Score:
        """The score from alpha / 2 ||w||^2 and the sums over all nodes."""
        train_loss, train_weight, test_loss, test_weight, right = (float(value) for value in sums[:5])
        value = square + train_loss / train_weight
        rows, loss = sums[5:] if len(sums) > 5 else (0.0, 0.0)  # whose sample weights are 1 on average
        passed = square + float(loss / rows) if rows > 0.0 else None
        if test_weight == 0.0:
            return Score(value, None, None, passed)
        return Score(value, square + test_loss / test_weight, right / test_weight, passed)

    def _sums(self, m: NDArray[np.float64], rows: Rows) -> tuple[float, float, float]:
        if len(rows) == 0:
            return 0.0, 0.0, 0.0
        s = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
        # not s @ ...: as in `regulariser`
        return float((s * losses_at(self.loss, m)).sum()), float(s.sum()), float(s[_right(m, rows)].sum())
