"""Dense tables are copied once, by blocks, whatever their type and memory order."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as quick
from hypothesis import strategies as some
from scipy import sparse

from wpsgd import WPSGDClassifier
from wpsgd.data import dense
from wpsgd.data.dense import rows_of
from wpsgd.data.rows import Rows
from wpsgd.estimator.inputs import Inputs

ROWS, COLUMNS = 20_000, 60
# beside the rows: labels, their classes, numbers and masks, of eight bytes a row and fewer; blocks
BESIDE = 0.4


def table(dtype: str = "float64", order: Any = "C", zeros: float = 0.0, rows: int = ROWS) -> Any:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, COLUMNS))
    values[rng.random(values.shape) < zeros] = 0.0
    return np.asarray(values, dtype=dtype, order=order)


@quick(deadline=None)
@given(
    rows=some.integers(0, 40),
    columns=some.integers(1, 9),
    more=some.integers(0, 3),
    constant=some.sampled_from([None, 1.0, 0.5]),
    dtype=some.sampled_from(["float64", "float32"]),
    order=some.sampled_from(["C", "F"]),
    block=some.integers(1, 60),
    seed=some.integers(0, 99),
)
def test_blocks_give_the_rows_of_scipy(
    rows: int, columns: int, more: int, constant: float | None, dtype: str, order: Any, block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.asarray(rng.integers(-2, 3, (rows, columns)) / 2, dtype=dtype, order=order)
    matrix[rng.random(matrix.shape) < 0.2] = -0.0
    numbers = rng.permutation(rows)[: rng.integers(rows + 1)] if seed % 2 else None
    taken = matrix if numbers is None else matrix[numbers]
    expected = Rows.from_scipy(sparse.csr_array(taken), np.ones(len(taken))).widened(columns + more)
    if constant is not None:
        expected = expected.with_constant_column(constant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "BLOCK", block)
        found = rows_of(matrix, columns + more, constant, numbers)
    assert found.features == expected.features
    for name in ("indptr", "indices", "values", "labels"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other), name


def test_chosen_rows_of_chosen_rows_are_those() -> None:
    matrix, y = table(rows=50), np.arange(50)
    inputs = Inputs(matrix, y, None).taken(y % 2 == 0).taken(np.arange(5, 20))
    assert inputs.targets.tolist() == [*range(10, 40, 2)]
    assert np.array_equal(inputs.rows(COLUMNS, None).to_scipy().toarray(), matrix[10:40:2])
    order = np.arange(15)[::-1]
    assert np.array_equal(inputs.rows(COLUMNS, None, order).to_scipy().toarray(), matrix[10:40:2][::-1])


def peak(work: Callable[[], Any]) -> int:
    """Bytes that were taken at most, beside those that were held before."""
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


SGD = {"solver": "sgd", "max_iter": 2, "tol": None}


@pytest.mark.parametrize(
    "settings",
    [SGD | {"n_workers": 1}, SGD | {"n_workers": 2}, SGD | {"n_workers": 1, "early_stopping": True}],
)
@pytest.mark.parametrize(("dtype", "copy"), [("float64", 12 / 8), ("float32", 8 / 4)])
def test_a_fit_takes_the_rows_alone_beside_the_table(
    settings: dict[str, Any], dtype: str, copy: float
) -> None:
    y = table()[:, 0] > 0
    forms = [table(dtype), table(dtype, "F")] + ([pd.DataFrame(table())] if dtype == "float64" else [])

    def fit(X: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            WPSGDClassifier(random_state=0, **settings).fit(X, y[: len(X)])

    fit(forms[0][:500])  # kernels are compiled, or read
    fit(forms[-1][:500])
    for X in forms:
        size = ROWS * COLUMNS * np.dtype(dtype).itemsize
        constant = 1 + 1 / COLUMNS
        assert peak(lambda X=X: fit(X)) < (copy * constant + BESIDE * 8 / np.dtype(dtype).itemsize) * size


@pytest.mark.parametrize(
    "settings",
    [
        SGD | {"n_workers": 3},
        SGD | {"n_workers": 3, "loss": "squared_hinge", "tol": 1e-4, "max_iter": 20},
        SGD | {"n_workers": 2, "loss": "log_loss", "early_stopping": True, "alpha": 10.0},
        {"max_iter": 50},
    ],
)
@pytest.mark.parametrize("zeros", [0.0, 0.7])
@pytest.mark.parametrize("classes", [2, 3])
def test_dense_and_sparse_rows_give_one_model(settings: dict[str, Any], zeros: float, classes: int) -> None:
    X = table(zeros=zeros, rows=600)
    X[::3] *= 5.0  # rows are of unequal lengths, so that an exchange of rows shows
    y = np.digitize(X[:, :3].sum(axis=1), [0.0, 1.0][: classes - 1])
    weights = 1.0 + np.arange(len(X)) % 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = [
            WPSGDClassifier(random_state=0, **settings).fit(form, y, weights).coef_
            for form in (X, np.asfortranarray(X), sparse.csr_array(X), pd.DataFrame(X))
        ]
    for coef in models[1:]:
        assert np.array_equal(coef, models[0])
