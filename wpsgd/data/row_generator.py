"""The row generator: blocks of synthetic rows of a given shape.

Columns are drawn by a power law of popularity, row lengths are log-normal, rows have unit L2 norm. A label is
the sign of <truth, row>, flipped with the probability `noise`.

Ranks on unequal processors must make equal bytes. So every random choice is an integer or a uniform number,
looked up in a table, and everything else is addition, multiplication, division or a square root, which
IEEE 754 rounds alike everywhere. Logarithms and powers occur only in tables that are rounded afterwards.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from wpsgd.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = NDArray[np.int32]
Signs = NDArray[np.int8]

BLOCK = 4096  # rows made from one seed: part of what a seed means, so never to be tuned
COLUMN_STREAM, BLOCK_STREAM = 0, 1  # spawn keys
COLUMN_BUCKETS, LENGTH_BUCKETS = 1024, 4096
POPULAR_DRAWS = 4  # tries to find a column that is not yet in the row before popularity is given up for it
CALIBRATION_BLOCKS = 4
# 1 + ln(occurrences) of a term: half of the terms occur once in a row, a quarter twice, the rest 3 or 4 times
TERM_FREQUENCY = np.repeat([1.0, 1.69314718, 2.09861229, 2.38629436], [4, 2, 1, 1])


@dataclass(frozen=True)
class Shape:
    """What a synthetic problem looks like.

    nonzeros_per_row: mean length of a row, at most a quarter of the columns; no row exceeds half of them
    positive: share of +1 labels, flips included
    noise: probability of a flipped label
    exponent: of the power law of column popularity; 1 is Zipf's law
    head: about this many of the most popular columns are about equally popular
    spread: standard deviation of the logarithm of the row lengths; 0 for equal lengths
    tf_idf: values like tf-idf before a row is scaled to unit norm; otherwise the values of a row are equal
    topicality: from 0 (columns independent of one another) to 1 (rows lean to one class: wide margins)

    Raises ConfigError where no such problem exists.
    """

    rows: int
    features: int
    nonzeros_per_row: float
    positive: float = 0.5
    noise: float = 0.0
    exponent: float = 1.0
    head: float = 20.0
    spread: float = 0.6
    tf_idf: bool = True
    topicality: float = 0.5

    def __post_init__(self) -> None:
        largest = np.iinfo(np.int32).max
        limits = {
            f"rows = {self.rows}: at least 1": self.rows >= 1,
            f"features = {self.features}: 2 to {largest}": 2 <= self.features <= largest,
            f"nonzeros_per_row = {self.nonzeros_per_row}: 1 to a quarter of the {self.features} features": (
                1 <= self.nonzeros_per_row <= max(1.0, self.features / 4)
            ),
            f"noise = {self.noise}: 0 to below 0.5": 0 <= self.noise < 0.5,
            f"positive = {self.positive}: between noise and 1 - noise": self.noise
            < self.positive
            < 1 - self.noise,
            f"exponent = {self.exponent}: above 0": self.exponent > 0,
            f"head = {self.head}: above 0": self.head > 0,
            f"spread = {self.spread}: at least 0": self.spread >= 0,
            f"topicality = {self.topicality}: 0 to 1": 0 <= self.topicality <= 1,
        }
        for limit, kept in limits.items():
            if not kept:
                raise ConfigError(f"synthetic data: {limit} is possible")

    @property
    def clean_positive(self) -> float:
        """Share of +1 labels before the flips."""
        return (self.positive - self.noise) / (1.0 - 2.0 * self.noise)


@dataclass(frozen=True)
class Block:
    """BLOCK rows: entries of all rows one after another; a label, a margin and a first entry per row."""

    columns: Integers
    values: Floats
    labels: Floats
    margins: Floats
    starts: Integers


class RowGenerator:
    """Blocks of rows of one shape and seed; `truth`, float64 (features,), is what their labels follow."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape, self.seed = shape, seed
        self._lengths = _length_table(shape)
        self._bounds, self._cumulative = _popularity(shape)
        random = self._random(COLUMN_STREAM)
        # real files are not sorted by popularity; a layout that gains by sorting must have that to gain
        self._column_of_rank = random.permutation(shape.features).astype(np.int32)
        self._inverse_frequency = self._inverse_frequencies()
        self.truth: Floats = np.full(shape.features, -2.0)
        for _ in range(4):  # a sum of uniform numbers is nearly normal and needs no logarithm
            self.truth += random.random(shape.features)
        self._favours: Signs = np.where(self.truth > 0, 1, -1).astype(np.int8)
        self.truth += self._offset()

    def lengths(self, number: int) -> Integers:
        """Row lengths of block `number`, int64 of shape (BLOCK,), without making the block."""
        return self._start(number)[1]

    def block(self, number: int) -> Block:
        """Block `number`, a function of shape (its number of rows apart), seed and number alone."""
        random, lengths = self._start(number)
        topics = np.where(random.random(BLOCK) < self.shape.clean_positive, 1, -1).astype(np.int8)
        columns = self._distinct_columns(random, np.repeat(topics, lengths), lengths)
        starts = np.cumsum(lengths) - lengths
        values = self._unit_values(random, columns, starts, lengths)
        margins = np.add.reduceat(values * self.truth[columns], starts)
        flipped = random.random(BLOCK) < self.shape.noise
        return Block(columns, values, np.where((margins > 0) ^ flipped, 1.0, -1.0), margins, starts)

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=stream)))

    def _start(self, number: int) -> tuple[np.random.Generator, Integers]:
        random = self._random(BLOCK_STREAM, number)
        return random, self._lengths[random.integers(0, LENGTH_BUCKETS, BLOCK)]

    def _distinct_columns(self, random: np.random.Generator, topics: Signs, lengths: Integers) -> Integers:
        """Columns of each entry, ascending within a row, none twice: what is drawn twice is drawn again."""
        features = self.shape.features
        keys = np.repeat(np.arange(BLOCK, dtype=np.int64) * features, lengths)
        keys += self._topical(random, topics)
        for attempt in itertools.count():
            # topics stay right: the row is the major part of a key. What was sorted before a few were drawn
            # again takes a sort that sees it
            keys.sort(kind="stable" if attempt else None)
            again = np.flatnonzero(keys[1:] == keys[:-1])
            if not len(again):
                break
            popular = attempt < POPULAR_DRAWS
            fresh = (
                self._topical(random, topics[again]) if popular else random.integers(0, features, len(again))
            )
            keys[again] += fresh - keys[again] % features
        return keys % features

    def _topical(self, random: np.random.Generator, topics: Signs) -> Columns:
        """One popular column per topic; a column that speaks against its topic may be drawn a second time."""
        columns = self._popular(random, len(topics))
        against = np.flatnonzero(self._favours[columns] != topics)
        against = against[random.random(len(against)) < self.shape.topicality]
        columns[against] = self._popular(random, len(against))
        return columns

    def _popular(self, random: np.random.Generator, count: int) -> Columns:
        """Columns drawn by popularity: a bucket of ranks, then any rank within the bucket."""
        bucket = np.searchsorted(self._cumulative, random.random(count), side="right")
        low, width = self._bounds[bucket], self._bounds[bucket + 1] - self._bounds[bucket]
        return self._column_of_rank[low + (random.random(count) * width).astype(np.int64)]

    def _unit_values(
        self, random: np.random.Generator, columns: Integers, starts: Integers, lengths: Integers
    ) -> Floats:
        values = np.ones(len(columns))
        if self.shape.tf_idf:
            values = TERM_FREQUENCY[random.integers(0, len(TERM_FREQUENCY), len(columns))]
            values *= self._inverse_frequency[columns]
        norms: Floats = np.sqrt(np.add.reduceat(values * values, starts))
        values /= np.repeat(norms, lengths)
        return values

    def _inverse_frequencies(self) -> NDArray[np.float32]:
        """ln(1 + rows / expected rows that hold the column), per column."""
        widths = np.diff(self._bounds)
        share = np.diff(self._cumulative, prepend=0.0) / widths * self.shape.nonzeros_per_row
        inverse = np.empty(self.shape.features, np.float32)
        inverse[self._column_of_rank] = np.repeat(_rounded(np.log1p(1.0 / share), 20), widths)
        return inverse

    def _offset(self) -> float:
        """What to add to every weight so that the wanted share of a sample has a positive margin."""
        sample = [self.block(number) for number in range(CALIBRATION_BLOCKS)]
        needed = [-block.margins / np.add.reduceat(block.values, block.starts) for block in sample]
        return float(np.quantile(np.concatenate(needed), self.shape.clean_positive))


