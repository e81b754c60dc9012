"""A fit from beginning to end: rows in, agreed upon, one problem a class, models out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import ceil, inf
from typing import Any, TypeVar, cast

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from wpsgd.data.rows import FloatArray
from wpsgd.errors import DataError
from wpsgd.estimator import dual, smooth
from wpsgd.estimator.adaptive import ADAPTIVE, train_adaptively
from wpsgd.estimator.choices import (
    Solver,
    fits_one_rank,
    runtime_for,
    settings_for,
    solver_for,
    strategy_keys,
    worker_count,
)
from wpsgd.estimator.classes import Together, blocks_of, bytes_of_class, fitting_in, shares_passes
from wpsgd.estimator.gathering import to_first
from wpsgd.estimator.inputs import Inputs, held_out, labelled
from wpsgd.estimator.joining import Whole, class_numbers, join, several, share_of
from wpsgd.estimator.last import Begin, Last
from wpsgd.estimator.meeting import meet
from wpsgd.estimator.narrow import holds, like, narrow, narrowed
from wpsgd.estimator.platt import calibration
from wpsgd.estimator.refusals import average_after
from wpsgd.estimator.sgd import Limits, Trainer, deal, with_norms
from wpsgd.estimator.shortening import Margins, said_of_length, shortened, worse_than_none
from wpsgd.estimator.solved import Solved, placed
from wpsgd.estimator.unmet import unmet_by, warn

T = TypeVar("T")
Calibration = NDArray[np.float64] | None
NO_WEIGHT = 1e-30  # rows of less, where the mean is 1, have no say in any digit: they are no rows


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a fit gives: one model a class, or one for two classes.

    seed: that all ranks share; calibration: (a, b) of each model (see platt.py) where it was asked for
    """

    whole: Whole
    seed: int
    solver: str
    solved: list[Solved]
    calibration: Calibration = None


