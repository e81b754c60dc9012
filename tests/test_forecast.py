"""Forecasts against the linear recursion they describe, run step by step, and against runs of WP-SGD."""

from __future__ import annotations

from functools import cache
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
import support
from hypothesis import given
from hypothesis import strategies as st

from wpsgd import evaluate
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.dual import solve_dual
from wpsgd.errors import ConfigError
from wpsgd.forecast import (
    Constants,
    a_priori,
    deviation_bounds,
    fastest_alone,
    from_looks,
    from_models,
    lag,
    longest_distance,
    overtaking_row,
    squared_deviation,
    wp_beats_fastest,
    wp_weights,
)
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.reducers import wp
from wpsgd.runtimes.job import Job
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.patterns import Given, Looks
from wpsgd.strategies.sequential import Sequential

R, COUNTS = 0.97, (80, 40, 20, 20)
ABOUT = Constants(3.0, 1.0, R)
DRAWS = 20_000


def recursion(
    counts: tuple[int, ...], about: Constants, weights: Any, rounds: int = 1, seed: int = 0
) -> float:
    """E ||v||^2 where every node does w <- R w + noise and all go on from v, over many independent draws."""
    rng = np.random.default_rng(seed)
    noise = about.spread * sqrt(1.0 - about.contraction**2)
    v = np.full(DRAWS, about.distance)
    for _ in range(rounds):
        models = []
        for count in counts:
            w = v.copy()
            for _ in range(count):
                w = about.contraction * w + noise * rng.standard_normal(DRAWS)
            models.append(w)
        v = sum(weight * w for weight, w in zip(weights, models, strict=True))
    return float(np.mean(v**2))


def stepwise(speeds: tuple[float, ...], about: Constants, kappa: float, rows: int) -> list[bool]:
    """Whether WP-SGD is ahead after each row of the fastest node: means and variances, step by step."""
    r, fresh = about.contraction, about.spread**2 * (1.0 - about.contraction**2)
    means, variances = [about.distance], [0.0]
    for _ in range(rows):
        means.append(r * means[-1])
        variances.append(r * r * variances[-1] + fresh)
    ahead = []
    for last in range(1, rows + 1):
        done = [int(last * speed) for speed in speeds]
        raw = [kappa ** (last - count) for count in done]
        omega = [weight / sum(raw) for weight in raw]
        mean = sum(weight * means[count] for weight, count in zip(omega, done, strict=True))
        variance = sum(weight**2 * variances[count] for weight, count in zip(omega, done, strict=True))
        ahead.append(mean**2 + variance < means[last] ** 2 + variances[last])
    return ahead


# the squared form


