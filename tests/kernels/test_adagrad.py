"""Tests of the AdaGrad pass against its dense twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.sgd import adagrad_pass, decayed, settle
from wpsgd.learners.sgd import kernel_arrays

ALPHA, ETA = 0.05, 0.7


@cache
def some_rows(*, weighted: bool = False, dtype: Any = np.float64, seed: int = 5) -> Rows:
    rows = problem(60, 40, 4.0, noise=0.1, seed=seed, dtype=dtype).rows
    weights = np.random.default_rng(seed).uniform(0.2, 3.0, 60).astype(dtype) if weighted else None
    return replace(rows, weights=weights)


@dataclass
class Pass:
    """What an AdaGrad pass carries from call to call."""

    rows: Rows
    w: NDArray[Any]
    loss: str
    rate: float
    alpha: float

    def __post_init__(self) -> None:
        self.squares = np.zeros(self.rows.features)
        self.touched = np.zeros(self.rows.features, dtype=np.int64)
        self.carry, self.steps = np.zeros(2), 0

    def go(self, order: NDArray[Any]) -> int:
        memory = (self.w, self.squares, self.touched, self.carry)
        problem_numbers = (ETA, self.alpha, LOSSES[self.loss], self.rate)
        done = adagrad_pass(*memory, *kernel_arrays(self.rows), order, self.steps, *problem_numbers)
        self.steps += done
        return done

    def settle(self) -> None:
        settle(self.w, self.squares, self.touched, self.steps, ETA, self.alpha)


def run(
    rows: Rows,
    order: NDArray[Any],
    w0: Any,
    *,
    loss: str = "hinge",
    intercept: bool = False,
    cuts: tuple[int, ...] = (),
    alpha: float = ALPHA,
) -> Pass:
    w = np.array(np.broadcast_to(w0, rows.features), dtype=rows.values.dtype)
    one = Pass(rows, w, loss, 0.01 if intercept else 0.0, alpha)
    assert sum(one.go(piece) for piece in np.split(order, cuts)) == order.size
    one.settle()
    return one


def epochs(rows: Rows) -> NDArray[np.int64]:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.permutation(len(rows)) for _ in range(3)])


@pytest.mark.parametrize("start", [0.0, 4.0, -1.5])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-4)])
def test_a_settled_pass_equals_its_dense_twin(
    dtype: Any, tolerance: float, loss: str, weighted: bool, intercept: bool, start: float
) -> None:
    rows = some_rows(weighted=weighted, dtype=dtype)
    order, data = epochs(rows), naive.dense(rows)
    found = run(rows, order, start, loss=loss, intercept=intercept)
    twin = naive.adagrad(
        data, order, np.full(40, start), loss=loss, alpha=ALPHA, eta0=ETA, intercept=intercept
    )
    assert np.allclose(found.w, twin.w, rtol=tolerance, atol=tolerance)
    assert found.carry[1] == pytest.approx(twin.b, rel=tolerance, abs=tolerance)
    assert (twin.b != 0.0) == intercept
    assert np.allclose(
        data.x @ found.w + found.carry[1], data.x @ twin.w + twin.b, rtol=tolerance, atol=tolerance
    )


@given(cuts=st.lists(st.integers(0, 180), max_size=6), seed=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_chunks_of_an_adagrad_pass_do_not_matter(cuts: list[int], seed: int) -> None:
    rows = some_rows(weighted=True, seed=seed)
    order = epochs(rows)
    whole = run(rows, order, 1.0, intercept=True)
    cut = run(rows, order, 1.0, intercept=True, cuts=tuple(sorted(cuts)))
    assert cut.w.tobytes() == whole.w.tobytes()
    assert cut.carry.tobytes() == whole.carry.tobytes()
    assert cut.squares.tobytes() == whole.squares.tobytes()


def test_settling_between_chunks_changes_rounding_alone() -> None:
    rows = some_rows()
    order = epochs(rows)
    one = Pass(rows, np.full(40, 2.0), "hinge", 0.0, ALPHA)
    for piece in np.split(order, 9):
        one.go(piece)
        one.settle()
    assert np.allclose(one.w, run(rows, order, 2.0).w, rtol=1e-10, atol=1e-13)


def test_a_coordinate_that_no_row_touches_keeps_its_start() -> None:
    rows = replace(some_rows(), features=43)
    found = run(rows, epochs(rows), 4.0)
    assert found.w[40:].tolist() == [4.0, 4.0, 4.0]
    assert np.all(found.w[np.unique(rows.indices)] != 4.0)


def test_idle_decay_stops_at_zero() -> None:
    # eta lambda / sqrt(squares) = 1.4 would turn the sign at every idle step
    assert decayed(3.0, 0.25, 1, 0.7, 1.0) == 0.0
    assert decayed(3.0, 0.25, 5, 0.35, 1.0) == pytest.approx(3.0 * 0.3**5, rel=1e-14)
    assert decayed(3.0, 0.0, 5, 0.35, 1.0) == 3.0


def test_a_pass_stops_before_the_row_whose_margin_is_not_finite() -> None:
    rows = some_rows()
    values = rows.values.copy()
    values[rows.indptr[20]] = np.nan
    one = Pass(replace(rows, values=values), np.full(40, 1.0), "hinge", 0.0, ALPHA)
    assert one.go(np.arange(60)) == 20
