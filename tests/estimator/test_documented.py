"""What docstrings say of weights and of what repeats, checked against LinearSVC, SGDClassifier and itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.svm import LinearSVC

from wpsgd import WPSGDClassifier
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated

X, Y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
WEIGHTS = np.random.default_rng(0).uniform(0.0, 9.0, len(Y))
FACTORS = {0: 5.0, 1: 0.25}
ALPHA = 1e-2


def exact(**keys: Any) -> Any:
    return LinearSVC(tol=1e-10, max_iter=1_000_000, **keys)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("factors", [None, FACTORS, "balanced"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_c_is_one_over_alpha_times_the_sum_of_weights(loss: str, factors: Any, weights: Any) -> None:
    each = np.ones(len(Y)) if weights is None else weights
    if factors == "balanced":  # which gives both classes the same sum: LinearSVC's counts rows, not weights
        mass = np.bincount(Y, each)
        factors_of = each.sum() / (2.0 * mass)
    else:
        factors_of = np.array([1.0, 1.0]) if factors is None else np.array([factors[0], factors[1]])
    total = float((each * factors_of[Y]).sum())
    theirs = exact(loss=loss, C=1.0 / (ALPHA * total), class_weight=dict(enumerate(factors_of)))
    theirs.fit(X, Y, sample_weight=each)
    ours = WPSGDClassifier(loss, alpha=ALPHA, class_weight=factors, tol=1e-9).fit(X, Y, weights)
    assert np.allclose(ours.coef_, theirs.coef_, atol=2e-4)
    assert np.allclose(ours.intercept_, theirs.intercept_, atol=2e-4)
    if weights is not None and isinstance(factors, dict):  # and 1 / (alpha n) is another model
        wrong = exact(loss=loss, C=1.0 / (ALPHA * len(Y)), class_weight=factors).fit(X, Y, weights)
        assert not np.allclose(ours.coef_, wrong.coef_, atol=1e-2)


@pytest.mark.parametrize("solver", ["dual", "sgd"])
def test_all_weights_doubled_are_the_same_model(solver: str) -> None:
    keys: dict[str, Any] = {"alpha": ALPHA, "solver": solver, "random_state": 0}
    one, other = (WPSGDClassifier(**keys).fit(X, Y, factor * WEIGHTS) for factor in (1.0, 2.0))
    assert np.allclose(one.coef_, other.coef_, rtol=1e-6, atol=1e-9)


def test_sgd_classifiers_alpha_is_alpha_times_the_mean_weight() -> None:
    # it minimises the mean over rows of s_i loss_i, plus alpha / 2 ||w||^2: the gradient is 0 at our model
    ours = WPSGDClassifier("squared_hinge", alpha=ALPHA, fit_intercept=False, tol=1e-9).fit(X, Y, WEIGHTS)
    signs = np.where(Y, 1.0, -1.0)
    margins = 1.0 - signs * (X @ ours.coef_[0])
    pull = (2.0 * WEIGHTS * np.maximum(0.0, margins) * signs) @ X / len(Y)
    assert np.allclose(ALPHA * WEIGHTS.mean() * ours.coef_[0], pull, atol=1e-6)


CLUSTER = Simulated(Cluster((RowCost(1e-6), RowCost(3e-6))), chunk=7)


@pytest.mark.parametrize(
    "keys",
    [
        {"strategy": "simuparallel"},
        {"strategy": "minibatch"},
        {"strategy": "cocoa"},
        {"strategy": "admm"},
        {"strategy": {"name": "minibatch", "threads": 2}},
        {"strategy": {"name": "cocoa", "threads": 2}},
        {"strategy": "sequential"},
        {"strategy": {"name": "delay", "delay": 3}},
        {"strategy": "wp", "n_workers": 1},
        {"strategy": {"name": "hybrid", "delay": 2}, "n_workers": 1},
        {"strategy": {"name": "wp", "ending": "rows"}},
        {"strategy": {"name": "wp", "ending": "given", "counts": [[100, 50], [80, 90], [70, 110]]}},
        {"strategy": "wp", "runtime": CLUSTER},
        {"strategy": "average_directly", "runtime": CLUSTER},
        {"solver": "dual"},
    ],
    ids=str,
)
def test_what_is_said_to_repeat_repeats_to_the_bit(keys: dict[str, Any]) -> None:
    keys = {"solver": "sgd", "n_workers": 2, "max_iter": 3, "tol": None, "random_state": 3, **keys}
    models = [WPSGDClassifier(**keys).fit(X, Y) for _ in range(3)]
    for model in models[1:]:
        assert np.array_equal(model.coef_, models[0].coef_)
        assert np.array_equal(model.intercept_, models[0].intercept_)
