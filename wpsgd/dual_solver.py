"""Dual coordinate ascent to a certified optimum, on working sets that shrink and come back.

A pass over all rows tells which dual variables still move. Those rows are copied one behind another, which
takes the holes out of memory, and passes go over the copy, of which each keeps the rows that moved, until
their part of the duality gap has fallen far enough. Where the gap seems small enough, the next pass over all
rows takes no steps: it computes the gap exactly, and the rows to go on with if it is not. After a second
such look in vain all rows take steps first.
Shrinking: Hsieh, Chang, Lin, Keerthi, Sundararajan (2008), section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray, Rows
from wpsgd.errors import ConfigError, DataError, Diverged, nearest
from wpsgd.kernels.dual import ascend, copy_rows, inner, look_through
from wpsgd.learners.sgd import kernel_arrays

DUAL_LOSSES = ("hinge", "squared_hinge")
UNFIT_WEIGHTS = "sample weights: must be finite, not negative, and not all 0"
SURE_TOL = 1e-12  # the gap that an estimator's tolerance of 0 or None asks for
BLOCK = 32  # neighbouring rows that are visited together
PASSES = 20  # over a working set at most, before all rows are seen again
FALL = 0.2  # of the gap's part in a working set, after which all rows are seen again
NEAR = 4.0  # gaps this close to the goal are not left for another pass over all rows
MARGIN = 0.7  # of the tolerance, which a working set has to meet: other rows have parts in the gap too
AFTER_A_MISS = 0.5  # times the margin: they had larger parts than that
# over-relaxation grows with the passes: it helps once few variables change sides
OMEGA_GROWTH, OMEGA_MOST = 0.04, 1.7

Phase: TypeAlias = Literal["all", "part", "look"]
RowNumbers: TypeAlias = NDArray[np.int32]
Block: TypeAlias = tuple[Any, Any, Any, RowNumbers]  # CSR, and the number that each of its rows has


class Certificate(NamedTuple):
    """F(w), and the duality gap, which is at least F(w) minus the optimum. epochs: rows visited over rows."""

    epochs: float
    objective: float
    gap: float


class DualSolver:
    """The solver between any two visits of a row.

    weights: w = sum_i s_i / (lambda S) alpha_i y_i x_i, s the sample weights and S their sum; dual: alpha
    visits: rows visited; history: the certificates so far

    tol: duality gap aimed at, as a share of the objective, or of that of w = 0, which is 1, where `absolute`;
    0 never looks. An advance cut into pieces gives the same bits.
    Raises ConfigError for what cannot be meant, DataError for sample weights that cannot be.
    """

    def __init__(
        self,
        rows: Rows,
        loss: str = "hinge",
        alpha: float = 1e-4,
        *,
        tol: float = 0.0,
        seed: int = 0,
        rank: int = 0,
        shuffle: bool = True,
        absolute: bool = False,
    ) -> None:
        check_problem(loss, alpha)
        self.rows, self.alpha, self.tol, self.absolute = rows, alpha, tol, absolute
        self.seed, self.rank, self.shuffle = seed, rank, shuffle
        self.weights: FloatArray = np.zeros(rows.features, dtype=rows.values.dtype)
        self.dual = np.zeros(len(rows))
        self.visits = 0
        self.history: list[Certificate] = []
        self._squared = loss == "squared_hinge"
        self._total = total_weight(rows)
        self._unit = 1.0 / (alpha * self._total) if len(rows) else 0.0
        indptr, indices, values, self._labels, self._sample_weights = kernel_arrays(rows)
        self._norms = np.full(len(rows), -1.0)
        self._every = np.arange(len(rows), dtype=np.int32)
        self._marks = np.ones(len(rows), dtype=np.uint8)
        self._whole: Block = (indptr, indices, values, self._every)
        self._part, self._active, self._moved = self._whole, self._every, self._marks
        self._columns, self._entries = np.empty(0, np.uint32), np.empty(0, rows.values.dtype)
        self._phase: Phase = "all"
        self._order: RowNumbers | None = None
        self._sums = np.zeros(2)  # of losses and of parts of the gap, in this pass
        self._passes, self._part_passes, self._misses, self._cursor = 0, 0, 0, 0
        # when all rows were last seen; to look at all rows again; as a share of what is allowed
        self._gap, self._goal, self._margin = np.inf, 0.0, MARGIN

    @property
    def left(self) -> int:
        """Rows that this pass has still to visit, at least 1 where there are rows."""
        return len(self._begun()) - self._cursor

    @property
    def converged(self) -> bool:
        """Whether the last certificate, if nothing has moved since, meets the tolerance."""
        if not self.history or self.history[-1].epochs < self.visits / len(self.rows):
            return False
        return self.history[-1].gap <= self._allowed(self.history[-1].objective)

    def advance(self, visits: int) -> None:
        """Visits so many rows. Raises ConfigError without rows, Diverged for values that are not finite."""
        if visits > 0 and len(self.rows) == 0:
            raise ConfigError(f"rank {self.rank} holds no rows and cannot advance")
        while visits > 0:
            order = self._begun()
            piece = order[self._cursor : self._cursor + visits]
            self._visit(piece)
            self._cursor += len(piece)
            self.visits += len(piece)
            visits -= len(piece)
            if self._cursor == len(order):
                self._settle()

    def certify(self) -> Certificate:
        """Computes objective and gap exactly, by visiting all rows, and goes on from there."""
        if self.history and self.history[-1].epochs == self.visits / len(self.rows):
            return self.history[-1]
        self._phase, self._order = "look", None
        self.advance(len(self.rows))
        return self.history[-1]

    def warm_up(self) -> None:
        """Compiles the kernels, on no rows."""
        nothing = np.empty(0, dtype=np.int32)
        self._ascend(nothing)
        self._look(nothing)
        self._copied(nothing)

    # what a checkpoint keeps

    def state(self) -> dict[str, Any]:
        """All but the weights."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        history = np.array(self.history, dtype=np.float64).reshape(-1, len(Certificate._fields))
        begun = int(self._order is not None)
        return {**numbers, **arrays, "history": history, "numbers": self._part[3], "begun": begun}

    def restore(self, weights: FloatArray, state: Mapping[str, Any]) -> None:
        """Goes back to a saved place. Raises ConfigError where it is one of other rows."""
        if weights.shape != self.weights.shape or state["dual"].shape != self.dual.shape:
            raise ConfigError(
                f"the saved weights and dual variables have shapes {weights.shape} and {state['dual'].shape},"
                f" these data need {self.weights.shape} and {self.dual.shape}"
            )
        self.weights[:] = weights
        for name in _NUMBERS:
            setattr(self, name, state[name])
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name]))
        self.history = [Certificate(*row) for row in state["history"].tolist()]
        self._part = self._copied(np.array(state["numbers"])) if self._phase == "part" else self._whole
        self._order = self._ordered() if state["begun"] else None

    # passes

    def _begun(self) -> RowNumbers:
        """The places that this pass visits, in order."""
        while self._order is None:
            self._begin()
            self._order = self._ordered()
            if len(self._order) == 0 and len(self.rows):
                self._settle()
        return self._order

    def _begin(self) -> None:
        self._sums[:] = 0.0
        self._cursor = 0
        if self._phase != "part":
            return
        if self._part_passes == 0:
            self._part = self._copied(np.flatnonzero(self._marks).astype(np.int32))
            self._active = np.arange(len(self._part[3]), dtype=np.int32)
            self._moved = np.zeros(len(self._active), dtype=np.uint8)
        else:
            self._active = self._active[self._moved[self._active] != 0]

    def _ordered(self) -> RowNumbers:
        """Blocks of neighbours in random order, a pure function of (seed, rank, pass)."""
        places = self._active if self._phase == "part" else self._every
        if self._phase == "look" or not self.shuffle:
            return places
        whole = len(places) - len(places) % BLOCK
        rng = np.random.default_rng((self.seed, self.rank, self._passes))
        blocks = rng.permutation(whole // BLOCK)
        order = np.empty_like(places)
        np.take(places[:whole].reshape(-1, BLOCK), blocks, 0, order[:whole].reshape(-1, BLOCK), mode="clip")
        order[whole:] = places[whole:]
        return order

    def _visit(self, piece: RowNumbers) -> None:
        if self._phase == "look":
            self._look(piece)
        else:
            self._ascend(piece)

    def _settle(self) -> None:
        """Ends a pass: what it showed decides about the next."""
        gap = float(self._sums[1]) / self._total if len(self.rows) else 0.0
        if not np.isfinite(gap):
            raise Diverged(
                f"rank {self.rank}: a margin is not a finite number: scale the rows to unit length"
            )
        self._order = None
        if self._phase == "part":
            self._passes += 1
            self._part_passes += 1
            self._settle_part(gap)
            return
        self._passes += self._phase == "all"
        objective = self._certified(gap) if self._phase == "look" else self._dual_objective() + gap
        self._margin *= AFTER_A_MISS if self._phase == "look" else 1.0
        self._gap, self._goal = gap, self._margin * self._allowed(objective)
        self._misses = self._misses + 1 if self._phase == "look" else 0
        # one look in vain still gives the best working set there is; after two, other rows hold the gap
        self._phase = "part" if self._misses < 2 else "all"
        self._part_passes = 0

    def _allowed(self, objective: float) -> float:
        return self.tol if self.absolute else self.tol * objective

    def _settle_part(self, gap: float) -> None:
        fallen = FALL * self._gap
        enough = fallen if fallen > NEAR * self._goal else self._goal
        if gap <= enough or self._part_passes == PASSES or not self._moved.any():
            self._phase = "look" if gap <= self._goal and self.tol > 0.0 else "all"

    def _certified(self, gap: float) -> float:
        objective = float(self._sums[0]) / self._total + 0.5 * self.alpha * inner(self.weights, self.weights)
        self.history.append(Certificate(self.visits / len(self.rows), objective, gap))
        return objective

    def _dual_objective(self) -> float:
        parts = self.dual - 0.25 * self.dual**2 if self._squared else self.dual
        half_square = 0.5 * self.alpha * inner(self.weights, self.weights)
        return float(np.average(parts, weights=self.rows.weights) - half_square)

    # kernels

    def _ascend(self, order: RowNumbers) -> None:
        block, moved = (self._part, self._moved) if self._phase == "part" else (self._whole, self._marks)
        variables = (self.weights, self.dual, moved, self._sums)
        about = (self._labels, self._sample_weights, self._norms)
        omega = min(OMEGA_MOST, 1.0 + OMEGA_GROWTH * self._passes)
        ascend(*variables, *block, *about, order, self._unit, self._squared, omega)

    def _look(self, order: RowNumbers) -> None:
        variables = (self.weights, self.dual, self._marks, self._sums)
        about = (self._labels, self._sample_weights)
        look_through(*variables, *self._whole[:3], *about, order, self._squared)

    def _copied(self, numbers: RowNumbers) -> Block:
        indptr, indices, values, _ = self._whole
        size = int((indptr[numbers + 1] - indptr[numbers]).sum())
        starts = np.empty(len(numbers) + 1, dtype=np.int64)
        if size > len(self._columns):  # memory that is used again needs no new pages
            self._columns, self._entries = np.empty(size, np.uint32), np.empty(size, values.dtype)
        copy_rows(numbers, indptr, indices, values, starts, self._columns, self._entries)
        return starts, self._columns, self._entries, numbers


_NUMBERS = ("visits", "_phase", "_passes", "_part_passes", "_misses", "_cursor", "_gap", "_goal", "_margin")
_ARRAYS = ("dual", "_norms", "_marks", "_moved", "_active", "_sums")


def check_problem(loss: str, alpha: float) -> None:
    """Raises ConfigError for a problem that has no dual here."""
    if loss not in DUAL_LOSSES:
        allowed = ", ".join(DUAL_LOSSES)
        raise ConfigError(
            f"loss {loss!r}: the dual solver takes one of {allowed}{nearest(loss, DUAL_LOSSES)}"
        )
    check_alpha(alpha)


def check_alpha(alpha: float) -> None:
    """Raises ConfigError where a strength of the regulariser is none."""
    if not 0.0 < alpha < np.inf:
        raise ConfigError(f"alpha = {alpha}: must be a positive number")


def total_weight(rows: Rows) -> float:
    """The sum of the sample weights. Raises DataError where one cannot be meant, or all are 0."""
    total = part_weight(rows)
    if len(rows) and total == 0.0:
        raise DataError(UNFIT_WEIGHTS)
    return total


def part_weight(rows: Rows) -> float:
    """The same of rows that are a part of those trained on, which may all have weight 0."""
    if rows.weights is None:
        return float(len(rows))
    total = float(rows.weights.sum(dtype=np.float64))
    if len(rows) and not (rows.weights.min() >= 0.0 and total < np.inf):
        raise DataError(UNFIT_WEIGHTS)
    return total
