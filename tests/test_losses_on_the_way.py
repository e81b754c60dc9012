"""Learners add up the loss of each row as it is before the row's step, for whoever decides when to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.hogwild import hogwild_pass
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.classes import make_classes_learner
from wpsgd.learners.delay import DelayLearner, StaleDecayLearner
from wpsgd.learners.keeping import SquaresLearner, TailLearner
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.row_order import RowOrder
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.learners.threaded import ThreadedLearner

ORDER: dict[str, Any] = {"seed": 0, "rank": 0}
STEP = StepSize("constant", 1e-2, eta0=0.1)
SHORT = StepSize("constant", 1e-2, eta0=0.003)  # which no kind of learner has to bound


def some_rows(weighted: bool = True) -> Rows:
    rows = problem(120, 40, 6.0, noise=0.1, seed=2).rows
    return replace(rows, weights=np.random.default_rng(0).uniform(0.2, 1.8, 120)) if weighted else rows


def loss(name: str, m: float) -> float:
    short = max(0.0, 1.0 - m)
    smooth = -4.0 * m if m < -1.0 else short**2
    log = float(np.logaddexp(0.0, -m))
    return {"hinge": short, "squared_hinge": short**2, "log_loss": log, "modified_huber": smooth}[name]


def met_one_by_one(rows: Rows, objective: Objective, count: int, kind: type[SGDLearner]) -> float:
    """The same sum from margins of the model that a learner shows before each of its steps."""
    learner, matrix, total = make_learner(rows, objective, **ORDER, kind=kind), rows.to_scipy(), 0.0
    for _ in range(count):
        model = learner.contribution().copy()
        learner.order.tell(taken := list[NDArray[np.int64]]())
        learner.advance(1)
        i = int(taken[0][0])
        weight = 1.0 if rows.weights is None else float(rows.weights[i])
        total += weight * loss(objective.loss, float(rows.labels[i] * (matrix[[i]] @ model)[0]))
    return total


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [SGDLearner, SquaresLearner])
def test_losses_are_those_of_the_models_that_rows_met(
    kind: type[SGDLearner], weighted: bool, name: str
) -> None:
    rows, objective = some_rows(weighted), Objective(name, STEP, w0=0.3)
    learner = make_learner(rows, objective, **ORDER, kind=kind)
    learner.watch_losses()
    for part in (50, 0, 17, 83):
        learner.advance(part)
    count, total = learner.taken_losses()
    assert count == 150
    assert total == pytest.approx(met_one_by_one(rows, objective, 150, kind), rel=1e-12)
    assert learner.taken_losses().tolist() == [0.0, 0.0]


def kinds(name: str) -> dict[str, SGDLearner]:
    """Learners whose iterates are those of a plain one, to the bit or nearly."""
    rows, objective = some_rows(), Objective(name, SHORT, w0=0.3)
    threads = make_learner(rows, objective, InNode(threads=2), **ORDER)
    threads._side_by_side = lambda order, etas, scales: _alone(threads, order, etas, scales)  # type: ignore
    return {
        "squares": make_learner(rows, objective, **ORDER, kind=SquaresLearner),
        "tail": make_learner(rows, objective, **ORDER, kind=TailLearner),
        "a delay of 0": DelayLearner(rows, objective, RowOrder(len(rows), **ORDER)),
        "a late decay of 0": make_learner(rows, objective, InNode(stale_decay=True), **ORDER),
        "one thread after another": threads,
    }


def _alone(learner: ThreadedLearner, order: Any, etas: Any, scales: Any) -> int:
    """The rows of a chunk one by one, each by another thread."""
    for place in range(len(order)):
        one = slice(place, place + 1)
        shared = (learner.weights, learner._carry, *learner._arrays, order[one], etas[one], scales[place:])
        settings = (0, 1, learner._loss, learner.reach, 0.0, 0, 0)
        hogwild_pass(*shared, *settings, np.empty(0), learner._seen_by[place % 2])
    learner._carry[0] = scales[len(order)]
    return len(order)


@pytest.mark.parametrize("name", LOSSES)
def test_every_kind_of_learner_adds_up_the_same_losses(name: str) -> None:
    plain = make_learner(some_rows(), Objective(name, SHORT, w0=0.3), **ORDER)
    plain.watch_losses()
    plain.advance(150)
    expected = plain.taken_losses()
    for kind, learner in kinds(name).items():
        learner.watch_losses()
        learner.advance(150)
        assert learner.taken_losses() == pytest.approx(expected, rel=1e-12), kind


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_late_gradients_are_taken_where_rows_enter_the_ring(name: str) -> None:
    rows, objective = some_rows(), Objective(name, STEP)
    late = make_learner(rows, objective, InNode(delay=3), **ORDER)
    late.watch_losses()
    late.advance(1)
    count, total = late.taken_losses()
    assert count == 4
    first = next(iter(make_learner(rows, objective, **ORDER).order.take(4)))
    at_zero = loss(name, 0.0) * float(rows.weights[first].sum())  # type: ignore[index]
    assert total == pytest.approx(at_zero, rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "adagrad"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_each_class_are_those_of_its_problem_alone_bit_for_bit(name: str, schedule: Any) -> None:
    rows = some_rows()
    own = np.random.default_rng(1).integers(0, 3, len(rows)).astype(np.int32)
    objective = Objective(name, replace(STEP, schedule=schedule))
    together = make_classes_learner(rows, own, 3, objective, **ORDER)
    together.watch_losses()
    together.advance(150)
    count, *totals = together.taken_losses()
    for k, total in enumerate(totals):
        alone = make_learner(rows.with_labels(np.where(own == k, 1.0, -1.0)), objective, **ORDER)
        alone.watch_losses()
        alone.advance(60)
        alone.advance(90)
        assert alone.taken_losses().tolist() == [count, total]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_a_common_step_are_those_of_the_model_before_it(name: str, threads: int) -> None:
    rows, objective = some_rows(), Objective(name, STEP, w0=0.3)
    learner = make_learner(rows, objective, InNode(threads=threads), **ORDER)
    learner.watch_losses()
    learner.accumulate(len(rows))
    count, total = learner.taken_losses()
    margins = rows.labels * (rows.to_scipy() @ np.full(rows.features, 0.3))
    assert count == len(rows)
    assert rows.weights is not None
    expected = sum(s * loss(name, m) for s, m in zip(rows.weights, margins, strict=True))
    assert total == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("inside", [InNode(), InNode(delay=2), InNode(stale_decay=True, delay=1)])
def test_who_watches_losses_changes_no_bit_of_the_weights(inside: InNode) -> None:
    models = []
    for watched in (False, True):
        learner = make_learner(some_rows(), Objective("hinge", STEP), inside, **ORDER)
        if watched:
            learner.watch_losses()
        learner.advance(100)
        learner.commit(learner.contribution(), learner.steps)
        learner.advance(40)
        models.append(learner.contribution().tobytes())
    assert models[0] == models[1]
    assert isinstance(learner, StaleDecayLearner) == inside.stale_decay


def test_threads_lose_no_row_of_the_count() -> None:
    learner = make_learner(some_rows(), Objective("hinge", STEP), InNode(threads=2), **ORDER)
    learner.watch_losses()
    learner.advance(300)
    count, total = learner.taken_losses()
    assert count == 300
    assert 0.0 < total < 3.0 * 300
