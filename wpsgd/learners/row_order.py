"""The order in which a node goes through its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import ConfigError
from wpsgd.kernels.layout import spread_blocks


@dataclass(slots=True)
class RowOrder:
    """An endless row order: a fresh permutation of the shard each epoch, or the rows as they are.

    block: rows that stay together in it. More than 1 is for rows whose physical order is random: memory is
    then read in stretches, and a block is a random sample all the same.
    An epoch's permutation depends on (seed, rank, epoch) alone, so the place in it is all there is to save.
    taken: gets the pieces that are taken, where someone asked with `tell`
    """

    rows: int
    seed: int
    rank: int
    shuffle: bool = True
    block: int = 1
    epoch: int = 0
    cursor: int = 0
    taken: list[NDArray[np.int64]] | None = None
    _order: NDArray[np.int64] | None = None
    _untold: int = 0

    def take(self, count: int) -> Iterator[NDArray[np.int64]]:
        """The next `count` row numbers, in pieces that end with an epoch. Raises ConfigError without rows."""
        if self.rows == 0 and count > 0:
            raise ConfigError(f"rank {self.rank} holds no rows and cannot advance")
        while count > 0:
            if self.cursor == self.rows:
                self.epoch, self.cursor, self._order = self.epoch + 1, 0, None
            if self._order is None:
                self._order = self._permutation()
            piece = self._order[self.cursor : self.cursor + count]
            self.cursor += len(piece)
            count -= len(piece)
            if self.taken is not None and self._untold > 0:
                self._untold -= len(piece)
                self.taken.append(piece)
            yield piece

    def warm_up(self) -> None:
        """Compiles what a new epoch calls."""
        spread_blocks(np.empty(0, dtype=np.int64), self.block, np.empty(0, dtype=np.int64))

    def tell(self, taken: list[NDArray[np.int64]]) -> None:
        """From now on `taken` gets the pieces that are taken, until all rows are among them."""
        self.taken = taken
        # so many hold a whole epoch wherever they begin; each further one would hold its permutation
        self._untold = 2 * self.rows

    def forget(self) -> None:
        """From now on nobody is told."""
        self.taken = None

    def _permutation(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(self.rows)
        blocks = -(-self.rows // self.block)
        chosen = np.random.default_rng((self.seed, self.rank, self.epoch)).permutation(blocks)
        order = np.empty(self.rows, dtype=np.int64)
        spread_blocks(chosen, self.block, order)
        return order

    def move_to(self, epoch: int, cursor: int) -> None:
        """Goes to a saved place."""
        self.epoch, self.cursor, self._order = epoch, cursor, None
