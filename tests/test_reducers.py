"""Tests of the combination rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError
from wpsgd.evaluate import objective
from wpsgd.kernels.stepsize import StepSize
from wpsgd.reducers import (
    RULES,
    Combination,
    Moments,
    RoundFacts,
    Rule,
    SampledModels,
    asum,
    effective_nodes,
    fednova_with,
    moments_of,
    rule_named,
    wp_with,
)
from wpsgd.reducers.contraction import POWERS
from wpsgd.sample import Sample

CONSTANT = StepSize("constant", 1e-2, 3.0)
SHARDS = (100, 250, 50, 600)
MOMENTS = Moments(moved=4.0, noise=30.0)
UPDATES = ("fednova", "asum")  # rules that move the start model; the others average models
MEANS = [name for name in RULES if name not in UPDATES]
STEPS = [
    CONSTANT,
    StepSize("optimal", 1e-3),
    StepSize("pegasos", 0.3),
    StepSize("invscaling", 1e-2, 50.0, 0.4),
    StepSize("inverse", 1e-2, 40.0),
]


def weights(rule: str, counts: tuple[int, ...], age: int = 0, step: StepSize = CONSTANT) -> list[float]:
    return combined(RULES[rule], counts, age, step).omega.tolist()


def combined(
    rule: Rule,
    counts: tuple[int, ...],
    age: int = 0,
    step: StepSize = CONSTANT,
    moments: Moments | None = MOMENTS,
    sampled: SampledModels | None = None,
) -> Combination:
    shards = (SHARDS * len(counts))[: len(counts)]
    squares = tuple(2.0 * count for count in counts)
    return rule(RoundFacts(counts, age, step, shards, moments, squares, sampled))


def test_uniform_gives_each_node_the_same() -> None:
    assert weights("uniform", (5, 90, 1)) == pytest.approx([1 / 3] * 3, rel=1e-15)


def test_steps_gives_each_node_its_share_of_the_work() -> None:
    assert weights("steps", (5, 90, 1)) == pytest.approx([5 / 96, 90 / 96, 1 / 96], rel=1e-15)


def test_shard_gives_each_node_its_share_of_the_rows() -> None:
    assert weights("shard", (5, 90, 1, 7)) == pytest.approx([0.1, 0.25, 0.05, 0.6], rel=1e-15)


def test_wp_at_a_constant_step_is_the_power_of_the_delay() -> None:
    powers = [0.97**delay for delay in (70, 0, 10, 69)]
    expected = [power / sum(powers) for power in powers]
    assert weights("wp", (20, 90, 80, 21), age=12) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("age", [1, 40, 5000])
def test_wp_under_any_schedule_is_the_product_of_the_missed_contractions(step: StepSize, age: int) -> None:
    counts = (20, 90, 80, 21)
    missed = [
        math.prod(1.0 - eta * step.alpha for eta in step.etas(age + count, 90 - count)) for count in counts
    ]
    expected = [factor / sum(missed) for factor in missed]
    assert weights("wp", counts, age, step) == pytest.approx(expected, rel=1e-11)


@given(counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any))
def test_wp_with_pegasos_from_the_start_is_the_step_weighting(counts: list[int]) -> None:
    # T_i / T of WP-SGD, normalised, is T_i / sum T_j
    found = weights("wp", tuple(counts), 0, StepSize("pegasos", 0.3))
    assert found == pytest.approx(weights("steps", tuple(counts)), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("rule", MEANS)
@given(
    counts=st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any),
    age=st.integers(0, 10**9),
    step=st.sampled_from(STEPS),
)
@settings(max_examples=40, deadline=None)
def test_weights_add_up_to_one_without_any_for_idle_nodes(
    rule: str, counts: list[int], age: int, step: StepSize
) -> None:
    found = weights(rule, tuple(counts), age, step)
    assert math.fsum(found) == pytest.approx(1.0, rel=1e-14)
    assert all(0.0 <= omega <= 1.0 for omega in found)
    assert all(omega == 0.0 for omega, count in zip(found, counts, strict=True) if count == 0)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_wp_ranks_nodes_by_their_rows(step: StepSize) -> None:
    found = weights("wp", (20, 90, 80, 21), 7, step)
    assert found[0] < found[3] < found[2] < found[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_a_node_without_rows_has_no_weight_under_any_rule(rule: str, step: StepSize) -> None:
    found = weights(rule, (7, 0, 7, 7), 3, step)
    assert found[1] == 0.0
    assert min(found[0], found[2], found[3]) > 0.0


@pytest.mark.parametrize("rule", RULES)
def test_where_no_node_has_rows_the_first_speaks_for_all(rule: str) -> None:
    assert weights(rule, (0, 0, 0), 3) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 7, 8, 16, 64])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("count", [1, 1000, 123_457])
def test_equal_counts_make_wp_uniform_to_the_bit(nodes: int, step: StepSize, count: int) -> None:
    counts = (count,) * nodes
    assert weights("uniform", counts) == [1.0 / nodes] * nodes
    assert weights("wp", counts, 5, step) == weights("uniform", counts)
    assert weights("steps", counts) == weights("uniform", counts)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_a_delay_of_a_billion_rows_leaves_sane_weights(step: StepSize) -> None:
    found = weights("wp", (1, 10**9 + 1, 10**9), 0, step)
    assert 0.0 <= found[0] < 0.3
    assert found[1] >= found[2] > 0.3
    assert math.fsum(found) == pytest.approx(1.0, rel=1e-14)


def test_wp_with_adagrad_is_refused() -> None:
    adagrad = StepSize("adagrad", 0.1, 0.5)
    with pytest.raises(ConfigError, match=r"the rule 'wp' needs another learning_rate$"):
        weights("wp", (3, 5), step=adagrad)
    assert weights("steps", (3, 5), step=adagrad) == [0.375, 0.625]


def test_effective_nodes_count_equal_weights() -> None:
    assert effective_nodes(np.full(8, 0.125)) == 8.0
    assert effective_nodes(np.array([0.0, 1.0, 0.0])) == 1.0
    assert effective_nodes(np.array([0.5, 0.25, 0.25])) == pytest.approx(1.0 / 0.375)


def test_a_misspelt_rule_is_refused_with_the_nearest() -> None:
    assert rule_named("wp") is RULES["wp"]
    with pytest.raises(ConfigError) as refusal:
        rule_named("unifrom")
    assert str(refusal.value) == (
        "rule 'unifrom': must be one of uniform, wp, steps, shard, fednova, asum, diagonal, tail,"
        " inverse_variance; did you mean 'uniform'?"
    )


# the contraction of WP-SGD's rule


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_powers_of_the_contraction_are_powers_of_the_weights(step: StepSize) -> None:
    counts, theory = (20, 90, 80, 21), np.array(weights("wp", (20, 90, 80, 21), 7, step))
    for power in (0.5, 3.0, 40.0):
        found = combined(wp_with(f"R^{power:g}"), counts, 7, step).omega
        np.testing.assert_allclose(found, theory**power / (theory**power).sum(), rtol=1e-11)
    assert combined(wp_with("R^1"), counts, 7, step).omega.tolist() == theory.tolist()


def test_a_contraction_that_is_a_number_takes_the_place_of_r() -> None:
    expected = 0.9 ** np.array([70.0, 0.0, 10.0, 69.0])
    found = combined(wp_with(0.9), (20, 90, 80, 21), age=12).omega
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_a_number_under_a_schedule_is_measured_by_the_last_step(step: StepSize) -> None:
    theory = np.array(weights("wp", (20, 90, 80, 21), 7, step))
    power = math.log(0.9) / math.log1p(-step.alpha * float(step.etas(7 + 90 - 1, 1)[0]))
    found = combined(wp_with(0.9), (20, 90, 80, 21), 7, step).omega
    np.testing.assert_allclose(found, theory**power / (theory**power).sum(), rtol=1e-10)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("contraction", [1, 1.0, "R^0"])
@pytest.mark.parametrize("age", [0, 9])
def test_a_contraction_of_one_is_uniform_to_the_bit(
    step: StepSize, contraction: str | float, age: int
) -> None:
    found = combined(wp_with(contraction), (20, 0, 80, 21), age, step).omega
    assert found.tolist() == weights("uniform", (20, 0, 80, 21))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("contraction", [1e-300, 0.5, "R^1e9", "R^0.01"])
def test_any_contraction_leaves_weights_that_add_up_to_one(step: StepSize, contraction: str | float) -> None:
    for counts in ((1, 10**9, 0, 10**9), (1, 1), (1,), (0, 1)):
        omega = combined(wp_with(contraction), counts, 0, step).omega
        assert math.fsum(omega) == pytest.approx(1.0, rel=1e-14)
        assert omega.min() >= 0.0


@pytest.mark.parametrize("rule", [wp_with(0.9), RULES["asum"], RULES["fednova"], RULES["inverse_variance"]])
def test_steps_that_have_become_zero_combine_models_all_the_same(rule: Rule) -> None:
    gone = StepSize("invscaling", 1e-2, 1.0, power=1000.0)
    assert gone.etas(9, 1).tolist() == [0.0]
    combination = combined(rule, (40, 10), age=9, step=gone)
    assert np.isfinite(combination.omega).all()
    assert combination.omega.sum() + combination.start == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("contraction", "hint"),
    [
        ("validatd", "; did you mean 'validated'?"),
        ("R^", ""),
        ("R^-1", ""),
        ("R^nan", ""),
        ("R^inf", ""),
        ("R^1e10", ""),
        ("S^2", ""),
    ],
)
def test_a_contraction_in_unknown_words_is_refused(contraction: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        wp_with(contraction)
    assert str(refusal.value) == (
        f'contraction = "{contraction}": must be "theory", "validated", a power of R such as "R^3",'
        f" or a number above 0 and at most 1{hint}"
    )


@pytest.mark.parametrize("contraction", [0.0, -0.5, 1.5, math.nan, math.inf])
def test_a_contraction_that_does_not_contract_is_refused(contraction: float) -> None:
    with pytest.raises(ConfigError, match=r"^contraction = \S+: must be \"theory\", .* at most 1$"):
        wp_with(contraction)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
def test_the_validated_contraction_is_best_of_all_on_the_sample(seed: int, step: StepSize) -> None:
    data = problem(200, 30, 5.0, seed=seed).rows
    sample = Sample(data, "hinge", 0.05)
    models = np.random.default_rng(seed).standard_normal((4, 30)) * [[0.1], [1.0], [3.0], [0.3]]
    margins = np.array([sample.margins(model) for model in models])
    known = SampledModels(sample, margins, models @ models.T)
    found = combined(wp_with("validated"), (20, 90, 80, 21), 7, step, sampled=known)

    def value(omega: np.ndarray[Any, Any]) -> float:
        return objective(omega @ models, data, loss="hinge", alpha=0.05)

    others = [combined(wp_with(f"R^{power!r}"), (20, 90, 80, 21), 7, step).omega for power in POWERS]
    assert value(found.omega) == pytest.approx(min(map(value, others)), rel=1e-12)
    assert {weights_of.tolist() == found.omega.tolist() for weights_of in others} == {True, False}
    assert found.power in POWERS
    assert 38 <= len(POWERS) <= 42


def test_models_that_ran_away_leave_the_contraction_of_theory() -> None:
    data = problem(20, 12, 3.0, seed=0).rows
    lost = SampledModels(Sample(data, "hinge", 0.1), np.full((2, 20), np.nan), np.full((2, 2), np.inf))
    found = combined(wp_with("validated"), (5, 9), sampled=lost)
    assert found.power == 1.0
    assert found.omega.tolist() == weights("wp", (5, 9))


# updates divided by effective steps


def products(step: StepSize, counts: tuple[int, ...], age: int) -> np.ndarray[Any, Any]:
    """a_i by multiplying out."""
    factors = [np.prod(1.0 - step.alpha * step.etas(age, count)) for count in counts]
    return (1.0 - np.array(factors)) / step.alpha


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("age", [0, 40])
@pytest.mark.parametrize("tau_eff", ["mean", "max"])
def test_fednova_divides_updates_by_their_effective_steps(step: StepSize, age: int, tau_eff: str) -> None:
    counts = (20, 90, 80, 21)
    a, p = products(step, counts, age), np.array(SHARDS) / 1000.0
    tau = a.max() if tau_eff == "max" else (p * a).sum()
    x0, models = np.arange(3.0), np.random.default_rng(0).standard_normal((4, 3))
    expected = x0 + tau * (p / a) @ (models - x0)
    found = combined(fednova_with(tau_eff), counts, age, step)
    np.testing.assert_allclose(found.start * x0 + found.omega @ models, expected, rtol=1e-9)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("age", [0, 40])
def test_asum_adds_updates_up_to_the_length_of_the_fastest(step: StepSize, age: int) -> None:
    counts = (20, 0, 80, 21)
    a = products(step, counts, age)
    x0, models = np.arange(3.0), np.random.default_rng(1).standard_normal((4, 3))
    updates = (models - x0)[[0, 2, 3]].sum(axis=0)
    found = combined(asum, counts, age, step)
    assert found.omega[1] == 0.0
    expected = x0 + a.max() / a.sum() * updates
    np.testing.assert_allclose(found.start * x0 + found.omega @ models, expected, rtol=1e-9)


def test_fednova_with_pegasos_from_the_start_averages_by_shards() -> None:
    pegasos = StepSize("pegasos", 0.3)
    for tau_eff in ("mean", "max"):
        found = combined(fednova_with(tau_eff), (20, 90, 80, 21), 0, pegasos)
        np.testing.assert_allclose(found.omega, weights("shard", (1, 1, 1, 1)), rtol=1e-14)
        assert abs(found.start) < 1e-15


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("rule", RULES)
def test_equal_nodes_have_equal_weights(rule: str, step: StepSize) -> None:
    equal = RoundFacts((700,) * 5, 13, step, (90,) * 5, MOMENTS, (3.0,) * 5)
    found = RULES[rule](equal)
    assert len({*found.omega.tolist()}) == 1
    np.testing.assert_allclose(found.omega, 0.2, rtol=1e-14)
    assert abs(found.start) < 1e-14


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("rule", RULES)
def test_a_node_alone_is_the_combination(rule: str, step: StepSize) -> None:
    for counts, place in (((7,), 0), ((0, 7, 0), 1)):
        found = combined(RULES[rule], counts, 3, step)
        assert found.omega.tolist() == [float(number == place) for number in range(len(counts))]
        assert found.start == 0.0


# inverse variance


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.schedule)
@pytest.mark.parametrize("moved", [0.0, 0.1, 100.0])
def test_inverse_variance_solves_for_the_least_squared_error(step: StepSize, moved: float) -> None:
    counts, age = np.array([20, 90, 80, 21]), 40
    b = np.array([np.prod(1.0 - step.alpha * step.etas(age, count)) for count in counts])
    solved = np.linalg.solve(moved * np.outer(b, b) + np.diag(30.0 / counts), np.ones(4))
    expected = np.maximum(solved, 0.0) / np.maximum(solved, 0.0).sum()
    found = combined(RULES["inverse_variance"], tuple(counts), age, step, Moments(moved, 30.0)).omega
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)


def test_inverse_variance_drops_nodes_that_would_only_add_bias() -> None:
    found = combined(RULES["inverse_variance"], (1, 900, 800), 0, CONSTANT, Moments(1e6, 1e-3)).omega
    assert found[0] == 0.0
    assert found[1] > found[2] > 0.0


@pytest.mark.parametrize("moments", [None, Moments(math.inf, 1.0), Moments(math.nan, 1.0), Moments(0.0, 0.0)])
def test_inverse_variance_that_knows_nothing_weighs_steps(moments: Moments | None) -> None:
    found = combined(RULES["inverse_variance"], (20, 0, 80, 21), 3, CONSTANT, moments).omega
    assert found.tolist() == weights("steps", (20, 0, 80, 21))


def test_moments_know_the_noise_of_one_row() -> None:
    # models of T rows, each a mean of T independent draws of variance 9
    rng, counts = np.random.default_rng(3), (10, 40, 20, 0, 30)
    found = []
    for _ in range(4000):
        means = np.array([rng.normal(0.0, 3.0, max(count, 1)).mean() for count in counts])
        v = float(means @ np.array(counts)) / sum(counts)
        moments = moments_of(2.0, [(mean - v) ** 2 for mean in means], counts)
        assert moments is not None
        found.append(moments.noise)
    assert np.mean(found) == pytest.approx(9.0, rel=0.05)
    assert moments_of(2.0, [1.0, 1.0], (5, 0)) is None
