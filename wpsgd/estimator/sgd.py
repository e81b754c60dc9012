"""Trains two-class problems of one matrix by a strategy, each on the same shards and from the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.config.entry import StrategySettings
from wpsgd.config.settings import Settings
from wpsgd.data.rows import FloatArray, Rows
from wpsgd.data.shards import AT_RANDOM, shard
from wpsgd.estimator.choices import ONE_NODE
from wpsgd.estimator.gathering import common_sample
from wpsgd.estimator.inputs import labelled, weighted
from wpsgd.estimator.shortening import Margins, joined
from wpsgd.estimator.solved import Solved
from wpsgd.estimator.stopping import Certified, Stage, Stopper
from wpsgd.evaluate import Scorer, decision_values
from wpsgd.learners.changes import Changes
from wpsgd.learners.keeping import averaging
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Learner, Objective, SGDLearner
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.learners.steepness import Norms
from wpsgd.requests import State
from wpsgd.runtimes.job import Job, Runtime
from wpsgd.sample import SIZE, Sample

WATCHED = 1_000  # rows of all nodes together on which the ends of passes are compared
JUDGED = 10_000  # on which the model of a fit is judged, and that step sizes are to suit
ALL_OF_THEM = 2**62  # factors of a decay
Mask = NDArray[np.bool_]
Weights = NDArray[np.float64] | None
Taken = Callable[[], NDArray[np.float64]] | None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends. passes: over all rows; the rest as `Stopper` has it."""

    passes: int
    tol: float | None
    patience: int
    deadline: float = inf


