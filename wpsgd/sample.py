"""A fixed sample of training rows that all nodes hold, to judge a model by between rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.evaluate import line_search, losses_at, margins_of

SIZE = 1000  # rows: an objective known to a few hundredths, for a thousandth of a pass
LENGTHS = 40  # that a line search tries, about


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """F on rows that are the same on all nodes, as those that `draw` gives for one seed.

    loss, alpha: of the objective
    """

    rows: Rows
    loss: str
    alpha: float

    def rows_worth(self, numbers: float) -> int:
        """How many rows have as many entries as `numbers`: what arithmetic on so many numbers costs."""
        return round(numbers * len(self.rows) / max(1, self.rows.nonzeros))

    @property
    def search_rows(self) -> int:
        """What `best_length` costs, in rows: a pass, and the losses at some `LENGTHS` lengths."""
        return len(self.rows) + self.rows_worth(LENGTHS * len(self.rows))

    def warm_up(self, model: FloatArray) -> None:
        """Compiles what the others call."""
        nothing = Sample(self.rows[:0], self.loss, self.alpha)
        losses_at(self.loss, nothing.margins(model))

    def margins(self, model: FloatArray) -> NDArray[np.float64]:
        """y_i (<w, x_i> + intercept), float64 of shape (m,)."""
        return margins_of(model, self.rows)

    def objective(self, margins: NDArray[np.float64], square: float) -> float:
        """F from the margins of a model and its ||w||^2."""
        mean_loss = np.average(losses_at(self.loss, margins), weights=self.rows.weights)
        return 0.5 * self.alpha * square + float(mean_loss)

    def best_length(self, model: FloatArray) -> float:
        """The c >= 0 that minimises F(c w), the intercept fixed; 1 where the model is not finite."""
        if not np.isfinite(model).all():
            return 1.0
        return line_search(model, self.rows, loss=self.loss, alpha=self.alpha)[0]


def draw(rows: Rows, seed: int, size: int = SIZE) -> Rows:
    """`size` of the rows, all where there are no more, the same for a seed wherever they are drawn.

    None of weight 0: F knows nothing of them, and a sample of them alone would have none.
    """
    counted = None if rows.weights is None else np.flatnonzero(rows.weights)
    among = len(rows) if counted is None else len(counted)
    chosen = np.sort(np.random.default_rng((seed, size)).choice(among, min(size, among), replace=False))
    return rows.take(chosen if counted is None else counted[chosen])
