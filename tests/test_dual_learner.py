"""Tests of the dual solver: its optimum against LinearSVC's, its certificate, and the learner around it."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.svm import LinearSVC
from support import simulated
from support_data import real_file

from wpsgd import evaluate
from wpsgd.data.load import load
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import kdd2010_twin, problem
from wpsgd.dual import DualResult, solve_dual
from wpsgd.dual_solver import DualSolver
from wpsgd.errors import ConfigError, DataError, Diverged
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.dual import DualLearner
from wpsgd.learners.sgd import Objective
from wpsgd.runtimes.job import Job
from wpsgd.strategies.sequential import Sequential

LOSSES = ("hinge", "squared_hinge")
ALPHA = 1e-3
OBJECTIVE = Objective("hinge", StepSize("optimal", ALPHA))


@cache
def some_rows(count: int = 700, *, seed: int = 4, weighted: bool = False) -> Rows:
    rows = problem(count, 90, 9.0, noise=0.1, seed=seed).rows
    return replace(rows, weights=np.random.default_rng(seed).uniform(0.2, 3.0, count) if weighted else None)


def peer(rows: Rows, loss: str, alpha: float) -> float:
    """F at LinearSVC's optimum, to a tight tolerance."""
    total = len(rows) if rows.weights is None else float(rows.weights.sum())
    C = 1.0 / (alpha * total)
    svc = LinearSVC(loss=loss, C=C, fit_intercept=False, dual=True, tol=1e-9, max_iter=1_000_000)
    w = svc.fit(rows.to_scipy(), rows.labels, sample_weight=rows.weights).coef_.ravel()
    return evaluate.objective(w, rows, loss=loss, alpha=alpha)


def weights_of(rows: Rows, dual: Any, alpha: float = ALPHA) -> Any:
    """sum_i s_i / (lambda S) alpha_i y_i x_i."""
    s = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
    y = rows.labels.astype(np.float64)
    return rows.to_scipy().astype(np.float64).T @ (s * dual * y) / (alpha * s.sum())


def dual_objective(rows: Rows, dual: Any, loss: str, alpha: float = ALPHA) -> float:
    w = weights_of(rows, dual, alpha)
    parts = dual if loss == "hinge" else dual - dual**2 / 4.0
    return float(np.average(parts, weights=rows.weights) - alpha / 2.0 * w @ w)


def check(result: DualResult, rows: Rows, loss: str, alpha: float, optimum: float) -> None:
    """The certificate is true, and bounds the distance to an optimum that another solver found."""
    found = evaluate.objective(result.weights, rows, loss=loss, alpha=alpha)
    assert result.objective == pytest.approx(found, rel=1e-9)
    assert result.gap == pytest.approx(
        found - dual_objective(rows, result.dual, loss, alpha), abs=1e-9 * found
    )
    assert result.gap >= 0.0
    assert found - optimum <= result.gap + 1e-9 * found


# the optimum


def test_an_absolute_tolerance_is_met_where_a_relative_one_takes_longer() -> None:
    rows = problem(rows=800, features=900, nonzeros_per_row=15, seed=6).rows
    absolute, relative = (DualSolver(rows, alpha=1e-5, tol=1e-3, absolute=wish) for wish in (True, False))
    for solver in (absolute, relative):
        while not solver.converged:
            solver.advance(solver.left)
    gap, value = absolute.certify().gap, absolute.certify().objective
    assert 1e-3 * value < gap <= 1e-3
    assert relative.certify().gap <= 1e-3 * relative.certify().objective
    assert relative.visits > absolute.visits


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_is_linear_svcs(loss: str, alpha: float, weighted: bool) -> None:
    rows = some_rows(weighted=weighted)
    result = solve_dual(rows, loss, alpha, tol=1e-7, max_epochs=20_000)
    optimum = peer(rows, loss, alpha)
    assert result.converged
    assert result.objective == pytest.approx(optimum, rel=1e-6)
    check(result, rows, loss, alpha, optimum)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["a9a", "reuters"])
def test_real_data_come_to_linear_svcs_objective(name: str, loss: str) -> None:
    rows = load(real_file(f"{name}.bz2"), unit_norm=True).train
    optimum = peer(rows, loss, 1e-4)
    for dtype, tol in ((np.float64, 1e-7), (np.float32, 1e-5)):
        result = solve_dual(rows.astype(dtype), loss, 1e-4, tol=tol)
        assert result.converged
        assert result.weights.dtype == dtype
        found = evaluate.objective(result.weights, rows, loss=loss, alpha=1e-4)
        assert found == pytest.approx(optimum, rel=10.0 * tol)
        assert found - optimum <= result.gap + 1e-7 * optimum


