"""Tests of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from wpsgd.data.rows import Rows
from wpsgd.errors import DataError


def some_rows(count: int = 40, features: int = 30, seed: int = 0) -> Rows:
    matrix = sparse.random_array(
        (count, features), density=0.2, format="csr", rng=np.random.default_rng(seed)
    )
    labels = np.where(np.arange(count) % 3 == 0, 1.0, -1.0)
    return Rows.from_scipy(matrix, labels)


def test_scipy_sees_the_same_memory_with_narrow_indices() -> None:
    rows = some_rows()
    matrix = rows.to_scipy()
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert np.shares_memory(matrix.indices, rows.indices)
    assert np.shares_memory(matrix.data, rows.values)


def test_a_slice_holds_the_rows_of_its_range() -> None:
    rows = some_rows()
    part = rows[7:19]
    assert np.array_equal(part.to_scipy().toarray(), rows.to_scipy().toarray()[7:19])
    assert np.array_equal(part.labels, rows.labels[7:19])
    assert np.shares_memory(part.values, rows.values)


def test_taken_rows_stand_in_the_order_asked_for() -> None:
    rows = some_rows()
    order = np.array([5, 0, 39, 5])
    taken = rows.take(order)
    assert np.array_equal(taken.to_scipy().toarray(), rows.to_scipy().toarray()[order])
    assert np.array_equal(taken.labels, rows.labels[order])


def test_unit_norm_scales_each_row_of_a_slice_by_itself() -> None:
    dense = some_rows()[3:20].unit_norm().to_scipy().toarray()
    expected = some_rows().to_scipy().toarray()[3:20]
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(dense, expected / np.where(norms == 0, 1, norms), rtol=1e-15)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_constant_column_is_the_last(kind: type[np.floating]) -> None:
    for rows in (some_rows().astype(kind), some_rows().astype(kind)[7:29], some_rows()[:0]):
        wider, column = rows.with_constant_column(2.5), np.full((len(rows), 1), 2.5)
        assert wider.features == 31
        assert wider.values.dtype == rows.values.dtype
        assert np.array_equal(wider.to_scipy().toarray(), np.hstack([rows.to_scipy().toarray(), column]))
        assert np.array_equal(wider.labels, rows.labels)
    with pytest.raises(DataError, match="no column can be added"):
        rows.widened(2**31 - 1).with_constant_column()
