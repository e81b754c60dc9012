"""Bounds and contractions against the recursions that they are about."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wpsgd.errors import ConfigError
from wpsgd.kernels.losses import CURVATURES, LOSSES
from wpsgd.theory import (
    delay_bound,
    delayed_contraction,
    lemma_4,
    log_delayed_contraction,
    settles,
    settles_evenly,
)

DELAYS = (0, 1, 2, 5, 20)


def recursion(eta_lambda: float, tau: int, steps: int) -> list[float]:
    """v_t of v_{t+1} = v_t - eta lambda v_{t-tau} from a start of ones."""
    history, values = deque([1.0] * (tau + 1), maxlen=tau + 1), []
    for _ in range(steps):
        history.append(history[-1] - eta_lambda * history[0])
        values.append(history[-1])
    return values


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("tau", DELAYS)
def test_a_delayed_recursion_contracts_by_the_largest_root(tau: int, share: float) -> None:
    eta_lambda = share * delay_bound(tau)
    values = recursion(eta_lambda, tau, 400 if tau else 50)
    assert min(values) > 0.0
    assert values[-1] / values[-2] == pytest.approx(delayed_contraction(eta_lambda, tau), rel=1e-9)


@pytest.mark.parametrize("tau", [1, 2, 5, 20])
def test_past_the_bound_a_delayed_recursion_oscillates_and_up_to_it_does_not(tau: int) -> None:
    assert min(recursion(delay_bound(tau), tau, 2000)) > 0.0
    assert min(recursion(1.1 * delay_bound(tau), tau, 2000)) < 0.0


@given(tau=st.integers(0, 60), share=st.floats(1e-6, 0.999))
def test_the_contraction_is_the_largest_real_root_of_its_polynomial(tau: int, share: float) -> None:
    eta_lambda = share * delay_bound(tau)
    r = delayed_contraction(eta_lambda, tau)
    assert r ** (tau + 1) - r**tau + eta_lambda == pytest.approx(0.0, abs=1e-13)
    # beyond tau / (tau + 1) the polynomial rises, so that no root is larger
    assert r >= tau / (tau + 1)


@pytest.mark.parametrize("tau", [1, 3, 12])
def test_the_contraction_agrees_with_the_roots_that_numpy_finds(tau: int) -> None:
    eta_lambda = 0.5 * delay_bound(tau)
    roots = np.roots([1.0, -1.0, *[0.0] * (tau - 1), eta_lambda])
    real = roots[np.abs(roots.imag) < 1e-9].real
    assert delayed_contraction(eta_lambda, tau) == pytest.approx(real.max(), rel=1e-9)


def test_without_delay_the_contraction_is_that_of_a_step() -> None:
    for eta_lambda in (1e-12, 1e-3, 0.5):
        assert log_delayed_contraction(eta_lambda, 0) == math.log1p(-eta_lambda)
    assert log_delayed_contraction(1.0, 0) == -math.inf


def test_a_small_contraction_keeps_its_digits() -> None:
    # to first order late decay is decay; 1 - r has 15 digits only if it was not subtracted from 1
    for tau in (1, 10, 1000):
        expected = 1e-12 * (1.0 + tau * 1e-12)
        assert -log_delayed_contraction(1e-12, tau) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("tau", DELAYS)
def test_the_bound_is_that_fraction(tau: int) -> None:
    assert delay_bound(tau) == pytest.approx(float(Fraction(tau**tau, (tau + 1) ** (tau + 1))), rel=1e-13)


@pytest.mark.parametrize("tau", [1, 4, 100])
def test_at_the_bound_the_two_roots_meet(tau: int) -> None:
    assert delayed_contraction(delay_bound(tau), tau) == pytest.approx(tau / (tau + 1), rel=1e-6)


@pytest.mark.parametrize("eta_lambda", [0.2501, 0.0, -0.1, math.nan, math.inf])
def test_what_has_no_real_root_is_refused_with_the_bound(eta_lambda: float) -> None:
    with pytest.raises(ConfigError, match=r"decay 1 steps late: must be above 0 and at most 0\.25,"):
        delayed_contraction(eta_lambda, 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_curvatures_are_the_steepest_slopes_of_the_losses_slopes(loss: str) -> None:
    m, h = np.linspace(-3.0, 3.0, 6001), 1e-6
    steepest = max((naive.slope_at(loss, x + h) - naive.slope_at(loss, x - h)) / (2.0 * h) for x in m)
    if math.isinf(CURVATURES[loss]):
        assert steepest > 1e5
    else:
        assert steepest == pytest.approx(CURVATURES[loss], rel=1e-3)


def largest_root(steepness: float, contraction: float, tau: int) -> complex:
    """Of r^{tau+1} - R r^tau + steepness, by absolute value."""
    roots = np.roots(
        [1.0, -contraction, *[0.0] * (tau - 1), steepness] if tau else [1.0, steepness - contraction]
    )
    return complex(roots[np.argmax(np.abs(roots))])


@pytest.mark.parametrize("tau", [1, 2, 5, 20])
@pytest.mark.parametrize("contraction", [0.5, 0.99, 1.0])
def test_a_late_row_settles_evenly_up_to_the_bound_where_its_largest_root_stays_real(
    contraction: float, tau: int
) -> None:
    bound = settles_evenly(0.0, contraction, tau).right
    assert settles_evenly(bound, contraction, tau).holds
    assert abs(largest_root(0.999 * bound, contraction, tau).imag) < 1e-9
    assert abs(largest_root(1.01 * bound, contraction, tau).imag) > 1e-3


@pytest.mark.parametrize("tau", DELAYS)
def test_a_late_row_settles_up_to_the_bound_where_its_largest_root_leaves_the_unit_circle(tau: int) -> None:
    bound = settles(0.0, tau).right
    assert abs(largest_root(0.999 * bound, 1.0, tau)) < 1.0
    assert abs(largest_root(1.001 * bound, 1.0, tau)) > 1.0


def test_lemma_4_holds_where_a_late_row_does_not_settle() -> None:
    # squared hinge, unit rows, eta 0.45, lambda 1e-3, delay 5: without a range check it promises too much
    assert lemma_4(0.45, 1e-3, 2.0, 1.0, 5).holds
    assert not settles(0.45 * 2.0, 5).holds
    assert settles(0.0, 2).right == pytest.approx(0.62, abs=0.005)
    assert settles(0.0, 5).right == pytest.approx(0.28, abs=0.005)


def test_lemma_4_asks_more_of_longer_delays_and_never_holds_for_hinge() -> None:
    assert lemma_4(0.1, 1e-2, CURVATURES["squared_hinge"], 4.0, 3) == (
        pytest.approx(0.001 + 0.8),
        pytest.approx(0.999**3),
    )
    assert lemma_4(0.1, 1e-2, CURVATURES["squared_hinge"], 4.0, 3).holds
    assert not lemma_4(0.1, 1e-2, CURVATURES["squared_hinge"], 4.0, 300).holds
    assert not lemma_4(1e-9, 1e-9, CURVATURES["hinge"], 1.0, 0).holds