@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_certified_gap_bounds_the_distance_to_the_optimum(loss: str, tol: float) -> None:
    rows = some_rows(weighted=True)
    result = solve_dual(rows, loss, ALPHA, tol=tol)
    assert result.converged
    assert result.gap <= tol * result.objective
    check(result, rows, loss, ALPHA, peer(rows, loss, ALPHA))


@given(seed=st.integers(0, 30), epochs=st.floats(0.0, 6.0), loss=st.sampled_from(LOSSES))
@settings(max_examples=25, deadline=None)
def test_a_solve_that_is_cut_short_has_a_true_certificate(seed: int, epochs: float, loss: str) -> None:
    rows = some_rows(200, seed=seed, weighted=True)
    result = solve_dual(rows, loss, ALPHA, tol=1e-12, max_epochs=epochs, seed=seed)
    assert not result.converged
    check(result, rows, loss, ALPHA, dual_objective(rows, result.dual, loss))
    assert result.history[-1].epochs <= epochs + 2.0


@pytest.mark.parametrize("loss", LOSSES)
def test_working_sets_lead_to_the_optimum_of_passes_over_all_rows(
    loss: str,
) -> None:
    rows = some_rows()
    shrinking = solve_dual(rows, loss, ALPHA, tol=1e-8)
    whole = DualSolver(rows, loss, ALPHA)
    for _ in range(3000):
        whole._phase = "all"
        whole.advance(whole.left)
    objective = evaluate.objective(whole.weights, rows, loss=loss, alpha=ALPHA)
    assert shrinking.objective == pytest.approx(objective, rel=1e-7)
    assert shrinking.epochs < whole.visits / len(rows)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_two_is_the_row_twice(loss: str) -> None:
    rows = some_rows(300)
    weights = np.random.default_rng(1).integers(0, 3, 300).astype(np.float64)
    repeated = rows.take(np.repeat(np.arange(300), weights.astype(int)))
    once = solve_dual(replace(rows, weights=weights), loss, ALPHA, tol=1e-10)
    twice = solve_dual(repeated, loss, ALPHA, tol=1e-10)
    assert once.objective == pytest.approx(twice.objective, rel=1e-9)
    assert np.max(np.abs(once.weights - twice.weights)) <= 1e-3 * np.max(np.abs(twice.weights))


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_zeros_cost_their_loss_and_nothing_else(loss: str) -> None:
    rows = some_rows(300)
    matrix = sparse.vstack([rows.to_scipy(), sparse.csr_array((100, 90))])
    padded = Rows.from_scipy(matrix, np.append(rows.labels, np.ones(100)))
    # 300 of 400 rows count: the same problem at 4/3 of the regularisation, scaled by 3/4
    result = solve_dual(padded, loss, ALPHA, tol=1e-9)
    alone = solve_dual(rows, loss, ALPHA * 4.0 / 3.0, tol=1e-9)
    assert result.objective == pytest.approx(0.75 * alone.objective + 0.25, rel=1e-8)
    nothing = Rows.from_scipy(sparse.csr_array((5, 3)), np.array([1.0, -1.0, 1.0, 1.0, -1.0]))
    assert solve_dual(nothing, loss, ALPHA).objective == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_sorted_by_label_converge_like_shuffled_rows(loss: str) -> None:
    rows = problem(8000, 300, 12.0, noise=0.05, seed=1).rows
    by_label = rows.take(np.argsort(rows.labels, kind="stable"))
    epochs = [solve_dual(r, loss, 1e-4, tol=1e-4).epochs for r in (rows, by_label)]
    assert epochs[1] <= 1.3 * epochs[0]


def test_single_precision_comes_to_the_optimum_of_double_precision() -> None:
    rows = some_rows(weighted=True)
    single = solve_dual(rows.astype(np.float32), "hinge", ALPHA, tol=1e-6)
    double = solve_dual(rows, "hinge", ALPHA, tol=1e-6)
    assert single.converged
    assert single.weights.dtype == np.float32
    found = evaluate.objective(single.weights.astype(np.float64), rows, loss="hinge", alpha=ALPHA)
    assert found == pytest.approx(double.objective, rel=2e-6)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    one, same, other = (solve_dual(some_rows(), seed=seed) for seed in (3, 3, 4))
    assert one.weights.tobytes() == same.weights.tobytes()
    assert one.dual.tobytes() == same.dual.tobytes()
    assert one.history == same.history
    assert one.dual.tobytes() != other.dual.tobytes()


