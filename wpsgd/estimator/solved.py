"""What training one two-class problem gives, whoever trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.trace import Event


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """One two-class model.

    weights: float of shape (columns,), that of a constant column last; epochs: rows visited over rows
    unmet: why it ended before its tolerance was met, else an empty string
    learner: where SGD can go on from (see SGDLearner.state); dual: alpha, float64 of shape (rows,)
    length: what the weights were multiplied by at the end (see shortening.py)
    """

    weights: FloatArray
    epochs: float
    trace: list[Event]
    unmet: str = ""
    learner: Mapping[str, Any] = field(default_factory=dict)
    dual: NDArray[np.float64] | None = None
    length: float = 1.0


def placed(one: Solved, row: FloatArray, columns: NDArray[np.int32] | None = None) -> Solved:
    """The same with its weights in `row`: of many classes, a second copy would be what takes most memory.

    columns: where they belong in a row of zeros; None: they are all of it
    """
    row[slice(None) if columns is None else columns] = one.weights
    learner = dict(one.learner)
    if columns is not None and "squares" in learner:
        learner["squares"] = np.zeros(len(row))
        learner["squares"][columns] = one.learner["squares"]
    return replace(one, weights=row, learner=learner)


def weights_of(solved: Sequence[Solved]) -> FloatArray:
    """Of all models, (models, columns): the array whose rows their weights are, if they are, else a copy."""
    whole = solved[0].weights.base
    shape = (len(solved), len(solved[0].weights))
    rows = all(one.weights.base is whole for one in solved)
    if rows and isinstance(whole, np.ndarray) and whole.shape == shape and whole.flags.c_contiguous:
        return whole
    return np.array([one.weights for one in solved])


def without_last_column(weights: FloatArray) -> FloatArray:
    """The other columns, in the memory of `weights`, which is C-contiguous and lost."""
    models, columns = weights.shape
    kept, flat = columns - 1, weights.reshape(-1)
    for row in range(1, models):
        flat[row * kept : (row + 1) * kept] = flat[row * columns : row * columns + kept]
    return flat[: models * kept].reshape(models, kept)
