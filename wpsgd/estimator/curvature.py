"""The second derivatives of F over rows: products, diagonals, whole matrices, and what stands in for them.

Rows are read as they are held; whole matrices are summed up block by block, so that beside them there is
room for one block of rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, lapack

from wpsgd.data.rows import Rows
from wpsgd.estimator.costs import factorisation, product, row_by_row
from wpsgd.evaluate import margins_of
from wpsgd.kernels.newton import add_curved, add_outer, add_rows, add_squares, spread_rows
from wpsgd.learners.sgd import kernel_arrays

Floats = NDArray[np.float64]
BLOCK = 1 << 17  # entries of a block of rows made dense: 1 MiB
# of the diagonal in what stands in for the Hessian at first, the rest is the identity (Hsia et al. 2018)
DIAGONAL = 0.99
AT_ONCE = 4.0  # products that a factorisation may cost to be made without a try
RIDGE, RIDGES = 1e-15, 8  # relative to the largest entry, times 100 at each failure


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Rows as a matrix, float64 whatever they are held in. scale: of their sums, 1 / S."""

    rows: Rows
    alpha: float
    scale: float

    def margins(self, v: Floats) -> Floats:
        """y_i <v, x_i>, (n,)."""
        return margins_of(v, self.rows)

    def pulled(self, factors: Floats) -> Floats:
        """sum_i factors_i x_i, (features,)."""
        out = np.zeros(self.rows.features)
        indptr, indices, values, *_ = kernel_arrays(self.rows)
        add_rows(indptr, indices, values, factors, out)
        return out

    def curved(self, bends: Floats, v: Floats) -> Floats:
        """The Hessian times v, where s_i loss''(m_i) = bends_i."""
        out = np.zeros(self.rows.features)
        indptr, indices, values, *_ = kernel_arrays(self.rows)
        add_curved(indptr, indices, values, bends, v, out)
        out *= self.scale
        out += self.alpha * v
        return out

    def diagonal(self, bends: Floats) -> Floats:
        """Of the Hessian."""
        out = np.zeros(self.rows.features)
        indptr, indices, values, *_ = kernel_arrays(self.rows)
        add_squares(indptr, indices, values, bends, out)
        return self.alpha + self.scale * out

    def hessian(self, bends: Floats) -> Floats:
        """Its lower triangle, (features, features), column by column in memory."""
        rows, width = self.rows, self.rows.features
        indptr, indices, values, *_ = kernel_arrays(rows)
        whole = np.zeros((width, width), order="F")
        if row_by_row(rows):
            add_outer(indptr, indices, values, bends, whole)  # indexed by (row, column), whatever the order
        else:
            curved = np.flatnonzero(bends)
            most = max(1, BLOCK // width)
            block = np.empty((min(most, max(1, len(curved))), width))
            for first in range(0, len(curved), most):
                part = curved[first : first + most]
                spread_rows(part, indptr, indices, values, bends, block)
                whole = blas.dsyrk(1.0, block[: len(part)].T, beta=1.0, c=whole, lower=1, overwrite_c=1)
        whole *= self.scale
        whole[np.diag_indices(width)] += self.alpha
        return whole


@dataclass(slots=True, eq=False)
class Stand:
    """A matrix near the Hessian that is easily solved with: a part of its diagonal, or a factorisation.

    What was factored stays until products with the Hessian have cost as much as another factorisation, or,
    where that is never too dear, for one Hessian.
    spent: products since then; made: factorisations
    """

    design: Design
    spent: int = 0
    made: int = 0
    _factor: Any = None
    _diagonal: Any = None
    _current: bool = False

    @property
    def fresh(self) -> bool:
        """Whether it is the Hessian that was asked for last."""
        return self._factor is not None and self.spent == 0 and self._current

    @property
    def dear(self) -> float:
        """Products that a factorisation costs."""
        return factorisation(self.design.rows) / product(self.design.rows)

    def renew(self, bends: Floats) -> None:
        """Goes by the Hessian of these bends, if that is worth while."""
        if self.spent >= self.dear or (self._factor is None and self.dear <= AT_ONCE):
            self._factor = _factored(self.design.hessian(bends))
            self.spent, self.made, self._current = 0, self.made + 1, True
            return
        self._current = False
        if self._factor is None:
            self._diagonal = DIAGONAL * self.design.diagonal(bends) + (1.0 - DIAGONAL)

    def solve(self, r: Floats) -> Floats:
        """The x that this matrix makes r of."""
        if self._factor is None:
            return np.asarray(r / self._diagonal)
        x, _ = lapack.dpotrs(self._factor, r, lower=1)
        return np.asarray(x)


def _factored(matrix: Floats) -> Floats:
    """The Cholesky factor, with a ridge where rounding left no positive definite matrix."""
    largest = float(matrix.diagonal().max())
    for power in range(RIDGES):
        ridge = 0.0 if power == 0 else RIDGE * largest * 100.0**power
        tried = matrix.copy(order="F")
        tried[np.diag_indices(len(tried))] += ridge
        factor, info = lapack.dpotrf(tried, lower=1, clean=0, overwrite_a=1)
        if not info:
            return np.asarray(factor)
    raise LinAlgError("the Hessian has entries that are not finite")
