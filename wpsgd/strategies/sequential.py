"""Sequential SGD (Robbins, Monro 1951): one node goes through its rows, the others wait. The yardstick.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from wpsgd.requests import AllGather, Broadcast, Compute, Node, OffClock, State, Vector
from wpsgd.strategies.patterns import Looks, boundary, capture, look, resume


@dataclass(frozen=True, slots=True)
class Sequential:
    """`rounds` times `period` rows on the first node; all hold its model at looks and at the end.

    A period says when the run may be scored, saved and stopped, and when the scale of the weights is
    multiplied in: averaging strategies of one node do so at the same rows and match to the bit.
    certified: whether the learner may say that it has `converged`, which ends the run after the round.
    """

    rounds: int
    period: int
    looks: Looks
    certified: bool = False

    async def __call__(self, node: Node, state: State) -> State:
        resume(node, state)
        learner, complete, go = node.learner, state.round, True
        converged = await self.converged(node)
        while complete < self.rounds and go and not converged:
            if node.rank == node.ranks[0]:
                await Compute(learner.advance, self.period)
            complete += 1
            learner.commit(learner.contribution(), complete * self.period)
            self.report(node, complete)
            converged = await self.converged(node)
            if self.looks.due_after(complete) or (converged and self.looks.looks):
                await OffClock(partial(self.look, node, complete))
            # off the clock as well: one node that trains has nobody to agree with
            go = await OffClock(partial(boundary, node, complete))
        await OffClock(partial(self.share, node))
        return capture(node, complete)

    def report(self, node: Node, complete: int) -> None:
        """Records a period in the trace, should there be anything to say of it."""

    async def converged(self, node: Node) -> bool:
        """Whether the first node's learner has got where it was to get; the others cannot know."""
        if not self.certified:
            return False
        said = await AllGather(bool(getattr(node.learner, "converged", False)))
        return said[node.ranks[0]]

    async def share(self, node: Node) -> Vector:
        """Gives the first node's model to all, off the clock: one node needs no communication."""
        model = node.learner.contribution()
        await Broadcast(model, root=node.ranks[0])
        node.learner.commit(model, node.learner.steps)
        return model

    async def look(self, node: Node, complete: int) -> None:
        model = await self.share(node)
        await look(node, model, complete, complete * self.period)
