"""Tests of the scores."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, hinge_loss, roc_auc_score

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.evaluate import (
    Score,
    Scorer,
    accuracy,
    auc,
    decision_values,
    line_search,
    losses_at,
    margins_of,
    objective,
    regulariser,
)

ALPHA = 0.02


@cache
def some_rows(*, weighted: bool = False, count: int = 120, seed: int = 9) -> Rows:
    rows = problem(count, 30, 6.0, noise=0.1, seed=seed).rows
    return replace(rows, weights=np.random.default_rng(seed).uniform(0.2, 3.0, count) if weighted else None)


@cache
def some_weights(*, intercept: bool = False) -> NDArray[np.float64]:
    """Better than chance, worse than the optimum."""
    w = problem(120, 30, 6.0, noise=0.1, seed=9).truth
    w = 2.0 * w / np.linalg.norm(w) + np.random.default_rng(0).normal(0.0, 0.3, 30)
    return np.append(w, 0.4) if intercept else w


def parts(weights: NDArray[Any]) -> tuple[NDArray[Any], float]:
    return weights[:30], float(weights[30]) if weights.size > 30 else 0.0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_the_objective_equals_its_formula(loss: str, intercept: bool, weighted: bool) -> None:
    rows, weights = some_rows(weighted=weighted), some_weights(intercept=intercept)
    w, b = parts(weights)
    expected = naive.objective(naive.dense(rows), w, loss=loss, alpha=ALPHA, b=b)
    assert objective(weights, rows, loss=loss, alpha=ALPHA) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_hinge_objective_equals_scikit_learns_loss(weighted: bool) -> None:
    rows, weights = some_rows(weighted=weighted), some_weights(intercept=True)
    decision = rows.to_scipy() @ weights[:30] + 0.4
    expected = hinge_loss(rows.labels, decision, sample_weight=rows.weights)
    expected += 0.5 * ALPHA * np.linalg.norm(weights[:30]) ** 2
    assert objective(weights, rows, loss="hinge", alpha=ALPHA) == pytest.approx(expected, rel=1e-12)


def test_scikit_learns_optimum_is_a_minimum_of_the_logistic_objective() -> None:
    rows = some_rows(weighted=True)
    strength = 1.0 / (ALPHA * float(naive.dense(rows).s.sum()))
    peer = LogisticRegression(C=strength, tol=1e-12, max_iter=10_000)
    peer.fit(rows.to_scipy(), rows.labels, sample_weight=rows.weights)
    best = np.append(peer.coef_.ravel(), peer.intercept_)
    lowest = objective(best, rows, loss="log_loss", alpha=ALPHA)
    for direction in np.eye(31):
        for step in (-1e-2, 1e-2):
            assert objective(best + step * direction, rows, loss="log_loss", alpha=ALPHA) > lowest


@pytest.mark.parametrize("loss", naive.LOSSES)
def test_a_row_of_weight_two_counts_as_two_rows(loss: str) -> None:
    rows, weights = some_rows(), some_weights()
    s = np.where(np.arange(120) % 3 == 0, 2.0, 1.0)
    heavy = replace(rows, weights=s)
    doubled = rows.take(np.repeat(np.arange(120), s.astype(int)))
    found = objective(weights, heavy, loss=loss, alpha=ALPHA)
    assert found == pytest.approx(objective(weights, doubled, loss=loss, alpha=ALPHA), rel=1e-13)
    assert found != objective(weights, rows, loss=loss, alpha=ALPHA)
    assert accuracy(weights, heavy) == pytest.approx(accuracy(weights, doubled), rel=1e-13)
    assert auc(weights, heavy) == pytest.approx(auc(weights, doubled), rel=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_accuracy_with_the_area_under_the_curve_equal_scikit_learns(intercept: bool, weighted: bool) -> None:
    rows, weights = some_rows(weighted=weighted), some_weights(intercept=intercept)
    w, b = parts(weights)
    decision = rows.to_scipy().toarray() @ w + b
    predicted = np.where(decision > 0.0, 1.0, -1.0)
    expected = accuracy_score(rows.labels, predicted, sample_weight=rows.weights)
    assert 0.5 < expected < 1.0
    assert accuracy(weights, rows) == pytest.approx(expected, rel=1e-12)
    assert auc(weights, rows) == pytest.approx(
        roc_auc_score(rows.labels, decision, sample_weight=rows.weights), rel=1e-12
    )


def test_a_decision_value_of_zero_counts_as_the_negative_class() -> None:
    rows = some_rows()
    assert accuracy(np.zeros(30), rows) == pytest.approx(float(np.mean(rows.labels < 0)), rel=1e-14)
    assert 0.0 < accuracy(np.zeros(30), rows) < 1.0


def test_rows_of_one_class_have_no_curve() -> None:
    rows = some_rows()
    one_class = rows.take(np.flatnonzero(rows.labels > 0))
    assert auc(some_weights(), one_class) is None


@pytest.mark.parametrize("intercept", [False, True])
def test_margins_are_decision_values_times_labels(intercept: bool) -> None:
    rows, weights = some_rows()[20:70], some_weights(intercept=intercept)
    w, b = parts(weights)
    dense = naive.dense(rows)
    assert np.allclose(decision_values(weights, rows), dense.x @ w + b, rtol=1e-12, atol=1e-13)
    assert np.allclose(margins_of(weights, rows), dense.y * (dense.x @ w + b), rtol=1e-12, atol=1e-13)


def test_losses_by_name_equal_their_formulas() -> None:
    m = np.linspace(-3.0, 3.0, 41)
    for name in naive.LOSSES:
        assert np.allclose(losses_at(name, m), [naive.loss_at(name, v) for v in m], rtol=1e-14, atol=0.0)


def test_the_regulariser_adds_up_in_double_precision() -> None:
    weights = np.full(1_000_001, 0.1, dtype=np.float32)
    exact = 0.5 * 1_000_001 * float(np.float32(0.1)) ** 2
    assert regulariser(weights, 1.0) == pytest.approx(exact, rel=1e-12)


# line search


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("length", [0.01, 1.0, 40.0])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_a_line_search_equals_a_fine_grid(loss: str, length: float, intercept: bool, weighted: bool) -> None:
    rows, weights = some_rows(weighted=weighted), some_weights(intercept=intercept).copy()
    weights[:30] *= length
    c, value = line_search(weights, rows, loss=loss, alpha=ALPHA)
    w, b = parts(weights)
    dense = naive.dense(rows)
    along = dense.y * (dense.x @ w)

    def at(scale: float) -> float:
        losses = losses_at(loss, scale * along + dense.y * b)
        return 0.5 * ALPHA * scale**2 * float(w @ w) + float(np.average(losses, weights=dense.s))

    grid = np.linspace(0.0, 4.0, 8001) / length
    values = np.array([at(scale) for scale in grid])
    lowest = int(np.argmin(values))
    assert 0 < lowest < 8000
    assert value <= values[lowest] + 1e-9
    assert abs(c - grid[lowest]) <= 2.0 * (grid[1] - grid[0])
    moved = np.append(c * w, b)
    assert value == pytest.approx(objective(moved, rows, loss=loss, alpha=ALPHA), rel=1e-12)


@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_a_line_search_forgets_how_long_the_weights_were(factor: float) -> None:
    rows, weights = some_rows(), some_weights()
    c, value = line_search(weights, rows, loss="squared_hinge", alpha=ALPHA)
    scaled_c, scaled_value = line_search(factor * weights, rows, loss="squared_hinge", alpha=ALPHA)
    assert scaled_value == pytest.approx(value, rel=1e-9)
    assert scaled_c * factor == pytest.approx(c, rel=1e-4)


def test_a_line_search_does_not_turn_weights_around() -> None:
    rows, weights = some_rows(), -some_weights()
    assert objective(some_weights(), rows, loss="hinge", alpha=ALPHA) < 1.0
    c, value = line_search(weights, rows, loss="hinge", alpha=ALPHA)
    assert c == 0.0
    assert value == pytest.approx(1.0, rel=1e-12)


def test_a_line_search_along_nothing_stays() -> None:
    rows = some_rows()
    weights = np.append(np.zeros(30), 0.4)
    expected = objective(weights, rows, loss="hinge", alpha=ALPHA)
    c, value = line_search(weights, rows, loss="hinge", alpha=ALPHA)
    assert c == 1.0
    assert value == pytest.approx(expected, rel=1e-13)


# scores in parts


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@given(cuts=st.lists(st.integers(0, 80), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_partial_sums_make_the_score_of_the_whole(intercept: bool, weighted: bool, cuts: list[int]) -> None:
    train = some_rows(weighted=weighted)
    test = some_rows(weighted=weighted, count=80, seed=10)
    weights = some_weights(intercept=intercept)
    edges = [0, *sorted(cuts), 1000]
    nodes = [Scorer(train[first:last], test[first:last], "hinge", ALPHA) for first, last in pairwise(edges)]
    sums = np.sum([node.partial(weights) for node in nodes], axis=0)
    found = nodes[-1].total(weights, sums)
    assert found.objective == pytest.approx(objective(weights, train, loss="hinge", alpha=ALPHA), rel=1e-12)
    assert found.test_objective == pytest.approx(
        objective(weights, test, loss="hinge", alpha=ALPHA), rel=1e-12
    )
    assert found.accuracy == pytest.approx(accuracy(weights, test), rel=1e-12)


def test_without_test_rows_there_is_no_test_score() -> None:
    scorer, weights = Scorer(some_rows(), None, "log_loss", ALPHA), some_weights()
    expected = objective(weights, some_rows(), loss="log_loss", alpha=ALPHA)
    found = scorer.total(weights, scorer.partial(weights))
    assert found == Score(found.objective, None, None)
    assert found.objective == pytest.approx(expected, rel=1e-13)
