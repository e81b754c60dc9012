"""Tests of the step sizes, with the logarithms of what they contract."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import SCHEDULES, Schedule, StepSize

STEPS = {
    "constant": StepSize("constant", 1e-3, 5.0),
    "optimal": StepSize("optimal", 1e-3),
    "pegasos": StepSize("pegasos", 1e-3),
    "invscaling": StepSize("invscaling", 1e-2, 50.0, 0.4),
    "inverse": StepSize("inverse", 1e-2, 40.0),
}


def direct(step: StepSize, done: int, until: int) -> float:
    """The sum of logarithms, term by term."""
    sizes = (
        naive.step_size(step.schedule, s, step.alpha, step.eta0, step.power)
        for s in range(done + 1, until + 1)
    )
    return math.fsum(math.log1p(-eta * step.alpha) for eta in sizes)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("done", [0, 1, 17, 10**9])
def test_step_sizes_equal_their_formulas_at_any_age(name: str, done: int) -> None:
    step = STEPS[name]
    expected = [naive.step_size(name, done + t, step.alpha, step.eta0, step.power) for t in range(1, 8)]
    assert np.allclose(step.etas(done, 7), expected, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("name", STEPS)
def test_no_steps_have_no_sizes(name: str) -> None:
    assert STEPS[name].etas(5, 0).shape == (0,)


@pytest.mark.parametrize("name", STEPS)
@given(done=st.integers(1, 3000), delay=st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_log_contractions_equal_the_direct_sum(name: str, done: int, delay: int) -> None:
    found = STEPS[name].log_contraction(done, done + delay)
    assert found == pytest.approx(direct(STEPS[name], done, done + delay), rel=1e-12, abs=1e-15)
    assert (found < 0.0) == (delay > 0)


@pytest.mark.parametrize("name", ["constant", "optimal", "invscaling", "inverse"])
def test_log_contractions_from_the_first_step_equal_the_direct_sum(name: str) -> None:
    for until in (1, 2, 10, 5000):
        expected = direct(STEPS[name], 0, until)
        assert STEPS[name].log_contraction(0, until) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", STEPS)
def test_log_contractions_add_up_along_a_run(name: str) -> None:
    ages = [3, 50, 51, 4000, 4095, 4096, 4097, 4098, 9000, 10**6]
    step = STEPS[name]
    parts = math.fsum(step.log_contraction(a, b) for a, b in pairwise(ages))
    assert step.log_contraction(3, 10**6) == pytest.approx(parts, rel=1e-11)


@given(done=st.integers(0, 10**6), delay=st.integers(1, 10**6))
@example(done=1, delay=10**9)
def test_pegasos_contracts_by_the_ratio_of_ages(done: int, delay: int) -> None:
    found = math.exp(StepSize("pegasos", 0.3).log_contraction(done, done + delay))
    assert found == pytest.approx(done / (done + delay), rel=1e-12, abs=0.0)


@given(eta_lambda=st.floats(1e-9, 0.999), delay=st.integers(1, 500))
def test_a_constant_step_contracts_by_a_power(eta_lambda: float, delay: int) -> None:
    step = StepSize("constant", 0.25, eta_lambda / 0.25)
    expected = (1.0 - eta_lambda) ** delay
    assert math.exp(step.log_contraction(77, 77 + delay)) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("done", [0, 1, 4000, 4095, 4096, 5000, 123_456])
def test_invscaling_equals_a_million_terms(power: float, done: int) -> None:
    step = StepSize("invscaling", 0.01, 30.0, power)
    t = np.arange(done + 1, done + 1_000_001, dtype=np.float64)
    expected = math.fsum(np.log1p(-0.3 / t**power))
    assert step.log_contraction(done, done + 1_000_000) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("done", [1, 10**6])
def test_a_billion_steps_of_delay_have_a_finite_logarithm(name: str, done: int) -> None:
    found = STEPS[name].log_contraction(done, done + 10**9)
    assert -1e8 < found < -1e-3


WIPING = [
    StepSize("pegasos", 0.3),
    StepSize("pegasos", 1.0 / 49.0),
    StepSize("optimal", 1.0),
    StepSize("invscaling", 0.5, 2.0, 0.5),
]


@pytest.mark.parametrize("step", WIPING, ids=str)
@pytest.mark.parametrize("until", [1, 2, 5000, 10**7])
def test_a_first_step_that_wipes_has_the_logarithm_minus_infinity(step: StepSize, until: int) -> None:
    assert step.log_contraction(0, until) == -math.inf
    assert math.isfinite(step.log_contraction(1, until))


@pytest.mark.parametrize("name", STEPS)
def test_no_delay_contracts_nothing(name: str) -> None:
    assert STEPS[name].log_contraction(0, 0) == 0.0
    assert STEPS[name].log_contraction(9, 9) == 0.0


def test_adagrad_has_no_scalar_contraction() -> None:
    with pytest.raises(
        ConfigError, match=r"^adagrad contracts each coordinate at its own rate: the rule 'wp' needs"
    ):
        StepSize("adagrad", 0.1, 0.5).log_contraction(3, 5)


def arguments(schedule: str, eta_lambda: float) -> dict[str, Any]:
    return {"schedule": schedule, "alpha": 0.25, "eta0": eta_lambda / 0.25}


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_a_step_beyond_the_contraction_is_refused(schedule: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        StepSize(**arguments(schedule, 1.5))
    assert str(refusal.value) == (
        f"eta lambda = 1.5 at the first step of {schedule!r}: must not exceed 1; lower eta0 or alpha"
    )


@pytest.mark.parametrize("schedule", ["optimal", "pegasos", "inverse", "adagrad"])
@pytest.mark.parametrize("alpha", [1.0, 4.0, 1e3, 1e6])
def test_any_alpha_is_fit_for_schedules_whose_first_step_can_follow_it(
    schedule: Schedule, alpha: float
) -> None:
    step = StepSize(schedule, alpha, 0.01)
    if schedule != "adagrad":
        shrinkage = step.etas(0, 1000) * alpha
        assert shrinkage.min() > 0.0
        assert shrinkage.max() <= 1.0


@pytest.mark.parametrize("alpha", [1.0, 4.0, 1e6])
def test_from_an_alpha_of_1_on_optimal_is_pegasos(alpha: float) -> None:
    optimal, pegasos = StepSize("optimal", alpha), StepSize("pegasos", alpha)
    assert optimal.etas(0, 50).tolist() == pytest.approx(pegasos.etas(0, 50).tolist(), rel=1e-15)
    assert optimal.log_contraction(0, 9) == -math.inf
    assert optimal.log_contraction(3, 90) == pytest.approx(pegasos.log_contraction(3, 90), rel=1e-14)


@pytest.mark.parametrize("steepness", [0.5, 2.0, 60.0, 1e9])
def test_under_a_smooth_loss_optimal_begins_by_the_typical_row(steepness: float) -> None:
    plain, step = StepSize("optimal", 1e-3), StepSize("optimal", 1e-3, steepness=steepness)
    assert step.etas(0, 1)[0] == pytest.approx(min(plain.etas(0, 1)[0], 0.125 / steepness), rel=1e-12)
    product = math.fsum(math.log1p(-eta * 1e-3) for eta in step.etas(7, 400))
    assert step.log_contraction(7, 407) == pytest.approx(product, rel=1e-9)
    constant = StepSize("constant", 1e-3, 0.3, steepness=steepness)
    assert constant.etas(0, 3).tolist() == [0.3] * 3


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_a_steepness_that_is_no_number_from_zero_up_is_refused(bad: float) -> None:
    with pytest.raises(ConfigError, match=r"steepness = .*: must be a number >= 0"):
        StepSize("optimal", 0.1, steepness=bad)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_advice_names_a_key_that_the_schedule_reads(schedule: Schedule) -> None:
    advice = StepSize(schedule, 0.01, 0.5).advice
    smaller = {"alpha": 0.02} if "raise alpha" in advice else {"alpha": 0.01, "eta0": 0.25}
    before = StepSize(schedule, 0.01, 0.5).etas(0, 3)
    assert (StepSize(schedule, **smaller).etas(0, 3) < before).all()
    assert ("lower eta0 (now 0.5" in advice) != ("raise alpha (now 0.01)" in advice)


def test_an_inverse_step_never_exceeds_the_contraction() -> None:
    step = StepSize("inverse", 10.0, 1e6)
    assert 0.99 < step.etas(0, 1)[0] * 10.0 < 1.0


@pytest.mark.parametrize("more", [{"schedule": "constant"}, {"schedule": "invscaling", "power": 0.0}])
def test_a_step_that_wipes_at_every_row_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        StepSize(**{**arguments("", 1.0), **more})
    assert str(refusal.value) == (
        "eta lambda = 1 with a constant step wipes the weights at every row: lower eta0 or alpha"
    )


@pytest.mark.parametrize("alpha", [1e-8, 1.0 / 49.0, 0.3, 1.0, 7.0])
def test_pegasos_may_wipe_at_its_first_step(alpha: float) -> None:
    assert StepSize("pegasos", alpha).etas(0, 1)[0] * alpha == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_an_unfit_alpha_or_eta0_is_refused(bad: float) -> None:
    with pytest.raises(ConfigError) as refusal:
        StepSize("constant", bad)
    assert str(refusal.value) == f"alpha = {bad}: must be a positive number"
    with pytest.raises(ConfigError) as refusal:
        StepSize("constant", 0.1, bad)
    assert str(refusal.value) == f"eta0 = {bad}: must be a positive number"


@pytest.mark.parametrize("power", [-0.5, float("nan"), float("inf")])
def test_a_power_that_is_no_number_from_zero_up_is_refused(power: float) -> None:
    with pytest.raises(ConfigError) as refusal:
        StepSize("invscaling", 0.1, 1.0, power)
    assert str(refusal.value) == f"power = {power}: must be a number >= 0"


def test_an_unknown_schedule_is_refused_with_the_nearest_spelling() -> None:
    with pytest.raises(ConfigError) as refusal:
        StepSize("pegasus", 0.1)  # type: ignore[arg-type]
    assert str(refusal.value).startswith("learning_rate 'pegasus': must be one of constant, optimal, pegasos")
    assert str(refusal.value).endswith("did you mean 'pegasos'?")


def test_every_schedule_has_a_twin_but_adagrad() -> None:
    schedules: list[Schedule] = [name for name in SCHEDULES if name != "adagrad"]
    assert sorted(schedules) == sorted(naive.SCHEDULES)
    assert StepSize("adagrad", 0.1, 0.5).etas(9, 3).tolist() == [0.5] * 3
