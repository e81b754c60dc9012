"""Tests of one node's learner."""

from __future__ import annotations

import copy
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
from wpsgd.errors import ConfigError, Diverged
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.adagrad import AdaGradLearner
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner

OPTIMAL = StepSize("optimal", 0.01)
STEPS = {"sgd": OPTIMAL, "adagrad": StepSize("adagrad", 0.01, 0.5)}


@cache
def some_rows(count: int = 60, *, seed: int = 6, weighted: bool = False) -> Rows:
    rows = problem(count, 35, 5.0, noise=0.1, seed=seed).rows
    return replace(rows, weights=np.random.default_rng(seed).uniform(0.2, 3.0, count) if weighted else None)


def some_learner(
    kind: str = "sgd", *, rows: Rows | None = None, loss: str = "hinge", w0: Any = 4.0, rank: int = 2
) -> SGDLearner:
    rows = some_rows(weighted=True) if rows is None else rows
    return make_learner(rows, Objective(loss, STEPS[kind], w0, intercept=True), seed=11, rank=rank)


def order_of(learner: SGDLearner, count: int) -> NDArray[np.int64]:
    """The rows that a fresh learner will go through first."""
    place = copy.deepcopy(learner.order)
    return np.concatenate([np.empty(0, np.int64), *place.take(count)])


def bits(learner: SGDLearner) -> bytes:
    return learner.contribution().tobytes()


# advancing


@pytest.mark.parametrize("loss", naive.LOSSES)
@pytest.mark.parametrize("schedule", naive.SCHEDULES)
def test_three_epochs_equal_the_dense_twin(schedule: Any, loss: str) -> None:
    rows, w0 = some_rows(weighted=True), np.linspace(-2.0, 3.0, 35)
    step = StepSize(schedule, 0.02, 0.6, 0.4)
    learner = make_learner(rows, Objective(loss, step, w0, intercept=True), seed=3, rank=1)
    order = order_of(learner, 180)
    learner.advance(180)
    etas = [naive.step_size(schedule, t, 0.02, 0.6, 0.4) for t in range(1, 181)]
    twin = naive.sgd(naive.dense(rows), order, etas, w0, loss=loss, alpha=0.02, intercept=True)
    found = learner.contribution()
    scale = np.max(np.abs(twin.w))
    assert learner.steps == 180
    assert np.max(np.abs(found - twin.vector)) <= 1e-10 * scale
    x = np.hstack([naive.dense(rows).x, np.ones((60, 1))])
    assert np.max(np.abs(x @ (found - twin.vector))) <= 1e-10 * scale


