"""How steep a smooth loss is along the typical row: what the schedule "optimal" begins by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.kernels.limit import log_norms
from wpsgd.kernels.losses import CURVATURES

LONGEST = 700.0  # the logarithm of a square that is still in range times a curvature


class Norms(NamedTuple):
    """Of rows: the sum of log(s_i ||x_i||^2), and of how many. Of several parts they add up."""

    logs: float = 0.0
    rows: int = 0

    @classmethod
    def of(cls, rows: Rows, numbers: NDArray[np.int64]) -> Norms:
        """Of the rows of these numbers; those of weight or length 0 have none."""
        weights = np.empty(0, rows.values.dtype) if rows.weights is None else rows.weights
        return cls(*log_norms(rows.indptr, rows.values, weights, numbers))

    @classmethod
    def joined(cls, parts: Iterable[Norms]) -> Norms:
        """Of all rows of the parts, added up in their order."""
        logs, count = 0.0, 0
        for part in parts:
            logs, count = logs + part[0], count + part[1]
        return cls(logs, count)

    def steepness(self, loss: str) -> float:
        """c s ||x||^2 of the typical row, by the geometric mean; 0 for the hinge, or without rows.

        Rows of absurd length have little say in that mean. Two digits of it: sums that differ in their order
        give the same step sizes.
        """
        curvature = CURVATURES[loss]
        if self.rows == 0 or math.isinf(curvature):
            return 0.0
        return float(f"{curvature * math.exp(min(LONGEST, self.logs / self.rows)):.2g}")
