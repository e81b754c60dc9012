"""Delay SGD on the rows of one node: gradients are applied a number of steps after they were computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.kernels.delay import ABANDONED, APPLIED, FIRST, PENDING, delayed_pass, stale_decay_pass
from wpsgd.kernels.limit import REACH
from wpsgd.learners.sgd import NO_COMMON, SGDLearner
from wpsgd.theory import delay_bound

NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(eq=False)
class DelayLearner(SGDLearner):
    """One thread with a ring buffer of the last `delay` (row, pull) pairs, which the weights lack yet.

    Decay is applied fresh, with the update. `advance(n)` applies n steps: `steps` counts what is in the
    weights. Rows in the ring are not; where the learner goes on from a combined model their gradients belong
    to weights that are no more, and they are computed again there. So each row is applied once.

    range_check: whether updates are abandoned that would carry a row across its fixed point (`crosses` in
    kernels/delay.py); the next row takes their place
    """

    delay: int = 0
    range_check: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ring_rows = np.zeros(self.delay + 1, dtype=np.int64)
        self._ring_pulls = np.zeros(self.delay + 1)
        self._ring = np.zeros(4, dtype=np.int64)
        self._again = NO_ROWS

    @property
    def reach(self) -> float:
        """Shorter, so that a row whose own gradients are late still comes to rest: see `delay_bound`."""
        return min(REACH, delay_bound(self.delay))

    @property
    def abandoned(self) -> int:
        """Rows abandoned so far."""
        return int(self._ring[ABANDONED])

    @property
    def in_flight(self) -> NDArray[np.int64]:
        """Numbers of the rows that were taken and are not in the weights, oldest first."""
        places = (self._ring[FIRST] + np.arange(self._ring[PENDING])) % (self.delay + 1)
        return np.concatenate([self._ring_rows[places], self._again])

    @property
    def pending_rows(self) -> list[NDArray[np.int64]]:
        return [self.in_flight]

    def advance(self, rows: int) -> None:
        """Applies `rows` steps. Raises Diverged, and ConfigError where all rows of an epoch are abandoned."""
        target, fruitless = self.steps + rows, 0
        while self.steps < target:
            before = self.steps
            put_in = self._next_pieces(target - self.steps)
            fruitless = fruitless + put_in if self.steps == before else 0
            if fruitless > self.rows + self.delay:
                raise ConfigError(
                    f"rank {self.order.rank}: range_check abandoned {self.rows} rows in a row at step"
                    f" {self.steps + 1}, each would cross its fixed point:"
                    f" {self.objective.step.advice}, or leave it out"
                )

    def _next_pieces(self, wanted: int) -> int:
        """Puts in as many rows as are needed if none of them is abandoned; how many those were."""
        again, self._again = self._again, NO_ROWS
        needed = wanted + self.delay - int(self._ring[PENDING]) - len(again)
        for order in (again, *self.order.take(needed)) if len(again) else self.order.take(needed):
            before = int(self._ring[APPLIED])
            put_in = self._pass(order)
            self.steps += int(self._ring[APPLIED]) - before
            if put_in < len(order):
                self._diverged(self.steps + int(self._ring[PENDING]) + 1)
        return needed + len(again)

    def _pass(self, order: NDArray[np.int64]) -> int:
        step = self.objective.step
        return int(
            delayed_pass(
                self.weights[: self.shard.features],
                self._carry,
                self._ring_rows,
                self._ring_pulls,
                self._ring,
                *self._arrays,
                order,
                step.etas(self.steps, len(order)),
                step.alpha,
                self._loss,
                self.reach,
                self._rate,
                self._ahead,
                self._rows_ahead,
                self.range_check,
                self._kept,
            )
        )

    def commit(self, model: FloatArray, steps: int) -> None:
        """Goes on from `model`; the gradients in flight were computed on other weights and are dropped."""
        self._again = self.in_flight
        self._ring[FIRST] = self._ring[PENDING] = 0
        super().commit(model, steps)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "in_flight": self.in_flight, "abandoned": self.abandoned}

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        super().restore(weights, state)
        self._again = np.array(state["in_flight"], dtype=np.int64)
        self._ring[ABANDONED] = int(state["abandoned"])


@dataclass(eq=False)
class StaleDecayLearner(SGDLearner):
    """The same with decay as late as the gradients. Dense, with `delay` + 1 models in memory: for study."""

    delay: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        features = self.shard.features
        self._history = np.zeros((self.delay + 1, features + 1), dtype=self.weights.dtype)
        self._place = np.zeros(1, dtype=np.int64)
        self._history[:, : len(self.weights)] = self.weights

    @property
    def reach(self) -> float:
        """As for `DelayLearner`."""
        return min(REACH, delay_bound(self.delay))

    def _pass(self, order: NDArray[np.int64]) -> int:
        step = self.objective.step
        etas = step.etas(self.steps, len(order))
        settings: Any = (step.alpha, self._loss, self.reach, self._rate, self._kept, self._seen)
        return int(stale_decay_pass(self._history, self._place, *self._arrays, order, etas, *settings))

    def _decay(self, summed: FloatArray) -> float:
        raise ConfigError(f"rank {self.order.rank}: stale_decay: {NO_COMMON}")

    def contribution(self) -> FloatArray:
        """This node's model in a buffer of its own, for a reduction to overwrite."""
        self._spare[:] = self._history[self._place[0], : len(self._spare)]
        return self._spare

    def commit(self, model: FloatArray, steps: int) -> None:
        """Goes on from `model`, as if it had always been the model."""
        super().commit(model, steps)
        self._history[:, : len(self.weights)] = self.weights
