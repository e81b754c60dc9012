"""Tests of the order in which a node goes through its rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wpsgd.learners.row_order import RowOrder


@given(rows=st.integers(1, 50), seed=st.integers(0, 10), rank=st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_each_epoch_is_a_permutation_of_the_shard(rows: int, seed: int, rank: int) -> None:
    order = np.concatenate(list(RowOrder(rows, seed, rank).take(4 * rows))).reshape(4, rows)
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(rows), (4, 1)))


@given(rows=st.integers(1, 60), block=st.integers(1, 20), seed=st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_blocks_stay_together_in_an_order_of_all_rows(rows: int, block: int, seed: int) -> None:
    order = np.concatenate(list(RowOrder(rows, seed, 0, block=block).take(rows)))
    assert np.array_equal(np.sort(order), np.arange(rows))
    starts = [place for place, row in enumerate(order.tolist()) if row % block == 0]
    for start in starts:
        first = int(order[start])
        together = order[start : start + block].tolist()
        expected = list(range(first, min(first + block, rows)))
        assert together[: len(expected)] == expected


def test_epochs_ranks_with_seeds_each_have_an_order_of_their_own() -> None:
    orders = [
        tuple(epoch)
        for seed in range(3)
        for rank in range(3)
        for epoch in np.concatenate(list(RowOrder(40, seed, rank).take(120))).reshape(3, 40).tolist()
    ]
    assert len(set(orders)) == 27


def test_without_shuffling_rows_stay_as_they_are() -> None:
    order = np.concatenate(list(RowOrder(4, 0, 0, shuffle=False).take(10)))
    assert order.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@given(cuts=st.lists(st.integers(0, 30), max_size=8), after=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_a_place_in_the_order_is_restored_exactly(cuts: list[int], after: int) -> None:
    order, other = RowOrder(17, 5, 1), RowOrder(17, 5, 1)
    for count in cuts:
        list(order.take(count))
    list(other.take(after))
    other.move_to(order.epoch, order.cursor)
    expected = np.concatenate(list(RowOrder(17, 5, 1).take(sum(cuts) + after)))[sum(cuts) :]
    assert np.concatenate(list(order.take(after))).tolist() == expected.tolist()
    assert np.concatenate(list(other.take(after))).tolist() == expected.tolist()


@given(rows=st.integers(1, 40), first=st.integers(0, 100), chunk=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_what_is_told_of_a_long_round_is_all_rows_and_no_more_than_three_epochs(
    rows: int, first: int, chunk: int
) -> None:
    order, taken = RowOrder(rows, 3, 0), [np.empty(0, dtype=np.int64)]
    list(order.take(first))
    order.tell(taken)
    while sum(map(len, taken)) < 2 * rows:
        list(order.take(chunk))
    held = sum(map(len, taken))
    list(order.take(10 * rows))
    assert sum(map(len, taken)) == held < 2 * rows + min(chunk, rows)
    assert set(np.concatenate(taken)) == set(range(rows))
