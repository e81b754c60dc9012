"""What the dual's solvers are tried in which order: counted, not timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.estimator import costs, dual, exact, fitting
from wpsgd.estimator.exact import solve_exactly


def table(rows: int, columns: int, size: float = 1.0) -> Rows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns)) * np.geomspace(1.0, size, columns)
    y = np.where(X[:, 0] + rng.normal(size=rows) > 0, 1.0, -1.0)
    return Rows.from_scipy(sparse.csr_array(X), y).with_constant_column()


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that a solve goes through."""
    seen: list[str] = []
    for name in ("exactly", "newton", "passes", "rounded"):
        stage = getattr(dual._Search, name)

        def told(self: Any, *args: Any, name: str = name, stage: Any = stage) -> None:
            seen.append(name)
            stage(self, *args)

        monkeypatch.setattr(dual._Search, name, told)
    return seen


@pytest.mark.parametrize(
    ("rows", "columns", "loss", "stages"),
    [
        (300, 5, "hinge", ["exactly"]),
        (300, 5, "squared_hinge", ["newton"]),
        (20, 50, "squared_hinge", ["exactly"]),
        (5000, 5, "hinge", ["rounded"]),
        (5000, 300, "hinge", ["passes"]),
        (5000, 5, "squared_hinge", ["newton"]),
    ],
)
def test_what_is_foreseen_to_cost_least_comes_first(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, loss: str, stages: list[str]
) -> None:
    seen = noted(monkeypatch)
    found = dual.solve(table(rows, columns), loss, 1e-3, tol=1e-3, max_epochs=1000, seed=0)
    assert seen == stages
    assert found.trace[-1]["gap"] <= 1e-3


def test_passes_come_first_over_sparse_rows_of_few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = sparse.random_array((5000, 120), density=0.1, rng=rng, format="csr")
    y = np.where(X @ rng.normal(size=120) > 0, 1.0, -1.0)
    seen = noted(monkeypatch)
    dual.solve(Rows.from_scipy(X, y), "hinge", 1e-4, tol=1e-3, max_epochs=1000, seed=0)
    assert seen[0] == "passes"


def test_factorisations_take_over_where_passes_have_cost_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, rows = noted(monkeypatch), table(1200, 6, size=1e3)
    found = dual.solve(rows, "hinge", 1e-4, tol=1e-9, max_epochs=100_000, seed=0)
    assert seen == ["rounded", "passes", "exactly"]
    assert found.trace[-1]["gap"] <= 1e-9
    assert not found.unmet


def test_factorisations_that_memory_or_time_forbid_are_foreseen() -> None:
    assert costs.interior(table(2000, 9)) < np.inf
    wide = Rows.from_scipy(sparse.random(50_000, 3000, 0.02, "csr", random_state=0), np.ones(50_000))
    assert costs.interior(wide) == np.inf
    assert not dual.is_small(wide)
    assert costs.interior(table(4000, 9)) > 1.5 * costs.interior(table(2000, 9))  # linear in the rows


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "log_loss"])
def test_columns_without_entries_are_left_out_of_a_solve(monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    rng, width = np.random.default_rng(0), 100_000
    columns = rng.choice(width, 300, replace=False)
    X = sparse.random(80, 300, 0.1, "csr", random_state=0).tocoo()
    y = rng.integers(0, 2, 80)
    wide = sparse.csr_array((X.data, (X.row, columns[X.col])), shape=(80, width))
    seen, module = [], fitting.smooth if loss == "log_loss" else dual
    solve = module.solve

    def told(rows: Rows, *args: Any, **keys: Any) -> Any:
        seen.append(rows.features)
        return solve(rows, *args, **keys)

    monkeypatch.setattr(module, "solve", told)
    model, plain = (WPSGDClassifier(loss, alpha=1e-3).fit(matrix, y) for matrix in (wide, X.tocsr()))
    assert seen[0] <= 301
    assert model.coef_.shape == (1, width)
    assert np.allclose(model.coef_[0, columns], plain.coef_[0], rtol=1e-6, atol=1e-8)
    assert np.count_nonzero(model.coef_) <= 300
    assert np.allclose(model.decision_function(wide), plain.decision_function(X.tocsr()), atol=1e-6)


def test_an_interior_point_of_a_dense_table_costs_time_by_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the sizes of what is factored: features, whatever the rows."""
    sizes: list[int] = []
    factored = exact._factored

    def told(matrix: Any) -> Any:
        sizes.append(len(matrix))
        return factored(matrix)

    monkeypatch.setattr(exact, "_factored", told)
    for loss in ("hinge", "squared_hinge"):
        solve_exactly(table(1500, 4), loss, 1e-3)
    assert set(sizes) == {5}


@pytest.mark.parametrize(("loss", "columns"), [("hinge", 20), ("squared_hinge", 600)])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_passes_than_max_iter_are_made_or_told(loss: str, columns: int, most: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, columns))
    y = X[:, 0] + rng.normal(size=1500) > 0.0
    keys: dict[str, Any] = {"alpha": 1e-7, "tol": 1e-15, "max_iter": most, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match=f"max_iter={most} "):
        model = WPSGDClassifier(loss, **keys).fit(X, y)
    assert model.n_iter_ <= most
    assert max(event["round"] for event in model.trace_) <= most
