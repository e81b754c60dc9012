"""Sample weights: of classes, of rows from a file, scaled to mean 1 over all rows that are trained on.

Every rank works them out from the labels of all rows, so that all ranks agree whatever shards they hold.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.errors import DataError

ClassWeight = Literal["balanced"] | tuple[float, float]  # or of the classes -1 and +1


def weighted(rows: Rows, class_weight: ClassWeight | None, what: str = "rows that are trained on") -> Rows:
    """Rows whose sample weights, times those of their classes, have mean 1; rows without either as they are.

    "balanced" gives both classes the same sum: without weights of rows n / (2 n_c) to a row of class c, which
    is scikit-learn's. Raises DataError where all weights are 0, with "balanced" those of one class, or where
    their sum is out of range; it calls the rows `what`.
    """
    if class_weight is None and rows.weights is None:
        return rows
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
    if class_weight is not None:
        negative, positive = (
            class_factors(rows.labels, weights) if class_weight == "balanced" else class_weight
        )
        weights *= np.where(rows.labels > 0, positive, negative)
    with np.errstate(over="ignore"):
        mean = float(weights.mean())
    if not np.isfinite(mean):
        raise DataError(f"sample weights: the sum of those of all {what} is not a finite number")
    if not mean > 0.0:
        raise DataError(f"sample weights: all {what} have the weight 0")
    return replace(rows, weights=(weights / mean).astype(rows.values.dtype))


def class_factors(labels: FloatArray, weights: NDArray[np.float64]) -> tuple[float, float]:
    """W / (2 W_c) for classes -1 and +1, W_c the sum of their weights. Raises DataError where one is 0."""
    with np.errstate(over="ignore"):
        negative, positive = float(weights[labels <= 0].sum()), float(weights[labels > 0].sum())
    if not (negative > 0.0 and positive > 0.0):
        raise DataError('class_weight = "balanced": all rows of one class have the sample weight 0')
    return (negative + positive) / (2.0 * negative), (negative + positive) / (2.0 * positive)


def read_weights(path: Path, rows: int) -> NDArray[np.float64]:
    """One number for each of so many rows, divided by the largest: of text, a line each, or of a .npy file.

    Raises DataError for a file that cannot be read, another number of them, or what is not finite and >= 0.
    """
    try:
        with warnings.catch_warnings(action="error"):  # of an empty text, of an imaginary part left out
            read = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, ndmin=1)
            weights = np.asarray(read, dtype=np.float64)
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, Warning) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise DataError(f"{path}: not one weight a line ({reason})") from error
    if weights.ndim != 1:
        raise DataError(f"{path}: an array of shape {weights.shape}: must be one weight a line")
    if len(weights) != rows:
        raise DataError(f"{path}: {weights.size} weights for {rows} rows: must be one for each")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0.0)))
    if len(wrong):
        raise DataError(f"{path}: weight {wrong[0] + 1} is {weights[wrong[0]]}: must be finite and >= 0")
    # what is far above 1 would be out of range in single precision, and what is far below would be 0
    return weights / (weights.max(initial=0.0) or 1.0)
