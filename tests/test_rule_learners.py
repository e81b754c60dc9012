"""Learners of two rules, against stored iterates, dense squared gradients, and the plain learner."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import (
    AskedLearner,
    AskedTailLearner,
    KeepsSquares,
    SquaresLearner,
    TailLearner,
    learner_for,
    unfit,
)
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import RULES

STEPS = [
    StepSize("constant", 1e-3, 0.5),
    StepSize("constant", 0.5, 1.9),  # all but wiped each row: averages and scales are gathered all the time
    StepSize("constant", 0.05, 1.0),
    StepSize("optimal", 1e-3),
    StepSize("pegasos", 1e-2),  # its first step wipes
    StepSize("invscaling", 1e-2, 5.0, 0.4),
]


def rows(dtype: str = "float64", weighted: bool = False) -> Rows:
    found = problem(300, 40, 6.0, noise=0.1, seed=2, dtype=np.dtype(dtype)).rows
    if not weighted:
        return found
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(found))
    return Rows.from_scipy(found.to_scipy(), found.labels, weights)


def learner(kind: type[SGDLearner], step: StepSize, data: Rows, intercept: bool = False) -> SGDLearner:
    return make_learner(data, Objective("hinge", step, 0.25, intercept), seed=1, rank=0, kind=kind)


def average_of_iterates(plain: SGDLearner, count: int) -> np.ndarray[Any, Any]:
    """Shamir and Zhang's recursion, eta = 3, over iterates that are written out."""
    average = np.zeros(len(plain.weights))
    for t in range(1, count + 1):
        plain.advance(1)
        rho = 4.0 / (t + 3.0)
        average = (1.0 - rho) * average + rho * plain.contribution().astype(np.float64)
    return average


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("count", [1, 2, 700])
@pytest.mark.parametrize(("intercept", "weighted"), [(False, False), (True, True)])
def test_the_average_is_that_of_the_iterates(
    step: StepSize, count: int, intercept: bool, weighted: bool
) -> None:
    data = rows(weighted=weighted)
    expected = average_of_iterates(learner(SGDLearner, step, data, intercept), count)
    averaging = learner(TailLearner, step, data, intercept)
    averaging.advance(count)
    np.testing.assert_allclose(averaging.contribution(), expected, rtol=1e-9, atol=1e-11)


def test_the_average_in_single_precision_is_as_good_as_its_iterates() -> None:
    step, data = StepSize("constant", 0.01, 0.5), rows("float32")
    expected = average_of_iterates(learner(SGDLearner, step, data), 2000)
    averaging = learner(TailLearner, step, data)
    averaging.advance(2000)
    found = averaging.contribution()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [TailLearner, SquaresLearner, AskedLearner])
def test_keeping_more_leaves_the_iterates_their_bits(
    kind: type[SGDLearner], step: StepSize, dtype: str
) -> None:
    plain, keeping = (learner(each, step, rows(dtype, weighted=True), True) for each in (SGDLearner, kind))
    for count in (1, 40, 500):
        plain.advance(count)
        keeping.advance(count)
    assert SGDLearner.contribution(keeping).tobytes() == plain.contribution().tobytes()


def test_a_learner_that_is_asked_keeps_what_the_others_keep_and_contributes_its_own() -> None:
    kinds = (SGDLearner, TailLearner, SquaresLearner, AskedLearner, AskedTailLearner)
    plain, averaging, squaring, asked, tail = (
        learner(kind, STEPS[0], rows(weighted=True), True) for kind in kinds
    )
    for _ in range(2):  # anew after each commit
        for one in (plain, averaging, squaring, asked, tail):
            one.advance(200)
        average, iterate = averaging.contribution().tobytes(), plain.contribution().tobytes()
        for one, given in ((asked, iterate), (tail, average)):
            assert isinstance(one, AskedLearner | AskedTailLearner)
            assert isinstance(squaring, SquaresLearner)
            assert one.contribution().tobytes() == given
            assert one.average().tobytes() == average
            assert one.iterate().tobytes() == iterate
            assert one.squares().tobytes() == squaring.squares().tobytes()
        model = plain.contribution().copy()
        for one in (plain, averaging, squaring, asked, tail):
            one.commit(model, one.steps)


def test_chunks_change_no_bit_of_an_average_and_a_commit_starts_a_new_one() -> None:
    whole, cut = (learner(TailLearner, STEPS[0], rows(), intercept=True) for _ in range(2))
    for _ in range(2):
        whole.advance(90)
        for count in (1, 7, 40, 42):
            cut.advance(count)
        assert cut.contribution().tobytes() == whole.contribution().tobytes()
        for one in (whole, cut):
            one.commit(one.contribution(), one.steps)
        assert whole.contribution().tobytes() == whole.weights.tobytes()
    fresh = learner(SGDLearner, STEPS[0], rows(), intercept=True)
    fresh.restore(whole.weights, whole.state())
    expected = average_of_iterates(fresh, 33)
    whole.advance(33)
    np.testing.assert_allclose(whole.contribution(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_gradients_are_those_of_a_dense_loop(loss: str, weighted: bool) -> None:
    step, data = StepSize("constant", 1e-3, 0.2), rows(weighted=weighted)
    objective = Objective(loss, step, 0.25, intercept=True)
    plain, keeping = (
        make_learner(data, objective, seed=1, rank=0, kind=kind) for kind in (SGDLearner, SquaresLearner)
    )
    dense, expected = naive.dense(data), np.zeros(41)
    for i in next(make_learner(data, objective, seed=1, rank=0).order.take(200)):
        w = plain.contribution()
        m = dense.y[i] * (dense.x[i] @ w[:40] + w[40])
        gradient = dense.s[i] * naive.slope_at(loss, m) * dense.y[i] * np.append(dense.x[i], 1.0)
        expected += gradient**2
        plain.advance(1)
    keeping.advance(200)
    assert isinstance(keeping, KeepsSquares)
    np.testing.assert_allclose(keeping.squares(), expected, rtol=1e-9)
    keeping.commit(keeping.contribution(), keeping.steps)
    assert not keeping.squares().any()


def test_adagrad_gives_the_squares_that_it_keeps_anyway() -> None:
    step = StepSize("adagrad", 1e-3, 0.5)
    objective = Objective("hinge", step, 0.25, intercept=True)
    keeping = make_learner(rows(), objective, seed=1, rank=0, kind=SquaresLearner)
    keeping.advance(100)
    before = keeping.state()
    assert isinstance(keeping, KeepsSquares)
    assert keeping.squares().tolist() == [*before["squares"], before["intercept_squares"]]


def test_a_rule_says_what_learner_it_needs() -> None:
    plain = learner(SGDLearner, STEPS[0], rows())
    for rule in RULES.values():
        assert unfit(rule, learner(learner_for(rule), STEPS[0], rows())) == ""
        assert (unfit(rule, plain) == "") == (learner_for(rule) is SGDLearner)
        assert unfit(rule, learner(learner_for(rule, asked=True), STEPS[0], rows())) == ""
    assert unfit(RULES["tail"], learner(AskedLearner, STEPS[0], rows()))  # contributes none
    assert unfit(RULES["tail"], plain).endswith("make_learner(..., kind=TailLearner)")
    assert unfit(RULES["diagonal"], plain).endswith("make_learner(..., kind=SquaresLearner)")
