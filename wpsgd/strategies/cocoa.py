"""CoCoA+ (Ma, Smith, Jaggi, Jordan, Richtarik, Takac 2015): dual coordinate ascent on all nodes at once.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).

    variant            gamma    sigma'   the step along sum_k dw_k
    add                1        K        1: the paper's CoCoA+
    average            1/K      1        1/K: CoCoA (Jaggi et al. 2014)
    add_line_search    -        1        the one that maximises the dual, within the box

Node k ascends the dual as if its own steps moved the weights sigma' times as far: K nodes that step at once
do. What it returns is dw_k, and its dual variables take the step that the weights take. K counts threads.
The primal objective may rise at w = w(alpha) while the dual does, too. So the model is the best point on the
segments from the best model so far to each new w, and the gap that is reported is to the best dual so far.
Judging w takes a pass over all rows, which also tells what rows a step would move there: the next round
visits those, and each at most `passes` times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.kernels.dual import approach, inner
from wpsgd.learners.shard_dual import ShardDual, shard_dual_of
from wpsgd.requests import AllGather, AllReduce, Boundary, Compute, Node, OffClock, State, Value, Verdict
from wpsgd.strategies.patterns import Ending, Looks, Mark, look, total_weight

Variant: TypeAlias = Literal["add", "average", "add_line_search"]
VARIANTS: tuple[Variant, ...] = ("add", "average", "add_line_search")
RELAXATION = 1.8
COARSE = 1e-4  # relative gaps next to which a millionth, what rounding adds up to in float32, is nothing
SHARES = np.linspace(0.0, 1.0, 17)  # of the way from the best model to w
SHARES.flags.writeable = False


def least_sigma_prime(variant: Variant, nodes: int) -> float:
    """gamma K, below which the local problems do not bound the shared one; 0 where a line search looks.

    nodes: threads of all nodes that hold rows: to one another they are nodes
    """
    return {"add": float(nodes), "average": 1.0, "add_line_search": 0.0}[variant]


@dataclass(eq=False)
class Progress:
    """What all nodes hold between rounds.

    w: w(alpha), float64; objective, dual: F of the best model, which is the learner's, and the best D so far
    margins: of the best model on this node's rows
    """

    w: np.ndarray[tuple[int], np.dtype[np.float64]]
    objective: float
    dual: float
    margins: np.ndarray[tuple[int], np.dtype[np.float64]]

    def within(self, tol: float) -> bool:
        """Whether the duality gap is at most `tol` times the objective; never for 0."""
        return tol > 0.0 and self.objective - self.dual <= tol * self.objective


@dataclass(frozen=True, slots=True)
class Cocoa:
    """`rounds` rounds of local ascent, a sum of changes, and a step along it.

    sigma_prime: None for the variant's own; relaxation: of coordinate steps, in (0, 2), 1 for exact ones
    tol: relative duality gap that ends the run, 0 for none
    passes: over the rows that a step would move, in a round, at most; 0 for as many as the ending allows
    Raises ConfigError where sigma' is less than gamma K without a line search.
    """

    rounds: int
    ending: Ending
    looks: Looks
    variant: Variant = "add_line_search"
    sigma_prime: float | None = None
    relaxation: float = RELAXATION
    tol: float = 0.0
    passes: int = 1

    async def __call__(self, node: Node, state: State) -> State:
        shard = shard_dual_of(node.learner, "cocoa")
        total, nodes = await total_weight(shard)
        sigma = self.sigma_of(nodes)
        shard.unit, shard.relaxation = sigma / (shard.alpha * total), self.relaxation
        at, complete, go = begin(shard, state), state.round, True
        while complete < self.rounds and go and not at.within(self.tol):
            age = shard.steps
            shard.start(at.w, self.passes)
            counts = await self.ending(node, Mark(complete), 0)
            dw = shard.change(at.w, sigma, 1.0 / (shard.alpha * total), exact=self.exact)
            await AllReduce(dw)  # sum_k dw_k
            s = await self.step(shard, at.w, dw, total, nodes)
            if s != 1.0:
                dw *= s
            at.w += dw
            shard.accept(s)
            shard.steps = age + max(counts.values())
            square = float(inner(at.w, at.w))
            at.dual = max(at.dual, await dual_objective(shard, square, total))
            if not at.within(self.tol):
                await improve(node, shard, at, square, total, exact=self.exact)
                shard.look_around()
            complete += 1
            report(node, complete, counts, s, at)
            if self.looks.due_after(complete) or (self.looks.looks and at.within(self.tol)):
                await OffClock(partial(look, node, shard.weights, complete, shard.steps))
            go = await Boundary(complete, partial(capture, shard, at, complete)) is Verdict.GO
        return capture(shard, at, complete)

    @property
    def exact(self) -> bool:
        """Whether w(alpha) of float32 rows is worth a pass over those that moved, and float64 messages."""
        return self.tol < COARSE

    def sigma_of(self, nodes: int) -> float:
        """sigma'. Raises ConfigError."""
        least = least_sigma_prime(self.variant, nodes)
        if self.sigma_prime is None:
            return max(1.0, least)
        if self.sigma_prime < least:
            raise ConfigError(
                f"sigma_prime = {self.sigma_prime:g}: must be at least {least:g} with variant ="
                f' "{self.variant}", where {nodes} threads of all nodes hold rows'
            )
        return self.sigma_prime

    async def step(self, shard: ShardDual, w: FloatArray, dw: FloatArray, total: float, nodes: int) -> float:
        """How far all go along sum_k dw_k."""
        if self.variant != "add_line_search":
            return 1.0 if self.variant == "add" else 1.0 / max(1, nodes)
        parts = (await AllGather(np.array(shard.direction()))).values()
        rise, bend = (sum(float(part[place]) for part in parts) / total for place in (0, 1))
        limit = min(float(part[2]) for part in parts)
        return line_search(rise - shard.alpha * inner(w, dw), bend + shard.alpha * inner(dw, dw), limit)