def _rounded(table: Floats, digits: int) -> Floats:
    """To multiples of 2^-digits, coarse enough to hide how a processor computes logarithms."""
    return np.asarray(np.ldexp(np.rint(np.ldexp(table, digits)), -digits), dtype=np.float64)


def _length_table(shape: Shape) -> Integers:
    """LENGTH_BUCKETS equally likely row lengths: log-normal, 1 to half of the columns, of the wanted mean."""
    levels = (np.arange(LENGTH_BUCKETS) + 0.5) / LENGTH_BUCKETS
    relative = np.exp(shape.spread * norm.ppf(levels))

    def lengths(factor: float) -> Integers:
        return np.clip(np.rint(factor * relative), 1, shape.features // 2).astype(np.int64)

    # bisection by hand: the mean is a staircase, for which root finders promise nothing
    low, high = 0.0, float(shape.features) ** 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if lengths(middle).mean() < shape.nonzeros_per_row else (low, middle)
    return lengths(high)


def _popularity(shape: Shape) -> tuple[Integers, Floats]:
    """Bounds of buckets of popularity ranks, and the probability of a draw below each upper bound.

    The density at rank r is proportional to (r + head)^-exponent (Zipf-Mandelbrot), and even within a bucket.
    """
    steps = np.linspace(0.0, 1.0, COLUMN_BUCKETS + 1)
    ranks = shape.head * np.expm1(steps * np.log1p(shape.features / shape.head))
    bounds = np.unique(np.rint(ranks).astype(np.int64))
    bounds[-1] = shape.features
    logarithms, power = np.log(bounds + shape.head), 1.0 - shape.exponent
    mass = logarithms if abs(power) < 1e-9 else np.expm1(power * logarithms) / power
    return bounds, _rounded((mass[1:] - mass[0]) / (mass[-1] - mass[0]), 40)
