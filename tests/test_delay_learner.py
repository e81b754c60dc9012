"""Tests of learners with late gradients, against the recursion itself."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_delay import checked_delay_sgd, delay_sgd
from test_learner import bits, order_of, some_rows

from wpsgd.errors import ConfigError, Diverged
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.delay import DelayLearner, StaleDecayLearner
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective, SGDLearner

CONSTANT = StepSize("constant", 0.02, 0.3)
OPTIMAL = StepSize("optimal", 0.02)
INSIDE = {
    "delay": InNode(delay=3),
    "checked": InNode(delay=3, range_check=True),
    "stale decay": InNode(delay=3, stale_decay=True),
}


def some_learner(
    inside: InNode, *, loss: str = "hinge", step: StepSize = CONSTANT, rank: int = 2, intercept: bool = False
) -> SGDLearner:
    objective = Objective(loss, step, 0.5, intercept)
    return make_learner(some_rows(weighted=True), objective, inside, seed=11, rank=rank)


def combine(learner: SGDLearner) -> None:
    """A round's end with one node."""
    learner.commit(learner.contribution(), learner.steps)


# what it computes


@pytest.mark.parametrize("delay", [1, 2, 13, 100])
@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
@pytest.mark.parametrize("stale_decay", [False, True])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_rounds_are_the_recursion_from_one_model_after_another(
    loss: str, stale_decay: bool, step: StepSize, delay: int
) -> None:
    # each row is applied once and in its turn, whatever was in flight when a round ended
    inside = InNode(delay, stale_decay=stale_decay)
    learner = some_learner(inside, loss=loss, step=step, intercept=True)
    order, data = order_of(learner, 180), naive.dense(some_rows(weighted=True))
    model, done = np.append(np.full(35, 0.5), 0.0), 0
    for rows in (70, 1, 30, 79):
        learner.advance(rows)
        etas = [naive.step_size(step.schedule, t, 0.02, 0.3) for t in range(done + 1, done + rows + 1)]
        part = order[done : done + rows]
        settings: Any = {"loss": loss, "alpha": 0.02, "intercept": True, "stale_decay": stale_decay}
        twin = delay_sgd(data, part, etas, model[:-1], delay, b0=model[-1], **settings)
        model, done = learner.contribution().copy(), done + rows
        assert np.allclose(model, twin.vector, rtol=1e-9, atol=1e-10)
        learner.commit(model, done)


@pytest.mark.parametrize("loss", naive.LOSSES)
def test_without_delay_it_is_sgd_bit_for_bit(loss: str) -> None:
    plain = some_learner(InNode(), loss=loss, intercept=True)
    late = DelayLearner(plain.shard, plain.objective, copy.deepcopy(plain.order), delay=0)
    for rows in (50, 80, 1):
        for learner in (plain, late):
            learner.advance(rows)
            combine(learner)
        assert bits(late) == bits(plain)
    assert {key: late.state()[key] for key in plain.state()} == plain.state()


def test_what_goes_on_inside_a_node_chooses_its_learner() -> None:
    assert type(some_learner(InNode())) is SGDLearner
    assert type(some_learner(InNode(delay=1))) is DelayLearner
    assert type(some_learner(InNode(range_check=True))) is DelayLearner
    assert type(some_learner(InNode(delay=1, stale_decay=True))) is StaleDecayLearner


def test_range_checks_take_the_next_row_in_place_of_an_abandoned_one() -> None:
    learner = some_learner(InNode(delay=2, range_check=True))
    order, data = order_of(learner, 600), naive.dense(some_rows(weighted=True))
    learner.advance(200)
    twin = checked_delay_sgd(
        data, order, 0.3, np.full(35, 0.5), 2, 200, 0.02, "hinge", lambda _, b2: min(1.0, b2)
    )
    assert isinstance(learner, DelayLearner)
    assert learner.steps == 200
    assert learner.abandoned == twin.applied.count(False) > 20
    assert np.allclose(learner.contribution(), twin.w, rtol=1e-9, atol=1e-10)


# as any learner


@pytest.mark.parametrize("inside", INSIDE)
@given(cuts=st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=20, deadline=None)
def test_an_advance_split_anyhow_gives_the_same_bits(inside: str, cuts: list[int]) -> None:
    whole, split = some_learner(INSIDE[inside]), some_learner(INSIDE[inside])
    whole.advance(sum(cuts))
    for count in cuts:
        split.advance(count)
    assert bits(split) == bits(whole)
    assert {key: str(value) for key, value in split.state().items()} == {
        key: str(value) for key, value in whole.state().items()
    }