# on the way


@given(cuts=st.lists(st.integers(0, 900), max_size=8), loss=st.sampled_from(LOSSES))
@settings(max_examples=25, deadline=None)
def test_weights_are_the_sum_of_dual_variables_times_rows_at_any_time(cuts: list[int], loss: str) -> None:
    rows = some_rows(weighted=True)
    solver = DualSolver(rows, loss, ALPHA, tol=1e-3)
    for cut in cuts:
        solver.advance(cut)
        expected = weights_of(rows, solver.dual)
        assert np.max(np.abs(solver.weights - expected)) <= 1e-11 * max(1.0, np.max(np.abs(expected)))
    assert solver.visits == sum(cuts)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_objective_never_falls_from_pass_to_pass(loss: str) -> None:
    rows = some_rows(weighted=True)
    solver, before = DualSolver(rows, loss, 1e-5, tol=1e-6), 0.0
    while not solver.converged:
        solver.advance(solver.left)
        now = dual_objective(rows, solver.dual, loss, 1e-5)
        assert now >= before - 1e-13
        before = now
    assert before > 0.0


def test_working_sets_shrink() -> None:
    solver = DualSolver(problem(5000, 400, 12.0, noise=0.02, seed=2).rows, "hinge", 1e-3)
    sizes = []
    for _ in range(12):
        sizes.append(solver.left)
        solver.advance(solver.left)
    assert sizes[0] == 5000
    assert min(sizes) < 2000
    # between two passes over all rows, too
    assert any(later < earlier < 5000 for earlier, later in itertools.pairwise(sizes))


def test_looks_in_vain_are_followed_by_a_pass_over_all_rows() -> None:
    # at a loose tolerance one pass over a working set is enough for its own part of the gap, not for the rest
    solver = DualSolver(kdd2010_twin(scale=0.0005).rows, "hinge", 1e-5, tol=0.3)
    views = []  # of all rows
    while not solver.converged:
        solver.advance(solver.left)
        views += [solver._phase] if solver._phase != "part" else []
    in_a_row = max(len(list(group)) for kind, group in itertools.groupby(views) if kind == "look")
    assert in_a_row == 2


@pytest.mark.parametrize("tol", [0.0, 1e-3])
@given(cuts=st.lists(st.integers(0, 900), max_size=6))
@settings(max_examples=25, deadline=None)
def test_an_advance_cut_anyhow_gives_the_same_bits(tol: float, cuts: list[int]) -> None:
    whole, split = (DualSolver(some_rows(weighted=True), alpha=1e-4, tol=tol) for _ in range(2))
    whole.advance(sum(cuts))
    for cut in cuts:
        split.advance(cut)
    support.same_bits(arrays(whole.state()), arrays(split.state()))
    assert whole.weights.tobytes() == split.weights.tobytes()


def arrays(state: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in state.items()}


# what cannot be done


def test_what_cannot_be_solved_is_told() -> None:
    rows = some_rows()
    with pytest.raises(
        ConfigError, match=r"^loss 'hing': .* one of hinge, squared_hinge; did you mean 'hinge'"
    ):
        solve_dual(rows, "hing")
    with pytest.raises(ConfigError, match=r"^alpha = -1: must be a positive number$"):
        solve_dual(rows, alpha=-1)
    with pytest.raises(ConfigError, match=r"^tol = 0: must be a number > 0$"):
        solve_dual(rows, tol=0)
    with pytest.raises(DataError, match=r"^no rows to train on$"):
        solve_dual(rows[5:5])
    for bad in (-1.0, np.nan, 0.0):
        weights = np.where(np.arange(700) < 699, bad if bad == 0.0 else 1.0, bad)
        with pytest.raises(DataError, match=r"^sample weights: must be finite, not negative, and not all 0$"):
            solve_dual(replace(rows, weights=weights))


def test_values_that_are_not_finite_diverge() -> None:
    values = some_rows().values.copy()
    values[50] = np.inf
    with pytest.raises(Diverged, match="a margin is not a finite number"):
        solve_dual(replace(some_rows(), values=values))


# the learner


