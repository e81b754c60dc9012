"""Rows without the columns that they have no entry in: of few rows there may be millions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows

FEW = 0.25  # entries a column, below which most columns must be empty


def narrowed(rows: Rows) -> tuple[Rows, NDArray[np.int32] | None]:
    """The same entries under new column numbers, and the old number of each; None where nothing changes.

    Their weights are all that a solver moves: those of a column without entries are 0 at the optimum.
    """
    if rows.nonzeros >= FEW * rows.features:
        return rows, None
    first, last = int(rows.indptr[0]), int(rows.indptr[-1])
    used, numbers = np.unique(rows.indices[first:last], return_inverse=True)
    kept = replace(
        rows,
        indptr=rows.indptr - first,
        indices=numbers.astype(np.int32),
        values=rows.values[first:last],
        features=len(used),
    )
    return kept, used


def like(rows: Rows, used: NDArray[np.int32] | None) -> Rows:
    """Other rows in the columns that narrowed ones have; what they have elsewhere is left out."""
    if used is None:
        return rows
    return Rows.from_scipy(rows.to_scipy()[:, used], rows.labels, rows.weights)


def holds(weights: NDArray[Any], used: NDArray[np.int32] | None) -> bool:
    """Whether weights (models, columns) are 0 but in these columns; SGD lets all others decay."""
    return used is None or np.count_nonzero(weights) == np.count_nonzero(weights[:, used])


def narrow(weights: NDArray[Any], used: NDArray[np.int32] | None) -> NDArray[Any]:
    """Those of the columns that narrowed rows have, of one model or of several."""
    return weights if used is None else np.asarray(weights[..., used])
