"""One node's part of a dual problem that all nodes share: its dual variables, and steps on them.

Nodes that ascend at the same time do not see one another's steps. What a step reads and writes is therefore a
vector of the node's own, `local`, and what the shared weights become of it is the strategy's to say. Threads
are to one another what nodes are: each has rows and a vector of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.dual_solver import check_problem, part_weight
from wpsgd.errors import ConfigError, Diverged
from wpsgd.kernels.dual import add_moves, approach, ascend, inner, losses_between
from wpsgd.kernels.gradient import margins
from wpsgd.learners.crew import Crew
from wpsgd.learners.dual import NoGradientSteps, check_objective
from wpsgd.learners.moving_rows import ENDLESS, MovingRows
from wpsgd.learners.sgd import Objective, kernel_arrays

Array = NDArray[np.float64]


class Direction(NamedTuple):
    """S D along the step of this node's dual variables, but for the norm of w, is rise s - bend s^2 / 2.

    limit: the longest step that stays feasible, at least 1; infinity where no variable moves
    """

    rise: float
    bend: float
    limit: float


@dataclass(eq=False)
class ShardDual(NoGradientSteps):
    """Dual coordinate ascent on a shard's rows, in the random order that SGD has; steps counts turns.

    Each of t threads ascends on a t-th of the rows as a node would that holds no others: node k's thread j is
    node t k + j of nodes with one thread. Turn c of a run is thread c mod t's, however the run is cut: a
    visit of a row, or none where that thread has no row left while another has.
    After `look_around`, passes are over the rows that a step would move at the weights last judged.

    weights: the model that all nodes hold, float of shape (features,)
    local: what the steps of each thread read and write, float of shape (parts or 1, features)
    dual: alpha as last agreed upon; trial: as the steps since have left it, both float64 of shape (rows,)
    margins: of the weights last judged, float64 of shape (rows,)
    unit: a step of alpha_i by 1 moves `local` by unit s_i y_i x_i; relaxation: of steps, in (0, 2)
    Raises ConfigError for an objective that has no dual here, DataError for unfit sample weights.
    """

    reason = "dual variables take no gradient steps: this learner is for cocoa or admm"

    shard: Rows
    objective: Objective
    seed: int
    rank: int
    shuffle: bool = True
    block: int = 1
    steps: int = 0
    unit: float = 0.0
    relaxation: float = 1.0
    threads: int = 1

    def __post_init__(self) -> None:
        check_objective(self.objective)
        check_problem(self.objective.loss, self.objective.step.alpha)
        count = len(self.shard)
        self.total = part_weight(self.shard)
        self._taken = 0
        self._parts = [self._part(number) for number in range(max(1, self.parts))]
        self._crew = Crew(len(self._parts))
        self.weights = self.objective.start(self.shard.features, self.shard.values.dtype)
        self.local = np.tile(self.weights, (len(self._parts), 1))
        self.dual, self.trial, self.margins = np.zeros(count), np.zeros(count), np.zeros(count)
        self.squared = self.objective.loss == "squared_hinge"
        self._curvature = 0.5 if self.squared else 0.0
        indptr, indices, values, self._labels, self._sample_weights = kernel_arrays(self.shard)
        self._csr = indptr, indices, values
        self._moved = np.zeros(count, dtype=np.uint8)
        self._numbers = np.arange(count, dtype=np.int32)
        self._norms = np.full(count, -1.0)

    def _part(self, number: int) -> MovingRows:
        first, end = (len(self.shard) * place // max(1, self.parts) for place in (number, number + 1))
        rank = self.rank * self.threads + number
        return MovingRows(slice(first, end), self.seed, rank, self.shuffle, self.block)

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return len(self.shard)

    @property
    def parts(self) -> int:
        """Threads that hold rows."""
        return min(self.threads, len(self.shard))

    @property
    def alpha(self) -> float:
        """lambda."""
        return self.objective.step.alpha

    @property
    def left(self) -> int:
        """Turns until no thread has a row left in this round."""
        threads = len(self._parts)
        turns = [(number - self._taken) % threads for number in range(threads)]
        ends = (1 + turn + (part.left - 1) * threads for turn, part in zip(turns, self._parts, strict=True))
        return min(max(0, *ends), ENDLESS)

    def start(self, w: FloatArray, passes: int) -> None:
        """Begins a round: the steps of each thread read and write w, in a vector of its own.

        passes: of each thread over its rows in this round, at most; 0 for as many as are asked for
        """
        self.local[:] = w
        for part in self._parts:
            part.allow(passes)

    def advance(self, rows: int) -> None:
        """Takes the next `rows` turns, a step on a row's dual variable each. Raises ConfigError, Diverged."""
        shares = [
            min(part.left, self._due(self._taken + rows, j) - self._due(self._taken, j))
            for j, part in enumerate(self._parts)
        ]
        self._crew.run([partial(self._advance, number, share) for number, share in enumerate(shares)])
        self._taken += rows
        self.steps += rows

    def warm_up(self) -> None:
        """Compiles what a strategy calls, on no rows."""
        self._ascend(0, np.empty(0, dtype=np.int32))
        nothing, wide = self.weights[:0], np.empty(0)  # w(alpha) is in float64
        for weights in (nothing, wide):
            self._judge(weights, slice(0, 0))
        for one, other in ((nothing, nothing), (nothing, wide), (wide, nothing), (wide, wide)):
            inner(one, other)
        for weights in (nothing, wide):
            approach(weights, wide, 0.0)
        if nothing.dtype != wide.dtype:
            self._add_moves(wide, self.dual[:0], self.trial[:0], 0.0)
        self._parts[0].warm_up()
        none, shares = np.empty(0), np.empty(0)
        shares.flags.writeable = False  # as those of cocoa, which is another type to the compiler
        losses_between(none, none, self._sample_weights, shares, self.squared, none)

    def change(self, w: FloatArray, sigma: float, unit: float, *, exact: bool = True) -> FloatArray:
        """What the steps since all threads began at w make of w, all threads' added up; for a reduction.

        sigma: how much further than that they moved `local`; unit: a step of alpha_i by 1 moves w by
        unit s_i y_i x_i. Of rows in float32 it comes from the dual variables, in float64, where `exact`:
        rounding in `local` adds up over rounds.
        """
        if self.weights.dtype != w.dtype and exact:
            change = np.zeros(len(w))
            self._add_moves(change, self.dual, self.trial, unit)
            return change
        self.local -= w.astype(self.local.dtype, copy=False)  # as they began
        moved = summed(self.local)
        moved /= sigma
        return moved

    def direction(self) -> Direction:
        """What the dual objective does along the steps since the last agreement."""
        moves, s = self.trial - self.dual, self._weights_or_one()
        rise = float((s * moves * (1.0 - self._curvature * self.dual)).sum())
        bend = self._curvature * float((s * moves * moves).sum())
        room = np.where(moves > 0.0, np.inf if self.squared else 1.0 - self.dual, self.dual)
        limits = room[moves != 0.0] / np.abs(moves[moves != 0.0])
        return Direction(rise, bend, float(limits.min(initial=np.inf)))

    def accept(self, step: float) -> None:
        """Agrees on `step` times what the dual variables moved by."""
        if step == 1.0:
            self.dual[:] = self.trial
            return
        self.dual += step * (self.trial - self.dual)
        # a step to the edge of the box may end beside it in the last digit
        np.clip(self.dual, 0.0, None if self.squared else 1.0, out=self.dual)
        self.trial[:] = self.dual

    def dual_sum(self) -> float:
        """The sum of s_i (alpha_i - c alpha_i^2 / 2), c the curvature of the loss's conjugate."""
        parts = self.dual - 0.5 * self._curvature * self.dual**2
        return float((self._weights_or_one() * parts).sum())

    def judging(self, weights: FloatArray) -> Callable[[int], None]:
        """Work that writes the next so many `margins`, those of `weights`."""
        done, threads = 0, len(self._parts)

        def judge(rows: int) -> None:
            nonlocal done
            cuts = [done + rows * number // threads for number in range(threads + 1)]
            self._crew.run([partial(self._judge, weights, slice(*ends)) for ends in pairwise(cuts)])
            done += rows

        return judge

    def look_around(self) -> None:
        """Goes on with the rows that a step would move at the weights last judged."""
        slope = 1.0 - self.margins - self._curvature * self.dual
        top = np.inf if self.squared else 1.0
        marks = np.where(slope > 0.0, self.dual < top, self.dual > 0.0)
        for part in self._parts:
            part.mark(marks)

    def losses_between(self, one: Array, other: Array, shares: Array) -> Array:
        """sum_i s_i loss at (1-c) one + c other, for each c of `shares`; one, other: margins."""
        out = np.zeros(len(shares))
        losses_between(one, other, self._sample_weights, shares, self.squared, out)
        return out

    def _judge(self, weights: FloatArray, part: slice) -> None:
        indptr, indices, values = self._csr
        ends = slice(part.start, part.stop + 1)
        margins(weights, 0.0, indptr[ends], indices, values, self._labels[part], self.margins[part])

    def _due(self, rows: int, number: int) -> int:
        """How many of the first `rows` rows of a run are that thread's."""
        return (rows + len(self._parts) - 1 - number) // len(self._parts)

    def _advance(self, number: int, rows: int) -> None:
        for places in self._parts[number].take(rows):
            self._ascend(number, places)

    def _add_moves(self, out: Array, before: Array, after: Array, unit: float) -> None:
        add_moves(out, *self._csr, self._labels, self._sample_weights, before, after, unit)

    def _ascend(self, number: int, places: NDArray[np.int32]) -> None:
        sums = np.zeros(2)
        variables = (self.local[number], self.trial, self._moved, sums, *self._csr, self._numbers)
        about = (self._labels, self._sample_weights, self._norms)
        ascend(*variables, *about, places, self.unit, self.squared, self.relaxation)
        if not np.isfinite(sums[1]):
            raise Diverged(
                f"rank {self.rank}: a margin is not a finite number: scale the rows to unit length"
            )

    def _weights_or_one(self) -> Any:
        return 1.0 if self.shard.weights is None else self._sample_weights.astype(np.float64)

    # what other strategies ask of a learner

    def contribution(self) -> FloatArray:
        """The model."""
        return self.weights.copy()

    def commit(self, model: FloatArray, steps: int) -> None:
        """Holds `model` at the age of `steps` steps."""
        self.weights[:] = model
        self.steps = steps

    def state(self) -> dict[str, Any]:
        """All but vectors of weights, taken between rounds."""
        marks = np.zeros(self.rows, dtype=np.bool_)
        places = np.array([part.state(marks) for part in self._parts])
        order = {"taken": self._taken, "places": places, "marks": marks}
        return {"steps": self.steps, "dual": self.dual, **order}

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        """Goes back to a saved place. Raises ConfigError where it is one of other rows."""
        if weights.shape != self.weights.shape or state["dual"].shape != self.dual.shape:
            raise ConfigError(
                f"the saved weights and dual variables have shapes {weights.shape} and {state['dual'].shape},"
                f" these data need {self.weights.shape} and {self.dual.shape}"
            )
        self.commit(weights, int(state["steps"]))
        self._taken = int(state["taken"])
        for part, (number, cursor) in zip(self._parts, state["places"].tolist(), strict=True):
            part.restore(state["marks"], number, cursor)
        self.dual[:] = state["dual"]
        self.trial[:] = self.dual


def summed(parts: FloatArray) -> FloatArray:
    """The sum of the rows of `parts`, one after another, in the first of them."""
    total: FloatArray = parts[0]
    for part in parts[1:]:
        total += part
    return total


def shard_dual_of(learner: object, strategy: str) -> ShardDual:
    """The node's learner, known to be one. Raises ConfigError where it is another."""
    if not isinstance(learner, ShardDual):
        raise ConfigError(f"{strategy}: needs a learner of the kind ShardDual, not {type(learner).__name__}")
    return learner
