"""How far apart the models of a round are, and how far it moved. Helper coroutines, like patterns.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wpsgd.reducers import Moments, moments_of
from wpsgd.requests import AllGather, Node, Vector

STRETCH = 1 << 16  # coordinates


async def moments(node: Node, v: Vector, x0: Vector, counts: Mapping[int, int]) -> Moments | None:
    """How far the round moved the model from x0, and how noisy its nodes' models were; None of one model."""
    told = await AllGather(np.array([squared_distance(v, x0), own_distance(node, v)]))
    moved = float(told[node.ranks[0]][0])
    return moments_of(moved, [float(squares[1]) for squares in told.values()], [*counts.values()])


async def relative_deviation(node: Node, v: Vector, counts: Mapping[int, int]) -> float | None:
    """sqrt(mean of ||w_i - v||^2 over the nodes with rows) / ||v||, None where it is not finite.

    The relative standard deviation of WP-SGD's Definition 4, around the combination rather than the mean.
    """
    told = await AllGather(own_distance(node, v))
    spreads = [spread for rank, spread in told.items() if counts[rank]]
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.einsum("i,i->", v, v, dtype=np.float64))
    if not spreads or norm == 0.0:
        return None
    deviation = float(np.sqrt(np.mean(spreads) / norm))
    return deviation if np.isfinite(deviation) else None


def own_distance(node: Node, v: Vector) -> float:
    """||w_i - v||^2 of this node's model. v may lie in the buffer that models are contributed in."""
    kept = v.copy()
    distance = squared_distance(node.learner.contribution(), kept)
    v[:] = kept
    return distance


def squared_distance(one: Vector, other: Vector) -> float:
    """||one - other||^2, added up in float64, in stretches: a difference of wide models is a model more."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # of models on their way out of range
        for first in range(0, len(one), STRETCH):
            apart = one[first : first + STRETCH] - other[first : first + STRETCH]
            # not np.dot: the threads that a BLAS wakes for it go on spinning, next to ranks that work
            total += float(np.einsum("i,i->", apart, apart, dtype=np.float64))
    return total
