"""Models of the dual solvers, whatever the scale of the rows: F, D and the gap are as they are reported."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.dual import solve_dual
from wpsgd.errors import DataError
from wpsgd.estimator import dual, exact
from wpsgd.estimator.exact import ExactResult

ALPHAS = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
TOL = 1e-3


def breast_cancer(*, scaled: bool = False) -> tuple[Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0) if scaled else X), 2.0 * y - 1.0


def iris() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    return X, np.where(y == 1, 1.0, -1.0)


PROBLEMS = {
    "breast cancer": breast_cancer(),
    "breast cancer, scaled": breast_cancer(scaled=True),
    "breast cancer, times 1e5": (1e5 * breast_cancer()[0], breast_cancer()[1]),
    "iris": iris(),
    "iris, times 1e5": (1e5 * iris()[0], iris()[1]),
    "iris, in float32": (iris()[0].astype(np.float32), iris()[1].astype(np.float32)),
}


def primal(rows: Rows, loss: str, alpha: float, weights: np.ndarray) -> float:
    """F from its definition."""
    weights = weights.astype(np.float64)
    short = np.maximum(1.0 - rows.labels * (rows.to_scipy().toarray().astype(np.float64) @ weights), 0.0)
    return float(np.mean(short if loss == "hinge" else short**2) + alpha / 2.0 * weights @ weights)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("name", list(PROBLEMS))
def test_no_model_is_further_from_the_best_than_its_gap_says(name: str, loss: str) -> None:
    X, y = PROBLEMS[name]
    rows = Rows.from_scipy(sparse.csr_array(X), y).with_constant_column()
    size = 1e5 if name.endswith("times 1e5") else 1.0
    smaller = Rows.from_scipy(sparse.csr_array(X / size), y).with_constant_column()
    rival = exact.solve_exactly(smaller, loss, 1e-6).weights / np.r_[np.full(X.shape[1], size), 1.0]
    for alpha in ALPHAS:
        with threadpool_limits(1, user_api="blas"):
            found = dual.solve(rows, loss, alpha, tol=TOL, max_epochs=60, seed=0)
        value, last = primal(rows, loss, alpha, found.weights), found.trace[-1]
        ascended = solve_dual(rows, loss, alpha, tol=1e-9, max_epochs=60).weights
        other = min(primal(rows, loss, alpha, weights) for weights in (ascended, rival))
        assert last["objective"] == pytest.approx(value, rel=1e-9)
        assert value <= 1.0 + 1e-12
        assert value <= other + last["gap"] + 1e-9
        assert value - last["gap"] <= other + 1e-9  # the gap is no smaller than what others gain
        assert (last["gap"] > TOL) == bool(found.unmet)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_lower_bound_is_the_dual_objective_by_its_definition(loss: str) -> None:
    X, y = PROBLEMS["breast cancer, scaled"]
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, len(y)).astype(np.float64)
    rows = Rows.from_scipy(sparse.csr_array(X), y, counts)
    for size in (0.0, 1e-3, 1e-2, 1.0):
        values = size * rng.random(len(y))
        w = X.T @ (counts * values * y) / (0.1 * counts.sum())
        parts = values if loss == "hinge" else values - values**2 / 4.0
        defined = float(counts @ parts / counts.sum() - 0.05 * w @ w)
        assert dual.lower_bound(rows, loss, 0.1, values) == pytest.approx(max(defined, 0.0), abs=1e-13)


def test_passes_take_over_where_the_factorisations_lost_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = breast_cancer(scaled=True)
    rows = Rows.from_scipy(sparse.csr_array(X), y).with_constant_column()

    def garbage(rows: Rows, loss: str, alpha: float, **limits: Any) -> ExactResult:
        return ExactResult(np.full(rows.features, 1e200), np.ones(len(rows)), 9, 0.0)

    monkeypatch.setattr(dual, "solve_exactly", garbage)
    found = dual.solve(rows, "hinge", 1e-2, tol=1e-6, max_epochs=1000, seed=0)
    best = exact.solve_exactly(rows, "hinge", 1e-2).weights
    assert not found.unmet
    assert primal(rows, "hinge", 1e-2, found.weights) <= primal(rows, "hinge", 1e-2, best) + 1e-6


def test_rows_that_cannot_be_solved_are_told_of() -> None:
    X, y = PROBLEMS["breast cancer, times 1e5"]
    with pytest.warns(ConvergenceWarning, match="before the duality gap .* scale the features"):
        model = WPSGDClassifier(max_iter=20).fit(X, y)
    # which rows such a model gets right is up to rounding; that it is no worse than no model is not
    hinge = np.maximum(1.0 - y * model.decision_function(X), 0.0).mean()
    assert hinge + 0.5 * model.alpha * float((model.coef_**2).sum()) <= 1.0 + 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WPSGDClassifier(alpha=1e-6).fit(X / 1e5, y).score(X / 1e5, y) > 0.95


@pytest.mark.parametrize("solver", ["dual", "sgd"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_values_without_a_finite_square_are_refused_in_one_line(solver: str, kind: Any) -> None:
    X, y = iris()
    X[3, 2] = -1e160
    with pytest.raises(DataError, match=r"^X has an entry of size 1e\+160: .*$"):
        WPSGDClassifier(solver=solver).fit(kind(X), y)
