"""Tests of the SGD pass against its dense twin."""

from __future__ import annotations

import math
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
from wpsgd.kernels.limit import REACH
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.sgd import FOLD_BELOW, sgd_pass
from wpsgd.kernels.sparse import dot, dot_asking
from wpsgd.kernels.stepsize import Schedule, StepSize
from wpsgd.learners.sgd import kernel_arrays

ALPHA = 0.02
STARTS: dict[str, Any] = {"zero": 0.0, "four": 4.0, "vector": np.linspace(-2.0, 3.0, 30)}


@cache
def some_rows(*, weighted: bool = False, dtype: Any = np.float64, seed: int = 3, count: int = 80) -> Rows:
    """Sparse rows of unequal length, one of them empty, inside a larger whole."""
    rows = problem(count + 10, 30, 5.0, noise=0.1, seed=seed).rows
    rng = np.random.default_rng(seed)
    matrix = rows.to_scipy().multiply(rng.uniform(0.5, 2.0, (len(rows), 1))).tolil()
    matrix[7] = 0.0
    weights = rng.uniform(0.2, 3.0, len(rows)) if weighted else None
    return Rows.from_scipy(sparse.csr_array(matrix), rows.labels, weights).astype(dtype)[5 : count + 5]


def run(
    rows: Rows,
    order: NDArray[Any],
    step: StepSize,
    w0: Any,
    *,
    loss: str = "hinge",
    intercept: bool = False,
    cuts: tuple[int, ...] = (),
    ahead: int = 0,
) -> tuple[NDArray[Any], NDArray[np.float64], int]:
    """(w unscaled, carry, rows applied) after one pass, or several where `cuts` are given."""
    w = np.array(np.broadcast_to(w0, rows.features), dtype=rows.values.dtype)
    carry, applied = np.array([1.0, 0.0]), 0
    for piece in np.split(order, cuts):
        arrays, size = kernel_arrays(rows), step.formula
        how = (LOSSES[loss], REACH, 0.01 if intercept else 0.0)
        applied += sgd_pass(w, carry, *arrays, piece, applied, *size, *how, ahead, 2 * ahead)
    return w, carry, applied


def constant(eta: float, alpha: float = ALPHA) -> StepSize:
    return StepSize("constant", alpha, eta)


def steps(schedule: Schedule) -> StepSize:
    return StepSize(schedule, ALPHA, 3.0 if schedule == "inverse" else 0.6, 0.4)


def sizes_of(step: StepSize, count: int) -> list[float]:
    """The same step sizes from the twin's formulas."""
    return [naive.step_size(step.schedule, t, step.alpha, step.eta0, step.power) for t in range(1, count + 1)]


def epochs(rows: Rows, count: int = 3) -> NDArray[np.int64]:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.permutation(len(rows)) for _ in range(count)])


def close(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    """Compared against the largest entry: weights near 0 are differences of large ones."""
    return bool(np.max(np.abs(found - expected)) <= tolerance * np.max(np.abs(expected)))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("schedule", naive.SCHEDULES)
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-4)])
def test_a_pass_equals_its_dense_twin(
    dtype: Any, tolerance: float, loss: str, schedule: Schedule, weighted: bool, intercept: bool, start: str
) -> None:
    rows = some_rows(weighted=weighted, dtype=dtype)
    order, data = epochs(rows), naive.dense(rows)
    step, w0 = steps(schedule), np.broadcast_to(STARTS[start], rows.features)
    w, carry, applied = run(rows, order, step, w0, loss=loss, intercept=intercept)
    etas = sizes_of(step, order.size)
    twin = naive.sgd(data, order, etas, w0, loss=loss, alpha=ALPHA, intercept=intercept)
    assert applied == order.size
    assert min(twin.margins) < 1.0 < max(twin.margins)
    assert close(carry[0] * w, twin.w, tolerance)
    assert carry[1] == pytest.approx(twin.b, rel=tolerance, abs=tolerance)
    assert close(data.x @ (carry[0] * w) + carry[1], data.x @ twin.w + twin.b, tolerance)


