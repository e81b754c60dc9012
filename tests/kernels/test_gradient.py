"""Tests of margins, of losses at them, of sums of loss gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import naive
import numpy as np
import pytest
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.gradient import add_gradient, margins
from wpsgd.kernels.losses import LOSSES
from wpsgd.learners.sgd import kernel_arrays


@cache
def some_rows(*, weighted: bool = False, dtype: Any = np.float64) -> Rows:
    rows = problem(70, 25, 5.0, noise=0.1, seed=2, dtype=dtype).rows
    weights = np.random.default_rng(0).uniform(0.2, 3.0, 70).astype(dtype) if weighted else None
    return replace(rows, weights=weights)[10:60]


def some_weights() -> NDArray[np.float64]:
    return np.random.default_rng(4).normal(0.0, 3.0, 25)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("intercept", [0.0, -0.7])
def test_margins_of_a_slice_equal_the_dense_product(dtype: Any, tolerance: float, intercept: float) -> None:
    rows, out = some_rows(dtype=dtype), np.empty(50)
    data, w = naive.dense(rows), some_weights().astype(dtype)
    indptr, indices, values, labels, _ = kernel_arrays(rows)
    margins(w, intercept, indptr, indices, values, labels, out)
    assert np.allclose(out, data.y * (data.x @ w + intercept), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("intercept", [0.0, -0.7])
def test_summed_gradients_equal_the_dense_sum(loss: str, weighted: bool, intercept: float) -> None:
    rows, out = some_rows(weighted=weighted), np.ones(26)
    order, w = np.array([4, 9, 9, 0, 49, 20, 31]), some_weights()
    count = add_gradient(w, 1.0, intercept, *kernel_arrays(rows), order, LOSSES[loss], 0.0, 1.0, out)
    expected = naive.loss_gradient(naive.dense(rows), order, w, loss=loss, b=intercept)
    assert count == 7.0
    assert np.allclose(out, 1.0 + expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss", "modified_huber"])
def test_summed_gradients_are_the_slopes_of_the_objective(loss: str) -> None:
    rows, out, w = some_rows(weighted=True), np.zeros(26), some_weights()
    data, width = naive.dense(rows), 1e-5
    add_gradient(w, 1.0, 0.3, *kernel_arrays(rows), np.arange(50), LOSSES[loss], 0.0, 1.0, out)
    for j, direction in enumerate(np.eye(26)):
        ends = [
            naive.objective(
                data, w + sign * direction[:25], loss=loss, alpha=0.0, b=0.3 + sign * direction[25]
            )
            for sign in (width, -width)
        ]
        slope = (ends[0] - ends[1]) / (2.0 * width)
        assert out[j] / data.s.sum() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_row_of_weight_two_pulls_like_two_rows() -> None:
    rows = some_rows()
    double, twice = np.zeros(26), np.zeros(26)
    heavy = replace(rows, weights=np.full(50, 2.0))
    add_gradient(
        some_weights(), 1.0, 0.0, *kernel_arrays(heavy), np.arange(50), LOSSES["log_loss"], 0.0, 1.0, double
    )
    both = np.repeat(np.arange(50), 2)
    add_gradient(some_weights(), 1.0, 0.0, *kernel_arrays(rows), both, LOSSES["log_loss"], 0.0, 1.0, twice)
    assert np.allclose(double, twice, rtol=1e-12, atol=1e-13)
    assert np.max(np.abs(twice)) > 0.1


def test_a_gradient_at_weights_that_are_not_finite_is_no_gradient() -> None:
    w = some_weights()
    w[:] = math.inf
    assert math.isnan(
        add_gradient(
            w, 1.0, 0.0, *kernel_arrays(some_rows()), np.arange(50), LOSSES["hinge"], 0.0, 1.0, np.zeros(26)
        )
    )
