"""Newton's method on the weights, against scipy's minimisers, other solvers and the definition of the gap."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError
from wpsgd.estimator import costs, curvature, judging
from wpsgd.estimator.exact import solve_exactly
from wpsgd.estimator.newton import SMOOTH_LOSSES, NewtonResult, minimise
from wpsgd.evaluate import objective

ALPHA = 1e-3


def table(rows: int, features: int, seed: int = 0, *, weights: Any = None, dtype: Any = np.float64) -> Rows:
    """A dense table of noisy labels, no columns alike in size."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(rows, features)) * np.logspace(-1, 1, features)).astype(dtype)
    y = np.where(X[:, 0] + 0.1 * rng.normal(size=rows) > 0, 1.0, -1.0)
    return Rows.from_scipy(sparse.csr_array(X), y, weights).with_constant_column()


PROBLEMS: dict[str, Callable[[], Rows]] = {
    "a narrow table": lambda: table(400, 6),
    "weighted": lambda: table(300, 8, weights=np.random.default_rng(1).uniform(0.1, 5.0, 300)),
    "more columns than rows": lambda: problem(rows=60, features=150, nonzeros_per_row=9, seed=2).rows,
    "sparse": lambda: problem(rows=500, features=80, nonzeros_per_row=5, seed=3).rows,
    "of one row": lambda: table(1, 3),
}


def slope_and_value(rows: Rows, loss: str, alpha: float) -> Callable[[Any], tuple[float, Any]]:
    """F and its gradient from their definitions, on a dense copy."""
    Z = rows.to_scipy().toarray().astype(np.float64) * rows.labels[:, None]
    s = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)

    def at(w: Any) -> tuple[float, Any]:
        m = Z @ w
        short = np.maximum(1.0 - m, 0.0)
        losses, pulls = {
            "squared_hinge": (short**2, 2.0 * short),
            "log_loss": (np.logaddexp(0.0, -m), expit(-m)),
            "modified_huber": (np.where(m < -1.0, -4.0 * m, short**2), np.minimum(2.0 * short, 4.0)),
        }[loss]
        value = s @ losses / s.sum() + alpha / 2.0 * w @ w
        return float(value), alpha * w - Z.T @ (s * pulls) / s.sum()

    return at