def fit(estimator: Any, X: Any, y: Any, sample_weight: Any, begin: Begin) -> Fitted:
    """Trains, from the model that there is to `begin` with, if there is one.

    Raises ValueError in scikit-learn's words, ConfigError, DataError, Diverged; under MPI on all ranks.
    """
    runtime = estimator.runtime
    deadline = time.perf_counter() + estimator.max_seconds if estimator.max_seconds else inf
    inputs, whole, seed = meet(estimator, X, y, sample_weight)
    workers = worker_count(estimator, sum(whole.rows))
    last = begin.last(estimator, whole)
    solver = solver_for(estimator, whole, workers, given=last is not None and last.given)
    fitting = _Fitting(estimator, whole, seed, deadline, solver, workers)
    if solver != "sgd" and several(runtime) and fits_one_rank(whole):
        held = to_first(runtime, inputs, whole)
        solved, sigmoids = runtime.first(lambda: fitting.alone(cast(Inputs, held), last))
    else:
        solved, sigmoids = fitting.models(inputs, last)
    warn(estimator, solver, unmet_by(runtime, solved), said_of_length(solved, estimator.strategy))
    if last is not None and solver == "dual":
        last.warn_of_the_dual()
    return Fitted(whole, seed, solver, solved, sigmoids)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    estimator: Any
    whole: Whole
    seed: int
    deadline: float
    solver: Solver
    workers: int

    def alone(self, held: Inputs, last: Last | None) -> tuple[list[Solved], Calibration]:
        """`models` of one process that holds the rows of all."""
        estimator = copy.copy(self.estimator)
        estimator.runtime = None
        whole = join([share_of(held, None)])  # whose sums of weights are rounded as one process rounds them
        return replace(self, estimator=estimator, whole=whole).models(held, last)

    def models(self, inputs: Inputs, last: Last | None) -> tuple[list[Solved], Calibration]:
        """Those of all problems, and where probabilities are asked for (a, b) of each."""
        solved = self.solved(inputs, last)
        if not self.estimator.probability:
            return solved, None
        chosen = self.held_out(inputs, "probability")
        without = self.solved(inputs.taken(~chosen), None)
        return solved, self.calibrated(inputs, chosen, solved, without)

    def solved(self, inputs: Inputs, last: Last | None) -> list[Solved]:
        """The models of all problems, with `last` from the model that there is."""
        if self.solver == "sgd":
            return self.by_strategy(inputs, None if last is None else last.weights)
        if several(self.estimator.runtime):
            return self.by_strategy(inputs, None)  # cocoa, which begins with zeros
        return self.certified(inputs, last)

    @property
    def constant(self) -> float | None:
        """The column behind the features that the intercept is learnt on."""
        return float(self.estimator.intercept_scaling) if self.estimator.fit_intercept else None

    @property
    def problems(self) -> list[Any]:
        """The class that is +1 in each problem."""
        classes = self.whole.classes
        return list(classes[1:]) if len(classes) == 2 else list(classes)

    @property
    def tell(self) -> Callable[[str], None] | None:
        return print if self.estimator.verbose else None

    def certified(self, inputs: Inputs, last: Last | None) -> list[Solved]:
        """By the dual, or by Newton's method: to a gap of `tol`, in one process."""
        estimator, weights = self.estimator, self.weights(inputs)
        if weights is not None:
            kept = weights > NO_WEIGHT
            inputs, weights = (inputs, weights) if kept.all() else (inputs.taken(kept), weights[kept])
        rows, used = narrowed(inputs.rows(self.whole.features, self.constant))
        duals = [None] * len(self.problems) if last is None or last.duals is None else last.duals
        shape = [None if dual is None else len(dual) for dual in duals]
        usable = duals if shape == [len(rows)] * len(self.problems) else [None] * len(self.problems)
        bytes_each = rows.nonzeros * (4 + rows.values.itemsize) + 64 * len(rows) + 2 * rows.features * 8

        table = self._table()

        def one(number: int, label: Any) -> Solved:
            problem = labelled(rows, inputs.targets == label, weights), estimator.loss, float(estimator.alpha)
            ends: dict[str, Any] = {"tol": estimator.tol, "deadline": self.deadline, "tell": self.tell}
            if self.solver == "newton":
                start = None if last is None else narrow(last.weights[number], used)
                solved = smooth.solve(*problem, max_steps=estimator.max_iter, start=start, **ends)
            else:
                ends |= {"max_epochs": estimator.max_iter, "seed": self.seed}
                solved = dual.solve(*problem, start=usable[number], **ends)
            # of many classes duals are rows x classes numbers, which only a warm start asks for
            kept = solved if estimator.warm_start else replace(solved, dual=None)
            return placed(kept, table[number], used)

        jobs = [partial(one, number, label) for number, label in enumerate(self.problems)]
        return self._each(jobs, bytes_each)

    def by_strategy(self, inputs: Inputs, start: FloatArray | None) -> list[Solved]:
        trained, validation = self._split(inputs)
        weights = self.weights(trained)
        trainer, used = self._trainer(trained, validation, start)
        norms = trainer.settle_step_sizes(weights)
        solved = self._by_trainer(trainer, used, trained, validation, weights, start)
        if self.solver == "sgd":
            starts = [None] * len(solved) if start is None else start

            def margins(model: FloatArray, label: Any) -> Margins:
                vector = narrow(model, used)
                return trainer.watched_margins(vector, trained.targets, label, weights)

            def ended(one: Solved, label: Any, begun: FloatArray | None) -> Solved:
                # who begins with weights that are worse than none wants them to be gone on from
                if begun is not None and worse_than_none(begun, margins(begun, label), *trainer.judge):
                    return one
                return shortened(one, margins(one.weights, label), *trainer.judge)

            solved = list(map(ended, solved, self.problems, starts))
        return [replace(one, learner=with_norms(one.learner, norms)) for one in solved]

    def _by_trainer(
        self,
        trainer: Trainer,
        used: NDArray[np.int32] | None,
        trained: Inputs,
        validation: Inputs | None,
        weights: NDArray[np.float64] | None,
        start: FloatArray | None,
    ) -> list[Solved]:
        start = None if start is None else narrow(start, used)
        held_out = None if validation is None else self.weights(validation)
        adaptive = self.estimator.learning_rate == ADAPTIVE  # each class has a step size of its own
        if len(self.problems) > 1 and not adaptive and shares_passes(trainer, self.whole):
            judged = None if validation is None else (class_numbers(self.whole, validation), held_out)
            together = Together(trainer, class_numbers(self.whole, trained), weights, judged)
            return self._in_blocks(together, start, used)

        table = self._table()

        def one(number: int, label: Any) -> Solved:
            judged = None if validation is None else (validation.targets == label, held_out)
            begin = None if start is None else start[number]
            train = partial(train_adaptively, trainer) if adaptive else trainer.train
            solved = train(trained.targets == label, weights, judged, begin, self.tell)
            return placed(solved, table[number], used)

        jobs = [partial(one, number, label) for number, label in enumerate(self.problems)]
        if several(self.estimator.runtime):
            return [job() for job in jobs]  # ranks meet in the same order
        _ = trainer.shards
        return self._each(jobs, 32 * trainer.rows.features * self.workers)

    def _in_blocks(
        self, together: Together, start: FloatArray | None, used: NDArray[np.int32] | None
    ) -> list[Solved]:
        """All classes in blocks that share each pass; how they are cut changes no bit of the models."""
        trainer, runtime = together.trainer, self.estimator.runtime
        tells = [*map(self._tell_of, self.problems)]
        bytes_each, table = bytes_of_class(trainer), self._table()

        def one(block: range) -> list[Solved]:
            part = slice(block.start, block.stop)
            solved = together.train(block, tells[part], None if start is None else start[part])
            return [placed(model, row, used) for model, row in zip(solved, table[part], strict=True)]

        if several(runtime):  # ranks meet in the same order, in blocks of one size
            mine = blocks_of(len(self.problems), bytes_each, 1)
            blocks = max(runtime.gathered(lambda: mine), key=len)
            parts = [one(block) for block in blocks]
        else:
            _ = trainer.shards
            blocks = blocks_of(len(self.problems), bytes_each, self.estimator.n_jobs)
            parts = self._each([partial(one, block) for block in blocks], bytes_each * len(blocks[0]))
        return [solved for part in parts for solved in part]

    def _table(self) -> FloatArray:
        """Where the models of a training end up, (models, columns)."""
        columns = self.whole.features + self.estimator.fit_intercept
        return np.zeros((len(self.problems), columns), dtype=self.whole.dtype)

    def _tell_of(self, label: Any) -> Callable[[str], None] | None:
        tell = self.tell
        return None if tell is None else lambda line: tell(f"class {label}, {line}")

    def calibrated(
        self, inputs: Inputs, chosen: NDArray[np.bool_], solved: list[Solved], without: list[Solved]
    ) -> NDArray[np.float64]:
        """(a, b) of each model, from decision values on the `chosen` rows of one trained `without` them."""
        runtime, weights = self.estimator.runtime, self.weights(inputs)
        matrix = inputs.rows(self.whole.features, self.constant).to_scipy()

        def total(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(sum(runtime.gathered(lambda: sums))) if several(runtime) else sums

        def one(label: Any, *models: Solved) -> tuple[float, float]:
            scores, others = (np.asarray(matrix @ model.weights, np.float64) for model in models)
            return calibration(scores, others, inputs.targets == label, chosen, weights, total)

        return np.array(list(map(one, self.problems, solved, without)))

    def _trainer(
        self, trained: Inputs, validation: Inputs | None, start: FloatArray | None
    ) -> tuple[Trainer, NDArray[np.int32] | None]:
        """What trains, and the columns of its rows where they are not all: a pass may not cost the others.

        Those of several ranks are not the same, and virtual clocks know what a model of all columns costs.
        """
        estimator, features = self.estimator, self.whole.features
        strategy, certified = strategy_keys(estimator, self.solver), self.solver == "dual"
        runtime = runtime_for(estimator, strategy, self.workers)
        counts = None
        if several(runtime):
            counts = tuple(runtime.gathered(lambda: len(trained)))
        largest = max(counts) if counts else ceil(len(trained) / runtime.ranks)
        given = len(strategy.get("counts") or [0])  # rounds of ending = "given"
        first = settings_for(estimator, seed=self.seed, strategy=strategy, rounds=given)
        period = first.strategies[0].period
        passes = estimator.max_iter
        rounds = passes if period == "pass" else max(1, ceil(passes * largest / period))
        watched = estimator.tol is not None or bool(estimator.verbose) or validation is not None
        looks = min(estimator.max_iter, rounds) if watched and not certified else 0
        settings = settings_for(
            estimator, seed=self.seed, strategy=strategy, rounds=int(rounds), looks=int(looks)
        )
        limits = Limits(estimator.max_iter, estimator.tol, estimator.n_iter_no_change, self.deadline)
        labels = class_numbers(self.whole, trained) if settings.data.sharding == "label_skew" else None
        dealt, order = None, None
        if trained.is_dense and counts is None and runtime.ranks > 1 and settings.data.sharding != "replica":
            # dense rows are copied once, as they are dealt
            dealt = deal(settings, runtime, len(trained), self.seed, labels)
            order = np.concatenate(dealt)
        rows, used = trained.rows(features, self.constant, order).astype(self.whole.dtype), None
        if runtime.name == "local":
            kept, used = narrowed(rows)
            rows, used = (kept, used) if start is None or holds(start, used) else (rows, None)
        held_out = (
            None
            if validation is None
            else like(validation.rows(features, self.constant).astype(rows.values.dtype), used)
        )
        after = average_after(estimator)
        known = (settings, runtime, limits, self.seed, counts, held_out, certified, after)
        return Trainer(rows, *known, labels=labels, dealt=dealt), used

    def _split(self, inputs: Inputs) -> tuple[Inputs, Inputs | None]:
        if not self.estimator.early_stopping:
            return inputs, None
        chosen = self.held_out(inputs, "early_stopping")
        return inputs.taken(~chosen), inputs.taken(chosen)

    def held_out(self, inputs: Inputs, wish: str) -> NDArray[np.bool_]:
        """A mask of the rows to judge by. Raises DataError where no process has any."""
        runtime, fraction = self.estimator.runtime, self.estimator.validation_fraction
        chosen = held_out(inputs.targets, fraction, self.seed)
        weights = self.weights(inputs)
        count = int(chosen.sum() if weights is None else (weights[chosen] > 0.0).sum())
        if sum(runtime.gathered(lambda: count) if several(runtime) else [count]) == 0:
            raise DataError(
                f"{wish}=True: validation_fraction={fraction} of each class is no row at all:"
                f" raise it, or pass more than {sum(self.whole.rows)} rows"
            )
        return chosen

    def weights(self, inputs: Inputs) -> NDArray[np.float64] | None:
        """Sample weights times those of classes, of mean 1 over all processes' rows; None for all ones."""
        wish = self.estimator.class_weight
        weighted = float(self.whole.masses.sum()) != sum(self.whole.rows)  # by this process or another
        if inputs.weights is None and wish is None and not weighted:
            return None
        of_class = self.whole.class_weights(wish)
        mean = float(of_class @ self.whole.masses) / sum(self.whole.rows)
        weights = np.ones(len(inputs)) if inputs.weights is None else inputs.weights
        if not len(inputs):
            return weights
        return np.asarray(weights * of_class[np.searchsorted(self.whole.classes, inputs.targets)] / mean)

    def _each(self, jobs: Sequence[Callable[[], T]], bytes_each: int) -> list[T]:
        """Problems side by side, as many as `n_jobs` says and scikit-learn's working_memory holds."""
        together = min(effective_n_jobs(self.estimator.n_jobs), fitting_in(bytes_each), len(jobs))
        # classes are what runs side by side; and with the number of threads the bits of a BLAS would change
        with _libraries().limit(limits=1, user_api="blas"):
            if together == 1:
                return [job() for job in jobs]
            return list(Parallel(n_jobs=together, backend="threading")(delayed(job)() for job in jobs))


@cache
def _libraries() -> Any:
    """Looked for once: it takes as long as some fits do."""
    return ThreadpoolController()
