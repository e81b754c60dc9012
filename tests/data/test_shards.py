"""Tests of the shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from wpsgd.data.shards import SHARDINGS, contiguous, proportional, replica, shard, shuffled
from wpsgd.errors import ConfigError

SPEEDS = some.lists(some.floats(0.001, 1000.0), min_size=1, max_size=9)


@pytest.mark.parametrize("name", ["contiguous", "shuffled", "proportional"])
@given(rows=some.integers(0, 300), speeds=SPEEDS, seed=some.integers(0, 2**32))
def test_a_partition_covers_each_row_exactly_once(
    name: str, rows: int, speeds: list[float], seed: int
) -> None:
    shards = shard(name, rows, len(speeds), speeds, seed)
    assert len(shards) == len(speeds)
    assert sorted(int(row) for part in shards for row in part) == list(range(rows))
    assert all(part.dtype == np.int64 for part in shards)


@pytest.mark.parametrize("name", ["contiguous", "shuffled"])
@given(rows=some.integers(0, 300), nodes=some.integers(1, 40))
def test_equal_sizes_differ_by_at_most_one(name: str, rows: int, nodes: int) -> None:
    sizes = [len(part) for part in shard(name, rows, nodes)]
    assert max(sizes) - min(sizes) <= 1


def test_contiguous_shards_are_stretches_in_order() -> None:
    assert [part.tolist() for part in contiguous(7, 3)] == [[0, 1, 2], [3, 4], [5, 6]]


def test_more_nodes_than_rows_leaves_empty_shards() -> None:
    assert [len(part) for part in contiguous(2, 4)] == [1, 1, 0, 0]
    assert [len(part) for part in shuffled(2, 4, seed=1)] == [1, 1, 0, 0]


def test_shuffled_shards_depend_on_the_seed_alone() -> None:
    first, again, other = (np.concatenate(shuffled(1000, 4, seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.arange(1000))


@given(rows=some.integers(0, 10_000), speeds=SPEEDS)
def test_proportional_sizes_are_within_one_row_of_the_exact_share(rows: int, speeds: list[float]) -> None:
    sizes = np.array([len(part) for part in proportional(rows, speeds, seed=0)])
    share = rows * np.array(speeds) / sum(speeds)
    assert np.all(np.abs(sizes - share) < 1 + 1e-6)


def test_the_largest_remainder_gets_the_row_that_is_left() -> None:
    # exact shares 1.667, 2.5, 5.833: the .833 and the .667 are rounded up
    assert [len(part) for part in proportional(10, [2.0, 3.0, 7.0], seed=0)] == [2, 2, 6]


def test_a_node_without_speed_gets_no_rows() -> None:
    assert [len(part) for part in proportional(9, [0.0, 1.0, 2.0], seed=0)] == [0, 3, 6]


def test_equal_speeds_give_the_shuffled_shards() -> None:
    for one, other in zip(proportional(11, [0.3] * 4, seed=7), shuffled(11, 4, seed=7), strict=True):
        assert np.array_equal(one, other)


def test_every_replica_holds_all_rows() -> None:
    assert [part.tolist() for part in replica(4, 3)] == [[0, 1, 2, 3]] * 3


def test_an_unknown_sharding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'shufled': allowed are contiguous, .*did you mean 'shuffled'\?"):
        shard("shufled", 4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("proportional", 4, 2), "one speed per node: 2 nodes, none given"),
        (("proportional", 4, 2, [1.0]), "one speed per node: 2 nodes, 1 given"),
        (("proportional", 4, 2, [0.0, 0.0]), "one of them above 0"),
        (("proportional", 4, 2, [1.0, float("nan")]), "finite numbers >= 0"),
        (("proportional", 4, 2, [1.0, -1.0]), "finite numbers >= 0"),
        (("contiguous", 4, 0), "over 0 nodes"),
        (("replica", -1, 2), "cannot shard -1 rows"),
        (("shuffled", 4, 2, None, -3), "seed -3"),
    ],
)
def test_counts_that_make_no_sense_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shard(*arguments)  # type: ignore[arg-type]


def test_every_listed_sharding_exists() -> None:
    for name in SHARDINGS:
        assert sum(len(part) for part in shard(name, 6, 2, [1.0, 1.0])) == (12 if name == "replica" else 6)
