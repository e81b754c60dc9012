"""Tests of the gradient step that nodes take in common, for mini-batches."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import naive
import numpy as np
import pytest
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective, SGDLearner

OPTIMAL = StepSize("optimal", 0.01)


@cache
def some_rows(count: int = 60, *, seed: int = 6, weighted: bool = False) -> Rows:
    rows = problem(count, 35, 5.0, noise=0.1, seed=seed).rows
    return replace(rows, weights=np.random.default_rng(seed).uniform(0.2, 3.0, count) if weighted else None)


def some_learner(
    *, rows: Rows | None = None, loss: str = "hinge", w0: Any = 4.0, rank: int = 2
) -> SGDLearner:
    rows = some_rows(weighted=True) if rows is None else rows
    return make_learner(rows, Objective(loss, OPTIMAL, w0, intercept=True), seed=11, rank=rank)


def order_of(learner: SGDLearner, count: int) -> NDArray[np.int64]:
    """The rows that a fresh learner will go through first."""
    place = copy.deepcopy(learner.order)
    return np.concatenate([np.empty(0, np.int64), *place.take(count)])


@pytest.mark.parametrize("loss", naive.LOSSES)
def test_a_common_step_equals_its_formula(loss: str) -> None:
    learners = [some_learner(loss=loss, rank=rank, w0=1.0) for rank in range(3)]
    data, w, b = naive.dense(some_rows(weighted=True)), np.ones(35), 0.0
    counts = (4, 70, 0)
    orders = [np.split(order_of(learner, 5 * n), 5) for learner, n in zip(learners, counts, strict=True)]
    for t in range(1, 6):
        for learner, count in zip(learners, counts, strict=True):
            learner.accumulate(count)
        summed = np.sum([learner.gradient() for learner in learners], axis=0)
        rows = np.concatenate([order[t - 1] for order in orders])
        eta = naive.step_size("optimal", t, 0.01)
        gradient = naive.loss_gradient(data, rows, w, loss=loss, b=b, eta=eta) / 74.0
        assert summed[-1] == 74.0
        w, b = (1.0 - eta * 0.01) * w - eta * gradient[:-1], b - 0.01 * eta * gradient[-1]
        for learner in learners:
            buffer = learner.gradient()
            buffer[:] = summed
            learner.descend(buffer)
            assert np.allclose(learner.contribution(), np.append(w, b), rtol=1e-11, atol=1e-12)
            assert learner.steps == t


def test_a_common_step_on_no_rows_only_decays() -> None:
    learner = some_learner(w0=1.0)
    learner.descend(learner.gradient())
    expected = 1.0 - 0.01 * naive.step_size("optimal", 1, 0.01)
    assert np.allclose(learner.contribution(), [expected] * 35 + [0.0], rtol=1e-14)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_averaging_after_one_row_each_equals_mini_batches_of_one(nodes: int, loss: str) -> None:
    shards = [some_rows(20 + rank, seed=rank, weighted=True) for rank in range(nodes)]
    averaging = [some_learner(rows=rows, loss=loss, rank=i) for i, rows in enumerate(shards)]
    batching = [some_learner(rows=rows, loss=loss, rank=i) for i, rows in enumerate(shards)]
    for t in range(1, 61):
        for learner in averaging:
            learner.advance(1)
        mean = np.mean([learner.contribution() for learner in averaging], axis=0)
        for learner in averaging:
            learner.commit(mean, t)
        for learner in batching:
            learner.accumulate(1)
        summed = np.sum([learner.gradient() for learner in batching], axis=0)
        for learner in batching:
            learner.descend(summed.copy())
            learner.gradient()[:] = 0.0
        assert all(np.allclose(learner.contribution(), mean, rtol=1e-12, atol=1e-13) for learner in batching)


def test_a_finished_step_leaves_no_gradient_behind() -> None:
    learner = some_learner()
    learner.accumulate(9)
    assert np.abs(learner.gradient()).max() > 0.0
    assert learner.gradient()[-1] == 9.0
    learner.descend(learner.gradient())
    assert learner.gradient().tolist() == [0.0] * 37


def test_a_common_step_of_pegasos_leaves_no_trace_of_a_huge_start() -> None:
    rows = problem(rows=8, features=20, nonzeros_per_row=3, seed=1).rows
    step = StepSize("pegasos", 49.0)  # 1 - (1 / 49) 49 is not 0 in float64
    far, near = (make_learner(rows, Objective("hinge", step, w0), seed=0, rank=0) for w0 in (1e18, 0.0))
    assert 1.0 - step.etas(0, 1)[0] * 49.0 != 0.0
    for learner in (far, near):
        learner.descend(np.zeros(rows.features + 2))
    assert np.array_equal(far.weights, near.weights)


# threads


def threaded(threads: int, rows: Rows) -> SGDLearner:
    objective = Objective("log_loss", OPTIMAL, 0.5, intercept=True)
    return make_learner(rows, objective, InNode(threads=threads), seed=11, rank=0)


def common_steps(learner: SGDLearner, chunks: tuple[int, ...]) -> NDArray[np.float64]:
    """The model after three steps, each of rows that come in these chunks."""
    for _ in range(3):
        for rows in chunks:
            learner.accumulate(rows)
        learner.descend(learner.gradient())
    return learner.contribution().copy()


@pytest.mark.parametrize("threads", [2, 3, 80])
def test_threads_add_up_the_gradient_of_one_to_the_same_bits_however_rows_come(threads: int) -> None:
    rows = some_rows(weighted=True)
    whole = common_steps(threaded(threads, rows), (70,))
    np.testing.assert_allclose(whole, common_steps(threaded(1, rows), (70,)), rtol=1e-12, atol=1e-14)
    for chunks in ((1, 9, 60), (33, 37)):
        assert common_steps(threaded(threads, rows), chunks).tobytes() == whole.tobytes()
