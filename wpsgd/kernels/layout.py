"""How rows lie in memory: norms, counts of columns, rows gathered under new column numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel

SHORT = 48  # entries up to which insertion beats a general sort


@kernel
def spread_blocks(blocks: Any, block: int, out: Any) -> None:
    """Writes the rows of blocks of `block` consecutive rows, in the order of `blocks`, into `out`.

    out: int64 of shape (n,), as many rows as there are; the last block of them may be a short one
    """
    place = 0
    for number in blocks:
        first = number * block
        for row in range(first, min(first + block, out.size)):
            out[place] = row
            place += 1


@kernel
def squared_norms(indptr: Any, values: Any, out: Any) -> None:
    """Writes ||x_i||^2, added up entry by entry in float64, into `out`, float64 of shape (n,)."""
    for row in range(out.size):
        total = 0.0
        for entry in range(indptr[row], indptr[row + 1]):
            value = np.float64(values[entry])
            total += value * value
        out[row] = total


@kernel
def scale_to_unit(indptr: Any, values: Any, out: Any) -> None:
    """Writes the values of rows scaled to unit L2 norm into `out`, from its start; zeros stay zeros."""
    first = indptr[0]
    for row in range(indptr.size - 1):
        total = 0.0
        for entry in range(indptr[row], indptr[row + 1]):
            value = np.float64(values[entry])
            total += value * value
        factor = 1.0 / math.sqrt(total) if total > 0.0 else 1.0
        for entry in range(indptr[row], indptr[row + 1]):
            out[entry - first] = values[entry] * factor


@kernel
def append_column(
    indptr: Any, indices: Any, values: Any, column: int, constant: float, out_indices: Any, out_values: Any
) -> None:
    """Writes the rows, each with `constant` in `column` behind its entries, into `out_`, from their start."""
    at = 0
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            out_indices[at], out_values[at] = indices[entry], values[entry]
            at += 1
        out_indices[at], out_values[at] = column, constant
        at += 1


@kernel
def count_columns(indices: Any, counts: Any) -> None:
    """Adds to `counts`, int64, how often each column occurs."""
    for entry in range(indices.size):
        counts[indices[entry]] += 1


@kernel
def gather_rows(
    order: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    numbers: Any,
    starts: Any,
    out_indices: Any,
    out_values: Any,
) -> None:
    """Copies the rows order[k] to out[starts[k]:], columns renumbered by `numbers`, ascending within a row.

    order: the rows to copy; numbers: int32, new numbers of the columns; starts: int64, the shape of `order`
    """
    for k in range(order.size):
        row = order[k]
        first, last, at = indptr[row], indptr[row + 1], starts[k]
        if last - first > SHORT:
            columns = numbers[indices[first:last]]
            ascending = np.argsort(columns)
            out_indices[at : at + last - first] = columns[ascending]
            out_values[at : at + last - first] = values[first:last][ascending]
            continue
        for entry in range(first, last):
            column = numbers[indices[entry]]
            place = at + entry - first
            while place > at and out_indices[place - 1] > column:
                out_indices[place] = out_indices[place - 1]
                out_values[place] = out_values[place - 1]
                place -= 1
            out_indices[place] = column
            out_values[place] = values[entry]


@kernel
def count_entries(matrix: Any, lengths: Any) -> None:
    """Writes how many entries of each row of a dense matrix are not 0 into `lengths`, int64 (n,)."""
    for row in range(matrix.shape[0]):
        count = 0
        for column in range(matrix.shape[1]):
            if matrix[row, column] != 0:
                count += 1
        lengths[row] = count


@kernel
def take_entries(
    matrix: Any, behind: bool, column: int, constant: Any, indptr: Any, indices: Any, values: Any
) -> None:
    """Writes the entries of a dense matrix that are not 0 to where indptr, int64 (n + 1,), says.

    behind: whether behind those of each row `constant` stands, in column number `column`
    """
    for row in range(matrix.shape[0]):
        at = np.uint64(indptr[row])
        for j in range(matrix.shape[1]):
            value = matrix[row, j]
            if value != 0:
                indices[at], values[at] = j, value
                at += np.uint64(1)
        if behind:
            indices[at], values[at] = column, constant
