"""Tests of the shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
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
@settings(deadline=None)
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
        parts = shard(name, 6, 2, [1.0, 1.0], labels=np.ones(6))
        assert sum(len(part) for part in parts) == (12 if name == "replica" else 6)


@given(
    rows=some.integers(0, 300), nodes=some.integers(1, 9), skew=some.floats(0, 1), seed=some.integers(0, 99)
)
def test_label_skew_deals_every_row_once(rows: int, nodes: int, skew: float, seed: int) -> None:
    labels = np.random.default_rng(seed).choice([-1.0, 1.0, 3.0], rows)
    parts = shard("label_skew", rows, nodes, seed=seed, labels=labels, skew=skew)
    assert sorted(np.concatenate(parts).tolist()) == [*range(rows)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    again = shard("label_skew", rows, nodes, seed=seed, labels=labels, skew=skew)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


@pytest.mark.parametrize("skew", [0.0, 0.25, 0.5, 1.0])
def test_shares_of_labels_differ_between_shards_by_the_skew(skew: float) -> None:
    labels = np.repeat([-1.0, 1.0], [14_000, 6_000])
    parts = shard("label_skew", 20_000, 10, seed=1, labels=labels, skew=skew)
    shares = [float(np.mean(labels[part] > 0)) for part in parts]
    # the first seven nodes get what was dealt as -1, of which a share `skew` is -1 for sure
    expected = [(1 - skew) * 0.3] * 7 + [skew + (1 - skew) * 0.3] * 3
    assert shares == pytest.approx(expected, abs=0.04)


def test_rows_of_a_skewed_shard_lie_in_a_random_order() -> None:
    labels = np.repeat([-1.0, 1.0], 5_000)
    for part in shard("label_skew", 10_000, 3, seed=0, labels=labels, skew=0.5):
        half = len(part) // 2
        shares = [np.mean(labels[rows] > 0) for rows in (part[:half], part[half:])]
        assert shares[0] == pytest.approx(shares[1], abs=0.06)


def test_the_labels_of_another_number_of_rows_are_refused() -> None:
    for labels in (None, np.ones(5)):
        with pytest.raises(ConfigError, match="sharding 'label_skew' needs the labels of all rows"):
            shard("label_skew", 6, 2, labels=labels)
    with pytest.raises(ConfigError, match=r"skew 1\.5 of the sharding: a number from 0 to 1"):
        shard("label_skew", 6, 2, labels=np.ones(6), skew=1.5)
