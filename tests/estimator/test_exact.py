"""The dual to machine precision, against its optimality conditions and other solvers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.dual import solve_dual
from wpsgd.errors import ConfigError
from wpsgd.estimator import exact
from wpsgd.estimator.exact import solve_exactly
from wpsgd.evaluate import objective

LOSSES = ("hinge", "squared_hinge")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a fit: on a busy machine threads of a BLAS wait for one another."""
    with threadpool_limits(1, user_api="blas"):
        yield


def breast_cancer(*, scaled: bool) -> Rows:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0) if scaled else X
    return Rows.from_scipy(sparse.csr_array(X), 2.0 * y - 1.0).with_constant_column()


def relative_gap(rows: Rows, loss: str, alpha: float, dual: np.ndarray, weights: np.ndarray) -> float:
    """Computed anew from the definition of F and D."""
    s = np.ones(len(rows)) if rows.weights is None else rows.weights
    parts = dual if loss == "hinge" else dual - dual**2 / 4.0
    value = objective(weights, rows, loss=loss, alpha=alpha)
    return (value - (np.average(parts, weights=s) - alpha / 2.0 * weights @ weights)) / value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("scaled", "alpha"), [(True, 1e-2), (True, 1e-4), (False, 1e-2), (False, 1e-4)])
def test_the_gap_is_that_of_rounding(loss: str, scaled: bool, alpha: float) -> None:
    rows = breast_cancer(scaled=scaled)
    found = solve_exactly(rows, loss, alpha)
    assert found.dual.min() >= 0.0
    assert loss != "hinge" or found.dual.max() <= 1.0
    gap = relative_gap(rows, loss, alpha, found.dual, found.weights)
    assert abs(gap) < (1e-11 if scaled else 1e-8)
    assert found.gap == pytest.approx(gap * objective(found.weights, rows, loss=loss, alpha=alpha), abs=1e-9)
    pulls = rows.labels * found.dual / (alpha * len(rows))
    assert np.allclose(found.weights, rows.to_scipy().T @ pulls, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_wide_rows_give_the_weights_of_coordinate_ascent(loss: str) -> None:
    rows = problem(rows=200, features=900, nonzeros_per_row=20, seed=1).rows
    exact = solve_exactly(rows, loss, 1e-3)
    ascended = solve_dual(rows, loss, 1e-3, tol=1e-12)
    assert np.allclose(exact.weights, ascended.weights, rtol=1e-4, atol=1e-6)
    assert abs(relative_gap(rows, loss, 1e-3, exact.dual, exact.weights)) < 1e-12


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_of_weight_3_is_three_rows_in_any_order(loss: str) -> None:
    rng = np.random.default_rng(0)
    rows = problem(rows=60, features=90, nonzeros_per_row=12, seed=2).rows
    counts = rng.integers(1, 4, len(rows))
    weighted = Rows.from_scipy(rows.to_scipy(), rows.labels, counts.astype(np.float64))
    repeated = rows.take(rng.permutation(np.repeat(np.arange(len(rows)), counts)))
    one, other = solve_exactly(weighted, loss), solve_exactly(repeated, loss)
    assert np.allclose(one.weights, other.weights, rtol=1e-9, atol=1e-11)


def test_a_loss_without_a_dual_is_refused() -> None:
    with pytest.raises(ConfigError, match="log_loss"):
        solve_exactly(problem(rows=9, features=20, nonzeros_per_row=2, seed=0).rows, "log_loss")


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_few_entries_are_solved_as_dense_ones(monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    rows = problem(rows=60, features=3000, nonzeros_per_row=8, seed=3).rows
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(exact, "SPARSE", share)
        found.append(solve_exactly(rows, loss, 1e-3))
    assert np.allclose(found[0].weights, found[1].weights, rtol=1e-8, atol=1e-10)
    assert max(one.gap for one in found) < 1e-12