def dual_objective(rows: Rows, loss: str, alpha: float, dual: Any) -> float:
    """D from its definition."""
    s = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
    if loss == "log_loss":
        inside = np.clip(dual, 1e-300, 1.0)
        rest = np.clip(1.0 - dual, 1e-300, 1.0)
        parts = -dual * np.log(inside) - (1.0 - dual) * np.log(rest)
    else:
        parts = dual - dual**2 / 4.0
    w = rows.to_scipy().toarray().T @ (s * dual * rows.labels) / (alpha * s.sum())
    return float(s @ parts / s.sum() - alpha / 2.0 * w @ w)


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
@pytest.mark.parametrize("name", list(PROBLEMS))
def test_the_weights_are_those_of_scipy_s_minimiser(name: str, loss: str) -> None:
    rows = PROBLEMS[name]()
    found = minimise(rows, loss, ALPHA, goal=1e-13)
    at = slope_and_value(rows, loss, ALPHA)
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 50}
    best = minimize(at, np.zeros(rows.features), jac=True, method="L-BFGS-B", options=options)
    assert at(found.weights)[0] <= best.fun + 1e-12
    assert np.allclose(found.weights, best.x, rtol=1e-3, atol=1e-4)
    assert found.gap <= 1e-13
    assert found.steps < 60


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
@pytest.mark.parametrize("name", list(PROBLEMS))
def test_the_gap_is_that_to_the_dual_objective_at_every_goal(name: str, loss: str) -> None:
    rows = PROBLEMS[name]()
    best = minimise(rows, loss, ALPHA, goal=1e-13)
    optimum = objective(best.weights, rows, loss=loss, alpha=ALPHA)
    for goal in (10.0, 1e-1, 1e-3, 1e-6):
        found = minimise(rows, loss, ALPHA, goal=goal)
        value = objective(found.weights, rows, loss=loss, alpha=ALPHA)
        defined = value - dual_objective(rows, loss, ALPHA, found.dual)
        assert found.gap == pytest.approx(defined, rel=1e-6, abs=1e-12)
        assert found.gap <= goal or goal == 10.0
        assert -1e-12 <= value - optimum <= found.gap + 1e-12
        told = judging.lower_bound(rows, loss, ALPHA, found.dual)
        assert told == pytest.approx(max(0.0, value - defined), abs=1e-12)


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
def test_a_row_of_weight_3_is_three_rows(loss: str) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, 200)
    weighted = table(200, 7, weights=counts.astype(np.float64))
    repeated = replace(weighted, weights=None).take(rng.permutation(np.repeat(np.arange(200), counts)))
    one, other = (minimise(rows, loss, ALPHA, goal=1e-14) for rows in (weighted, repeated))
    assert np.allclose(one.weights, other.weights, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
def test_factorisations_and_conjugate_gradients_come_to_the_same(
    monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    rows, found = table(600, 30), []
    for widest in (0, costs.WIDEST):
        monkeypatch.setattr(costs, "WIDEST", widest)
        found.append(minimise(rows, loss, ALPHA, goal=1e-13))
    assert found[0].gap <= 1e-13
    assert np.allclose(found[0].weights, found[1].weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
@pytest.mark.parametrize("make", [lambda: table(50, 6), lambda: problem(40, 30, 4, seed=1).rows])
def test_curvatures_are_those_of_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch, loss: str, make: Callable[[], Rows]
) -> None:
    rows = make()
    bends = np.where(np.arange(len(rows)) % 3 == 0, 0.0, np.linspace(0.1, 2.0, len(rows)))
    X = rows.to_scipy().toarray()
    dense = ALPHA * np.eye(rows.features) + X.T @ (bends[:, None] * X) / len(rows)
    design = curvature.Design(rows, ALPHA, 1.0 / len(rows))
    v = np.linspace(-1.0, 1.0, rows.features)
    assert np.allclose(design.curved(bends, v), dense @ v, rtol=1e-12, atol=1e-14)
    assert np.allclose(design.diagonal(bends), dense.diagonal(), rtol=1e-12)
    for row_by_row in (True, False):
        monkeypatch.setattr(curvature, "row_by_row", lambda rows, one=row_by_row: one)
        monkeypatch.setattr(curvature, "BLOCK", 7 * rows.features)  # several blocks, the last a short one
        assert np.allclose(np.tril(design.hessian(bends)), np.tril(dense), rtol=1e-12, atol=1e-14)


def test_log_loss_is_trained_as_by_logistic_regression_and_certified() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = WPSGDClassifier("log_loss", alpha=ALPHA).fit(X, y)
    assert model.solver_ == "newton"
    assert model.trace_[-1]["gap"] <= 1e-12
    columns = np.column_stack([X, np.ones(len(X))])
    peer = LogisticRegression(C=1.0 / (ALPHA * len(y)), fit_intercept=False, tol=1e-10, max_iter=10_000)
    peer.fit(columns, y)
    assert np.allclose(np.append(model.coef_, model.intercept_), peer.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", ["auto", "newton"])
def test_the_squared_hinge_is_solved_as_by_linear_svc_to_a_gap_of_1e_10(solver: str) -> None:
    made = table(3000, 40)
    X, y = made.to_scipy().toarray()[:, :-1], made.labels
    model = WPSGDClassifier("squared_hinge", alpha=ALPHA, solver=solver).fit(X, y)
    assert model.solver_ == ("newton" if solver == "newton" else "dual")
    assert model.trace_[-1]["gap"] <= 1e-10
    peer = LinearSVC(C=1.0 / (ALPHA * len(y)), dual=False, tol=1e-10, max_iter=10_000).fit(X, y)
    assert np.allclose(model.coef_, peer.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_no_array_of_rows_by_rows_is_made_where_features_are_fewer(loss: str) -> None:
    rows = table(4000, 5)
    with threadpool_limits(1, user_api="blas"):
        for solve in (
            lambda: WPSGDClassifier(loss, alpha=ALPHA).fit(rows.to_scipy(), rows.labels),
            lambda: solve_exactly(rows, loss, ALPHA),
        ):
            solve()  # what is compiled stays
            tracemalloc.start()
            try:
                solve()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 80 * 8 * rows.nonzeros < 0.15 * 8 * len(rows) ** 2


def asked(times: int) -> Callable[[], bool]:
    """Says yes from so many questions on."""
    count = iter(range(10**9))
    return lambda: next(count) >= times


def halted_newton(rows: Rows, halted: Callable[[], bool]) -> NewtonResult:
    return minimise(rows, "log_loss", 1e-8, goal=1e-13, halted=halted)


def test_newton_ends_between_two_passes_once_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = problem(rows=300, features=900, nonzeros_per_row=9, seed=1).rows
    passes, product = [0], curvature.Design.curved

    def counted(self: Any, *args: Any) -> Any:
        passes[0] += 1
        return product(self, *args)

    monkeypatch.setattr(curvature.Design, "curved", counted)
    whole = halted_newton(rows, lambda: False)
    needed = passes[0]
    for times in (0, 1, 3, 9):
        passes[0] = 0
        part = halted_newton(rows, asked(times))
        assert passes[0] <= times + 1 < needed
        assert part.steps <= times < whole.steps + needed
        assert np.isfinite(part.weights).all()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_interior_point_ends_between_two_factorisations_once_time_is_up(loss: str) -> None:
    rows = table(300, 5)
    whole = solve_exactly(rows, loss, ALPHA)
    for most in (1, 3):
        assert solve_exactly(rows, loss, ALPHA, most_steps=most).steps == most < whole.steps
        assert solve_exactly(rows, loss, ALPHA, halted=asked(most)).steps <= most + 1


def test_steps_are_limited_by_max_iter_and_say_so() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 Newton steps before the duality gap .* raise"):
        model = WPSGDClassifier("log_loss", max_iter=2).fit(X, y)
    assert model.n_iter_ == 2
    with pytest.warns(ConvergenceWarning, match="raise max_seconds"):
        WPSGDClassifier("log_loss", max_seconds=1e-9).fit(X, y)
    short = WPSGDClassifier("log_loss", max_iter=2, tol=None).fit(X, y)  # asks for no precision: no warning
    assert np.array_equal(short.coef_, model.coef_)


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_unscaled_columns_end_below_the_objective_of_no_model(loss: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    for size in (1.0, 1e5):
        model = WPSGDClassifier(loss).fit(size * X, y)
        assert model.trace_[-1]["objective"] < 0.2
        assert model.score(size * X, y) > 0.95


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
def test_many_classes_dense_sparse_and_float32_rows_give_one_model(loss: str) -> None:
    X, y = load_digits(return_X_y=True)
    X = X[:300] / 16.0
    keys: dict[str, Any] = {"solver": "newton", "alpha": 1e-2, "class_weight": "balanced"}
    model = WPSGDClassifier(loss, **keys).fit(X, y[:300])
    assert model.coef_.shape == (10, 64)
    other = WPSGDClassifier(loss, n_jobs=2, **keys).fit(sparse.csr_array(X), y[:300])
    assert np.allclose(model.coef_, other.coef_, rtol=1e-7, atol=1e-9)
    single = WPSGDClassifier(loss, **keys).fit(X.astype(np.float32), y[:300])
    assert single.coef_.dtype == np.float32
    assert np.allclose(model.coef_, single.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_a_warm_start_begins_with_the_last_weights(loss: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = WPSGDClassifier(loss, alpha=1e-2, warm_start=True).fit(X, y)
    first = model.n_iter_
    model.set_params(alpha=0.9e-2).fit(X, y)
    cold = WPSGDClassifier(loss, alpha=0.9e-2).fit(X, y)
    assert model.n_iter_ < min(first, cold.n_iter_)
    assert np.allclose(model.coef_, cold.coef_, rtol=1e-5, atol=1e-8)


def test_a_loss_without_a_slope_everywhere_is_refused_in_one_line() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ConfigError, match=r'^solver="newton": loss="hinge": has no slope everywhere: .*$'):
        WPSGDClassifier(solver="newton").fit(X, y)
    with pytest.raises(ConfigError, match=r'^solver="newton": average=True: is a matter of SGD$'):
        WPSGDClassifier("log_loss", solver="newton", average=True).fit(X, y)
    with pytest.raises(ConfigError, match="Newton's method takes one of"):
        minimise(table(9, 2), "hinge", ALPHA, goal=1e-3)
