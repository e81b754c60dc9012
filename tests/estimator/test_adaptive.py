"""learning_rate="adaptive" against learners whose step size is lowered by hand, and on every runtime."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated

X, Y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
IRIS, SPECIES = load_iris(return_X_y=True)


def fitted(schedule: str = "adaptive", rows: Any = X, labels: Any = Y, **keys: Any) -> WPSGDClassifier:
    keys = {"random_state": 0, "eta0": 0.1, "solver": "sgd", "n_workers": 1, "fit_intercept": False, **keys}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return WPSGDClassifier(learning_rate=schedule, **keys).fit(rows, labels)


def test_the_step_size_is_a_fifth_where_a_constant_one_would_have_stopped() -> None:
    stopped = fitted("constant").n_iter_
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    rows = Rows.from_scipy(sparse.csr_array(X), np.where(Y, 1.0, -1.0))
    objective = Objective("hinge", StepSize("constant", 1e-4, 0.1))
    learner = make_learner(rows, objective, seed=seed, rank=0)
    for done in range(1, stopped + 4):
        learner.advance(len(rows))
        learner.commit(learner.contribution(), learner.steps)
        assert np.array_equal(fitted(max_iter=done).coef_[0], learner.weights)
        if done == stopped:
            smaller = replace(objective, step=StepSize("constant", 1e-4, 0.1 / 5.0))
            kept, weights = learner.state(), learner.weights
            learner = make_learner(rows, smaller, seed=seed, rank=0)
            learner.restore(weights, kept)


def test_each_class_lowers_its_own_and_all_end_lower_than_constant_ones() -> None:
    for labels in (SPECIES, SPECIES == 1):
        adaptive = fitted(rows=IRIS, labels=labels, eta0=0.01)
        constant = fitted("constant", rows=IRIS, labels=labels, eta0=0.01)
        assert adaptive.n_iter_ > constant.n_iter_
        ends = [
            [event["objective"] for event in one.trace_ if event["kind"] == "look"]
            for one in (adaptive, constant)
        ]
        assert min(ends[0]) < min(ends[1])
        assert np.array_equal(fitted(rows=IRIS, labels=labels, eta0=0.01, n_jobs=2).coef_, adaptive.coef_)


@pytest.mark.parametrize("keys", [{"early_stopping": True}, {"strategy": "minibatch"}, {"average": True}])
def test_whatever_stops_a_run_lowers_it(keys: dict[str, Any]) -> None:
    assert fitted(**keys).n_iter_ > fitted("constant", **keys).n_iter_


def test_threads_and_virtual_nodes_lower_it_at_the_same_moments() -> None:
    cluster = Simulated(Cluster((RowCost(1e-6), RowCost(1e-6))), chunk=16)
    threads = fitted(n_workers=2)
    virtual = fitted(runtime=cluster, strategy="simuparallel")
    assert threads.n_iter_ == virtual.n_iter_
    assert np.array_equal(threads.coef_, virtual.coef_)


def test_without_a_tolerance_it_is_constant_and_so_it_is_in_partial_fit() -> None:
    assert np.array_equal(fitted(tol=None, max_iter=3).coef_, fitted("constant", tol=None, max_iter=3).coef_)
    keys: dict[str, Any] = {"eta0": 0.1, "random_state": 0}
    by_pass = WPSGDClassifier(learning_rate="adaptive", **keys).partial_fit(X, Y, [0, 1])
    assert np.array_equal(
        by_pass.coef_, WPSGDClassifier(learning_rate="constant", **keys).partial_fit(X, Y, [0, 1]).coef_
    )


def test_it_warns_where_passes_or_time_ran_out_and_not_where_it_got_small() -> None:
    keys: dict[str, Any] = {"learning_rate": "adaptive", "eta0": 0.1, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WPSGDClassifier(**keys).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        WPSGDClassifier(max_iter=12, **keys).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="max_seconds"):
        WPSGDClassifier(max_seconds=1e-9, **keys).fit(X, Y)


@pytest.mark.parametrize("strategy", ["cocoa", {"name": "admm"}])
def test_what_has_no_step_sizes_refuses_it(strategy: Any) -> None:
    with pytest.raises(ConfigError, match=r'^learning_rate="adaptive": .* no step sizes'):
        fitted(strategy=strategy)