@pytest.mark.parametrize("inside", INSIDE)
def test_a_look_is_harmless(inside: str) -> None:
    looked_at, other = some_learner(INSIDE[inside]), some_learner(INSIDE[inside])
    for count in (1, 40, 7, 100, 33):
        looked_at.advance(count)
        other.advance(count)
        looked_at.contribution()[:] = np.nan
    assert bits(looked_at) == bits(other)


@pytest.mark.parametrize("inside", INSIDE)
def test_warming_up_changes_nothing(inside: str) -> None:
    warm, cold = some_learner(INSIDE[inside]), some_learner(INSIDE[inside])
    for learner in (warm, cold):
        learner.advance(30)
        warm.warm_up()
        learner.advance(30)
    assert bits(warm) == bits(cold)


@pytest.mark.parametrize("inside", INSIDE)
@given(before=st.integers(0, 150), after=st.integers(1, 150))
@settings(max_examples=15, deadline=None)
def test_a_restored_learner_goes_on_with_the_same_bits(inside: str, before: int, after: int) -> None:
    learner, restored = some_learner(INSIDE[inside]), some_learner(INSIDE[inside])
    learner.advance(before)
    combine(learner)
    restored.advance(13)
    restored.restore(learner.weights.copy(), copy.deepcopy(learner.state()))
    learner.advance(after)
    restored.advance(after)
    assert bits(restored) == bits(learner)
    assert restored.state().keys() == learner.state().keys()
    for name, value in learner.state().items():
        assert np.array_equal(restored.state()[name], value)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_learner_goes_on_from_the_model_that_it_is_given(inside: str) -> None:
    learner, model = some_learner(INSIDE[inside]), np.linspace(-1.0, 2.0, 35)
    learner.advance(70)
    learner.commit(model, 500)
    assert learner.steps == 500
    assert learner.contribution().tolist() == model.tolist()


# what cannot be done


@pytest.mark.parametrize("inside", INSIDE)
def test_an_empty_shard_cannot_advance(inside: str) -> None:
    objective = Objective("hinge", CONSTANT)
    learner = make_learner(some_rows()[5:5], objective, INSIDE[inside], seed=0, rank=3)
    learner.advance(0)
    with pytest.raises(ConfigError, match="rank 3 holds no rows and cannot advance"):
        learner.advance(1)


@pytest.mark.parametrize("inside", ["delay", "stale decay"])
def test_a_step_that_is_too_long_diverges(inside: str) -> None:
    step = StepSize("constant", 1e-9, 1e3)
    far = replace(some_rows(), values=1e160 * some_rows().values)
    learner = make_learner(far, Objective("hinge", step), INSIDE[inside], seed=11, rank=4)
    with pytest.raises(Diverged, match=r"diverged at step \d+ on rank 4"):
        learner.advance(100_000)


@pytest.mark.parametrize("inside", [*INSIDE.values(), InNode(threads=2)], ids=repr)
def test_a_step_size_for_each_coordinate_is_refused_where_there_is_one_for_all(inside: InNode) -> None:
    with pytest.raises(ConfigError, match=r"^rank 2: adagrad has a step size for each coordinate"):
        some_learner(inside, step=StepSize("adagrad", 0.02))


@pytest.mark.parametrize(
    ("step", "advice"),
    [
        (StepSize("constant", 1e-3, 900.0), "lower eta0 (now 900, learning_rate 'constant')"),
        (
            StepSize("pegasos", 1e-3),
            "raise alpha (now 0.001), or take learning_rate 'invscaling' with a small eta0"
            " ('pegasos' has none)",
        ),
    ],
)
def test_range_checks_that_let_nothing_through_name_a_key_that_helps(step: StepSize, advice: str) -> None:
    # from 0, a long step takes any row past 1
    objective = Objective("hinge", step)
    learner = make_learner(some_rows(), objective, InNode(2, range_check=True), seed=0, rank=1)
    with pytest.raises(ConfigError) as refusal:
        learner.advance(1000)
    assert str(refusal.value) == (
        "rank 1: range_check abandoned 60 rows in a row at step 1, each would cross its fixed point:"
        f" {advice}, or leave it out"
    )
