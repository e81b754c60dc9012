"""The hinge with its kink rounded off, against the hinge itself and against passes of dual ascent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from wpsgd.data.dense import rows_of
from wpsgd.data.rows import Rows
from wpsgd.dual_solver import DualSolver
from wpsgd.estimator import dual
from wpsgd.estimator.newton import minimise
from wpsgd.estimator.rounding import rounded
from wpsgd.evaluate import objective
from wpsgd.kernels.losses import HINGE
from wpsgd.kernels.newton import parts_at

ALPHA = 1e-4


def table(count: int, columns: int, kind: type[np.floating] = np.float64, seed: int = 0) -> Rows:
    """Rows in [0, 1) with a constant column, labels to be learnt but for noise."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, columns)).astype(kind)
    y = np.where(X[:, 0] - 0.5 + 0.3 * rng.normal(size=count) > 0.0, 1.0, -1.0)
    return replace(rows_of(X, columns, 1.0), labels=y.astype(kind))


@pytest.mark.parametrize("width", [0.01, 0.5, 4.0])
def test_a_rounded_hinge_is_the_hinge_outside_its_parabola_and_has_the_slopes_of_its_values(
    width: float,
) -> None:
    at: NDArray[np.float64] = 1.0 + width * np.linspace(-2.0, 2.0, 83)
    values, pulls, bends = np.array([parts_at(HINGE, m, width) for m in at]).T
    raised = values - np.maximum(1.0 - at, 0.0)
    inside = np.abs(at - 1.0) < width / 2
    assert np.abs(raised[~inside]).max() < 1e-12
    assert raised[inside].min() > 0.0
    assert raised.max() == pytest.approx(width / 8, rel=1e-3)
    small = 1e-6 * width
    for name, numbers, of in (("pull", pulls, 0), ("bend", bends, 1)):
        up, down = (np.array([parts_at(HINGE, m + d, width)[of] for m in at]) for d in (small, -small))
        smooth = np.abs(np.abs(at - 1.0) - width / 2) > 2 * small
        slope = (down - up) / (2 * small)
        assert np.allclose(numbers[smooth], slope[smooth], rtol=1e-4, atol=1e-6 / width), name


def test_the_hinge_has_no_newton_steps_without_a_width() -> None:
    with pytest.raises(ValueError, match="hinge"):
        minimise(table(50, 2), "hinge", ALPHA, goal=1e-3)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("goal", [1e-2, 1e-3, 1e-4])
def test_each_model_is_certified_by_the_objective_of_passes(kind: type[np.floating], goal: float) -> None:
    rows = table(3000, 5, kind)
    passes = DualSolver(rows, "hinge", ALPHA, tol=1e-6, absolute=True)
    while not passes.converged:
        passes.advance(passes.left)
    best = objective(passes.weights.astype(np.float64), rows, loss="hinge", alpha=ALPHA)
    models = list(rounded(rows, ALPHA, goal=goal, seed=0, most_steps=1000))
    for found in models:
        assert found.dual.min() >= 0.0
        assert found.dual.max() <= 1.0
        assert found.bound <= best
        assert found.objective >= best - 2e-6
    assert models[-1].objective - models[-1].bound <= goal
    assert models[-1].epochs < 20


def test_weights_of_rows_count_as_copies_of_rows_do() -> None:
    rows = table(3000, 4)
    counts = np.random.default_rng(1).integers(1, 4, len(rows))
    copies = rows.held(np.repeat(np.arange(len(rows)), counts))
    weighted = replace(rows, weights=counts.astype(np.float64))
    for one in (weighted, copies):
        found = dual.solve(one, "hinge", ALPHA, tol=1e-4, max_epochs=1000, seed=0)
        assert not found.unmet
        assert found.trace[-1]["gap"] <= 1e-4
    values = [
        dual.solve(one, "hinge", ALPHA, tol=1e-4, max_epochs=1000, seed=0).trace[-1]
        for one in (weighted, copies)
    ]
    assert abs(values[0]["objective"] - values[1]["objective"]) <= 1e-4


def test_few_steps_end_the_search_and_none_are_taken_after_a_halt() -> None:
    rows = table(6000, 8)
    for most in (1, 2, 9, 12):
        *_, last = rounded(rows, ALPHA, goal=1e-9, seed=0, most_steps=most)
        assert 0.0 < last.epochs <= most
    assert not list(rounded(rows, ALPHA, goal=1e-9, seed=0, most_steps=1000, halted=lambda: True))


def test_rows_on_the_kink_itself_still_end_at_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    rows = table(6000, 8)
    random = replace(rows, labels=rng.choice([-1.0, 1.0], len(rows)))
    found = dual.solve(random, "hinge", ALPHA, tol=1e-5, max_epochs=1000, seed=0)
    assert found.trace[-1]["gap"] <= 1e-5
    assert objective(found.weights, random, loss="hinge", alpha=ALPHA) == pytest.approx(
        found.trace[-1]["objective"], abs=1e-12
    )


def test_a_table_of_few_columns_takes_a_few_steps_where_passes_take_many() -> None:
    rows = table(20_000, 40)
    passes = DualSolver(rows, "hinge", ALPHA, tol=1e-3, absolute=True)
    while not passes.converged:
        passes.advance(passes.left)
    found = dual.solve(rows, "hinge", ALPHA, tol=1e-3, max_epochs=1000, seed=0)
    assert found.trace[-1]["gap"] <= 1e-3
    assert found.epochs < 12 < passes.visits / len(rows)
