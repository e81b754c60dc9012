"""SimuParallel SGD (Zinkevich, Weimer, Smola, Li 2010), WP-SGD (Cheng, Li, Zhang, JPDC 2020, Algorithm 1) and
direct averaging: one algorithm, told apart by how a round ends and by the weights of the nodes.

A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).

    strategy            ending    rule
    simuparallel        by rows   uniform     every node T rows; the run waits for the slowest
    wp                  race      wp          all stop when the fastest has T rows; omega_i ~ R^(T - T_i)
    average_directly    race      uniform     the paper's baseline of what goes wrong
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from wpsgd.kernels.stepsize import StepSize
from wpsgd.reducers import RoundFacts, Rule
from wpsgd.requests import Node, OffClock, State
from wpsgd.strategies.combining import Combined, Combining, Memory
from wpsgd.strategies.counterfactual import counterfactual
from wpsgd.strategies.outer import STAY, Outer
from wpsgd.strategies.patterns import Ending, Looks, Mark, Spent, boundary, capture, look, resume
from wpsgd.strategies.spread import relative_deviation
from wpsgd.strategies.wire import Start, Wire


@dataclass(frozen=True, slots=True)
class Averaging:
    """`rounds` rounds: all nodes start from one model, advance until the round ends, and combine models.

    ending: how a round ends (patterns.py); rule: the weights (reducers/)
    step, shards: the step sizes and the rows each node holds, which rules look at
    line_search, outer: what is done to a combination before all go on from it (combining.py)
    wire: whether sums go dense or sparse, which changes no bit of them (wire.py)
    counterfactual: whether looks tell what other rules would have given (counterfactual.py)
    """

    rounds: int
    ending: Ending
    rule: Rule
    step: StepSize
    shards: tuple[int, ...]
    looks: Looks
    line_search: bool = False
    outer: Outer = STAY
    wire: Wire = "auto"
    counterfactual: bool = False

    async def __call__(self, node: Node, state: State) -> State:
        resume(node, state)
        learner, complete, go = node.learner, state.round, True
        memory = Memory.of(state)
        self.combine.check(node)
        while complete < self.rounds and go:
            start = self.combine.start(node, memory)  # x0, at the age of a steps
            counts = await self.advance(node, complete, start, memory)  # T_i, keyed by node
            combined = await self.combine(node, counts, start, memory)  # v = sum_i omega_i w_i
            complete += 1
            await self.report(node, complete, counts, combined)
            if self.looks.due_after(complete):
                await OffClock(partial(self.look, node, complete, counts, start, memory, combined))
            learner.commit(combined.v, start.age + max(counts.values()))
            memory = combined.memory
            go = await boundary(node, complete, memory.values())
        return capture(node, complete, memory.values())

    @property
    def combine(self) -> Combining:
        """How the models of a round become one."""
        refined = (self.line_search, self.outer, self.wire, self.counterfactual)
        return Combining(self.rule, self.step, self.shards, *refined)

    async def advance(self, node: Node, round: int, start: Start, memory: Memory) -> Mapping[int, int]:
        """All nodes advance until the round ends, with looks at its parts; the rows each applied."""
        parts, spent = self.looks.parts, Spent()
        counts = await self.ending(node, Mark(round, 1, parts, spent), 0)
        for part in range(2, parts + 1):
            seen = partial(self.look_inside, node, round + (part - 1) / parts, counts, start, memory)
            await OffClock(seen, apart=True)
            counts = await self.ending(node, Mark(round, part, parts, spent), counts[node.rank])
        return counts

    async def look_inside(
        self, node: Node, round: float, counts: Mapping[int, int], start: Start, memory: Memory
    ) -> None:
        """Scores the combination at a moment of a round; nobody restarts from it, nor remembers it."""
        combined = await self.combine(node, counts, start, memory)
        await self.look(node, round, counts, start, memory, combined)

    async def report(self, node: Node, complete: int, counts: Mapping[int, int], combined: Combined) -> None:
        """Records the round in the trace."""
        report_round(node, complete, counts, combined)

    async def look(
        self,
        node: Node,
        round: float,
        counts: Mapping[int, int],
        start: Start,
        memory: Memory,
        combined: Combined,
    ) -> None:
        """Scores a combination, and tells how far apart the nodes' models were.

        memory: of the rounds before this one
        """
        if node.scorer is not None:
            deviation = await relative_deviation(node, combined.v, counts)
            rows = start.age + max(counts.values())
            await look(node, combined.v, round, rows, relative_deviation=deviation)
            if self.counterfactual and start.x0 is not None:
                facts = RoundFacts(tuple(counts.values()), start.age, self.step, self.shards, memory.moments)
                await counterfactual(node, facts, start.x0, combined.v, round, combined.combination)


def report_round(
    node: Node, complete: int, counts: Mapping[int, int], combined: Combined, **more: Any
) -> None:
    """Rank 0 records who did how much of a round, with what weight it went into the model, and `more`."""
    if node.rank == node.ranks[0]:
        combination = combined.combination
        fields = {
            "counts": list(counts.values()),
            "weights": combination.omega.tolist(),
            "effective_nodes": combination.effective_nodes,
        }
        asked = {"contraction_power": combination.power, "line_search_factor": combined.length}
        fields |= {name: value for name, value in asked.items() if value is not None}
        node.report("round", round=complete, seconds=node.now(), **fields, **more)
