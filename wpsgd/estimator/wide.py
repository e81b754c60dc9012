"""A pass of partial_fit over few rows of many columns: all weights that they do not touch decay alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.estimator.given import columns
from wpsgd.estimator.solved import Solved
from wpsgd.kernels.wire import decay

Factors = NDArray[np.float64]
Pass = Callable[[FloatArray, list[Factors]], list[Solved]]


def touched_alone(
    coef: NDArray[Any],
    intercept: NDArray[Any],
    constant: float | None,
    used: NDArray[np.int32],
    train: Pass,
    dtype: Any,
) -> tuple[list[Solved], FloatArray]:
    """What `train` makes of the weights of the columns `used`, and all coefficients after that pass.

    coef: (models, features), as it is afterwards too; used: of the rows, that of `constant` behind the others
    train: takes the weights of those columns and a list to which it appends what all others are multiplied
        by, one factor after another, of each model
    The bits are those of a pass over all columns. Raises what `columns` does.
    """
    among = used if constant is None else used[:-1]
    if not (np.isfinite(coef.sum()) or np.isfinite(coef).all()):
        columns(coef, intercept, constant, dtype)  # which says so
    factors: list[Factors] = []
    solved = train(columns(coef[:, among], intercept, constant, dtype), factors)
    kept = decayed(coef, factors, np.dtype(dtype))
    for row, one in zip(kept, solved, strict=True):
        row[among] = one.weights[: len(among)]
    return solved, kept


def decayed(coef: NDArray[Any], factors: Sequence[Factors], dtype: np.dtype[Any]) -> FloatArray:
    """Each model times its factors, one after another, each product rounded to `dtype`."""
    kept = np.empty(coef.shape, dtype=dtype)
    for row, model, own in zip(kept, coef, factors, strict=True):
        decay(model.astype(dtype, copy=False), own, row)
    return kept
