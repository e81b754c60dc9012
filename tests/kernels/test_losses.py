"""Tests of the losses: formulas, derivatives, scikit-learn."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model._sgd_fast import Hinge, ModifiedHuber, SquaredHinge
from sklearn.metrics import log_loss

from wpsgd.kernels.gradient import losses
from wpsgd.kernels.losses import LOSSES, loss_at, pull_at

MARGINS = np.concatenate([np.linspace(-5.0, 5.0, 201) + 0.003, [-1.0, 0.0, 1.0]])
PEERS = {"hinge": Hinge(), "squared_hinge": SquaredHinge(), "modified_huber": ModifiedHuber()}


def test_every_loss_of_the_kernels_has_a_twin() -> None:
    assert tuple(LOSSES) == naive.LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_their_formulas(name: str) -> None:
    out = np.empty_like(MARGINS)
    losses(LOSSES[name], MARGINS, out)
    assert np.allclose(out, [naive.loss_at(name, m) for m in MARGINS], rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("label", [-1.0, 1.0])
def test_losses_with_their_slopes_equal_scikit_learns(name: str, label: float) -> None:
    for m in MARGINS[MARGINS != 1.0]:
        assert loss_at(LOSSES[name], m) == pytest.approx(PEERS[name].py_loss(m * label, label), rel=1e-14)
        expected = -label * PEERS[name].py_dloss(m * label, label)
        assert pull_at(LOSSES[name], m) == pytest.approx(expected, rel=1e-14, abs=0.0)


def test_the_logistic_loss_equals_scikit_learns() -> None:
    for m in np.linspace(-10.0, 10.0, 21):
        peer = log_loss([1], [1.0 / (1.0 + math.exp(-m))], labels=[0, 1])
        assert loss_at(LOSSES["log_loss"], m) == pytest.approx(peer, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@given(m=st.floats(-6.0, 6.0))
@settings(max_examples=60, deadline=None)
def test_the_pull_is_minus_the_derivative_of_the_loss(name: str, m: float) -> None:
    width = 1e-5
    if min(abs(m - 1.0), abs(m + 1.0)) <= 2.0 * width:
        m += 1e-3  # off the kinks
    rise = loss_at(LOSSES[name], m + width) - loss_at(LOSSES[name], m - width)
    assert pull_at(LOSSES[name], m) == pytest.approx(-rise / (2.0 * width), rel=1e-6, abs=1e-9)


def test_a_row_at_margin_one_exactly_pulls_no_more() -> None:
    assert [pull_at(LOSSES[name], 1.0) for name in ("hinge", "squared_hinge", "modified_huber")] == [0.0] * 3
    assert pull_at(LOSSES["hinge"], np.nextafter(1.0, 0.0)) == 1.0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("m", [-1e5, -800.0, 710.0, 800.0, 1e5])
def test_far_margins_neither_overflow_nor_turn_negative(name: str, m: float) -> None:
    assert loss_at(LOSSES[name], m) == pytest.approx(naive.loss_at(name, m), rel=1e-14)
    assert pull_at(LOSSES[name], m) == pytest.approx(-naive.slope_at(name, m), rel=1e-12, abs=1e-304)
    assert (pull_at(LOSSES[name], m) == 0.0) == (m > 0.0)


@pytest.mark.parametrize("m", [5.0, 30.0, 100.0, 600.0])
def test_the_logistic_pull_stays_exact_where_it_is_small(m: float) -> None:
    assert pull_at(LOSSES["log_loss"], m) == pytest.approx(-naive.slope_at("log_loss", m), rel=1e-12, abs=0.0)
