"""Shards: which rows each node owns.

A sharding gives one int64 array of row numbers per node, a pure function of its arguments, so that every
rank works out all shards by itself. Nothing here sees the rows, only how many there are and their labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError, nearest

RowNumbers = NDArray[np.int64]

SHARDINGS = ("contiguous", "shuffled", "proportional", "replica", "label_skew")
AT_RANDOM = ("shuffled", "proportional", "label_skew")  # whose shards lie in a random order
# the share of rows that label_skew deals by label: with all of them most nodes would know one class
SKEW = 0.5


def contiguous(rows: int, nodes: int) -> list[RowNumbers]:
    """`nodes` stretches of consecutive rows that differ in size by at most one; surplus nodes get none.

    Raises ConfigError where `rows` is negative or `nodes` is not positive.
    """
    _check_counts(rows, nodes)
    return _deal(np.arange(rows, dtype=np.int64), _equal_sizes(rows, nodes))


def shuffled(rows: int, nodes: int, seed: int) -> list[RowNumbers]:
    """A random permutation of all rows dealt in parts that differ in size by at most one.

    Raises ConfigError where `rows` or `seed` is negative or `nodes` is not positive.
    """
    _check_counts(rows, nodes)
    return _deal(_permutation(rows, seed), _equal_sizes(rows, nodes))


def proportional(rows: int, speeds: Sequence[float], seed: int) -> list[RowNumbers]:
    """A random permutation of all rows, dealt by largest remainder in parts proportional to `speeds`.

    A speed of 0 gets an empty shard. Equal speeds give the shards of `shuffled`.
    Raises ConfigError where `rows` or `seed` is negative or the speeds are not finite, >= 0 with one above 0.
    """
    _check_counts(rows, len(speeds))
    return _deal(_permutation(rows, seed), _proportional_sizes(rows, speeds))


def replica(rows: int, nodes: int) -> list[RowNumbers]:
    """All rows for every node; the nodes share one array.

    Raises ConfigError where `rows` is negative or `nodes` is not positive.
    """
    _check_counts(rows, nodes)
    return [np.arange(rows, dtype=np.int64)] * nodes


def label_skew(labels: FloatArray, nodes: int, seed: int, skew: float = SKEW) -> list[RowNumbers]:
    """Parts that differ in size by at most one and hold other shares of each label.

    A share `skew` of the rows, chosen at random, is dealt in the order of labels: the first nodes get the
    smallest. The others are dealt at random. 0 gives each node all labels alike, 1 most nodes one label only.
    A part's rows are ordered by what they were dealt by: permute them where their order matters.
    labels: of all rows, shape (n,)
    Raises ConfigError where `seed` is negative, `nodes` is not positive or `skew` is not from 0 to 1.
    """
    rows = len(labels)
    _check_counts(rows, nodes)
    if not 0.0 <= skew <= 1.0:
        raise ConfigError(f"skew {skew} of the sharding: a number from 0 to 1 is needed")
    rng = _generator(seed)
    by_label = rng.random(rows) < skew
    keys = np.where(by_label, labels, rng.choice(labels, rows)) if rows else labels
    return _deal(np.lexsort((rng.random(rows), keys)), _equal_sizes(rows, nodes))


def shard(
    name: str,
    rows: int,
    nodes: int,
    speeds: Sequence[float] | None = None,
    seed: int = 0,
    *,
    labels: FloatArray | None = None,
    skew: float = SKEW,
) -> list[RowNumbers]:
    """The shards of the sharding called `name`, one array of row numbers per node.

    `speeds` (one per node, only their ratios count) matter to `proportional`, `seed` to the random ones;
    `labels` of all rows and `skew` to `label_skew`. Where only the sizes of shards matter, zeros are labels.
    Raises ConfigError for an unknown name, or counts and speeds that do not fit together.
    """
    if name not in SHARDINGS:
        raise ConfigError(f"sharding {name!r}: allowed are {', '.join(SHARDINGS)}{nearest(name, SHARDINGS)}")
    if name == "contiguous":
        return contiguous(rows, nodes)
    if name == "shuffled":
        return shuffled(rows, nodes, seed)
    if name == "replica":
        return replica(rows, nodes)
    if name == "label_skew":
        if labels is None or len(labels) != rows:
            raise ConfigError("sharding 'label_skew' needs the labels of all rows")
        parts, rng = label_skew(labels, nodes, seed, skew), _generator(seed)
        return [rng.permutation(part) for part in parts]
    if speeds is None or len(speeds) != nodes:
        given = "none" if speeds is None else str(len(speeds))
        raise ConfigError(f"sharding 'proportional' needs one speed per node: {nodes} nodes, {given} given")
    return proportional(rows, speeds, seed)


def in_stored_order(name: str, shards: Sequence[RowNumbers], order: RowNumbers) -> list[RowNumbers]:
    """The shards of the sharding called `name`, for rows that lie in a random order already.

    Random shards become stretches of as many rows, which can be read in place; the contiguous ones stay
    stretches of the source.
    order: the source's row of each row there is
    """
    if name == "contiguous":
        places = np.argsort(order, kind="stable")
        return [places[shard] for shard in shards]
    if name in ("replica", "label_skew"):  # the latter dealt the rows that there are by their labels
        return list(shards)
    return _deal(np.arange(sum(map(len, shards)), dtype=np.int64), [len(shard) for shard in shards])


def _check_counts(rows: int, nodes: int) -> None:
    if rows < 0:
        raise ConfigError(f"cannot shard {rows} rows: at least 0 are needed")
    if nodes < 1:
        raise ConfigError(f"cannot shard over {nodes} nodes: at least 1 is needed")


def _permutation(rows: int, seed: int) -> RowNumbers:
    return _generator(seed).permutation(rows).astype(np.int64, copy=False)


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise ConfigError(f"seed {seed} of the sharding: an integer of at least 0 is needed")
    return np.random.default_rng(seed)


def _equal_sizes(rows: int, nodes: int) -> list[int]:
    smaller, surplus = divmod(rows, nodes)
    return [smaller + (node < surplus) for node in range(nodes)]


def _proportional_sizes(rows: int, speeds: Sequence[float]) -> list[int]:
    """Largest remainder, the earlier node first where remainders tie."""
    if not all(math.isfinite(speed) and speed >= 0 for speed in speeds) or not any(speeds):
        raise ConfigError(f"speeds {list(speeds)}: finite numbers >= 0 are needed, one of them above 0")
    # fractions, because a rounded remainder would break ties differently from one set of speeds to another
    exact = [Fraction(speed) for speed in speeds]
    quotas = [rows * speed / sum(exact) for speed in exact]
    sizes = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(speeds)), key=lambda node: sizes[node] - quotas[node])
    for node in by_remainder[: rows - sum(sizes)]:
        sizes[node] += 1
    return sizes


def _deal(order: RowNumbers, sizes: Sequence[int]) -> list[RowNumbers]:
    return np.split(order, np.cumsum(sizes)[:-1])
