"""SGD on the rows of one node by several threads that share one weight vector, lock-free; or one gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wpsgd.kernels.gradient import add_gradient
from wpsgd.kernels.hogwild import hogwild_pass, scales_ahead
from wpsgd.kernels.limit import REACH
from wpsgd.learners.crew import Crew
from wpsgd.learners.sgd import NOTHING, SGDLearner
from wpsgd.theory import delay_bound

MEETING = 1 << 14
APART = 16  # float64 that no other thread writes to: two cache lines


@dataclass(eq=False)
class ThreadedLearner(SGDLearner):
    """Hogwild: thread j of p takes the rows j, j + p, j + 2 p, ... of a chunk; all meet at its end.

    Which updates a margin sees, and which are lost, depends on the machine: runs do not repeat bits. Those of
    mini-batches do: thread j adds up the gradients of a step's rows j, j + p, ... by itself.
    """

    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._crew = Crew(self.threads)
        self._seen_by = [self._seen] * self.threads

    def warm_up(self) -> None:
        super().warm_up()
        scales = np.array([self._carry[0]])
        scales_ahead(scales[0], np.empty(0), self.objective.step.alpha, scales)
        self._side_by_side(np.empty(0, dtype=np.int64), np.empty(0), scales)

    def advance(self, rows: int) -> None:
        """Applies the next `rows` rows. Raises Diverged, with roughly the step."""
        step = self.objective.step
        for order in self.order.take(rows):
            while len(order) > 0:
                count = min(len(order), self._until_meeting)
                etas, scales = step.etas(self.steps, count), np.empty(count + 1)
                together = scales_ahead(self._carry[0], etas, step.alpha, scales)
                # a row that multiplies the scale into the weights is alone: nobody must read them meanwhile
                piece = order[: max(1, together)]
                done = self._side_by_side(piece, etas, scales) if together else self._pass(piece)
                self.steps += done
                if done < len(piece):
                    self._diverged(self.steps + 1)
                self._met(done)
                order = order[len(piece) :]

    @property
    def reach(self) -> float:
        """Of threads that take turns a gradient is as late as there are others: see `DelayLearner.reach`."""
        return min(REACH, delay_bound(self.threads - 1))

    @property
    def _until_meeting(self) -> int:
        """Rows after which threads meet at the latest."""
        return MEETING

    def _met(self, rows: int) -> None:
        """Called where nobody is at work, with the rows that were applied since it was called before."""

    def _squares_of(self, thread: int) -> NDArray[np.float64]:
        """Where a thread adds up its squared gradients; empty where nobody asks for them."""
        return NOTHING

    def watch_losses(self) -> None:
        super().watch_losses()
        self._seen_by = [*np.zeros((self.threads, APART))[:, : len(self._seen)]]

    def taken_losses(self) -> NDArray[np.float64]:
        for seen in self._seen_by:
            self._seen[:] += seen
            seen[:] = 0.0
        return super().taken_losses()

    @property
    def _summing(self) -> int:
        return self.threads

    def _add_gradient(self, order: NDArray[np.int64]) -> float:
        if len(order) == 0:
            return super()._add_gradient(order)
        # however a step's rows come, row number c of them is thread c mod p's
        first = int(self._gradient.vector[-1])
        shares = [order[(j - first) % self.threads :: self.threads].copy() for j in range(self.threads)]
        at = (self.weights[: self.shard.features], self.scale, float(self._carry[1]), *self._arrays)
        work = []
        for rows, out, seen in zip(shares, self._gradients, self._seen_by, strict=True):
            out.taken.append(rows)
            work.append(partial(add_gradient, *at, rows, *self._limits, out.vector[:-1], seen))
        return sum(self._crew.run(work))

    def _side_by_side(
        self, order: NDArray[np.int64], etas: NDArray[np.float64], scales: NDArray[np.float64]
    ) -> int:
        """Rows done; fewer than given where a margin is not finite."""
        shared = (self.weights[: self.shard.features], self._carry, *self._arrays, order, etas, scales)
        settings = (self.threads, self._loss, self._bound, self._rate, self._ahead, self._rows_ahead)
        work = [
            partial(hogwild_pass, *shared, share, *settings, self._squares_of(share), seen)
            for share, seen in enumerate(self._seen_by)
        ]
        done = self._crew.run(work)
        self._carry[0] = scales[len(order)]
        return int(min(done))
