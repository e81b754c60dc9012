"""The weighted sum of a round's models: dense, or sparse where that takes less time, with the same bits.

A round multiplies the start model x0, which all nodes hold, by the decay of its steps, and changes only the
coordinates of its rows besides. So a node need send no more than these (index, value) pairs and its decay;
everybody adds up all models, in rank order. Helper coroutines, like patterns.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wpsgd.learners.changes import Changes, sum_changed
from wpsgd.learners.delay import DelayLearner
from wpsgd.learners.keeping import AskedLearner
from wpsgd.learners.sgd import SGDLearner
from wpsgd.learners.threaded import ThreadedLearner
from wpsgd.reducers import Combination
from wpsgd.requests import AllGather, AllReduce, Node, Sparse, Vector

Columns: TypeAlias = NDArray[np.int32]
Wire: TypeAlias = Literal["auto", "dense", "sparse"]
WIRES: tuple[Wire, ...] = ("auto", "dense", "sparse")
# learners whose untouched coordinates all decay alike
TELLING = (SGDLearner, DelayLearner, ThreadedLearner, AskedLearner)
SMALL = 1 << 20  # bytes of a model below which "auto" does not ask: latency is what a reduction costs then
PASS = 1 / 32  # of sending a byte: going through one, 0.1 ns beside 3.2, between 1 and 10 Gbit/s
LONGEST = 64  # rounds for which "auto" does not ask, at most
FOLDS = 8  # factors of a decay up to which "auto" takes everybody's time to multiply them out
INDEX = np.dtype(np.int32).itemsize
UNKNOWN = -1.0  # pairs: too many to count


class Start(NamedTuple):
    """Where a round started: the age of its model, and what someone will ask for.

    x0: the model; changes: what becomes of it, where the sum may be sparse
    """

    age: int
    x0: Vector | None = None
    changes: Changes | None = None


class Rest(NamedTuple):
    """Rounds left in which "auto" does not ask whether pairs pay, and how many come next where they do not.

    Rows that fill a model do so in the next round too: nobody need copy x0 for that to be seen again.
    """

    left: int = 0
    length: int = 1

    def after(self, asked: bool, pairs: bool) -> Rest:
        """The next round's."""
        if not asked:
            return Rest(max(0, self.left - 1), self.length)
        return AWAKE if pairs else Rest(self.length, min(2 * self.length, LONGEST))


AWAKE = Rest()


def pays(pairs: float, model: int, itemsize: int, nodes: int) -> bool:
    """Whether so many pairs of all nodes take less time than a reduction.

    model: its bytes; itemsize: of a coordinate. One of k nodes receives (k - 1)/k of all pairs, and goes
    through k models; a reduction is twice (k - 1)/k of a model. What both do besides is left out.
    """
    received = (nodes - 1) / nodes
    return received * pairs * (INDEX + itemsize) + PASS * nodes * model < 2.0 * received * model


def asks(model: int, nodes: int) -> bool:
    """Whether "auto" asks at all: not of small models, nor where even no pairs would not pay."""
    return model >= SMALL and pays(0.0, model, 1, nodes)


def tells(node: Node, wire: Wire) -> bool:
    """Whether the learner is to keep in mind what it changes; the same on all nodes."""
    learner = node.learner
    if wire == "dense" or len(node.ranks) == 1 or type(learner) not in TELLING:
        return False
    return wire == "sparse" or asks(learner.weights.nbytes, len(node.ranks))


async def weighted_sum(
    node: Node, model: Vector, combination: Combination, start: Start, wire: Wire = "dense"
) -> bool:
    """v = start x0 + sum_i omega_i w_i in the buffer `model`, which holds this node's w_i.

    Returns whether it was taken by pairs.
    """
    omega = float(combination.omega[node.ranks.index(node.rank)])
    if start.changes is not None and start.x0 is not None:
        columns, factors = touched(start.changes, wire)
        pairs = UNKNOWN if columns is None else float(len(columns))
        everybody = await AllGather(np.array([omega, combination.start, pairs, *factors]))
        if sparse(everybody, model, wire) and columns is not None:
            await sparse_sum(model, start.x0, columns, everybody)
            return True
    await dense_sum(node, model, omega, combination.start, start.x0)
    return False


async def dense_sum(node: Node, model: Vector, omega: float, start: float, x0: Vector | None) -> None:
    """By a reduction. The first node adds the start model, so that all nodes get the same bits."""
    if start != 0.0 and x0 is not None and node.rank == node.ranks[0]:
        model *= omega
        model += start * x0
        omega = 1.0
    await AllReduce(model, weight=omega)


async def sparse_sum(model: Vector, x0: Vector, columns: Columns, everybody: Mapping[int, Any]) -> None:
    """By everybody for himself, from the pairs of all. What scales a model is what its own node told."""
    pairs = await AllGather(Sparse(columns, model[columns]))
    parts = [*everybody.values()]
    omegas, factors = np.array([part[0] for part in parts]), [part[3:] for part in parts]
    indices, values = zip(*pairs.values(), strict=True)
    sum_changed(x0, float(parts[0][1]), omegas, factors, [*indices], [*values], model)


def touched(changes: Changes, wire: Wire) -> tuple[Columns | None, NDArray[np.float64]]:
    """The columns that this node's rows touched and the decay of all others; None where "auto" gives up."""
    factors = changes.factors(FOLDS if wire == "auto" else 2**62)
    # it is not worth going through rows that would fill the model were all their columns different
    many = wire == "auto" and changes.expected_entries > len(changes.learner.weights)
    return None if many or not len(factors) else changes.columns(), factors


def sparse(everybody: Mapping[int, Any], model: Vector, wire: Wire) -> bool:
    """Whether to sum by pairs: "auto" does where that takes less time."""
    pairs = [float(part[2]) for part in everybody.values()]
    if wire == "sparse":
        return True
    return UNKNOWN not in pairs and pays(sum(pairs), model.nbytes, model.itemsize, len(pairs))