@pytest.mark.parametrize("kappa", [None, 0.9, 1.0])
@pytest.mark.parametrize("rounds", [1, 4])
def test_squared_deviations_are_those_of_the_recursion(kappa: float | None, rounds: int) -> None:
    counts = tuple(count // 4 for count in COUNTS)
    raw = (kappa or R) ** (max(counts) - np.array(counts, dtype=float))
    found = recursion(counts, ABOUT, raw / raw.sum(), rounds)
    # a mean of so many squares is uncertain by some sqrt(2 / DRAWS) of itself
    assert squared_deviation(counts, ABOUT, kappa=kappa, rounds=rounds) == pytest.approx(found, rel=0.04)


def test_one_node_forgets_its_start_and_ends_at_the_spread() -> None:
    assert fastest_alone(0, ABOUT) == ABOUT.distance**2
    assert fastest_alone(30, ABOUT) == pytest.approx(recursion((30,), ABOUT, (1.0,)), rel=0.04)
    assert fastest_alone(10_000, ABOUT) == pytest.approx(ABOUT.spread**2, rel=1e-12)


@given(rounds=st.integers(1, 6), counts=st.lists(st.integers(0, 90), min_size=1, max_size=5))
def test_a_round_multiplies_the_mean_by_what_its_models_kept(rounds: int, counts: list[int]) -> None:
    quiet, q = Constants(2.0, 0.0, R), sum(R ** (max(counts) - count) for count in counts if count)
    working = sum(count > 0 for count in counts)
    kept = working * R ** max(counts) / q if working else 1.0
    found = squared_deviation(counts, quiet, rounds=rounds)
    assert found == pytest.approx((kept**rounds * 2.0) ** 2, rel=1e-9)


@pytest.mark.parametrize("kappa", [R, 0.9, 0.995])
@pytest.mark.parametrize("distance", [0.5, 3.0, 40.0])
def test_wp_overtakes_at_the_row_at_which_the_recursion_does(kappa: float, distance: float) -> None:
    about, speeds = Constants(distance, 1.0, R), (1.0, 0.5, 0.25, 0.25)
    ahead = stepwise(speeds, about, kappa, 700)
    found = overtaking_row(speeds, about, kappa=kappa)
    first = ahead.index(True) + 1
    # counts of slow nodes are whole numbers there, which can delay the row by a step of the slowest
    assert first - 8 <= found <= first + 1
    assert all(ahead[int(found) + 8 : int(found) + 60])
    counts = [int(found + 9) * speed for speed in speeds]
    assert wp_beats_fastest(counts, about, kappa=kappa)


def test_equal_nodes_beat_one_of_them_at_once_and_idle_ones_never() -> None:
    assert overtaking_row((1.0, 1.0), ABOUT) == 1.0
    assert overtaking_row((5.0,), ABOUT, limit=1e6) == inf
    assert overtaking_row((1.0, 0.0), ABOUT, limit=1e6) == inf
    assert not wp_beats_fastest((30,), ABOUT)


def test_more_rounds_are_not_forecast_to_be_more_rows() -> None:
    one = squared_deviation((400, 100), ABOUT)
    ten = squared_deviation((40, 10), ABOUT, rounds=10)
    assert one != pytest.approx(ten, rel=1e-3)


# the bounds


@pytest.mark.parametrize("counts", [COUNTS, (60, 60, 60), (200, 3)])
def test_deviations_stay_below_their_bounds(counts: tuple[int, ...]) -> None:
    w2 = sqrt(ABOUT.distance**2 + ABOUT.spread**2)  # from a point to a Gaussian of that spread
    bounds = deviation_bounds(counts, R, w2, w2, ABOUT.spread)
    weights = wp_weights(counts, R)
    assert sqrt(recursion(counts, ABOUT, weights)) <= bounds.wp
    assert sqrt(recursion((max(counts),), ABOUT, (1.0,))) <= bounds.fastest


def test_bounds_are_the_printed_sums() -> None:
    w1, w2, spread = 2.0, 3.0, 0.5
    missed = [R ** (80 - count) for count in COUNTS]
    q, start = sum(missed), R**80
    noise = sqrt(sum(part**2 for part in missed)) / q
    bounds = deviation_bounds(COUNTS, R, w1, w2, spread)
    assert bounds.wp == pytest.approx(4 / q * start * w1 + 2 / q * start * w2 + noise * spread, rel=1e-12)
    assert bounds.fastest == pytest.approx(start * (w1 + w2) + spread, rel=1e-12)


def test_the_bound_says_that_wp_is_ahead_long_before_it_is() -> None:
    about, speeds = Constants(3.0, 1.0, 0.999), (1.0, 0.5, 0.25, 0.25)
    found = int(overtaking_row(speeds, about))
    early = [speed * found / 3 for speed in speeds]
    bounds = deviation_bounds(early, 0.999, 3.0, sqrt(10.0), 1.0)
    assert bounds.wp < bounds.fastest
    assert not wp_beats_fastest(early, about)


def test_the_lag_is_the_rows_that_the_mean_is_behind() -> None:
    quiet, behind = Constants(1.0, 0.0, R), lag(COUNTS, R)
    assert behind > 0.0
    assert squared_deviation(COUNTS, quiet) == pytest.approx(fastest_alone(80 - behind, quiet), rel=1e-9)
    assert lag((7, 7), R) == 0.0


def test_weights_of_many_missed_rows_do_not_underflow() -> None:
    weights = wp_weights((10**9, 1, 0), 1.0 - 1e-9)
    assert weights[1] == pytest.approx(np.exp(-1.0) / (1.0 + np.exp(-1.0)), rel=1e-6)
    assert weights[2] == 0.0
    assert wp_weights((10**9, 1), 0.5).tolist() == [1.0, 0.0]
    assert wp_weights((0, 0), 0.5).tolist() == [0.5, 0.5]


# D and sigma


def test_a_step_of_unit_rows_stirs_up_the_spread_foretold() -> None:
    # w <- R w + eta y x with y x of unit length in a random direction, on a share of the steps
    eta, alpha, inside, rng = 0.1, 0.5, 0.4, np.random.default_rng(3)
    w = np.zeros((4000, 5))
    for _ in range(200):
        x = rng.standard_normal((4000, 5))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        w = (1.0 - eta * alpha) * w + eta * x * (rng.random((4000, 1)) < inside)
    about = a_priori(eta, alpha, 1.0, inside)
    assert float(np.mean((w**2).sum(axis=1))) == pytest.approx(about.spread**2, rel=0.06)
    assert about.contraction == 0.95


@given(distance=st.floats(0.5, 30.0), spread=st.floats(0.3, 2.0))
def test_constants_are_found_again_in_the_looks_at_a_run(distance: float, spread: float) -> None:
    about = Constants(distance, spread, 0.999)
    rows = np.geomspace(10, 10_000, 20)
    looks = [{"rows": row, "objective": 0.3 + fastest_alone(row, about)} for row in rows]
    found = from_looks(looks, 0.3, 0.999)
    assert found.distance == pytest.approx(distance, rel=1e-4)
    assert found.spread == pytest.approx(spread, rel=1e-4)


def test_no_hinge_solution_is_longer_than_its_bound() -> None:
    rows = problem(300, 40, 6.0, noise=0.2, seed=2).rows
    for alpha in (1e-1, 1e-3):
        best = solve_dual(rows, alpha=alpha, tol=1e-6).weights
        w0 = np.full(40, 4.0)
        assert np.linalg.norm(w0 - best) <= longest_distance(float(np.linalg.norm(w0)), alpha)


@pytest.mark.parametrize(("start", "alpha"), [(1.0, 0.0), (1.0, -1.0), (-1.0, 0.1), (inf, 0.1), (1.0, inf)])
def test_a_distance_without_bound_is_refused(start: float, alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"^start = .*, alpha = .*: must be finite"):
        longest_distance(start, alpha)


# runs of WP-SGD, where the regulariser rules: most rows stay within the margin

ETA, LAM, SPEEDS, SEEDS = 0.02, 0.5, (1.0, 0.5, 0.25, 0.25), 24
STEP = StepSize("constant", LAM, eta0=ETA)


@cache
def some_rows() -> Rows:
    return problem(8000, 60, 8.0, noise=0.1, seed=6).rows


@cache
def optimum() -> Any:
    return solve_dual(some_rows(), alpha=LAM, tol=1e-7).weights


@cache
def constants() -> Constants:
    margins = evaluate.margins_of(optimum(), some_rows())
    return from_models(np.full(60, 0.3), optimum(), margins, eta=ETA, alpha=LAM)


def squared_distances(last: int, rounds: int = 1) -> tuple[float, float]:
    """E ||v - w*||^2 of WP-SGD after rounds of `last` rows, and of the fastest node alone, over seeds."""
    found, objective = [], Objective("hinge", STEP, w0=0.3)
    for seed in range(SEEDS):
        parts = np.array_split(np.random.default_rng(seed).permutation(8000), 4)

        def learner(rank: int, parts: Any = parts, seed: int = seed) -> Any:
            return make_learner(some_rows().take(parts[rank]), objective, seed=seed, rank=rank)

        counts = (tuple(round(last * speed) for speed in SPEEDS),) * rounds
        averaging = Averaging(rounds, Given(counts), wp, STEP, (2000,) * 4, Looks(0, 1))
        alone = Sequential(rounds, last, Looks(0, 1))
        runs = [support.simulated(4).run(Job(program, learner)).model for program in (averaging, alone)]
        found.append([float(np.sum((model - optimum()) ** 2)) for model in runs])
    one, other = np.mean(found, axis=0)
    return float(one), float(other)


@pytest.mark.parametrize("share", [0.3, 0.7, 1.2])
def test_runs_of_wp_beat_the_fastest_node_where_that_is_foretold(share: float) -> None:
    last = round(share * overtaking_row(SPEEDS, constants()))
    averaged, alone = squared_distances(last)
    counts = [last * speed for speed in SPEEDS]
    assert averaged == pytest.approx(squared_deviation(counts, constants()), rel=0.1)
    assert alone == pytest.approx(fastest_alone(last, constants()), rel=0.1)
    assert (averaged < alone) == (share > 1.0) == wp_beats_fastest(counts, constants())


def test_runs_in_rounds_are_as_far_from_the_optimum_as_foretold() -> None:
    averaged, _ = squared_distances(60, rounds=4)
    counts = [60 * speed for speed in SPEEDS]
    assert averaged == pytest.approx(squared_deviation(counts, constants(), rounds=4), rel=0.1)
    # rounds contract at the mean speed of the nodes: the same rows in one go are another forecast
    assert abs(averaged / squared_deviation([4 * count for count in counts], constants()) - 1.0) > 0.2


# what cannot be meant

REFUSED = {
    "contraction = 1.0: must be above 0 and below 1": lambda: Constants(1.0, 1.0, 1.0),
    "distance = nan, spread = 1.0: must be finite numbers": lambda: Constants(float("nan"), 1.0, 0.9),
    "distance = 1.0, spread = -1.0: must be finite numbers": lambda: Constants(1.0, -1.0, 0.9),
    "eta lambda = 2: must be above 0 and below 1": lambda: a_priori(2.0, 1.0, 1.0),
    "inside = 1.5: must be a share from 0 to 1": lambda: a_priori(0.2, 1.0, 1.0, 1.5),
    "kappa = 0.0: must be above 0 and at most 1": lambda: wp_weights((1, 2), 0.0),
    r"counts = \[\]: must be finite numbers": lambda: wp_weights((), 0.5),
    r"counts = \[1, -2\]: must be finite numbers": lambda: lag((1, -2), 0.5),
    r"speeds = \[0.0\]: must be finite numbers >= 0, one of": lambda: overtaking_row((0.0,), ABOUT),
    "limit = inf: must be a finite number of rows": lambda: overtaking_row((1.0,), ABOUT, limit=inf),
    "1 looks above the optimum 0.5: must be 2 or more": lambda: from_looks(
        [{"rows": 1, "objective": 0.6}, {"rows": 2, "objective": 0.4}], 0.5, 0.9
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_forecast_is_told(message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        REFUSED[message]()
