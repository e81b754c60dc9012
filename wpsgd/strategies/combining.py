"""How the models of a round become one: a rule's facts are gathered, the sum is taken, the result refined.

Helper coroutines, like patterns.py: they await requests and nothing else. Every number that scales a model
comes out of a collective, so that all nodes hold the same bits whatever processors they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.changes import Changes
from wpsgd.learners.keeping import KeepsSquares, unfit
from wpsgd.learners.sgd import SGDLearner
from wpsgd.reducers import Combination, Moments, RoundFacts, Rule, SampledModels, preferred
from wpsgd.requests import AllGather, AllReduce, Broadcast, Node, OffClock, State, Value, Vector
from wpsgd.sample import Sample
from wpsgd.strategies.gram import gram_of
from wpsgd.strategies.outer import STAY, Outer
from wpsgd.strategies.patterns import judged
from wpsgd.strategies.spread import moments
from wpsgd.strategies.wire import AWAKE, TELLING, Rest, Start, Wire, tells, weighted_sum

NOT_ALIKE = "or its rule changes coordinates that no row touched each in a way of its own"
FLOOR = 1e-12  # squared gradients that every node has everywhere: where no row went, models count alike


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a run remembers from round to round beside its model; the same on all nodes.

    rest: of asking how a sum is to travel, which changes no bit and is not kept for a resumed run
    """

    moments: Moments | None = None
    velocity: Vector | None = None
    rest: Rest = AWAKE

    def values(self) -> dict[str, Value]:
        """As a checkpoint keeps it."""
        kept = {"moments": self.moments, "velocity": self.velocity}
        return {name: np.asarray(value) for name, value in kept.items() if value is not None}

    @classmethod
    def of(cls, state: State) -> Memory:
        """As a checkpoint kept it; empty at the start of a run."""
        moments, velocity = state.shared.get("moments"), state.shared.get("velocity")
        return cls(
            Moments(*moments.tolist()) if isinstance(moments, np.ndarray) else None,
            velocity if isinstance(velocity, np.ndarray) else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """What came of a round.

    v: the model, in a buffer of the learner's; length: the factor of a line search, None without one
    """

    v: Vector
    combination: Combination
    memory: Memory
    length: float | None = None


@dataclass(frozen=True, slots=True)
class Combining:
    """A rule, then perhaps a line search along its result, then perhaps an outer step.

    wire: how the sum is taken (wire.py); asked: whether other rules are asked at looks, which takes the start
    model and the moments of the round before
    """

    rule: Rule
    step: StepSize
    shards: tuple[int, ...]
    line_search: bool = False
    outer: Outer = STAY
    wire: Wire = "dense"
    asked: bool = False

    def check(self, node: Node) -> None:
        """Raises ConfigError where the node has not what the rule or the line search needs."""
        if missing := unfit(self.rule, node.learner):
            raise ConfigError(f"rank {node.rank}: the rule needs {missing}")
        if ("sample" in self.rule.needs or self.line_search) and node.sample is None:
            raise ConfigError(f"rank {node.rank}: no sample of rows to judge models by: Job(..., sample=...)")

        if self.wire == "sparse" and not self.summed_by_pairs(node):
            raise ConfigError(f'rank {node.rank}: wire = "sparse": {type(node.learner).__name__} {NOT_ALIKE}')

    def start(self, node: Node, memory: Memory) -> Start:
        """Called when a round starts: the learner changes its model in place."""
        learner, changes = node.learner, None
        if isinstance(learner, SGDLearner):
            learner.order.forget()  # the round before
            if tells(node, self.wire) and self.summed_by_pairs(node) and not memory.rest.left:
                changes = Changes.of(learner)
        kept = self.asked or changes is not None or self.outer.moves or "start" in self.rule.needs
        return Start(learner.steps, learner.weights.copy() if kept else None, changes)

    def summed_by_pairs(self, node: Node) -> bool:
        """Whether the combination is a sum of models that all decay alike where no row went."""
        return "squares" not in self.rule.needs and type(node.learner) in TELLING

    async def __call__(self, node: Node, counts: Mapping[int, int], start: Start, memory: Memory) -> Combined:
        """v = start x0 + sum_i omega_i w_i, refined."""
        model = node.learner.contribution()
        if not any(counts.values()):
            combination = self.rule(RoundFacts(tuple(counts.values()), start.age, self.step, self.shards))
            await weighted_sum(node, model, combination, start, self.wire)
            return Combined(model, combination, memory)
        combination, v = await self.combination(node, model, counts, start.age, memory), model
        if "squares" in self.rule.needs:
            await by_coordinate(node, model, counts)
        else:
            pairs = await weighted_sum(node, model, combination, start, self.wire)
            memory = replace(memory, rest=memory.rest.after(start.changes is not None, pairs))
        if start.x0 is not None and (self.asked or "moments" in self.rule.needs):
            measure = partial(moments, node, v, start.x0, counts)
            found = await (measure() if "moments" in self.rule.needs else OffClock(measure))
            memory = replace(memory, moments=found or memory.moments)
        length = await searched(node, v) if self.line_search else None
        if self.outer.moves and start.x0 is not None:
            memory = replace(memory, velocity=self.outer.step(start.x0, v, memory.velocity))
        return Combined(v, combination, memory, length)

    async def combination(
        self, node: Node, model: Vector, counts: Mapping[int, int], age: int, memory: Memory
    ) -> Combination:
        """What the rule makes of the facts that it needs."""
        facts = RoundFacts(tuple(counts.values()), age, self.step, self.shards, memory.moments)
        if "squares" in self.rule.needs:
            total = float(squares_of(node).sum())
            facts = replace(facts, squares=tuple((await AllGather(total)).values()))
        if self.rule.candidates is None:
            return self.rule(facts)
        return await validated(node, self.rule.candidates(facts), await sampled(node, model))


async def by_coordinate(node: Node, model: Vector, counts: Mapping[int, int]) -> None:
    """v_j = sum_i G_ij w_ij / sum_i G_ij over the nodes with rows, in the buffer `model`."""
    squares = squares_of(node)
    sums = np.concatenate((squares * model, squares))
    await AllReduce(sums, weight=1.0 if counts[node.rank] else 0.0)
    model[:] = sums[: len(model)] / sums[len(model) :]


def squares_of(node: Node) -> Vector:
    """The squared gradients of this node, no coordinate without any."""
    assert isinstance(node.learner, KeepsSquares)
    return node.learner.squares() + FLOOR


async def sampled(node: Node, model: Vector) -> SampledModels:
    """The models of all nodes on the sample: their margins are gathered, their inner products added up."""
    sample = sample_of(node)
    margins = await AllGather(await judged(partial(sample.margins, model), len(sample.rows)))
    gram = await gram_of(node, model[: sample.rows.features])
    return SampledModels(sample, np.array([*margins.values()]), gram)


async def validated(node: Node, candidates: Sequence[Combination], models: SampledModels) -> Combination:
    """The preferred one. Of k nodes each judges a k-th of them, so that it takes as long with any k."""
    place, nodes = node.ranks.index(node.rank), len(node.ranks)
    mine = candidates[place::nodes]
    margins = models.margins
    numbers = len(mine) * (margins.size + margins.shape[1])  # of all models, and a loss each

    def judge() -> list[float]:
        return [models.objective(candidate.omega) for candidate in mine]

    told = [*(await AllGather(await judged(judge, models.sample.rows_worth(numbers)))).values()]
    return preferred(candidates, [told[number % nodes][number // nodes] for number in range(len(candidates))])


async def searched(node: Node, v: Vector) -> float:
    """Scales v in place to the length with the smallest F on the sample, and gives the factor."""
    sample, first = sample_of(node), node.ranks[0]
    length = np.ones(1)
    if node.rank == first:
        length[0] = await judged(partial(sample.best_length, v), sample.search_rows)
    await Broadcast(length, root=first)
    v[: sample.rows.features] *= float(length[0])
    return float(length[0])


def sample_of(node: Node) -> Sample:
    assert node.sample is not None
    return node.sample
