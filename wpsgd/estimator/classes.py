"""Classes trained side by side, each against the rest: one pass over the rows serves all of a block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn import get_config

from wpsgd.config.settings import Settings
from wpsgd.data.rows import FloatArray, Rows
from wpsgd.estimator.inputs import weighted
from wpsgd.estimator.joining import Whole, several
from wpsgd.estimator.sgd import ALL_OF_THEM, Trainer, Weights, goes_on, losses_of, next_epoch
from wpsgd.estimator.solved import Solved
from wpsgd.estimator.stopping import Stopper, Stoppers
from wpsgd.evaluate_classes import ClassesScorer
from wpsgd.learners.changes import Changes
from wpsgd.learners.classes import ClassesLearner, make_classes_learner
from wpsgd.learners.sgd import Objective
from wpsgd.requests import State, Value
from wpsgd.runtimes.job import Job
from wpsgd.strategies.wire import SMALL
from wpsgd.trace import Event

BY_CLASS = ("weights", "velocity", "squares")  # of a state: what there is one of for each class
VECTORS = 4  # of a node: weights, its contribution, and what a look or a next run copies
Own = NDArray[np.int32]
Tell = Callable[[str], None] | None


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Blocks of classes by one trainer.

    own: the class number of each row of this process; weights: sample weights of mean 1, or None
    judged: the same two of the validation rows
    """

    trainer: Trainer
    own: Own
    weights: Weights
    judged: tuple[Own, Weights] | None = None

    def train(
        self, classes: Sequence[int], tells: Sequence[Tell], start: FloatArray | None = None
    ) -> list[Solved]:
        """The model of each of the classes, bit for bit that of `Trainer.train`.

        A class leaves the block where it meets the tolerance, and the others go on without it.
        start: initial weights, (classes, columns)
        The first model's trace has, beside its looks, the events that the classes share, with `classes`.
        """
        runs = [
            _Run(number, self.trainer.stopper(tell), []) for number, tell in zip(classes, tells, strict=True)
        ]
        objective = self.trainer.settings.objective()
        if start is not None:
            objective = replace(objective, w0=np.asarray(start).T.ravel())
        left, found = runs, dict[int, Solved]()
        states: Mapping[int, State] = {}
        while left:
            ended, states, shared = self._until_one_settles(left, objective, states)
            found |= ended
            left = [run for run in left if run.number not in found]
            objective = replace(objective, w0=0.0)  # of other shape; from here on states have the weights
        solved = [found[run.number] for run in runs]
        told = [{**event, "classes": [*classes]} for event in shared if event["kind"] != "look"]
        return [replace(solved[0], trace=solved[0].trace + told), *solved[1:]]

    def _until_one_settles(
        self, left: Sequence[_Run], objective: Objective, states: Mapping[int, State]
    ) -> tuple[dict[int, Solved], dict[int, State], list[Event]]:
        """What has ended by class number, the states that the rest go on from, and the events so far."""
        trainer, numbers = self.trainer, [run.number for run in left]
        watch = Stoppers([run.stopper for run in left], [run.looks for run in left])
        learner = cache(lambda rank: self._learner(rank, numbers, objective))
        outcome = trainer.runtime.run(
            Job(
                trainer.program(),
                learner,
                lambda rank: self._scorer(rank, numbers, learner(rank)),
                lambda rank: states.get(rank, State()),
                keeper=watch,
                observer=watch.observe,
                seed=trainer.seed,
            )
        )
        # only the first rank sees looks, and any may have stopped all because its time was up
        said = trainer.runtime.gathered(lambda: (watch.settled, watch.late))
        settled, late = said[0][0], any(one[1] for one in said)
        state = outcome.states[min(outcome.states)]
        finished = state.round >= trainer.strategy.rounds
        unmet = "max_iter" if trainer.limits.tol is not None else ""
        unmet = unmet if finished else "max_seconds"
        epochs = trainer.epochs(state.round)
        ended = {
            run.number: _solved(state, k, len(left), epochs, run.looks, "" if settled[k] else unmet)
            for k, run in enumerate(left)
            if settled[k] or finished or late
        }
        kept = [k for k, run in enumerate(left) if run.number not in ended]
        narrow = narrowed(watch.states, len(left), kept) if kept else {}
        return ended, narrow, outcome.events

    def _held(self, rank: int) -> tuple[Rows, Own]:
        """The rows of a rank, and the class number of each."""
        trainer = self.trainer
        if trainer.counts is not None:
            count = len(trainer.rows) if rank == trainer.runtime.rank else 0
            return weighted(trainer.rows, self.weights)[:count], self.own[:count]
        numbers = trainer.numbers[rank]
        weights = None if self.weights is None else self.weights[numbers]
        return weighted(trainer.shards[rank], weights), self.own[numbers]

    def _learner(self, rank: int, classes: Sequence[int], objective: Objective) -> ClassesLearner:
        rows, own = self._held(rank)
        order = self.trainer.order(rank)
        return make_classes_learner(rows, places(own, classes), len(classes), objective, **order)

    def _scorer(self, rank: int, classes: Sequence[int], learner: ClassesLearner) -> ClassesScorer | None:
        trainer, model = self.trainer, self.trainer.settings.model
        if trainer.settings.report.looks == 0:
            return None
        rows, own = self._held(rank)
        watched = trainer.watched(len(rows))
        test, tested = None, own[:0]
        if trainer.validation is not None and self.judged is not None:
            mine = trainer.judged_by(rank)
            test, tested = weighted(trainer.validation, self.judged[1])[mine], self.judged[0][mine]
        return ClassesScorer(
            rows.held(watched),
            test,
            model.loss,
            model.alpha,
            losses_of(learner),
            own=places(own[watched], classes),
            tested=places(tested, classes),
            classes=len(classes),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One class. looks: its own, as they come."""

    number: int
    stopper: Stopper
    looks: list[Event]


def one_pass_together(
    rows: Rows,
    own: Own,
    settings: Settings,
    starts: FloatArray,
    learners: Sequence[Mapping[str, Any]],
    seed: int,
    factors: list[NDArray[np.float64]] | None = None,
) -> list[Solved]:
    """`one_pass` of all classes, bit for bit, in blocks that working_memory holds.

    starts: (classes, columns); learners: where each class has got to, all equally far (see `equally_far`)
    """
    size = fitting_in((VECTORS * rows.values.itemsize + 8) * rows.features)
    solved: list[Solved] = []
    for first in range(0, len(starts), size):
        block = range(first, min(first + size, len(starts)))
        start, k = starts[first : block.stop].T.ravel(), len(block)
        objective = replace(settings.objective(), w0=start)
        order: dict[str, Any] = {"seed": seed, "rank": 0, "shuffle": settings.model.shuffle}
        worker = make_classes_learner(rows, places(own, block), k, objective, **order)
        reached = dict(learners[first])
        if "squares" in reached:
            reached["squares"] = np.column_stack([learners[number]["squares"] for number in block]).ravel()
        if goes_on(settings, reached):
            worker.restore(start, reached)
        changes = Changes(worker, worker.steps, [])
        worker.advance(len(rows))
        if factors is not None:
            factors += [changes.factors(ALL_OF_THEM)] * k
        worker.commit(worker.contribution(), worker.steps)
        state = State(1, {"weights": worker.weights}, worker.state())
        solved += [_solved(state, place, k, 1.0, []) for place in range(k)]
    return solved


def equally_far(learners: Sequence[Mapping[str, Any]]) -> bool:
    """Whether classes can go on in one pass: SGD leaves them so, the dual need not."""
    reached = [{name: value for name, value in one.items() if "squares" not in name} for one in learners]
    return all(one == reached[0] for one in reached) and len({"squares" in one for one in learners}) == 1


def _solved(
    state: State, place: int, classes: int, epochs: float, trace: list[Event], unmet: str = ""
) -> Solved:
    """The model at one place of a block, from the state that the block has reached."""
    own = {name: _of_classes(name, value, classes, [place]) for name, value in state.own.items()}
    weights = np.asarray(_of_classes("weights", state.shared["weights"], classes, [place]))
    return Solved(weights, epochs, trace, unmet, next_epoch(own))


def places(own: Own, classes: Sequence[int]) -> Own:
    """Where in `classes` the class of each row is, -1 where it is not among them."""
    found = np.full(max(int(own.max(initial=-1)), *classes) + 1, -1, dtype=np.int32)
    found[list(classes)] = np.arange(len(classes))
    return np.asarray(found[own])


def narrowed(states: Mapping[int, State], classes: int, kept: Sequence[int]) -> dict[int, State]:
    """The states by rank of a run of so many classes, as those of a run of some of them.

    What all ranks hold they hold in common here.
    """

    def part(values: Mapping[str, Value]) -> dict[str, Value]:
        return {name: _of_classes(name, value, classes, kept) for name, value in values.items()}

    shared = part(states[min(states)].shared)
    return {rank: State(state.round, shared, part(state.own)) for rank, state in states.items()}


def _of_classes(name: str, value: Value, classes: int, kept: Sequence[int]) -> Value:
    if name not in BY_CLASS or not isinstance(value, np.ndarray):
        return value
    return np.ascontiguousarray(value.reshape(-1, classes)[:, list(kept)]).ravel()


def shares_passes(trainer: Trainer, whole: Whole) -> bool:
    """Whether a block of classes does what each would do alone, and no worse.

    Not under virtual clocks, which know what a row of one class costs; nor where ranks that meet often
    exchange the few columns of a wide model that they touched (strategies/wire.py): blocks are summed dense.
    """
    strategy, ranks = trainer.strategy, trainer.runtime.ranks
    if not strategy.goes_classwise or trainer.runtime.name == "simulated":
        return False
    features = trainer.rows.features
    model = features * trainer.rows.values.itemsize
    if not several(trainer.runtime) or model < SMALL:  # of those, class by class would cost latencies
        return True
    rows = strategy.rows_of_sum([len(numbers) for numbers in trainer.numbers])
    entries = ceil(rows * whole.nonzeros / max(1, sum(whole.rows)))
    _, pairs = strategy.reduction(model, features, entries, ranks)
    return not pairs


def bytes_of_class(trainer: Trainer) -> int:
    """What training takes for each class of a block, on all nodes of this process."""
    nodes = 1 if several(trainer.runtime) else trainer.runtime.ranks
    features, itemsize = trainer.rows.features, trainer.rows.values.itemsize
    squares = 8 * features * (trainer.settings.model.learning_rate == "adagrad")
    extra = trainer.strategy.extra_bytes(features, itemsize)
    return nodes * (VECTORS * itemsize * features + squares + extra)


def fitting_in(bytes_each: int) -> int:
    """How many, one at least, of so many bytes scikit-learn's working_memory holds."""
    return max(1, int(get_config()["working_memory"] * 2**20) // max(1, bytes_each))


def blocks_of(classes: int, bytes_each: int, n_jobs: int | None) -> list[range]:
    """The class numbers of each block: `n_jobs` blocks at a time have as many as working_memory holds."""
    fitting = fitting_in(bytes_each)
    together = min(effective_n_jobs(n_jobs), fitting, classes)
    size = min(-(-classes // together), fitting // together)
    return [range(first, min(first + size, classes)) for first in range(0, classes, size)]
