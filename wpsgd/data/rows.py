"""Labelled sparse rows: what every kernel reads and nobody changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from wpsgd.errors import DataError
from wpsgd.kernels.layout import append_column, scale_to_unit, squared_norms

FloatArray = NDArray[np.floating[Any]]
LARGEST = np.iinfo(np.int32).max  # number of columns


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """CSR rows with labels in {-1, +1}. A slice shares the arrays of its whole.

    indptr: int64 of shape (n + 1,), need not start at 0
    indices: int32 of shape (non-zeros of the whole,), ascending within a row
    values: float32 or float64, the shape of `indices`
    labels: the dtype of `values`, shape (n,), each -1 or +1
    features: number of columns
    weights: sample weights, the dtype of `values`, shape (n,), or None for all ones; their mean over the rows
        of all nodes should be 1, for an SGD step on row i is eta s_i long and F divides by sum_i s_i
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: FloatArray
    labels: FloatArray
    features: int
    weights: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Rows:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("rows are sliced with step 1; use take for anything else")
        stop = max(start, stop)
        weights = None if self.weights is None else self.weights[start:stop]
        return replace(
            self, indptr=self.indptr[start : stop + 1], labels=self.labels[start:stop], weights=weights
        )

    @property
    def nonzeros(self) -> int:
        """Stored entries of these rows."""
        return int(self.indptr[-1] - self.indptr[0])

    def held(self, numbers: NDArray[np.int64]) -> Rows:
        """The rows of these numbers: a slice without copies where they follow one another, else a copy."""
        if not follow_one_another(numbers):
            return self.take(numbers)
        first = int(numbers[0]) if len(numbers) else 0
        return self[first : first + len(numbers)]

    def take(self, order: NDArray[np.integer[Any]]) -> Rows:
        """A copy of the rows numbered `order`, in that order."""
        weights = None if self.weights is None else self.weights[order]
        return Rows.from_scipy(self.to_scipy()[order], self.labels[order], weights)

    def to_scipy(self) -> sparse.csr_array:
        """The same values as a scipy CSR array of shape (n, features); its entries are not copied."""
        first, last = int(self.indptr[0]), int(self.indptr[-1])
        # a sparse array whose indptr is int64 would copy its indices to int64, and liblinear refuses those
        narrow = np.int32 if last - first <= np.iinfo(np.int32).max else np.int64
        parts = (self.values[first:last], self.indices[first:last], (self.indptr - first).astype(narrow))
        return sparse.csr_array(parts, shape=(len(self), self.features))

    @classmethod
    def from_scipy(cls, matrix: Any, labels: FloatArray, weights: FloatArray | None = None) -> Rows:
        """Rows of a scipy sparse matrix or array; its duplicates are summed and its columns sorted.

        Raises DataError where the columns do not fit int32.
        """
        csr = sparse.csr_array(matrix)
        if csr.shape[1] > LARGEST:
            raise DataError(f"{csr.shape[1]} features: at most {LARGEST} (int32) are possible")
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        values = csr.data if csr.data.dtype in (np.float32, np.float64) else csr.data.astype(np.float64)
        return cls(
            indptr=csr.indptr.astype(np.int64, copy=False),
            indices=csr.indices.astype(np.int32, copy=False),
            values=values,
            labels=np.asarray(labels, dtype=values.dtype),
            features=int(csr.shape[1]),
            weights=None if weights is None else np.asarray(weights, dtype=values.dtype),
        )

    def with_labels(self, labels: NDArray[np.floating[Any]]) -> Rows:
        """The same rows with other labels, each -1 or +1, of shape (n,)."""
        return replace(self, labels=labels.astype(self.values.dtype))

    def astype(self, dtype: DTypeLike) -> Rows:
        """The same rows with values, labels and weights of `dtype` (float32 or float64)."""
        if self.values.dtype == np.dtype(dtype):
            return self
        weights = None if self.weights is None else self.weights.astype(dtype)
        return replace(
            self, values=self.values.astype(dtype), labels=self.labels.astype(dtype), weights=weights
        )

    def squared_norms(self) -> NDArray[np.float64]:
        """||x_i||^2, float64 of shape (n,)."""
        out = np.empty(len(self))
        squared_norms(self.indptr, self.values, out)
        return out

    def unit_norm(self) -> Rows:
        """The same rows scaled to unit L2 norm; rows of zeros stay as they are."""
        first, last = int(self.indptr[0]), int(self.indptr[-1])
        values = np.empty(last - first, self.values.dtype)
        scale_to_unit(self.indptr, self.values, values)
        return replace(self, indptr=self.indptr - first, indices=self.indices[first:last], values=values)

    def widened(self, features: int) -> Rows:
        """The same rows with more columns, all of zeros."""
        return replace(self, features=max(features, self.features))

    def narrowed(self, features: int) -> Rows:
        """The same rows in so many columns: those behind are left out, those that are missing are zeros."""
        if features >= self.features:
            return self.widened(features)
        first, last = int(self.indptr[0]), int(self.indptr[-1])
        kept = self.indices[first:last] < features
        if kept.all():
            return replace(self, features=features)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
        return replace(
            self,
            indptr=before[self.indptr - first],
            indices=self.indices[first:last][kept],
            values=self.values[first:last][kept],
            features=features,
        )

    def with_constant_column(self, constant: float = 1.0) -> Rows:
        """The same rows with one more column that holds `constant` everywhere: LIBLINEAR's intercept."""
        if self.features == LARGEST:
            raise DataError(f"{LARGEST} features: no column can be added to them (int32)")
        size = self.nonzeros + len(self)
        indices, values = np.empty(size, np.int32), np.empty(size, self.values.dtype)
        append_column(self.indptr, self.indices, self.values, self.features, constant, indices, values)
        indptr = self.indptr - self.indptr[0] + np.arange(len(self) + 1)
        return replace(self, indptr=indptr, indices=indices, values=values, features=self.features + 1)


def follow_one_another(numbers: NDArray[np.integer[Any]]) -> bool:
    """Whether row numbers are a stretch of consecutive ones, be it an empty one."""
    return bool((np.diff(numbers) == 1).all())