def some_learner(rows: Rows | None = None, rank: int = 2) -> DualLearner:
    return DualLearner(some_rows(weighted=True) if rows is None else rows, OBJECTIVE, seed=11, rank=rank)


def test_sequential_comes_to_the_optimum_with_a_dual_learner() -> None:
    rows = some_rows()
    job = Job(
        Sequential(30, 700, support.NO_LOOKS), lambda rank: some_learner(rows[: 700 * (rank == 0)], rank)
    )
    outcome = simulated(2).run(job)
    found = evaluate.objective(outcome.model, rows, loss="hinge", alpha=ALPHA)
    assert found == pytest.approx(solve_dual(rows, alpha=ALPHA, tol=1e-8).objective, rel=1e-4)
    models = [state.shared["weights"] for state in outcome.states.values()]
    assert models[0].tobytes() == models[1].tobytes()


@pytest.mark.parametrize("kept_at", [1, 4])
def test_a_run_that_is_stopped_and_resumed_has_the_same_bits(tmp_path: Path, kept_at: int) -> None:
    def job(rounds: int, **more: Any) -> Job:
        program = Sequential(rounds, 333, support.NO_LOOKS)
        return Job(program, lambda rank: some_learner(rank=rank), **more)

    whole = simulated(1).run(job(9))
    simulated(1).run(job(9, keeper=support.keeper(tmp_path, stop_after=kept_at)))
    resumed = simulated(1).run(job(9, state=support.resumed(tmp_path)))
    assert resumed.model.tobytes() == whole.model.tobytes()
    assert resumed.states[0].own["dual"].tobytes() == whole.states[0].own["dual"].tobytes()


@given(before=st.integers(0, 4000), after=st.integers(1, 2000))
@settings(max_examples=25, deadline=None)
def test_a_restored_learner_goes_on_with_the_same_bits(before: int, after: int) -> None:
    learner, restored = some_learner(), some_learner()
    learner.advance(before)
    restored.advance(13)
    restored.restore(learner.weights.copy(), copy.deepcopy(learner.state()))
    learner.advance(after)
    restored.advance(after)
    assert restored.contribution().tobytes() == learner.contribution().tobytes()
    assert restored.steps == learner.steps == before + after


def test_a_learner_goes_on_from_its_own_model_alone() -> None:
    learner = some_learner()
    learner.advance(400)
    model = learner.contribution()
    learner.commit(model, 500)
    assert learner.steps == 500
    assert learner.weights.tobytes() == model.tobytes()
    assert learner.weights is not model
    model[3] += 1e-9
    with pytest.raises(
        ConfigError, match=r"^rank 2: the dual solver cannot go on from a model that was combined"
    ):
        learner.commit(model, 600)


def test_a_learner_without_rows_takes_any_model_and_cannot_advance() -> None:
    learner, model = some_learner(some_rows()[5:5], rank=3), np.linspace(-1.0, 1.0, 90)
    learner.commit(model, 7)
    assert learner.contribution().tolist() == model.tolist()
    learner.advance(0)
    with pytest.raises(ConfigError, match=r"^rank 3 holds no rows and cannot advance$"):
        learner.advance(1)


def test_objectives_that_have_no_dual_here_are_refused() -> None:
    step = OBJECTIVE.step
    refused = {
        "w0: the dual solver starts from 0": Objective("hinge", step, w0=1.0),
        "an unregularised intercept has no place": Objective("hinge", step, intercept=True),
        "loss 'log_loss': the dual solver takes one of": Objective("log_loss", step),
    }
    for message, objective in refused.items():
        with pytest.raises(ConfigError, match=f"^{message}"):
            DualLearner(some_rows(), objective, seed=0, rank=0)
    learner = some_learner()
    for call in (lambda: learner.accumulate(1), learner.gradient, lambda: learner.descend(np.zeros(3))):
        with pytest.raises(ConfigError, match=r"^the dual solver takes no gradient steps"):
            call()


def test_warming_up_and_saved_places_of_other_rows_change_nothing() -> None:
    warm, cold = some_learner(), some_learner()
    for learner in (warm, cold):
        learner.advance(900)
    warm.warm_up()
    with pytest.raises(
        ConfigError, match=r"^the saved weights and dual variables have shapes \(90,\) and \(60,\)"
    ):
        warm.restore(warm.weights.copy(), {**some_learner(some_rows(60)).state()})
    for learner in (warm, cold):
        learner.advance(900)
    assert warm.contribution().tobytes() == cold.contribution().tobytes()
