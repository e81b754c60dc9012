"""What a user passes in, as rows: matrices of any kind, labels of any kind, weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import normalize
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from wpsgd.data.dense import rows_of
from wpsgd.data.rows import Rows
from wpsgd.errors import DataError

DTYPES = [np.float64, np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Validated rows of one process.

    matrix: float64 or float32, CSR or dense, (n, features); targets: as given, (n,)
    weights: float64 (n,) or None
    chosen: of a dense matrix that has other rows too, the numbers of these, int64 (n,): it is not copied
    """

    matrix: Any
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None
    chosen: NDArray[np.int64] | None = None

    @property
    def is_dense(self) -> bool:
        """Whether the matrix is a table of all values."""
        return not hasattr(self.matrix, "nnz")

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, features: int, constant: float | None, order: NDArray[np.int64] | None = None) -> Rows:
        """CSR rows, widened to so many features, behind which `constant` stands as a column if given.

        Labels and weights are 1 until `labelled`; sparse rows without a constant share the matrix's memory.
        order: of dense rows, which of them in which order
        """
        if self.is_dense:
            numbers = self.chosen if self.chosen is None or order is None else self.chosen[order]
            return rows_of(self.matrix, features, constant, order if numbers is None else numbers)
        labels = np.ones(len(self), dtype=self.matrix.dtype)
        rows = Rows.from_scipy(self.matrix, labels).widened(features)
        return rows if constant is None else rows.with_constant_column(constant)

    def taken(self, which: NDArray[Any]) -> Inputs:
        """Some of the rows, by a mask or their numbers."""
        weights = None if self.weights is None else self.weights[which]
        if not self.is_dense:
            return Inputs(self.matrix[which], self.targets[which], weights)
        numbers = np.arange(len(self)) if self.chosen is None else self.chosen
        return Inputs(self.matrix, self.targets[which], weights, numbers[which])


def read(estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool, empty: bool = False) -> Inputs:
    """Validates as scikit-learn does, and lets the estimator know features and their names.

    reset: whether they may differ from those of an earlier fit; empty: whether there may be no rows at all.
    Raises ValueError, in scikit-learn's words; DataError for values without a finite square.
    """
    if empty and (X is None or np.shape(X)[0] == 0):
        width = 0 if X is None else np.shape(X)[1]
        return Inputs(sparse.csr_array((0, width)), np.empty(0, dtype=object), None)
    # in the order that it has: another one would be a copy
    about: dict[str, Any] = {"accept_sparse": "csr", "dtype": DTYPES}
    X, y = validate_data(estimator, X, y, reset=reset, **about)
    _check_size(X)
    X = scaled(X) if estimator.unit_norm else X
    check_classification_targets(y)
    targets = column_or_1d(y, warn=True)
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    return Inputs(X, targets, weights)


def _check_size(matrix: Any) -> None:
    values = np.asarray(matrix.data) if hasattr(matrix, "nnz") else matrix
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if largest > float(np.sqrt(np.finfo(np.float64).max / matrix.shape[1])):
        raise DataError(f"X has an entry of size {largest:.3g}: squares of rows are not finite: scale it")


def matrix_of(estimator: Any, X: Any, *, scale: bool = True) -> Any:
    """Rows to be judged, CSR or dense. Raises ValueError, in scikit-learn's words.

    scale: whether they are still to be scaled where the estimator does so
    """
    X = validate_data(estimator, X, accept_sparse="csr", dtype=DTYPES, order="C", reset=False)
    return scaled(X) if scale and estimator.unit_norm else X


def scaled(matrix: Any) -> Any:
    """A copy with rows of unit L2 norm; rows of zeros stay as they are."""
    return normalize(matrix, copy=True)


def labelled(rows: Rows, positive: NDArray[np.bool_], weights: NDArray[np.float64] | None) -> Rows:
    """The same entries with labels +1 where `positive`, else -1, and with sample weights.

    Raises DataError where these are out of the range of the values.
    """
    labels = np.where(positive, 1.0, -1.0).astype(rows.values.dtype)
    return replace(weighted(rows, weights), labels=labels)


def weighted(rows: Rows, weights: NDArray[np.float64] | None) -> Rows:
    """The same entries with sample weights. Raises DataError where the values' type cannot hold them."""
    kind = rows.values.dtype
    if weights is not None and weights.max(initial=0.0) > float(np.finfo(kind).max):
        raise DataError(f"sample_weight: {weights.max():.3g} is out of the range of {kind}: scale it")
    return replace(rows, weights=None if weights is None else weights.astype(kind))


def held_out(targets: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """A random mask with about that fraction of each class, and at most all but one row of it."""
    rng, mask = np.random.default_rng(seed), np.zeros(len(targets), dtype=bool)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        count = min(round(fraction * len(members)), len(members) - 1)
        mask[rng.permutation(members)[:count]] = True
    return mask
