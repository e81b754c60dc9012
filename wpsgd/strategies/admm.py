"""Consensus ADMM (Boyd, Parikh, Chu, Peleato, Eckstein 2011, section 7.1.1) for linear classification (Zhang,
Lee, Shin 2012): nodes solve their own problems, tied to a model in common.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).

    w_k <- argmin f_k(w) + rho/2 ||w - z + u_k||^2       f_k: node k's losses, over all rows' weight
    z   <- K rho / (lambda + K rho) mean_k (w_k + u_k)
    u_k <- u_k + w_k - z

The local problem is a linear SVM whose weights are z - u_k plus what the dual variables make of the rows,
with rho in place of lambda: the same coordinate steps. They go on from where the round before left them,
and stop before the optimum: inexact solves converge as well. Threads of a node are nodes, K counts them all.
Over-relaxation (section 3.4.3): z and u_k see r w_k + (1 - r) z in place of w_k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from wpsgd.data.rows import FloatArray
from wpsgd.kernels.dual import inner
from wpsgd.learners.shard_dual import ShardDual, shard_dual_of, summed
from wpsgd.requests import AllReduce, Boundary, Node, OffClock, State, Verdict
from wpsgd.strategies.patterns import Ending, Looks, Mark, look, total_weight

RHO = 0.5  # of lambda, where nothing is said
RELAXATION = 1.8  # of coordinate steps


@dataclass(frozen=True, slots=True)
class Admm:
    """`rounds` rounds of local solves and a mean.

    rho: None for half of lambda; over_relaxation: r, in [1, 2), 1 for none
    """

    rounds: int
    ending: Ending
    looks: Looks
    rho: float | None = None
    over_relaxation: float = 1.0

    async def __call__(self, node: Node, state: State) -> State:
        shard = shard_dual_of(node.learner, "admm")
        total, nodes = await total_weight(shard)
        rho = RHO * shard.alpha if self.rho is None else self.rho
        shard.unit, shard.relaxation = 1.0 / (rho * total), RELAXATION
        u, complete, go = begin(shard, state), state.round, True
        while complete < self.rounds and go:
            age, z = shard.steps, shard.weights.copy()
            counts = await self.ending(node, Mark(complete), 0)  # w_k, which is shard.local
            shard.accept(1.0)
            apart = shard.local - z
            shares = z + self.over_relaxation * apart
            shares += u
            centre = z - u
            u[:] = shares
            mean = summed(shares)
            await AllReduce(mean, weight=float(shard.rows > 0) / max(1, nodes))
            mean *= nodes * rho / (shard.alpha + nodes * rho)
            u -= mean
            shard.commit(mean, age + max(counts.values()))
            shard.local += (mean - u) - centre  # the next problem's weights, its dual variables as they are
            complete += 1
            await report(node, complete, counts, residuals(shard, apart, mean - z, rho))
            if self.looks.due_after(complete):
                await OffClock(partial(look, node, shard.weights, complete, shard.steps))
            go = await Boundary(complete, partial(capture, shard, u, complete)) is Verdict.GO
        return capture(shard, u, complete)


def residuals(shard: ShardDual, apart: FloatArray, moved: FloatArray, rho: float) -> FloatArray:
    """This node's part of the squared primal and dual residuals, about ||w_k - z||^2 and rho^2 ||dz||^2."""
    if shard.rows == 0:
        return np.zeros(2)
    primal = sum(inner(part - moved, part - moved) for part in apart)
    return np.array([primal, shard.parts * rho * rho * inner(moved, moved)])


async def report(node: Node, complete: int, counts: Mapping[int, int], squares: FloatArray) -> None:
    """The first node records who did how much of a round, and how far the nodes are from agreeing."""
    await AllReduce(squares)
    if node.rank == node.ranks[0]:
        primal, dual = (float(value) for value in np.sqrt(squares))
        done = list(counts.values())
        apart = {"primal_residual": primal, "dual_residual": dual}
        node.report("round", round=complete, seconds=node.now(), counts=done, **apart)


def begin(shard: ShardDual, state: State) -> FloatArray:
    """u_k of each thread at the start, or where a checkpoint was taken."""
    if not state.round:
        return np.zeros_like(shard.local)
    weights, u, local = state.shared["weights"], state.own["u"], state.own["local"]
    assert isinstance(weights, np.ndarray)
    assert isinstance(u, np.ndarray)
    assert isinstance(local, np.ndarray)
    shard.restore(weights, state.own)
    shard.local[:] = local.reshape(shard.local.shape)
    return u.reshape(shard.local.shape).copy()


def capture(shard: ShardDual, u: FloatArray, complete: int) -> State:
    """All that the rounds to come depend on."""
    own = {**shard.state(), "u": u.ravel(), "local": shard.local.ravel()}
    return State(complete, {"weights": shard.weights}, own)