@pytest.mark.parametrize("loss", naive.LOSSES)
def test_three_epochs_of_adagrad_equal_the_dense_twin(loss: str) -> None:
    rows = some_rows(weighted=True)
    learner = some_learner("adagrad", loss=loss, w0=1.5)
    order = order_of(learner, 180)
    learner.advance(180)
    twin = naive.adagrad(
        naive.dense(rows), order, np.full(35, 1.5), loss=loss, alpha=0.01, eta0=0.5, intercept=True
    )
    assert np.allclose(learner.contribution(), twin.vector, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", STEPS)
@given(cuts=st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=20, deadline=None)
def test_an_advance_split_anyhow_gives_the_same_bits(kind: str, cuts: list[int]) -> None:
    whole, split = some_learner(kind), some_learner(kind)
    whole.advance(sum(cuts))
    for count in cuts:
        split.advance(count)
    assert bits(split) == bits(whole)
    assert split.state()["cursor"] == whole.state()["cursor"]


@pytest.mark.parametrize("kind", STEPS)
def test_a_look_is_harmless(kind: str) -> None:
    looked_at, other = some_learner(kind), some_learner(kind)
    for count in (1, 40, 7, 100, 33):
        looked_at.advance(count)
        other.advance(count)
        looked_at.contribution()[:] = np.nan  # a reduction may leave anything in the buffer
    assert bits(looked_at) == bits(other)


@pytest.mark.parametrize("kind", STEPS)
def test_warming_up_changes_nothing(kind: str) -> None:
    warm, cold = some_learner(kind), some_learner(kind)
    warm.advance(30)
    cold.advance(30)
    warm.warm_up()
    warm.advance(30)
    cold.advance(30)
    assert bits(warm) == bits(cold)
    assert warm.gradient().tolist() == cold.gradient().tolist() == [0.0] * 37


def test_single_precision_rows_have_single_precision_weights() -> None:
    learner = some_learner(rows=some_rows().astype(np.float32))
    learner.advance(50)
    assert learner.contribution().dtype == np.float32


def test_schedules_choose_their_learner() -> None:
    assert type(some_learner("sgd")) is SGDLearner
    assert type(some_learner("adagrad")) is AdaGradLearner


# going on from a combined model


@pytest.mark.parametrize("kind", STEPS)
def test_a_learner_goes_on_from_the_model_that_it_is_given(kind: str) -> None:
    learner, model = some_learner(kind), np.linspace(-1.0, 2.0, 36)
    learner.advance(70)
    learner.commit(model, 500)
    assert learner.steps == 500
    assert learner.contribution().tolist() == model.tolist()
    assert np.array_equal(learner.weights, model)
    learner.advance(1)
    assert model.tolist() == np.linspace(-1.0, 2.0, 36).tolist()


def test_the_steps_after_a_commit_have_the_age_of_the_commit() -> None:
    learner, model = some_learner(), np.linspace(-1.0, 2.0, 36)
    order = order_of(learner, 130)[70:]
    learner.advance(70)
    learner.commit(model, 500)
    learner.advance(60)
    etas = [naive.step_size("optimal", t, 0.01) for t in range(501, 561)]
    twin = naive.sgd(
        naive.dense(some_rows(weighted=True)),
        order,
        etas,
        model[:-1],
        loss="hinge",
        alpha=0.01,
        intercept=True,
        b0=2.0,
    )
    assert np.allclose(learner.contribution(), twin.vector, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kind", STEPS)
def test_committing_the_own_contribution_changes_rounding_alone(kind: str) -> None:
    learner, other = some_learner(kind, loss="log_loss"), some_learner(kind, loss="log_loss")
    for count in (30, 50, 20):
        learner.advance(count)
        other.advance(count)
        learner.commit(learner.contribution(), learner.steps)
    assert np.allclose(learner.contribution(), other.contribution(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", STEPS)
@given(before=st.integers(0, 150), after=st.integers(1, 150))
@settings(max_examples=15, deadline=None)
def test_a_restored_learner_goes_on_with_the_same_bits(kind: str, before: int, after: int) -> None:
    learner, restored = some_learner(kind), some_learner(kind)
    learner.advance(before)
    learner.commit(learner.contribution(), learner.steps)
    restored.advance(13)
    restored.restore(learner.weights.copy(), copy.deepcopy(learner.state()))
    learner.advance(after)
    restored.advance(after)
    assert bits(restored) == bits(learner)
    assert restored.steps == learner.steps == before + after


def test_weights_of_another_shape_are_not_restored() -> None:
    learner = some_learner()
    with pytest.raises(ConfigError) as refusal:
        learner.restore(np.zeros(35), learner.state())
    assert str(refusal.value) == "the saved weights have shape (35,), these data need (36,)"


# what cannot be done


def test_an_empty_shard_cannot_advance() -> None:
    learner = some_learner(rows=some_rows()[5:5], rank=3)
    learner.advance(0)
    learner.accumulate(0)
    assert learner.rows == 0
    for call in (learner.advance, learner.accumulate):
        with pytest.raises(ConfigError) as refusal:
            call(1)
        assert str(refusal.value) == "rank 3 holds no rows and cannot advance"


@pytest.mark.parametrize("w0", [np.zeros(34), np.zeros((35, 1))])
def test_a_start_of_another_shape_is_refused(w0: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigError) as refusal:
        some_learner(w0=w0)
    assert str(refusal.value) == (
        f"w0 has shape {w0.shape}: must be a number or one weight for each of 35 features"
    )


def test_the_intercept_starts_at_zero_after_the_start_weights() -> None:
    assert some_learner(w0=4.0).contribution().tolist() == [4.0] * 35 + [0.0]
    vector = np.linspace(0.0, 1.0, 35)
    learner = make_learner(some_rows(), Objective("hinge", OPTIMAL, vector), seed=0, rank=0)
    assert learner.contribution().tolist() == vector.tolist()


@pytest.mark.parametrize("kind", STEPS)
def test_a_start_beyond_numbers_diverges_at_the_first_step(kind: str) -> None:
    rows = Rows.from_scipy(sparse.csr_array(np.ones((5, 35))), np.array([1.0, -1.0, 1.0, 1.0, -1.0]))
    learner = some_learner(kind, rows=rows, w0=1e308)
    with pytest.raises(Diverged) as divergence:
        learner.advance(3)
    advice = "lower eta0 (now 0.5, learning_rate 'adagrad')"
    if kind == "sgd":
        advice = (
            "raise alpha (now 0.01), or take learning_rate 'invscaling' with a small eta0"
            " ('optimal' has none)"
        )
    assert str(divergence.value) == (
        "diverged at step 1 on rank 2: a margin is not a finite number; "
        f"{advice}, lower w0, or scale the rows to unit length"
    )
    with pytest.raises(Diverged, match="diverged at step 1 on rank 2"):
        learner.accumulate(1)


@pytest.mark.parametrize("cut", [400, 7, 1])
def test_a_step_that_is_too_long_diverges_at_the_step_of_the_twin(cut: int) -> None:
    step = StepSize("constant", 1e-9, 1e3)
    # rows that contradict one another, and a longer one whose margin at what they leave is out of range
    values = np.full((300, 35), 1e150)
    values[17] = 1e160
    rows = Rows.from_scipy(sparse.csr_array(values), np.tile([1.0, -1.0], 150))
    learner = make_learner(rows, Objective("hinge", step), seed=1, rank=4)
    order = order_of(learner, 400)
    with np.errstate(over="ignore", invalid="ignore"):
        twin = naive.sgd(naive.dense(rows), order, [1e3] * 400, np.zeros(35), loss="hinge", alpha=1e-9)
    expected = int(np.argmin(np.isfinite(twin.margins))) + 1
    assert 2 < expected < 400
    for _ in range((expected - 1) // cut):
        learner.advance(cut)
    with pytest.raises(Diverged, match=f"^diverged at step {expected} on rank 4: .* eta0 \\(now 1000, "):
        learner.advance(cut)