def line_search(slope: float, curvature: float, limit: float) -> float:
    """The s in [0, limit] that maximises slope s - curvature s^2 / 2; 0 where that is without end."""
    if slope <= 0.0:
        return 0.0
    longest = min(limit, slope / curvature if curvature > 0.0 else np.inf)
    return longest if longest < np.inf else 0.0


async def dual_objective(shard: ShardDual, square: float, total: float) -> float:
    """D at alpha. square: ||w(alpha)||^2"""
    part = np.array([shard.dual_sum()])
    await AllReduce(part)
    return float(part[0]) / total - 0.5 * shard.alpha * square


async def improve(
    node: Node, shard: ShardDual, at: Progress, square: float, total: float, *, exact: bool
) -> None:
    """Judges w; the best model becomes the best on the segment from it to w, with its F."""
    w = at.w if exact else at.w.astype(shard.weights.dtype, copy=False)  # as the model is rounded
    await Compute(shard.judging(w), shard.rows, judging=True)
    sums = shard.losses_between(at.margins, shard.margins, SHARES)
    await AllReduce(sums)
    best, half = shard.weights, 0.5 * shard.alpha
    squares = (inner(best, best), inner(best, at.w), square)
    mixed = ((1.0 - SHARES) ** 2, 2.0 * SHARES * (1.0 - SHARES), SHARES**2)
    norms = sum(part * square for part, square in zip(mixed, squares, strict=True))
    objectives = half * norms + sums / total
    place = int(np.argmin(objectives))
    if objectives[place] < at.objective:
        at.objective, share = float(objectives[place]), float(SHARES[place])
        approach(best, at.w, share)
        approach(at.margins, shard.margins, share)


def report(node: Node, complete: int, counts: Mapping[int, int], step: float, at: Progress) -> None:
    """The first node records who did how much of a round, the step, and what is certified."""
    if node.rank == node.ranks[0]:
        certified = {"objective": at.objective, "dual": at.dual, "gap": at.objective - at.dual}
        done = list(counts.values())
        node.report("round", round=complete, seconds=node.now(), counts=done, step=step, **certified)


def begin(shard: ShardDual, state: State) -> Progress:
    """The start, where w = 0, F = 1 and D = 0; or where a checkpoint was taken."""
    if not state.round:
        return Progress(np.zeros(len(shard.weights)), 1.0, 0.0, np.zeros(shard.rows))
    shared, own = state.shared, state.own
    weights, w, margins = shared["weights"], shared["dual_weights"], own["best_margins"]
    assert isinstance(weights, np.ndarray)
    assert isinstance(w, np.ndarray)
    assert isinstance(margins, np.ndarray)
    shard.restore(weights, own)
    return Progress(
        w.astype(np.float64), float(shared["objective"]), float(shared["dual_objective"]), margins.copy()
    )


def capture(shard: ShardDual, at: Progress, complete: int) -> State:
    """All that the rounds to come depend on."""
    shared: dict[str, Value] = {"weights": shard.weights, "dual_weights": at.w}
    shared |= {"objective": at.objective, "dual_objective": at.dual}
    return State(complete, shared, {**shard.state(), "best_margins": at.margins})
