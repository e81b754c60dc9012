"""Tests of the bound on a row's own step under a smooth loss."""

from __future__ import annotations

import math
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from test_sgd import ALPHA, constant, epochs, run, some_rows

from wpsgd.kernels.delay import rest
from wpsgd.kernels.limit import REACH, limited, log_norms, squared_norm
from wpsgd.kernels.losses import CURVATURES, LOSSES, curvature_at, pull_at
from wpsgd.learners.steepness import Norms

SMOOTH = ("squared_hinge", "log_loss", "modified_huber")


@pytest.mark.parametrize("count", range(11))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_squared_norms_are_those_of_float64(count: int, dtype: Any) -> None:
    values = np.random.default_rng(count).normal(0.0, 3e20, count + 3).astype(dtype)
    expected = float(np.sum(values[2 : count + 2].astype(np.float64) ** 2))
    assert squared_norm(values, 2, count + 2) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_kernels_know_the_curvatures(loss: str) -> None:
    known = CURVATURES[loss]
    assert curvature_at(LOSSES[loss]) == (0.0 if math.isinf(known) else known)


@given(
    loss=st.sampled_from(SMOOTH),
    eta=st.floats(1e-6, 1e6),
    weight=st.floats(0.0, 1e3),
    length=st.floats(0.0, 1e6),
    margin=st.floats(-50.0, 50.0),
)
@settings(max_examples=200, deadline=None)
def test_a_limited_step_never_takes_a_margin_past_where_the_loss_pulls_it(
    loss: str, eta: float, weight: float, length: float, margin: float
) -> None:
    values = np.array([0.6, 0.8]) * length
    size = limited(eta, LOSSES[loss], REACH, weight, values, 0, 2)
    assert 0.0 < size <= eta
    moved = margin + size * weight * length**2 * pull_at(LOSSES[loss], margin)
    if loss != "log_loss":
        assert moved <= max(margin, 1.0) + 1e-9
    # the pull may become weaker, but never changes its direction; and never grows
    assert naive.slope_at(loss, moved) >= naive.slope_at(loss, margin)
    if size < eta:
        assert size == pytest.approx(1.0 / (CURVATURES[loss] * weight * length**2), rel=1e-12)


def test_the_hinge_takes_its_whole_step_whatever_the_row() -> None:
    assert limited(3.0, LOSSES["hinge"], REACH, 1e9, np.full(4, 1e9), 0, 4) == 3.0


def test_a_row_whose_square_is_out_of_range_takes_no_step() -> None:
    assert limited(3.0, LOSSES["log_loss"], REACH, 1.0, np.full(4, 1e200), 0, 4) == 0.0


@pytest.mark.parametrize("loss", SMOOTH)
def test_a_pass_of_steps_that_are_far_too_large_stays_bounded(loss: str) -> None:
    # eta c ||x||^2 reaches thousands here: unlimited, margins are out of range within some hundred rows
    rows = some_rows(weighted=True)
    w, carry, applied = run(rows, epochs(rows, 50), constant(0.9 / ALPHA), 4.0, loss=loss)
    assert applied == 50 * len(rows)
    assert np.max(np.abs(carry[0] * w)) < 100.0


def test_norms_are_the_logarithms_of_the_squares_times_the_weights() -> None:
    rows = some_rows(weighted=True)
    data = naive.dense(rows)
    squares = data.s * np.square(data.x).sum(axis=1)
    found = Norms.of(rows, np.arange(len(rows)))
    assert found.rows == np.count_nonzero(squares) < len(rows)
    assert found.logs == pytest.approx(np.log(squares[squares > 0.0]).sum(), rel=1e-12)
    typical = math.exp(found.logs / found.rows)
    assert found.steepness("squared_hinge") == pytest.approx(2.0 * typical, rel=0.05)
    assert found.steepness("log_loss") == pytest.approx(typical / 4.0, rel=0.05)
    assert found.steepness("hinge") == Norms().steepness("log_loss") == 0.0


def test_norms_of_parts_add_up_to_the_same_steepness_in_any_order() -> None:
    rows = some_rows(weighted=True)
    whole = Norms.of(rows, np.arange(len(rows)))
    parts = [Norms.of(rows, np.arange(start, len(rows), 3)) for start in range(3)]
    for order in (parts, parts[::-1]):
        assert Norms.joined(order).rows == whole.rows
        assert Norms.joined(order).steepness("log_loss") == whole.steepness("log_loss")


def test_one_row_of_absurd_length_has_little_say() -> None:
    indptr, values = np.arange(1001), np.ones(1000)
    plain = Norms(*log_norms(indptr, values, np.empty(0), np.arange(1000))).steepness("squared_hinge")
    values[3] = 1e6
    found = Norms(*log_norms(indptr, values, np.empty(0), np.arange(1000))).steepness("squared_hinge")
    assert plain == 2.0
    assert found <= 1.05 * plain


@given(loss=st.sampled_from(SMOOTH), strength=st.floats(1e-12, 1e12))
@settings(max_examples=200, deadline=None)
def test_a_row_alone_comes_to_rest_at_the_root(loss: str, strength: float) -> None:
    expected = brentq(lambda m: m + strength * naive.slope_at(loss, m), 0.0, 100.0, xtol=1e-300, rtol=1e-14)
    assert rest(LOSSES[loss], strength) == pytest.approx(expected, rel=1e-9)


def test_a_row_comes_to_rest_at_the_ends_of_the_range() -> None:
    assert [rest(LOSSES[loss], 0.0) for loss in SMOOTH] == [0.0] * 3
    assert rest(LOSSES["squared_hinge"], math.inf) == rest(LOSSES["modified_huber"], math.inf) == 1.0
    assert rest(LOSSES["log_loss"], math.inf) == math.inf
