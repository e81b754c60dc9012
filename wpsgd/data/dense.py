"""Dense tables to CSR rows, a block at a time: beside the table and the rows little else is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.kernels.layout import count_entries, take_entries

BLOCK = 1 << 16  # entries that are looked at at a time: 512 KiB of float64, and as much again to find them


def rows_of(
    matrix: NDArray[np.floating[Any]],
    features: int,
    constant: float | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> Rows:
    """The entries of a dense table that are not 0, with labels of 1.

    matrix: float32 or float64, (n, at most `features`), in any memory order, which is not copied whole
    features: the number of columns, those that the matrix lacks are empty
    constant: stands behind them in a column of its own, if given, whatever it is
    numbers: which rows, in which order; None: all
    """
    count, behind = len(matrix) if numbers is None else len(numbers), constant is not None
    lengths = np.empty(count + 1, np.int64)
    lengths[0] = 0
    for part in _blocks(count, matrix.shape[1]):
        block = np.ascontiguousarray(matrix[part if numbers is None else numbers[part]])
        count_entries(block, lengths[part.start + 1 : part.stop + 1])
    lengths[1:] += behind
    indptr = np.cumsum(lengths, out=lengths)
    indices = np.empty(int(indptr[-1]), np.int32)
    values = np.empty(int(indptr[-1]), matrix.dtype)
    last = matrix.dtype.type(0.0 if constant is None else constant)
    for part in _blocks(count, matrix.shape[1]):
        block = np.ascontiguousarray(matrix[part if numbers is None else numbers[part]])
        take_entries(block, behind, features, last, indptr[part.start : part.stop + 1], indices, values)
    return Rows(indptr, indices, values, np.ones(count, matrix.dtype), features + behind)


def _blocks(count: int, columns: int) -> Iterator[slice]:
    """Stretches of rows that hold about BLOCK entries."""
    step = max(1, BLOCK // max(1, columns))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
