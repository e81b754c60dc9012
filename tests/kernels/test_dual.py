"""Tests of the dual kernels against their dense twin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.dual_solver import DualSolver
from wpsgd.evaluate import margins_of
from wpsgd.kernels.dual import approach, ascend, copy_rows, inner, look_through, losses_between
from wpsgd.kernels.sparse import CACHE
from wpsgd.learners.sgd import kernel_arrays

ALPHA = 0.02
LOSSES = ("hinge", "squared_hinge")


@cache
def some_rows(*, weighted: bool = False, dtype: Any = np.float64, seed: int = 3) -> Rows:
    """80 rows of unequal length and norm, one of them empty, inside a larger whole."""
    rows = problem(90, 30, 5.0, noise=0.1, seed=seed).rows
    rng = np.random.default_rng(seed)
    matrix = rows.to_scipy().multiply(rng.uniform(0.5, 2.0, (90, 1))).tolil()
    matrix[7] = 0.0
    weights = rng.uniform(0.2, 3.0, 90) if weighted else None
    return Rows.from_scipy(sparse.csr_array(matrix), rows.labels, weights).astype(dtype)[5:85]


def order_of(epochs: int = 3) -> NDArray[np.int32]:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.permutation(80) for _ in range(epochs)]).astype(np.int32)


class Kernel:
    """What the kernels change, and calls of them on all rows."""

    def __init__(self, rows: Rows, loss: str) -> None:
        self.rows, self.squared = rows, loss == "squared_hinge"
        self.w = np.zeros(rows.features, dtype=rows.values.dtype)
        self.dual, self.norms, self.sums = np.zeros(80), np.full(80, -1.0), np.zeros(2)
        self.moved = np.zeros(80, dtype=np.uint8)
        total = 80.0 if rows.weights is None else float(rows.weights.sum(dtype=np.float64))
        self.unit = 1.0 / (ALPHA * total)

    def ascend(self, order: NDArray[np.int32], omega: float = 1.0) -> None:
        *block, labels, weights = kernel_arrays(self.rows)
        about = (np.arange(80, dtype=np.int32), labels, weights, self.norms)
        changed = (self.w, self.dual, self.moved, self.sums)
        ascend(*changed, *block, *about, order, self.unit, self.squared, omega)

    def look_through(self) -> None:
        every, arrays = np.arange(80, dtype=np.int32), kernel_arrays(self.rows)
        look_through(self.w, self.dual, self.moved, self.sums, *arrays, every, self.squared)


class Twin:
    """The dual by its definition: w is summed up anew for each step, which maximises by a closed form."""

    def __init__(self, rows: Rows, loss: str) -> None:
        self.data, self.loss = naive.dense(rows), loss
        self.dual = np.zeros(len(rows))

    @property
    def w(self) -> NDArray[np.float64]:
        data = self.data
        return (data.s * self.dual * data.y) @ data.x / (ALPHA * data.s.sum())

    def objective(self) -> float:
        parts = self.dual if self.loss == "hinge" else self.dual - self.dual**2 / 4.0
        return float(np.average(parts, weights=self.data.s) - ALPHA / 2.0 * self.w @ self.w)

    def step(self, i: int, omega: float) -> None:
        """alpha_i + omega (what maximises the objective along alpha_i), into the box."""
        data = self.data
        c = data.s[i] / (ALPHA * data.s.sum())
        distance = 1.0 - data.y[i] * (self.w @ data.x[i])
        steepness = c * (data.x[i] @ data.x[i])
        if self.loss == "squared_hinge":
            best = self.dual[i] + (distance - self.dual[i] / 2.0) / (steepness + 0.5)
        else:
            best = self.dual[i] + distance / steepness if steepness > 0.0 else np.inf
        above = np.inf if self.loss == "squared_hinge" else 1.0
        self.dual[i] = np.clip(self.dual[i] + omega * (best - self.dual[i]), 0.0, above)


@pytest.mark.parametrize("omega", [1.0, 1.6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_steps_equal_those_of_the_dense_twin(
    dtype: Any, tolerance: float, loss: str, weighted: bool, omega: float
) -> None:
    rows = some_rows(weighted=weighted, dtype=dtype)
    kernel, twin, order = Kernel(rows, loss), Twin(rows, loss), order_of()
    kernel.ascend(order, omega)
    for i in order:
        twin.step(i, omega)
    assert np.median(twin.dual) > 0.0
    assert np.max(np.abs(kernel.dual - twin.dual)) <= tolerance * np.max(twin.dual) * 10.0
    assert np.max(np.abs(kernel.w - twin.w)) <= tolerance * np.max(np.abs(twin.w)) * 10.0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_of_zeros_gets_the_dual_variable_that_its_loss_asks_for(loss: str) -> None:
    kernel = Kernel(some_rows(), loss)
    kernel.ascend(order_of(1))
    assert not naive.dense(some_rows()).x[2].any()
    assert kernel.dual[2] == {"hinge": 1.0, "squared_hinge": 2.0}[loss]


@given(seed=st.integers(0, 9), omega=st.floats(0.1, 1.9), loss=st.sampled_from(LOSSES))
@settings(max_examples=25, deadline=None)
def test_the_dual_objective_never_falls(seed: int, omega: float, loss: str) -> None:
    rows = some_rows(weighted=True, seed=seed)
    kernel, twin, before = Kernel(rows, loss), Twin(rows, loss), 0.0
    for i in order_of(1):
        kernel.ascend(np.array([i], dtype=np.int32), omega)
        twin.dual = kernel.dual
        assert np.all((kernel.dual >= 0.0) & (kernel.dual <= (1.0 if loss == "hinge" else np.inf)))
        assert twin.objective() >= before - 1e-14
        before = twin.objective()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_look_adds_up_the_loss_and_the_gap_by_its_definition(loss: str, weighted: bool) -> None:
    rows = some_rows(weighted=weighted)
    kernel, twin = Kernel(rows, loss), Twin(rows, loss)
    kernel.ascend(order_of(2), 1.2)
    twin.dual, kernel.sums[:] = kernel.dual, 0.0
    kernel.look_through()
    total = twin.data.s.sum()
    primal = naive.objective(twin.data, twin.w, loss=loss, alpha=ALPHA)
    assert kernel.sums[0] / total == pytest.approx(primal - ALPHA / 2.0 * twin.w @ twin.w, rel=1e-12)
    assert kernel.sums[1] / total == pytest.approx(primal - twin.objective(), rel=1e-9)
    assert kernel.sums[1] > 0.0
    assert inner(kernel.w, kernel.w) == pytest.approx(twin.w @ twin.w, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_look_marks_the_rows_that_a_step_would_move(loss: str) -> None:
    kernel, data = Kernel(some_rows(), loss), naive.dense(some_rows())
    kernel.ascend(order_of(4))
    kernel.look_through()
    marked = kernel.moved.copy()
    w, dual = kernel.w.copy(), kernel.dual.copy()
    for i in range(80):
        kernel.ascend(np.array([i], dtype=np.int32))
        assert (kernel.dual[i] != dual[i]) == bool(kernel.moved[i])
        assert bool(marked[i]) or not kernel.moved[i]
        # a row at its optimum but for rounding may be marked: a step that short changes nothing
        distance = 1.0 - data.y[i] * (data.x[i] @ w) - (dual[i] / 2.0 if kernel.squared else 0.0)
        assert bool(kernel.moved[i]) or not marked[i] or abs(distance) < 1e-13
        kernel.w[:], kernel.dual[:] = w, dual
    assert 0 < marked.sum() < 80


def test_a_step_adds_the_gap_as_it_was_before_it() -> None:
    kernel, data = Kernel(some_rows(), "hinge"), naive.dense(some_rows())
    kernel.ascend(order_of(1))
    for i in range(80):
        kernel.sums[:] = 0.0
        margin = float(data.y[i] * (data.x[i] @ kernel.w))
        part = max(0.0, 1.0 - margin) + kernel.dual[i] * (margin - 1.0)
        kernel.ascend(np.array([i], dtype=np.int32))
        assert kernel.sums[1] == pytest.approx(part, abs=1e-12)


def test_steps_on_copied_rows_have_the_same_bits() -> None:
    rows = some_rows(weighted=True)
    kernel, other = Kernel(rows, "hinge"), Kernel(rows, "hinge")
    indptr, indices, values, labels, weights = kernel_arrays(rows)
    numbers = np.array([3, 2, 40, 71, 12], dtype=np.int32)
    size = int((indptr[numbers + 1] - indptr[numbers]).sum())
    starts = np.empty(6, dtype=np.int64)
    columns, entries = np.empty(size, dtype=np.uint32), np.empty(size)
    copy_rows(numbers, indptr, indices, values, starts, columns, entries)
    places = np.array([4, 0, 2, 3, 1, 4, 2], dtype=np.int32)
    changed, about = (other.w, other.dual, other.moved, other.sums), (labels, weights, other.norms)
    ascend(*changed, starts, columns, entries, numbers, *about, places, other.unit, False, 1.0)
    kernel.ascend(numbers[places])
    assert other.w.tobytes() == kernel.w.tobytes()
    assert other.dual.tobytes() == kernel.dual.tobytes()
    assert np.any(kernel.w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("squared", [False, True])
def test_losses_between_two_models_are_those_of_their_mixtures(squared: bool, weighted: bool) -> None:
    rng = np.random.default_rng(8)
    one, other = rng.normal(1.0, 2.0, (2, 50))
    s, shares = rng.uniform(0.0, 3.0, 50), np.array([0.0, 0.3, 1.0])
    out = np.full(3, 5.0)
    losses_between(one, other, s if weighted else np.empty(0), shares, squared, out)
    for c, found in zip(shares, out, strict=True):
        short = np.maximum(0.0, 1.0 - ((1.0 - c) * one + c * other))
        expected = np.average(short**2 if squared else short, weights=s if weighted else None)
        assert found - 5.0 == pytest.approx(expected * (s.sum() if weighted else 50.0), rel=1e-12)


def test_inner_products_are_added_up_in_double_precision() -> None:
    a = np.full(1 << 20, 0.1, dtype=np.float32)
    expected = float(a.astype(np.float64) @ a.astype(np.float64))
    assert inner(a, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [0, 1, 4, 7, 50])
def test_inner_products_leave_no_entry_out(size: int) -> None:
    a, b = np.arange(1.0, size + 1.0), np.arange(3.0, size + 3.0)
    assert inner(a, b) == a @ b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_model_goes_a_share_of_the_way_to_another(share: float, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=31).astype(dtype), rng.normal(size=31)
    expected = ((1.0 - share) * one.astype(np.float64) + share * other).astype(dtype)
    approach(one, other, share)
    assert one.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_are_asked_for_early_give_the_same_bits(dtype: Any) -> None:
    # the same rows in a model that no cache holds
    rows = some_rows(dtype=dtype)
    wide = replace(rows, features=CACHE // np.dtype(dtype).itemsize + 1)
    solvers = [DualSolver(some, "hinge", ALPHA, tol=1e-9) for some in (rows, wide)]
    for solver in solvers:
        solver.advance(20 * len(rows))
        solver.certify()
    assert solvers[0].dual.tobytes() == solvers[1].dual.tobytes()
    assert solvers[0].weights.tobytes() == solvers[1].weights[: rows.features].tobytes()
    assert solvers[0].history == solvers[1].history
    weights = np.random.default_rng(2).normal(size=wide.features).astype(dtype)
    early = margins_of(weights, wide)
    assert early.tobytes() == margins_of(weights[: rows.features].copy(), rows).tobytes()
