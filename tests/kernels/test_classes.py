"""The kernels of several classes against those of one problem, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.evaluate import Scorer
from wpsgd.evaluate_classes import ClassesScorer
from wpsgd.kernels.classes import classes_pass
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.sgd import sgd_pass
from wpsgd.kernels.stepsize import Schedule, StepSize
from wpsgd.learners.classes import make_classes_learner
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, kernel_arrays

CLASSES, FEATURES = 5, 40


def some_rows(dtype: str, *, weighted: bool) -> tuple[Rows, NDArray[np.int32]]:
    """120 rows, one of them empty, and the class of each; -1 of rows of another block."""
    made = problem(120, FEATURES, 7.0, noise=0.1, seed=2).rows
    matrix = made.to_scipy().tolil()
    matrix[11] = 0.0
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.2, 3.0, 120) if weighted else None
    own = rng.integers(-1, CLASSES, 120).astype(np.int32)
    return Rows.from_scipy(matrix.tocsr(), np.ones(120), weights).astype(dtype), own


def of_class(rows: Rows, own: NDArray[np.int32], k: int) -> Rows:
    return rows.with_labels(np.where(own == k, 1.0, -1.0))


def starts(dtype: str) -> NDArray[Any]:
    return np.random.default_rng(4).normal(size=(CLASSES, FEATURES)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("schedule", ["pegasos", "constant", "adagrad"])
def test_each_class_takes_the_steps_of_its_problem_alone_bit_for_bit(
    schedule: Schedule, loss: str, dtype: str
) -> None:
    # pegasos wipes the weights at once; the constant step halves their scale, which is folded every 30 rows
    alpha, eta0 = (1.0, 0.5) if schedule == "constant" else (0.05, 0.3)
    rows, own = some_rows(dtype, weighted=loss != "log_loss")
    step, w0 = StepSize(schedule, alpha, eta0), starts(dtype)
    order = {"seed": 3, "rank": 1, "block": 4}
    together = make_classes_learner(rows, own, CLASSES, Objective(loss, step, w0.T.ravel()), **order)
    alone = [
        make_learner(of_class(rows, own, k), Objective(loss, step, w0[k]), **order)  # type: ignore[arg-type]
        for k in range(CLASSES)
    ]
    for learner in (together, *alone):
        learner.advance(170)
        learner.commit(learner.contribution(), learner.steps)
        learner.advance(95)
    models = together.side_by_side(together.contribution())
    for k, learner in enumerate(alone):
        assert np.array_equal(models[:, k], learner.contribution())
    for learner in (together, *alone):
        learner.restore(learner.contribution().copy(), learner.state())
        learner.advance(33)
    models = together.side_by_side(together.contribution())
    for k, learner in enumerate(alone):
        assert np.array_equal(models[:, k], learner.contribution())


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_in_common_are_those_of_each_class_bit_for_bit(loss: str) -> None:
    rows, own = some_rows("float64", weighted=True)
    step, w0 = StepSize("constant", 0.05, 0.3), starts("float64")
    together = make_classes_learner(rows, own, CLASSES, Objective(loss, step, w0.T.ravel()), seed=0, rank=0)
    alone = [
        make_learner(of_class(rows, own, k), Objective(loss, step, w0[k]), seed=0, rank=0)
        for k in range(CLASSES)
    ]
    for learner in (together, *alone):
        for _ in range(3):
            learner.accumulate(50)
            learner.descend(learner.gradient())
    models = together.side_by_side(together.contribution())
    for k, learner in enumerate(alone):
        assert np.array_equal(models[:, k], learner.contribution())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scores_of_all_classes_are_those_of_each(dtype: str) -> None:
    rows, own = some_rows(dtype, weighted=True)
    test, tested = some_rows(dtype, weighted=False)
    w = starts(dtype)
    w[3] = 0.0  # decision values of exactly 0
    for loss in LOSSES:
        more: dict[str, Any] = {"own": own, "tested": tested, "classes": CLASSES}
        scorer = ClassesScorer(rows, test, loss, 0.3, **more)
        model = np.ascontiguousarray(w.T).ravel()
        found = scorer.total(model, scorer.partial(model))
        for k in range(CLASSES):
            one = Scorer(of_class(rows, own, k), of_class(test, tested, k), loss, 0.3)
            expected = one.total(w[k], one.partial(w[k]))
            assert found.each[k][:2] == pytest.approx(expected[:2], rel=1e-12 if dtype == "float64" else 1e-6)
            assert found.each[k].accuracy == pytest.approx(expected.accuracy, abs=1e-12)
        assert found.objective == pytest.approx(np.mean([one.objective for one in found.each]))
        assert set(found.fields()["each"][0]) == {"objective", "test_objective", "accuracy"}


def test_a_margin_that_is_not_finite_in_one_class_stops_all_at_its_row() -> None:
    rows, own = some_rows("float64", weighted=False)
    order, step = np.arange(len(rows)), StepSize("constant", 0.05, 0.3)
    w, carry = np.zeros((FEATURES, CLASSES)), np.array([1.0, 0.0])
    w[rows.indices[rows.indptr[6]], 2] = np.inf
    indptr, indices, values, labels, weights = kernel_arrays(rows)
    applied = classes_pass(w, carry, indptr, indices, values, own, weights, order, 0, *step.formula, 0, 1.0)
    alone, one = np.ascontiguousarray(np.zeros(FEATURES)), np.array([1.0, 0.0])
    alone[rows.indices[rows.indptr[6]]] = np.inf
    labels = of_class(rows, own, 2).labels
    expected = sgd_pass(
        alone, one, indptr, indices, values, labels, weights, order, 0, *step.formula, 0, 1.0, 0.0, 0, 0
    )
    assert applied == expected < len(rows)
    assert carry[0] == one[0]
