"""Weights, warm starts, rounds and row counts at the edge of what can be meant."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from wpsgd import WPSGDClassifier
from wpsgd.errors import ConfigError, DataError
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated

X, Y = load_iris(return_X_y=True)
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
CANCER = StandardScaler().fit_transform(CANCER)


def by_sgd(**keys: Any) -> WPSGDClassifier:
    return WPSGDClassifier(**{"solver": "sgd", "tol": None, "max_iter": 3, "random_state": 0, **keys})


def rows_trained_on(model: WPSGDClassifier) -> int:
    return max(sum(e["counts"][i] for e in model.trace_ if e["kind"] == "round") for i in range(2))


PERIODS = ("hybrid", {"name": "hybrid", "period": 70}, {"name": "wp", "period": 90})


@pytest.mark.parametrize("strategy", PERIODS)
def test_max_iter_counts_passes_whatever_the_period_of_a_strategy_is(strategy: Any) -> None:
    X, y = np.tile(CANCER, (5, 1)), np.tile(BENIGN, 5)
    cluster = Simulated(Cluster((RowCost(1e-6), RowCost(1e-6))))
    model = by_sgd(strategy=strategy, runtime=cluster).fit(X, y)
    passes, period = rows_trained_on(model) / (len(y) / 2), 1000
    if isinstance(strategy, dict):
        period = strategy["period"]
    assert 3.0 <= passes <= 3.0 + period / (len(y) / 2) + 0.01
    assert model.n_iter_ == round(passes)


def test_one_node_makes_the_same_passes_whatever_nodes_look_on() -> None:
    cluster = Simulated(Cluster((RowCost(1e-6), RowCost(1e-6))))
    watched = by_sgd(strategy="sequential", runtime=cluster).fit(CANCER, BENIGN)
    assert np.array_equal(watched.coef_, by_sgd(strategy="sequential").fit(CANCER, BENIGN).coef_)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_class_of_weight_0_is_left_out(kind: Any) -> None:
    rows = X.astype(kind)
    model = WPSGDClassifier(class_weight={0: 0.0}).fit(rows, Y)
    without = WPSGDClassifier().fit(rows[50:], Y[50:])
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.allclose(model.coef_[2], without.coef_[0], rtol=1e-4, atol=1e-5)
    weights = np.where(Y == 0, 1e-300, 1.0)  # less than any digit, and than float32 has
    weightless = WPSGDClassifier().fit(rows, Y, weights)
    assert np.array_equal(weightless.coef_, model.coef_)


@pytest.mark.parametrize("solver", ["dual", "sgd"])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_sample_weights_mean_what_they_are_to_one_another(solver: str, kind: Any) -> None:
    keys: dict[str, Any] = {"solver": solver, "max_iter": 5, "tol": None, "random_state": 0}
    model = WPSGDClassifier(**keys).fit(X.astype(kind), Y)
    huge = WPSGDClassifier(**keys).fit(X.astype(kind), Y, np.full(len(Y), 1e300))
    assert np.allclose(huge.coef_, model.coef_, rtol=1e-5)
    with pytest.raises(DataError, match="sample_weight: must have a finite sum"):
        WPSGDClassifier(**keys).fit(X.astype(kind), Y, np.full(len(Y), 1e308))
    with pytest.raises(DataError, match="class_weight="):
        WPSGDClassifier(class_weight={1: 1e300}, **keys).fit(X, Y, np.full(len(Y), 1e10))


def test_weights_that_single_precision_cannot_hold_are_refused_by_partial_fit() -> None:
    weights = np.full(len(Y), 1e300)
    with pytest.raises(DataError, match=r"1e\+300 is out of the range of float32"):
        WPSGDClassifier().partial_fit(X.astype(np.float32), Y, [0, 1, 2], weights)


@pytest.mark.parametrize("solver", ["dual", "sgd"])
def test_a_warm_start_goes_on_with_the_same_classes_and_features_only(solver: str) -> None:
    model = WPSGDClassifier(solver=solver, max_iter=3, tol=None, warm_start=True).fit(X, Y)
    with pytest.raises(ConfigError, match=r"of classes \[0, 1, 2\], these data of \[5, 6, 7\]"):
        model.fit(X, Y + 5)
    with pytest.raises(ConfigError, match=r"has 5 weights a class, .*these data need 3"):
        model.fit(X[:, :2], Y)
    model.fit(X, Y)


@pytest.mark.parametrize("wish", ["early_stopping", "probability"])
def test_too_few_rows_to_judge_by_are_refused_in_one_line(wish: str) -> None:
    few = np.r_[0:4, 60:64]
    with pytest.raises(DataError, match=f"{wish}=True: validation_fraction=0.1 .* more than 8 rows"):
        by_sgd(**{wish: True}).fit(X[few], Y[few])
    model = by_sgd(**{wish: True}, validation_fraction=0.25).fit(X[few], Y[few])
    assert model.score(X[few], Y[few]) >= 0.5


def test_a_warning_says_what_was_watched_and_points_to_the_fit() -> None:
    for keys, watched in (({"early_stopping": True}, "accuracy on validation rows"), ({}, "objective")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            by_sgd(tol=1e-9, **keys).fit(CANCER, BENIGN)
        assert [one.category for one in caught] == [ConvergenceWarning]
        assert watched in str(caught[0].message)
        assert caught[0].filename == __file__


@pytest.mark.parametrize("alpha", [1e-3, 1e-5])
def test_a_pass_of_sgd_after_the_dual_keeps_what_was_solved(alpha: float) -> None:
    for rows, labels in ((CANCER, BENIGN), (X, Y)):
        model = WPSGDClassifier(alpha=alpha, random_state=0).fit(rows, labels)
        before = model.coef_.copy()
        after = model.partial_fit(rows, labels).coef_
        assert 0.0 < np.abs(after - before).max() < 0.05 * np.abs(before).max()
