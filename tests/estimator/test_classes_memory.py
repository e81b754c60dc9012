"""One hundred classes of 50,000 features in the memory that they were given."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context

from wpsgd import WPSGDClassifier
from wpsgd.estimator import dual

ROWS, CLASSES, FEATURES, ENTRIES = 1500, 100, 50_000, 40
MIB = 2**20
BUDGET = 8  # MiB
RESULT = CLASSES * (FEATURES + 1) * 8 / MIB  # 38 MiB
DATA = ROWS * (ENTRIES + 1) * 12 / MIB


def many_classes() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    columns = rng.integers(FEATURES, size=(ROWS, ENTRIES))
    starts = np.arange(ROWS + 1) * ENTRIES
    X = sparse.csr_matrix((rng.random(ROWS * ENTRIES), columns.ravel(), starts), shape=(ROWS, FEATURES))
    X.sum_duplicates()
    return X, np.arange(ROWS) % CLASSES


def most(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the MiB that it held at a time."""
    tracemalloc.start()
    try:
        done = work()
        return done, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "keys",
    [
        {"solver": "sgd", "n_workers": 1, "tol": None, "max_iter": 2},
        {"solver": "sgd", "n_workers": 2, "n_jobs": 2, "tol": 0.5, "max_iter": 3, "n_iter_no_change": 1},
        {"solver": "dual", "n_jobs": 4, "tol": 0.1},
    ],
    ids=["block", "blocks side by side", "dual"],
)
def test_a_fit_holds_its_models_once_and_the_working_memory(keys: dict[str, Any]) -> None:
    X, y = many_classes()
    WPSGDClassifier(**keys).fit(X[:, :500], y)  # what is compiled stays
    with config_context(working_memory=BUDGET):
        model, peak = most(lambda: WPSGDClassifier(random_state=0, **keys).fit(X, y))
    assert model.coef_.shape == (CLASSES, FEATURES)
    copies = 4 * DATA  # of the rows: with a constant column, dealt out, watched
    assert peak < RESULT + BUDGET + copies + 2


def test_the_duals_of_all_classes_are_held_for_a_warm_start_alone() -> None:
    rows, classes = 8000, 60
    X, y = sparse.random(rows, 50, 0.1, "csr", random_state=0), np.arange(rows) % classes
    duals = rows * classes * 8 / MIB
    _, left, kept = (  # of the first, what is compiled stays
        most(partial(WPSGDClassifier(solver="dual", tol=0.5, warm_start=warm).fit, X, y))[1]
        for warm in (True, False, True)
    )
    assert left < 0.8 * duals < duals < kept


def test_decision_values_take_no_copy_of_the_models() -> None:
    X, y = many_classes()
    model = WPSGDClassifier(solver="sgd", n_workers=1, tol=None, max_iter=1, random_state=0).fit(X, y)
    scores, peak = most(lambda: model.decision_function(X))
    assert peak < 3 * ROWS * CLASSES * 8 / MIB + DATA  # a copy would be 38 MiB
    for k, (weights, intercept) in enumerate(zip(model.coef_, model.intercept_, strict=True)):
        assert np.allclose(scores[:, k], X @ weights + intercept, rtol=1e-12, atol=1e-12)
    for rows in (X[:20], X[:1], X[:20].toarray()):
        assert np.allclose(model.decision_function(rows), scores[: rows.shape[0]], rtol=1e-12, atol=1e-12)


def test_all_classes_of_the_dual_share_the_arrays_of_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    solve = dual.solve

    def noted(rows: Any, *args: Any, **keys: Any) -> Any:
        seen.append(rows)
        return solve(rows, *args, **keys)

    monkeypatch.setattr(dual, "solve", noted)
    X, y = many_classes()
    WPSGDClassifier(solver="dual", tol=0.5, fit_intercept=False).fit(X, y % 4)
    assert len(seen) == 4
    for rows in seen:
        assert np.shares_memory(rows.values, X.data)
        assert np.shares_memory(rows.indices, X.indices)
