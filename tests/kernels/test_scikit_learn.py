"""Tests of the SGD pass against scikit-learn's SGDClassifier, epoch for epoch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, cast

import naive
import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.stepsize import Schedule, StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner

SETTINGS = {
    "optimal": (1e-3, 1.0, 0.5),
    "constant": (1e-3, 0.3, 0.5),
    "invscaling": (1e-2, 2.0, 0.3),
}


@cache
def some_rows(*, weighted: bool = False, length: float = 1.0) -> Rows:
    rows = problem(400, 60, 7.0, noise=0.1, seed=8).rows
    rows = replace(rows, values=length * rows.values)
    return replace(rows, weights=np.random.default_rng(0).uniform(0.2, 2.0, 400) if weighted else None)


def rows_for(loss: str) -> Rows:
    """Under smooth losses so short that our bound on a row's step, which the peer lacks, shortens none."""
    return some_rows() if loss == "hinge" else some_rows(length=0.2)


def peer(rows: Rows, loss: str, schedule: str, *, sparse: bool = True, w0: float = 0.0, **more: Any) -> Any:
    alpha, eta0, power = SETTINGS[schedule]
    arguments: dict[str, Any] = {
        "alpha": alpha,
        "eta0": eta0,
        "power_t": power,
        "fit_intercept": False,
        **more,
    }
    model = SGDClassifier(
        loss=loss, learning_rate=schedule, shuffle=False, max_iter=2, tol=None, average=False, **arguments
    )
    x = rows.to_scipy() if sparse else rows.to_scipy().toarray()
    return model.fit(x, rows.labels, coef_init=np.full((1, 60), w0), sample_weight=rows.weights)


def ours(rows: Rows, loss: str, schedule: str, *, w0: float = 0.0, intercept: bool = False) -> SGDLearner:
    step = StepSize(cast(Schedule, schedule), *SETTINGS[schedule])
    learner = make_learner(rows, Objective(loss, step, w0, intercept), seed=0, rank=0, shuffle=False)
    learner.advance(800)
    return learner


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("schedule", SETTINGS)
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_two_epochs_equal_sgdclassifiers(loss: str, schedule: str, sparse: bool) -> None:
    rows = rows_for(loss)
    expected = peer(rows, loss, schedule, sparse=sparse).coef_.ravel()
    found = ours(rows, loss, schedule).contribution()
    scale = np.max(np.abs(expected))
    assert scale > 0.1
    assert np.max(np.abs(found - expected)) <= 1e-9 * scale
    assert np.max(np.abs(rows.to_scipy() @ (found - expected))) <= 1e-9 * scale


@pytest.mark.parametrize("schedule", SETTINGS)
def test_sample_weights_with_a_start_equal_sgdclassifiers(schedule: str) -> None:
    rows = some_rows(weighted=True)
    expected = peer(rows, "hinge", schedule, w0=4.0).coef_.ravel()
    assert np.allclose(ours(rows, "hinge", schedule, w0=4.0).contribution(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", SETTINGS)
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_the_intercept_equals_sgdclassifiers_on_sparse_rows(loss: str, schedule: str) -> None:
    rows = rows_for(loss)
    model = peer(rows, loss, schedule, fit_intercept=True)
    found = ours(rows, loss, schedule, intercept=True).contribution()
    assert found[-1] == pytest.approx(model.intercept_[0], rel=1e-9)
    assert np.allclose(found[:-1], model.coef_.ravel(), rtol=1e-9, atol=1e-9)
    assert abs(model.intercept_[0]) > 1e-4


def test_the_intercept_differs_from_sgdclassifiers_on_dense_rows() -> None:
    # there scikit-learn's intercept takes its whole step, a hundred times ours
    rows = some_rows()
    model = peer(rows, "hinge", "optimal", sparse=False, fit_intercept=True)
    found = ours(rows, "hinge", "optimal", intercept=True).contribution()
    assert abs(found[-1] - model.intercept_[0]) > 1e-3
