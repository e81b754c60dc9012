"""Mini-batch SGD (Dekel, Gilad-Bachrach, Shamir, Xiao 2012): a gradient in common, a barrier a step.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from wpsgd.requests import AllReduce, Compute, Node, OffClock, State
from wpsgd.strategies.patterns import Looks, boundary, capture, look, resume


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """`rounds` times `updates` steps; node i adds the gradients of `batches[i]` rows to each.

    The mean is over all rows of a step, which is the mean over nodes where their batches are equal.
    """

    rounds: int
    updates: int
    batches: tuple[int, ...]
    looks: Looks

    async def __call__(self, node: Node, state: State) -> State:
        resume(node, state)
        learner, complete, go = node.learner, state.round, True
        b = self.batches[node.ranks.index(node.rank)] if learner.rows else 0
        while complete < self.rounds and go:
            for _ in range(self.updates):
                await Compute(learner.accumulate, b, draw="task")
                gradient = learner.gradient()
                await AllReduce(gradient)
                learner.descend(gradient)  # w <- (1 - eta lambda) w - eta mean gradient
            complete += 1
            if self.looks.due_after(complete):
                rows = learner.steps * max(self.batches)
                await OffClock(partial(look, node, learner.weights, complete, rows))
            go = await boundary(node, complete)
        return capture(node, complete)
