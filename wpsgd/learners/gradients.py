"""Loss gradients of a step's rows, added up: as a vector, or as the pairs of it that are not zero."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.kernels.gradient import add_pairs, add_touched, descend, descend_at, take_touched


@dataclass(eq=False)
class GradientSum:
    """Of rows of a shard, by one thread.

    vector: float64 (coordinates + 2,); the last entry but one is the intercept's, the last the number of rows
    taken: numbers of the rows, in pieces; the vector is 0 outside their columns
    """

    shard: Rows
    coordinates: int
    vector: NDArray[np.float64] = field(init=False)
    taken: list[NDArray[np.int64]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.vector = np.zeros(self.coordinates + 2)

    def add(self, part: GradientSum) -> None:
        """Adds a part of this sum, which is 0 afterwards."""
        for rows in part.taken:
            add_touched(rows, self.shard.indptr, self.shard.indices.view(np.uint32), part.vector, self.vector)
        self.taken += part.taken
        part.taken.clear()
        self.vector[-2:] += part.vector[-2:]
        part.vector[-2:] = 0.0

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Places in the vector and what stands there; the intercept's and the number of rows always.

        The vector is 0 afterwards.
        """
        shard, features = self.shard, self.shard.features
        entries = sum(int((shard.indptr[rows + 1] - shard.indptr[rows]).sum()) for rows in self.taken)
        columns = np.empty(min(entries, features) + 2, dtype=np.int32)
        values, found = np.empty(len(columns)), 0
        for rows in self.taken:
            at = (rows, shard.indptr, shard.indices.view(np.uint32))
            found = take_touched(*at, self.vector, columns, values, found)
        columns[found : found + 2] = features, features + 1
        values[found : found + 2] = self.vector[-2:]
        self.vector[-2:] = 0.0
        return columns[: found + 2], values[: found + 2]


def warm_up(shard: Rows, nothing: FloatArray) -> None:
    """Compiles what a sum and a step along it call, on no rows. nothing: no coordinates of the weights"""
    order, columns, values = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32), np.empty(0)
    at = (order, shard.indptr, shard.indices.view(np.uint32), values)
    add_touched(*at, values)
    take_touched(*at, columns, values, 0)
    add_pairs(columns, values, values)
    descend(nothing, values, 0.0)
    descend_at(nothing, columns, values, 0.0)