@pytest.mark.parametrize("schedule", naive.SCHEDULES)
def test_every_margin_on_the_way_equals_the_twins(schedule: Schedule) -> None:
    # the hinge's weights alone would not show a margin that is a little wrong
    rows = some_rows(weighted=True)
    order, data = epochs(rows, 1), naive.dense(rows)
    step = steps(schedule)
    etas = sizes_of(step, order.size)
    twin = naive.sgd(data, order, etas, np.full(30, 4.0), loss="hinge", alpha=ALPHA, intercept=True)
    for done in range(order.size):
        w, carry, _ = run(rows, order[:done], step, 4.0, intercept=True)
        margin = data.y[order[done]] * (carry[0] * (w.astype(float) @ data.x[order[done]]) + carry[1])
        assert margin == pytest.approx(twin.margins[done], rel=1e-10, abs=1e-12)


@given(cuts=st.lists(st.integers(0, 160), max_size=6), seed=st.integers(0, 5), single=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_pass_cut_into_chunks_gives_the_same_bits(cuts: list[int], seed: int, single: bool) -> None:
    rows = some_rows(weighted=True, dtype=np.float32 if single else np.float64, seed=seed)
    order = epochs(rows, 2)
    step = steps("invscaling")
    whole_w, whole_carry, _ = run(rows, order, step, 4.0, loss="log_loss", intercept=True)
    w, carry, _ = run(rows, order, step, 4.0, loss="log_loss", intercept=True, cuts=tuple(sorted(cuts)))
    assert w.tobytes() == whole_w.tobytes()
    assert carry.tobytes() == whole_carry.tobytes()


@pytest.mark.parametrize("ahead", [1, 2, 1000])
def test_asking_for_memory_early_changes_no_bit(ahead: int) -> None:
    rows = some_rows()
    order, step = epochs(rows, 2), steps("pegasos")
    w, carry, _ = run(rows, order, step, 4.0, ahead=0)
    early_w, early_carry, _ = run(rows, order, step, 4.0, ahead=ahead)
    assert w.tobytes() == early_w.tobytes()
    assert carry.tobytes() == early_carry.tobytes()


def test_a_dot_product_adds_up_in_four_strided_lanes() -> None:
    rows = some_rows()
    w = np.random.default_rng(1).normal(size=rows.features)
    indices, values = kernel_arrays(rows)[1:3]
    for start, end in zip(rows.indptr[:-1].tolist(), rows.indptr[1:].tolist(), strict=True):
        whole = start + (end - start) // 4 * 4
        lanes = [0.0] * 4
        for j in range(start, end):
            lanes[(j - start) % 4 if j < whole else 0] += w[indices[j]] * values[j]
        expected = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
        assert dot(w, indices, values, start, end) == expected
        for coming in ((0, 0), (0, 1), (3, 9), (0, rows.nonzeros)):
            assert dot_asking(w, indices, values, start, end, *coming) == expected


@pytest.mark.parametrize("alpha", [1e-6, 0.02, 0.5, 1.0, 4.0])
def test_the_first_step_of_pegasos_wipes_the_start(alpha: float) -> None:
    rows = some_rows()
    order, step = np.array([3]), StepSize("pegasos", alpha)
    eta = naive.step_size("pegasos", 1, alpha)
    w0 = -20.0 * naive.dense(rows).x[3] * rows.labels[3]
    w, carry, _ = run(rows, order, step, w0)
    assert np.allclose(carry[0] * w, eta * rows.labels[3] * naive.dense(rows).x[3], rtol=1e-14, atol=0.0)


def test_the_first_step_of_pegasos_leaves_no_trace_of_a_huge_start() -> None:
    rows, alpha = some_rows(), 0.013  # 1 - (1 / 0.013) 0.013 is 1.1e-16 in float64
    order, eta = np.array([3]), 1.0 / alpha
    start = np.zeros(rows.features)
    start[np.flatnonzero(naive.dense(rows).x[3] == 0.0)] = 1e300
    w, carry, _ = run(rows, order, StepSize("pegasos", alpha), start)
    assert 1.0 - eta * alpha != 0.0
    assert np.allclose(carry[0] * w, eta * rows.labels[3] * naive.dense(rows).x[3], rtol=1e-14, atol=0.0)


@given(eta_lambda=st.floats(0.01, 0.9999), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_thousands_of_strong_decays_stay_exact(eta_lambda: float, seed: int) -> None:
    rows = some_rows(seed=seed)
    order = np.random.default_rng(seed).integers(0, len(rows), 3000)
    etas = np.full(order.size, eta_lambda / ALPHA)
    w, carry, _ = run(rows, order, constant(eta_lambda / ALPHA), 4.0, loss="hinge")
    twin = naive.sgd(naive.dense(rows), order, etas, np.full(30, 4.0), loss="hinge", alpha=ALPHA)
    assert FOLD_BELOW <= carry[0] <= 1.0
    assert close(carry[0] * w, twin.w, 1e-10)


@pytest.mark.parametrize("start", [1e300, 1.0, 1e-200])
def test_pure_decay_is_the_power_of_the_contraction(start: float) -> None:
    rows = Rows.from_scipy(sparse.csr_array((1, 4)), np.array([1.0]))
    for steps in (1, 89, 2000):
        w, carry, _ = run(rows, np.zeros(steps, np.int64), constant(0.1 / ALPHA), start)
        expected = start * 0.9**steps
        assert np.allclose(carry[0] * w, expected, rtol=1e-10, atol=0.0)
    w, carry, _ = run(rows, np.zeros(60_000, np.int64), constant(0.1 / ALPHA), start)
    assert np.max(carry[0] * w) < 1e-300
    assert np.isfinite(w).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fold_neither_loses_nor_overflows_a_large_step(dtype: Any) -> None:
    rows = some_rows(dtype=dtype)
    order = np.array([0, 1, 2, 3, 4, 5])
    # 0.999 of the weights goes at every step: the third brings the scale to the edge of the fold
    etas = np.array([1e-3, 1.0, 1e4, 1e6, 1e6, 1e2])
    for row, eta in zip(order, etas, strict=True):
        w, carry, _ = run(rows, np.array([row] * 5), constant(eta, 0.999 / eta), 4.0)
        twin = naive.sgd(
            naive.dense(rows), [row] * 5, [eta] * 5, np.full(30, 4.0), loss="hinge", alpha=0.999 / eta
        )
        assert np.isfinite(w).all()
        assert close(carry[0] * w, twin.w, 1e-12 if dtype == np.float64 else 1e-5)


def test_a_row_of_weight_two_decays_once_while_pulling_twice() -> None:
    rows = some_rows()
    twice = replace(rows, weights=np.full(len(rows), 2.0))
    order, step, w0 = np.array([4]), constant(0.5), np.zeros(30)
    single, carry, _ = run(rows, order, step, w0)
    double, _, _ = run(twice, order, step, w0)
    assert np.count_nonzero(single) > 0
    assert np.array_equal(double, 2.0 * single)
    assert carry[0] == 1.0 - 0.5 * ALPHA
    assert run(twice, order, step, w0)[1][0] == carry[0]


def test_weights_of_one_are_no_weights() -> None:
    rows = some_rows()
    ones = replace(rows, weights=np.ones(len(rows)))
    order = epochs(rows)
    step = steps("optimal")
    assert run(rows, order, step, 1.0)[0].tobytes() == run(ones, order, step, 1.0)[0].tobytes()


def test_a_row_of_weight_zero_only_decays() -> None:
    rows = replace(some_rows(), weights=np.zeros(80))
    w, carry, _ = run(rows, np.arange(80), constant(0.5), 1.0, intercept=True)
    assert np.allclose(carry[0] * w, (1.0 - 0.5 * ALPHA) ** 80, rtol=1e-12)
    assert carry[1] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_pass_stops_before_the_row_whose_margin_is_not_finite(bad: float) -> None:
    rows = some_rows()
    values = rows.values.copy()
    values[rows.indptr[20]] = bad
    broken = replace(rows, values=values)
    order, step = np.arange(80), constant(0.5)
    w, carry, applied = run(broken, order, step, 1.0, intercept=True)
    until_there, carry_there, _ = run(rows, order[:20], step, 1.0, intercept=True)
    assert applied == 20
    assert w.tobytes() == until_there.tobytes()
    assert carry.tobytes() == carry_there.tobytes()
