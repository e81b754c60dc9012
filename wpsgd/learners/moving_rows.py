"""The rows of one thread that dual coordinate ascent visits: those that can move, pass by pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wpsgd.learners.row_order import RowOrder

Marks = NDArray[np.bool_]
ENDLESS = 2**62  # visits that nobody comes to


class MovingRows:
    """Endless passes over the marked rows of `ends` of a shard, all of them to begin with.

    Each pass has a random order of its own, of blocks of neighbours: a function of (seed, rank, pass) and
    of the marks.
    left: visits that are still allowed
    """

    def __init__(self, ends: slice, seed: int, rank: int, shuffle: bool, block: int) -> None:
        self._ends, self._how = ends, (seed, rank, shuffle, block)
        self.restore(np.ones(ends.stop, dtype=np.bool_), 0, 0)
        self.allow(0)

    def allow(self, passes: int) -> None:
        """Allows as many visits as so many passes have, any number for 0."""
        self.left = passes * len(self._members) if passes or not len(self._members) else ENDLESS

    def take(self, count: int) -> Iterator[NDArray[np.int32]]:
        """Places in the shard of the next `count` rows, in pieces. Raises ConfigError without rows."""
        self.left -= count
        for piece in self._order.take(count):
            yield self._members[piece]

    def warm_up(self) -> None:
        """Compiles what a new pass calls."""
        self._order.warm_up()

    def mark(self, marks: Marks) -> None:
        """From now on passes are over the rows marked. marks: of all rows of the shard"""
        self.restore(marks, self._order.epoch + 1, 0)

    def state(self, marks: Marks) -> tuple[int, int]:
        """The pass, and how far it is; marks its rows."""
        marks[self._members] = True
        return self._order.epoch, self._order.cursor

    def restore(self, marks: Marks, number: int, cursor: int) -> None:
        """Goes to a place in pass `number` over the rows marked."""
        self._members = (np.flatnonzero(marks[self._ends]) + self._ends.start).astype(np.int32)
        self._order = RowOrder(len(self._members), *self._how, epoch=number, cursor=cursor)
