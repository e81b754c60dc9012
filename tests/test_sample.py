"""Samples of rows: drawn alike everywhere, and F on them as evaluate has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.evaluate import line_search, losses_at, objective
from wpsgd.sample import SIZE, Sample, draw

ROWS = problem(1500, 60, 6.0, noise=0.1, seed=4).rows


def weighted(rows: Rows) -> Rows:
    return Rows.from_scipy(
        rows.to_scipy(), rows.labels, np.random.default_rng(0).uniform(0.5, 1.5, len(rows))
    )


def test_a_seed_draws_the_same_different_rows_anywhere() -> None:
    numbered = replace(ROWS, weights=1.0 + np.arange(1500.0))
    one, same, other = draw(numbered, 3), draw(numbered, 3), draw(numbered, 4)
    assert len(one) == SIZE
    numbers, again = np.array(one.weights), np.array(same.weights)
    assert np.array_equal(numbers, again)
    assert np.array_equal(one.values, same.values)
    assert not np.array_equal(numbers, np.array(other.weights))
    assert len(np.unique(numbers)) == SIZE
    assert abs(numbers.mean() - 750.0) < 50.0  # from all over


def test_a_sample_of_few_rows_is_all_of_them() -> None:
    few = draw(ROWS[:40], seed=3)
    assert np.array_equal(few.labels, ROWS.labels[:40])
    assert np.array_equal(few.to_scipy().toarray(), ROWS[:40].to_scipy().toarray())


def test_rows_of_weight_zero_are_not_drawn() -> None:
    weights = np.zeros(1500)
    weights[[3, 700, 1499]] = 1.0, 2.0, 0.5
    drawn = draw(replace(ROWS, weights=weights), seed=3)
    assert np.array(drawn.weights).tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
@pytest.mark.parametrize("intercept", [False, True])
def test_the_objective_from_margins_is_that_of_the_model(loss: str, intercept: bool) -> None:
    rows = draw(weighted(ROWS), seed=1, size=70)
    sample = Sample(rows, loss, 0.02)
    model = np.random.default_rng(2).standard_normal(60 + intercept)
    found = sample.objective(sample.margins(model), float(model[:60] @ model[:60]))
    assert found == pytest.approx(objective(model, rows, loss=loss, alpha=0.02), rel=1e-12)
    assert sample.best_length(model) == line_search(model, rows, loss=loss, alpha=0.02)[0]


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_a_search_is_worth_the_numbers_that_it_goes_through(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, tried = Sample(draw(ROWS, seed=1), loss, 0.02), list[int]()

    def counted(name: str, m: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        tried.append(len(m))
        return losses_at(name, m)

    monkeypatch.setattr("wpsgd.evaluate.losses_at", counted)
    sample.best_length(np.random.default_rng(2).standard_normal(60))
    whole = np.count_nonzero(sample.rows.to_scipy().toarray()) + sum(tried)
    assert sample.search_rows == pytest.approx(whole * SIZE / sample.rows.nonzeros, rel=0.5)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_model_that_ran_away_keeps_its_length(lost: float) -> None:
    assert Sample(ROWS, "hinge", 0.1).best_length(np.full(60, lost)) == 1.0