@dataclass(eq=False)
class Trainer:
    """A strategy on a runtime, over the rows of one matrix.

    rows: of this process, labels and weights not yet those of a problem; counts: rows of each rank that is a
    process of its own, else None; validation: rows that are scored but not trained on, or None
    certified: whether the strategy tells duality gaps, by which it then ends
    average_after: steps of a node that the rule "tail" does not average
    labels: the number of each row's class, where rows are dealt by them
    dealt: the numbers of each rank's rows where `rows` are these, one rank's behind another's, see `places`
    """

    rows: Rows
    settings: Settings
    runtime: Runtime
    limits: Limits
    seed: int
    counts: tuple[int, ...] | None = None
    validation: Rows | None = None
    certified: bool = False
    average_after: int = 0
    labels: NDArray[Any] | None = None
    dealt: Sequence[NDArray[np.int64]] | None = None

    @property
    def strategy(self) -> StrategySettings:
        return self.settings.strategies[0]

    @cached_property
    def numbers(self) -> list[NDArray[np.int64]]:
        """The rows of each rank; under MPI every rank holds all that its process was given."""
        if self.dealt is not None:
            return list(self.dealt)
        if self.counts is not None:
            return [np.arange(count) for count in self.counts]
        return deal(self.settings, self.runtime, len(self.rows), self.seed, self.labels)

    @cached_property
    def shards(self) -> list[Rows]:
        """The rows of each rank, without a problem's labels and weights; one matrix serves all problems."""
        if self.counts is not None:
            return [self.rows] * len(self.counts)
        if self.dealt is not None:
            ends = np.cumsum([0, *map(len, self.dealt)]).tolist()
            return [self.rows[first:last] for first, last in pairwise(ends)]
        return [self.rows.held(numbers) for numbers in self.numbers]

    def train(
        self,
        positive: Mask,
        weights: Weights,
        judged: tuple[Mask, Weights] | None = None,
        start: FloatArray | None = None,
        tell: Any = None,
        stage: Stage | None = None,
    ) -> Solved:
        """The model that tells `positive` rows from the others.

        weights: sample weights of mean 1, or None; judged: the same two of the validation rows
        start: initial weights; tell: gets a line for each look
        stage: what stops the run and where it begins, where it is one of several (adaptive.py)
        """
        watch = self.stopper(tell) if stage is None else stage.stopper
        begun: Mapping[int, State] = {} if stage is None else stage.begun
        objective = self.settings.objective()
        if start is not None:
            objective = replace(objective, w0=start)
        held = [self._labelled(rank, positive, weights) for rank in range(len(self.shards))]
        learner = cache(lambda rank: self._learner(rank, held[rank], objective))
        job = Job(
            self.program(),
            learner,
            lambda rank: self._scorer(rank, held[rank], learner(rank), judged),
            lambda rank: begun.get(rank, State()),
            keeper=watch if stage is None else stage,
            observer=watch.observe,
            seed=self.seed,
            sample=self._sample(held),
        )
        outcome = self.runtime.run(job)
        state = outcome.states[min(outcome.states)]
        finished = state.round >= self.strategy.rounds
        unmet = "max_seconds" if watch.late and not finished else ""
        if finished and self.limits.tol is not None and not watch.settled:
            unmet = "max_iter"
        epochs = self.epochs(state.round)
        own = {**state.own, **self.ascended(state.round)}
        return Solved(np.array(outcome.model), epochs, outcome.events, unmet, next_epoch(own))

    def settle_step_sizes(self, weights: Weights) -> Norms:
        """Lets step sizes know the rows of all ranks, and returns their norms. weights: as for `train`."""
        if not self.settings.begins_by_rows or self.strategy.ascends_shards:
            return Norms()
        own = weights if weights is None or self.dealt is None else weights[np.concatenate(self.dealt)]
        mine = partial(norms_of, self.rows, own, self.places(spread(len(self.rows), JUDGED)))
        norms = Norms.joined(self.runtime.gathered(mine)) if self.counts is not None else mine()
        self.settings = self.settings.with_steepness(norms)
        return norms

    @property
    def judge(self) -> tuple[str, float]:
        """Loss and alpha of the objective."""
        return self.settings.model.loss, self.settings.model.alpha

    def watched_margins(
        self, vector: FloatArray, targets: NDArray[Any], label: Any, weights: Weights
    ) -> Margins:
        """Of weights that tell `label` from the rest, on the rows of all processes that are watched."""
        mine = partial(self._margins, vector, targets, label, weights)
        return joined(self.runtime.gathered(mine) if self.counts is not None else [mine()])

    def _margins(self, vector: FloatArray, targets: NDArray[Any], label: Any, weights: Weights) -> Margins:
        numbers = spread(len(self.rows), JUDGED // (1 if self.counts is None else self.runtime.ranks) + 1)
        signs = np.where(targets[numbers] == label, 1.0, -1.0)
        counted = np.ones(len(numbers)) if weights is None else weights[numbers]
        places, values = self.places(numbers), np.empty(len(numbers))
        for first in range(0, len(places), WATCHED):  # few rows are copied at a time
            part = slice(first, first + WATCHED)
            values[part] = decision_values(vector, self.rows.held(places[part]))
        return values * signs, counted

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in `rows` the rows of these numbers lie, which count as those of a problem's labels do."""
        if self.dealt is None:
            return numbers
        places = np.empty(len(self.rows), np.int64)
        places[np.concatenate(self.dealt)] = np.arange(len(self.rows))
        return places[numbers]

    def stopper(self, tell: Any = None) -> Stopper:
        """What ends the run of one problem."""
        limits = self.limits
        kind = Certified if self.certified else Stopper
        return kind(limits.tol, limits.patience, self.validation is not None, limits.deadline, tell)

    def epochs(self, rounds: int) -> float:
        """Passes over the largest shard in so many rounds."""
        sizes = [len(numbers) for numbers in self.numbers]
        return rounds * self.strategy.rows_of_round(sizes) / max(1, *sizes)

    def ascended(self, rounds: int) -> dict[str, int]:
        """Where SGD goes on from after so many rounds of dual ascent, as if each had gone through its period.

        The visits are fewer where a round is over the rows that move: by them steps would be too large.
        """
        if not self.strategy.ascends_shards:
            return {}
        sizes = [len(numbers) for numbers in self.numbers]
        steps = rounds * self.strategy.rows_of_round(sizes)
        return {"steps": steps, "epoch": (steps - 1) // max(1, *sizes)}

    def program(self) -> Any:
        """What every node runs."""
        sizes = [len(numbers) for numbers in self.numbers]
        alone = self.strategy.name in ONE_NODE  # its pass is one over all rows, whatever ranks look on
        return self.strategy.program(sizes, self.settings, 1 if alone else self.runtime.ranks)

    def _labelled(self, rank: int, positive: Mask, weights: Weights) -> Rows:
        if self.counts is not None:
            mine = rank == self.runtime.rank
            return labelled(self.rows, positive, weights) if mine else self.rows[:0]
        numbers = self.numbers[rank]
        return labelled(self.shards[rank], positive[numbers], None if weights is None else weights[numbers])

    def order(self, rank: int) -> dict[str, Any]:
        """What the order of a rank's rows depends on."""
        model = self.settings.model
        dealt = self.counts is None and self.runtime.ranks > 1 and self.strategy.name not in ONE_NODE
        dealt &= self.settings.data.sharding in AT_RANDOM
        block = model.block if dealt else 1  # neighbours are a random sample where rows were dealt at random
        return {"seed": self.seed, "rank": rank, "shuffle": model.shuffle, "block": block}

    def _learner(self, rank: int, held: Rows, objective: Objective) -> Learner:
        order = self.order(rank)
        if self.strategy.ascends_shards:
            return ShardDual(held, objective, **order, threads=self.strategy.inside.threads)
        inside = self.strategy.inside
        kind = averaging(self.average_after) if self.average_after else self.strategy.learner
        return make_learner(held, objective, inside, **order, kind=kind)

    def _scorer(
        self, rank: int, held: Rows, learner: Learner, judged: tuple[Mask, Weights] | None
    ) -> Scorer | None:
        if self.settings.report.looks == 0:
            return None
        train = held.held(self.watched(len(held)))
        tested = None
        if self.validation is not None and judged is not None:
            tested = labelled(self.validation, *judged)[self.judged_by(rank)]
        return Scorer(train, tested, self.settings.model.loss, self.settings.model.alpha, losses_of(learner))

    def watched(self, rows: int) -> NDArray[np.int64]:
        """The numbers of those of a rank's rows on which the objective is watched."""
        return spread(rows, WATCHED // self.runtime.ranks + 1)

    def judged_by(self, rank: int) -> slice:
        """The validation rows that a rank scores: under MPI those of its own process."""
        rows, ranks = 0 if self.validation is None else len(self.validation), self.runtime.ranks
        if self.counts is not None:
            return slice(0, rows)
        return slice(rank * rows // ranks, (rank + 1) * rows // ranks)

    def _sample(self, held: Sequence[Rows]) -> Sample | None:
        if not self.strategy.judges_models:
            return None
        if self.counts is None:
            whole = max(held, key=len)
            rows = whole.held(spread(len(whole), SIZE))
        else:
            rows = common_sample(self.runtime, held[self.runtime.rank], self.counts, self.seed)
        return Sample(rows, self.settings.model.loss, self.settings.model.alpha)


def losses_of(learner: Learner) -> Taken:
    """What tells the losses of SGD on the way, which is told to add them up; None of other learners."""
    if not isinstance(learner, SGDLearner):
        return None
    learner.watch_losses()
    return learner.taken_losses


def deal(
    settings: Settings, runtime: Runtime, rows: int, seed: int, labels: NDArray[Any] | None
) -> list[NDArray[np.int64]]:
    """The numbers of the rows of each rank, of one process's rows. labels: the number of each row's class"""
    strategy, data = settings.strategies[0], settings.data
    if runtime.ranks == 1 or strategy.name in ONE_NODE:
        return strategy.shards(rows, runtime.ranks, settings, labels=labels)
    return shard(data.sharding, rows, runtime.ranks, None, seed, labels=labels, skew=data.skew)


def spread(rows: int, most: int) -> NDArray[np.int64]:
    """The numbers of at most so many of the rows, evenly spread."""
    return np.linspace(0, rows - 1, most).astype(np.int64) if rows > most else np.arange(rows)


def norms_of(rows: Rows, weights: Weights, numbers: NDArray[np.int64] | None = None) -> Norms:
    """Of the rows of one process: those of these numbers, else JUDGED of them at most."""
    chosen = spread(len(rows), JUDGED) if numbers is None else numbers
    return Norms.of(weighted(rows, weights), chosen)


def with_norms(learner: Mapping[str, Any], norms: Norms) -> dict[str, Any]:
    """Where SGD goes on from, with the norms of the rows that its step sizes know."""
    return {**learner, "norms": tuple(norms)} if norms.rows else dict(learner)


def one_pass(
    rows: Rows,
    settings: Settings,
    start: FloatArray,
    learner: Mapping[str, Any],
    seed: int,
    kind: Callable[..., SGDLearner] = SGDLearner,
    factors: list[NDArray[np.float64]] | None = None,
) -> Solved:
    """One worker's next pass over rows, from `start` and from where `learner` says that SGD has got to.

    factors: gets what the pass multiplies the weights by that no row touches, one factor after another
    """
    objective = replace(settings.objective(), w0=start)
    worker = make_learner(rows, objective, seed=seed, rank=0, shuffle=settings.model.shuffle, kind=kind)
    if goes_on(settings, learner):
        worker.restore(start, learner)
    changes = Changes(worker, worker.steps, [])
    worker.advance(len(rows))
    if factors is not None:
        factors.append(changes.factors(ALL_OF_THEM))
    worker.commit(worker.contribution(), worker.steps)
    return Solved(worker.weights, 1.0, [], learner=next_epoch(worker.state()))


def goes_on(settings: Settings, learner: Mapping[str, Any]) -> bool:
    """Whether `learner` tells where to go on from; the dual and other schedules leave no squares."""
    return bool(learner) and (settings.model.learning_rate != "adagrad" or "squares" in learner)


def next_epoch(own: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's place at the start of the epoch after this one: other rows may be next."""
    kept = {name: own[name] for name in ("steps", "squares", "intercept_squares") if name in own}
    return {**kept, "epoch": int(own.get("epoch", -1)) + 1, "cursor": 0}
