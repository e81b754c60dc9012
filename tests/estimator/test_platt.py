"""Platt scaling against a general optimiser, and over parts of the rows."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from wpsgd import WPSGDClassifier
from wpsgd.data.synthetic import problem
from wpsgd.estimator.platt import carried_over, platt, probabilities


def scores(n: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    f = rng.normal(size=n) * 3.0
    return f, rng.random(n) < expit(1.7 * f - 0.8), rng.random(n) + 0.5


def test_it_is_the_most_likely_sigmoid_of_platts_targets() -> None:
    f, positive, weights = scores()
    more, less = weights[positive].sum(), weights[~positive].sum()
    targets = np.where(positive, (more + 1) / (more + 2), 1 / (less + 2))

    def loss(ab: np.ndarray) -> float:
        z = ab[0] * f + ab[1]
        return float((weights * (np.logaddexp(0, z) - targets * z)).sum())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12})
    assert np.allclose(platt(f, positive, weights), best.x, atol=1e-6)


def test_separated_scores_and_one_class_have_finite_sigmoids() -> None:
    f = np.array([-1e3, -5e2, 2e2, 1e3])
    for positive in (f > 0, f > 1e9, f < 1e9):
        assert np.isfinite(platt(f, positive)).all()


def test_sums_over_two_processes_are_those_of_one() -> None:
    f, positive, weights = scores(100)
    calls = []

    def doubled(sums: np.ndarray) -> np.ndarray:
        calls.append(1)
        return 2.0 * sums  # the other process holds the same rows

    two = platt(f, positive, weights, doubled)
    assert np.allclose(two, platt(np.tile(f, 2), np.tile(positive, 2), np.tile(weights, 2)), rtol=1e-8)
    assert len(calls) > 2


def test_a_sigmoid_is_carried_over_by_the_line_of_least_squares() -> None:
    f, _, weights = scores(200)
    others = 2.0 * f - 1.0 + 0.3 * np.random.default_rng(1).normal(size=200)
    slope, shift = np.polyfit(f, others, 1, w=np.sqrt(weights))
    assert np.allclose(carried_over((1.5, 0.2), f, others, weights), (1.5 * slope, 1.5 * shift + 0.2))
    halves = carried_over((1.5, 0.2), f, others, weights, lambda sums: 2.0 * sums)
    assert np.allclose(halves, carried_over((1.5, 0.2), *(np.tile(x, 2) for x in (f, others, weights))))
    assert carried_over((1.5, 0.2), np.full(9, 4.0), np.full(9, 3.0)) == (1.5, 0.2 - 1.5)


def test_probabilities_after_few_passes_of_sgd_fit_its_own_model() -> None:
    rows = problem(4000, 3000, 20.0, noise=0.05, seed=1).rows
    X, y = rows.to_scipy(), rows.labels
    judged, truth = X[2000:], y[2000:]
    for seed in range(4):
        keys = {"strategy": "simuparallel", "n_workers": 4, "tol": None, "max_iter": 10}
        model = WPSGDClassifier(probability=True, random_state=seed, **keys).fit(X[:2000], y[:2000])
        f = model.decision_function(judged)[:, None]
        best = LogisticRegression(C=1e6).fit(f, truth).predict_proba(f)  # which knows the answers
        assert log_loss(truth, model.predict_proba(judged)) < log_loss(truth, best) + 0.03


def test_probabilities_of_several_classes_add_up_where_all_are_improbable() -> None:
    found = probabilities(np.array([[-1e9, -1e9, -1e9], [3.0, -1.0, 0.0]]), np.ones((3, 2)) * [1.0, 0.0])
    assert np.allclose(found.sum(axis=1), 1.0)
    assert np.allclose(found[0], 1 / 3)
