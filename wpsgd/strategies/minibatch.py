"""Mini-batch SGD (Dekel, Gilad-Bachrach, Shamir, Xiao 2012): a gradient in common, a barrier a step.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).
Gradients of few sparse rows are 0 nearly everywhere: nodes may exchange what is not 0 of them, as
(index, value) pairs, which everybody adds up in rank order. That changes no bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from wpsgd.errors import ConfigError
from wpsgd.learners.sgd import SGDLearner
from wpsgd.learners.threaded import ThreadedLearner
from wpsgd.requests import AllGather, AllReduce, Compute, Node, OffClock, Sparse, State
from wpsgd.strategies.patterns import Looks, boundary, capture, look, resume
from wpsgd.strategies.wire import INDEX, Wire

TELLING = (SGDLearner, ThreadedLearner)  # learners whose gradients are told by pairs
VALUE = np.dtype(np.float64).itemsize
PAIR = INDEX + VALUE


def pairs_pay(pairs: float, features: int) -> bool:
    """Whether so many pairs of all nodes take less time than a reduction of gradients.

    One of k nodes receives (k - 1)/k of all pairs; a reduction is twice (k - 1)/k of a gradient. Nobody goes
    through all coordinates for pairs, so that one node alone is quicker with them, too.
    """
    return pairs * PAIR < 2.0 * VALUE * features


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """`rounds` times `updates` steps; node i adds the gradients of `batches[i]` rows to each.

    The mean is over all rows of a step, which is the mean over nodes where their batches are equal. With a
    round the scale of the weights is multiplied in, as by `Sequential`.
    wire: whether gradients go dense or as pairs, which changes no bit; "auto" asks at a round's first step
    """

    rounds: int
    updates: int
    batches: tuple[int, ...]
    looks: Looks
    wire: Wire = "auto"

    async def __call__(self, node: Node, state: State) -> State:
        if self.wire == "sparse" and not tells(node):
            kind = type(node.learner).__name__
            raise ConfigError(f'rank {node.rank}: wire = "sparse": {kind} tells no gradients by pairs')
        resume(node, state)
        learner, complete, go = node.learner, state.round, True
        b = self.batches[node.ranks.index(node.rank)] if learner.rows else 0
        while complete < self.rounds and go:
            step = step_by_pairs if self.wire == "sparse" else step_by_vector
            for update in range(self.updates):
                await Compute(learner.accumulate, b, draw="task")
                if self.wire == "auto" and update == 0 and await less_by_pairs(node):
                    step = step_by_pairs
                await step(node)  # w <- (1 - eta lambda) w - eta mean gradient
            learner.commit(learner.contribution(), learner.steps)
            complete += 1
            if self.looks.due_after(complete):
                rows = learner.steps * max(self.batches)
                await OffClock(partial(look, node, learner.weights, complete, rows))
            go = await boundary(node, complete)
        return capture(node, complete)


async def step_by_vector(node: Node) -> None:
    """All nodes descend along their gradients' sum, by a reduction."""
    gradient = node.learner.gradient()
    await AllReduce(gradient)
    node.learner.descend(gradient)


async def step_by_pairs(node: Node) -> None:
    """The same by everybody for himself, from the pairs of all."""
    learner = telling(node)
    pairs = await AllGather(Sparse(*learner.pairs()))
    places, values = zip(*pairs.values(), strict=True)
    learner.descend_at(places, values)


async def less_by_pairs(node: Node) -> bool:
    """Whether the gradients that nodes hold would take less time as pairs; all nodes hear the same."""
    if not tells(node):
        return False
    learner = telling(node)
    pairs = learner.pairs()
    learner.put_back(*pairs)
    told = await AllGather(len(pairs[0]))
    return pairs_pay(sum(told.values()), learner.coordinates)


def tells(node: Node) -> bool:
    """Whether the learner tells what is not 0 of a gradient; the same on all nodes."""
    return type(node.learner) in TELLING


def telling(node: Node) -> SGDLearner:
    assert isinstance(node.learner, SGDLearner)
    return node.learner
