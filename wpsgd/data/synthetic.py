"""Synthetic problems, among them twins of the data sets of the WP-SGD paper.

The paper (Cheng, Li, Zhang, JPDC 2020) trains on real-sim and on KDD Cup 2010 algebra. A twin shares with its
original the shape (rows, columns, non-zeros, class shares, unit norm) and how easily it is learned, no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wpsgd.data.row_generator import BLOCK, RowGenerator, Shape
from wpsgd.data.rows import Rows
from wpsgd.errors import ConfigError


@dataclass(frozen=True)
class Problem:
    """Rows and the weights that made their labels: float64 of shape (features,)."""

    rows: Rows
    truth: NDArray[np.float64]


class Stream:
    """A problem block by block, for data larger than memory. Raises ConfigError for a negative seed.

    truth: as of a Problem; `dtype` is float32 or float64
    """

    def __init__(self, shape: Shape, seed: int, dtype: DTypeLike = np.float64) -> None:
        if seed < 0:
            raise ConfigError(f"seed = {seed} of the synthetic data: an integer of at least 0 is needed")
        self.shape, self.seed, self.dtype = shape, seed, np.dtype(dtype)
        self.generator = RowGenerator(shape, seed)
        self.truth = self.generator.truth

    @property
    def ends(self) -> list[tuple[int, int, int]]:
        """(block, first row, end) of each block."""
        rows = self.shape.rows
        return [(first // BLOCK, first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK)]

    def blocks(self) -> Iterator[Rows]:
        """The rows, BLOCK of them at a time, each block's entries from 0."""
        for number, first, last in self.ends:
            block, count = self.generator.block(number), last - first
            indptr = np.append(block.starts, len(block.columns))[: count + 1]
            entries, dtype = indptr[-1], self.dtype
            columns, values = block.columns[:entries].astype(np.int32), block.values[:entries].astype(dtype)
            yield Rows(indptr, columns, values, block.labels[:count].astype(dtype), self.shape.features)


def problem(
    rows: int,
    features: int,
    nonzeros_per_row: float,
    positive: float = 0.5,
    noise: float = 0.0,
    seed: int = 0,
    dtype: DTypeLike = np.float64,
    **form: Any,
) -> Problem:
    """Rows of unit L2 norm whose labels are the signs of <truth, row>, flipped with the probability `noise`.

    `form` holds further fields of `Shape`. `dtype` is float32 or float64. The same seed gives the same bytes,
    and fewer rows are the first of more rows.
    Raises ConfigError where no such problem exists or the seed is negative.
    """
    return _generate(Shape(rows, features, nonzeros_per_row, positive, noise, **form), seed, dtype)


def real_sim_shape(scale: float = 1.0) -> Shape:
    """Of `real_sim_twin`. Raises ConfigError for a scale that is not above 0."""
    form: dict[str, Any] = {
        "positive": 0.3075,
        "noise": 0.01,
        "exponent": 1.1,
        "head": 12.0,
        "topicality": 1.0,
    }
    return _scaled(scale, 72_309, 20_958, 51.295, form)


def kdd2010_shape(scale: float = 1.0) -> Shape:
    """Of `kdd2010_twin`. Raises ConfigError for a scale that is not above 0."""
    form: dict[str, Any] = {
        "positive": 0.853,
        "noise": 0.11,
        "exponent": 1.05,
        "head": 8.0,
        "topicality": 1.0,
    }
    form |= {"spread": 0.35, "tf_idf": False}
    return _scaled(scale, 8_407_752, 20_216_830, 36.349, form)


SHAPES: Mapping[str, Callable[[float], Shape]] = MappingProxyType(
    {"real-sim-twin": real_sim_shape, "kdd2010-twin": kdd2010_shape}
)


def real_sim_twin(scale: float = 1.0, seed: int = 0, dtype: DTypeLike = np.float64) -> Problem:
    """A twin of real-sim: at scale 1, 72,309 rows x 20,958 columns, 51.3 non-zeros a row, 31 % positive.

    A linear SVM at alpha 1e-4 gets about 97 % of its training rows right.
    Rows and columns are scaled alike; columns never fall below four times the length of a row.
    Raises ConfigError for a scale that is not above 0 or a negative seed.
    """
    return _generate(real_sim_shape(scale), seed, dtype)


def kdd2010_twin(scale: float = 1.0, seed: int = 0, dtype: DTypeLike = np.float64) -> Problem:
    """A twin of KDD Cup 2010 algebra: at scale 1, 8,407,752 rows x 20,216,830 columns, 36.35 non-zeros a row.

    85 % of the rows are positive; a linear SVM gets 87 to 90 % of its training rows right.
    Rows and columns are scaled alike; columns never fall below four times the length of a row.
    Raises ConfigError for a scale that is not above 0 or a negative seed.
    """
    return _generate(kdd2010_shape(scale), seed, dtype)


def _scaled(scale: float, rows: int, features: int, nonzeros_per_row: float, form: dict[str, Any]) -> Shape:
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"scale = {scale} of the synthetic data: a number above 0 is needed")
    columns = max(round(features * scale), math.ceil(4 * nonzeros_per_row))
    return Shape(max(round(rows * scale), 1), columns, nonzeros_per_row, **form)


def _generate(shape: Shape, seed: int, dtype: DTypeLike) -> Problem:
    """All rows, written block by block into arrays of their final size: no second copy of large data."""
    stream = Stream(shape, seed, dtype)
    lengths = np.concatenate([stream.generator.lengths(number) for number, _, _ in stream.ends])
    indptr = np.concatenate([[0], np.cumsum(lengths[: shape.rows])])
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], dtype)
    labels = np.empty(shape.rows, dtype)
    for (_, first, last), block in zip(stream.ends, stream.blocks(), strict=True):
        start, stop = indptr[first], indptr[last]
        indices[start:stop], values[start:stop], labels[first:last] = (
            block.indices,
            block.values,
            block.labels,
        )
    return Problem(Rows(indptr, indices, values, labels, shape.features), stream.truth)
