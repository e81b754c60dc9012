"""CoCoA+ and consensus ADMM against dense twins, against the optimum, and against themselves."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import naive
import naive_dual
import numpy as np
import pytest
import support
from hypothesis import given
from hypothesis import strategies as st
from support import simulated

from wpsgd import evaluate
from wpsgd.config import load
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.dual import solve_dual
from wpsgd.errors import ConfigError, Diverged
from wpsgd.evaluate import Scorer
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.row_order import RowOrder
from wpsgd.learners.sgd import Objective
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.requests import Program
from wpsgd.runtimes.job import Job, Outcome, Runtime
from wpsgd.runtimes.local import Local
from wpsgd.strategies.admm import RELAXATION, Admm
from wpsgd.strategies.cocoa import VARIANTS, Cocoa, Variant, line_search
from wpsgd.strategies.patterns import ByRows, Ending, Given, Looks, Race, TimeBox

LOSSES = ("hinge", "squared_hinge")
LAM, ROWS, SEED, ROUNDS = 3e-3, 240, 7, 4
COUNTS = ((60, 130, 0), (90, 40, 77), (1, 200, 31), (70, 70, 70))


@cache
def some_rows(dtype: str = "float64", weighted: bool = False) -> Rows:
    rows = problem(ROWS, 30, 6.0, noise=0.1, seed=4, dtype=np.dtype(dtype)).rows
    weights = np.random.default_rng(4).uniform(0.2, 3.0, ROWS).astype(dtype)
    return replace(rows, weights=weights) if weighted else rows


def owned(ranks: int, empty: tuple[int, ...] = ()) -> list[np.ndarray[Any, Any]]:
    """The rows of each node, dealt like cards to those that are to have any."""
    order = np.random.default_rng(1).permutation(ROWS)
    holders = [rank for rank in range(ranks) if rank not in empty]
    return [
        order[holders.index(rank) :: len(holders)] if rank in holders else order[:0] for rank in range(ranks)
    ]


def job(
    program: Program,
    ranks: int,
    rows: Rows | None = None,
    loss: str = "hinge",
    empty: tuple[int, ...] = (),
    **more: Any,
) -> Job:
    held, objective = some_rows() if rows is None else rows, Objective(loss, StepSize("optimal", LAM))
    parts = owned(ranks, empty)
    return Job(
        program,
        lambda rank: ShardDual(held.take(parts[rank]), objective, seed=SEED, rank=rank),
        lambda rank: Scorer(held[ROWS * rank // ranks : ROWS * (rank + 1) // ranks], None, loss, LAM),
        **more,
    )


def cocoa(ending: Ending, variant: Variant = "add_line_search", rounds: int = ROUNDS, **keys: Any) -> Cocoa:
    return Cocoa(rounds, ending, Looks(keys.pop("looks", 0), rounds), variant, **keys)


def admm(ending: Ending, rounds: int = ROUNDS, **keys: Any) -> Admm:
    return Admm(rounds, ending, Looks(keys.pop("looks", 0), rounds), **keys)


def both(ending: Ending, looks: int = 0) -> dict[str, Program]:
    found: dict[str, Program] = {variant: cocoa(ending, variant, looks=looks) for variant in VARIANTS}
    return {**found, "admm": admm(ending, looks=looks, over_relaxation=1.5)}


PROGRAMS = tuple(both(Given(COUNTS)))


def visits(twin: naive_dual.Cocoa, number: int, counts: tuple[int, ...]) -> list[Any]:
    """The places in its shard that each node visits: a pass at most over the rows that move."""
    found = []
    for rank, (mine, count) in enumerate(zip(twin.owned, counts, strict=True)):
        moving = np.flatnonzero([number == 0 or twin.moves(i) for i in mine])
        order = RowOrder(len(moving), SEED, rank, epoch=number)
        pieces = order.take(min(count, len(moving)))
        found.append(moving[np.concatenate([*pieces, np.empty(0, int)])])
    return found


def orders(ranks: int, counts: tuple[tuple[int, ...], ...]) -> list[list[Any]]:
    """The places in its shard that each node visits, round by round, where all rows are visited."""
    takers = [RowOrder(len(part), SEED, rank) for rank, part in enumerate(owned(ranks))]
    return [
        [
            np.concatenate([*taker.take(count), np.empty(0, int)])
            for taker, count in zip(takers, row, strict=True)
        ]
        for row in counts
    ]


def all_dual(outcome: Outcome, ranks: int, empty: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    alpha = np.zeros(ROWS)
    for part, state in zip(owned(ranks, empty), outcome.states.values(), strict=True):
        alpha[part] = state.own["dual"]
    return alpha


@cache
def optimum(loss: str = "hinge", weighted: bool = False) -> float:
    return solve_dual(some_rows(weighted=weighted), loss, LAM, tol=1e-9).objective


# against dense twins


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_rounds_of_cocoa_are_those_of_the_formulas(variant: Variant, loss: str, weighted: bool) -> None:
    rows = some_rows(weighted=weighted)
    data, sigma = naive.dense(rows), {"add": 3.0, "average": 1.5, "add_line_search": 0.8}[variant]
    twin = naive_dual.Cocoa(data, owned(3), loss, LAM, variant, sigma, 1.3)
    program = cocoa(Given(COUNTS), variant, sigma_prime=sigma, relaxation=1.3)
    outcome = simulated(3).run(job(program, 3, rows, loss))
    steps, duals, primals, counts = [], [0.0], [1.0], []
    for number, row in enumerate(COUNTS):
        order = visits(twin, number, row)
        counts.append([len(places) for places in order])
        steps.append(twin.round(order))
        duals.append(naive_dual.dual(data, twin.alpha, loss, LAM))
        primals.append(naive_dual.primal(data, twin.w, loss, LAM))
    events = support.of_kind(outcome, "round")
    assert [event["counts"] for event in events] == counts
    assert counts[1] < list(COUNTS[1])
    # minimize_scalar finds a maximum to the square root of the precision only
    np.testing.assert_allclose([event["step"] for event in events], steps, rtol=1e-5)
    np.testing.assert_allclose(outcome.states[0].shared["dual_weights"], twin.w, atol=1e-5)
    np.testing.assert_allclose(all_dual(outcome, 3), twin.alpha, atol=1e-5)
    np.testing.assert_allclose(
        [event["dual"] for event in events], np.maximum.accumulate(duals)[1:], rtol=1e-6
    )
    bests = np.minimum.accumulate(primals)[1:]
    assert all(event["objective"] <= best + 1e-7 for event, best in zip(events, bests, strict=True))


@pytest.mark.parametrize("over_relaxation", [1.0, 1.6])
@pytest.mark.parametrize("loss", LOSSES)
def test_rounds_of_admm_are_those_of_the_formulas(loss: str, over_relaxation: float) -> None:
    rows, rho = some_rows(weighted=True), 2.0 * LAM
    twin = naive_dual.Admm(naive.dense(rows), owned(3), loss, LAM, rho, over_relaxation, RELAXATION)
    program = admm(Given(COUNTS), rho=rho, over_relaxation=over_relaxation)
    outcome = simulated(3).run(job(program, 3, rows, loss))
    for order, event in zip(orders(3, COUNTS), support.of_kind(outcome, "round"), strict=True):
        before = twin.z
        models = twin.round(order)
        apart = [np.linalg.norm(w - twin.z) for w in models]
        assert event["primal_residual"] == pytest.approx(np.linalg.norm(apart), rel=1e-9)
        moved = rho * np.sqrt(3.0) * np.linalg.norm(twin.z - before)
        assert event["dual_residual"] == pytest.approx(moved, rel=1e-9)
    np.testing.assert_allclose(outcome.model, twin.z, rtol=1e-9, atol=1e-13)
    for u, state in zip(twin.u, outcome.states.values(), strict=True):
        np.testing.assert_allclose(state.own["u"], u, rtol=1e-8, atol=1e-12)


@given(slope=st.floats(-3.0, 5.0), curvature=st.floats(0.0, 9.0), limit=st.floats(1.0, 4.0))
def test_the_line_search_finds_the_top_of_the_parabola(slope: float, curvature: float, limit: float) -> None:
    s = line_search(slope, curvature, limit)
    steps = np.linspace(0.0, limit, 501)
    assert 0.0 <= s <= limit
    assert slope * s - 0.5 * curvature * s * s >= np.max(slope * steps - 0.5 * curvature * steps**2) - 1e-9


def test_a_line_without_an_end_is_not_followed() -> None:
    assert line_search(0.0, 0.0, np.inf) == 0.0
    assert line_search(1.0, 0.0, np.inf) == 0.0
    assert line_search(1.0, 0.0, 2.5) == 2.5
    assert line_search(1.0, 4.0, np.inf) == 0.25


# what CoCoA+ promises


@pytest.mark.parametrize("loss", LOSSES)
def test_one_node_without_a_look_ahead_is_dual_coordinate_ascent(loss: str) -> None:
    rows, count = some_rows(), 400
    program = cocoa(ByRows(count), "add", 1, sigma_prime=1.0, relaxation=1.0, passes=0)
    outcome = simulated(1).run(job(program, 1, rows, loss))
    data, alpha, w = naive.dense(rows), np.zeros(ROWS), np.zeros(rows.features)
    unit, mine = 1.0 / (LAM * ROWS), owned(1)[0]
    for place in np.concatenate(list(RowOrder(ROWS, SEED, 0).take(count))):
        i = mine[place]
        after = naive_dual.coordinate_step(data, i, alpha[i], data.y[i] * (data.x[i] @ w), loss, unit)
        w += unit * (after - alpha[i]) * data.y[i] * data.x[i]
        alpha[i] = after
    np.testing.assert_allclose(all_dual(outcome, 1), alpha, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outcome.states[0].shared["dual_weights"], w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_dual_never_falls_with_the_line_search(loss: str, sigma: float) -> None:
    data, before = naive.dense(some_rows()), 0.0
    for rounds in range(1, 9):
        program = cocoa(ByRows(60), rounds=rounds, sigma_prime=sigma)
        outcome = simulated(4).run(job(program, 4, loss=loss))
        now = naive_dual.dual(data, all_dual(outcome, 4), loss, LAM)
        assert now >= before + 1e-7
        before = now


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_certificates_are_true_and_gaps_never_rise(variant: Variant, loss: str, weighted: bool) -> None:
    rows, best = some_rows(weighted=weighted), optimum(loss, weighted)
    outcome = simulated(4).run(job(cocoa(ByRows(60), variant, 12), 4, rows, loss))
    events = support.of_kind(outcome, "round")
    for event in events:
        assert event["dual"] <= best * (1.0 + 1e-8)
        assert event["objective"] >= best * (1.0 - 1e-8)
        assert event["gap"] == event["objective"] - event["dual"]
    for earlier, later in itertools.pairwise(events):
        assert later["objective"] <= earlier["objective"]
        assert later["dual"] >= earlier["dual"]
    found = evaluate.objective(outcome.model, rows, loss=loss, alpha=LAM)
    assert events[-1]["objective"] == pytest.approx(found, rel=1e-12)
    assert events[-1]["gap"] < 0.5 * events[0]["gap"]


def test_gaps_do_not_rise_in_the_last_digit_at_the_optimum() -> None:
    rows, objective = some_rows()[:40], Objective("squared_hinge", StepSize("optimal", 0.5))
    run = Job(
        cocoa(ByRows(20), rounds=120),
        lambda rank: ShardDual(rows[20 * rank : 20 + 20 * rank], objective, 0, rank),
    )
    events = support.of_kind(simulated(2).run(run), "round")
    assert abs(events[-1]["gap"]) <= 1e-13
    for earlier, later in itertools.pairwise(events):
        assert later["objective"] <= earlier["objective"]
        assert later["dual"] >= earlier["dual"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_dual_variables_stay_feasible_and_stand_for_the_weights(name: str, loss: str) -> None:
    rows = some_rows(weighted=True)
    outcome = simulated(3).run(job(both(Given(COUNTS))[name], 3, rows, loss))
    alpha = all_dual(outcome, 3)
    assert alpha.min() >= 0.0
    assert loss == "squared_hinge" or alpha.max() <= 1.0
    assert alpha.max() > 0.0
    if name != "admm":
        expected = naive_dual.weights_of(naive.dense(rows), alpha, LAM)
        np.testing.assert_allclose(outcome.states[0].shared["dual_weights"], expected, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["add", "add_line_search", "admm"])
def test_all_come_to_the_optimum_of_the_dual_solver(name: str, loss: str) -> None:
    ending = ByRows(80)
    program = admm(ending, 150) if name == "admm" else cocoa(ending, name, 150)  # type: ignore[arg-type]
    model = simulated(3).run(job(program, 3, loss=loss)).model
    found = evaluate.objective(model, some_rows(), loss=loss, alpha=LAM)
    assert found == pytest.approx(optimum(loss), rel=1e-3)


def test_a_few_rounds_of_a_pass_each_come_to_one_percent() -> None:
    rows = problem(3000, 800, 20.0, noise=0.05, seed=2).rows
    best = solve_dual(rows, alpha=1e-3, tol=1e-6).objective
    parts = np.array_split(np.random.default_rng(0).permutation(3000), 4)
    objective = Objective("hinge", StepSize("optimal", 1e-3))
    program = cocoa(ByRows(750), rounds=8)
    run = Job(program, lambda rank: ShardDual(rows.take(parts[rank]), objective, SEED, rank))
    found = support.of_kind(simulated(4).run(run), "round")[-1]
    assert found["objective"] <= 1.01 * best
    assert found["gap"] <= 0.03 * best


@pytest.mark.parametrize("tol", [0.3, 0.02])
def test_a_tolerance_ends_the_run_at_the_first_round_that_meets_it(tol: float) -> None:
    endless = simulated(3).run(job(cocoa(ByRows(80), rounds=40), 3))
    gaps = [event["gap"] / event["objective"] for event in support.of_kind(endless, "round")]
    first = next(number for number, gap in enumerate(gaps, 1) if gap <= tol)
    ended = simulated(3).run(job(cocoa(ByRows(80), rounds=40, tol=tol, looks=1), 3))
    assert [state.round for state in ended.states.values()] == [first] * 3
    assert [look["round"] for look in support.of_kind(ended, "look")] == [first]
    assert first < 40


def test_a_dual_that_has_risen_enough_ends_the_run_without_another_look_at_the_model() -> None:
    events = support.of_kind(simulated(3).run(job(cocoa(ByRows(80), rounds=12), 3)), "round")
    then, now = events[5], events[6]
    tol = (1.0 - now["dual"] / then["objective"]) * (1.0 + 1e-9)
    assert now["gap"] / now["objective"] < tol < then["gap"] / then["objective"]
    ended = simulated(3).run(job(cocoa(ByRows(80), rounds=12, tol=tol), 3))
    last = support.of_kind(ended, "round")[-1]
    assert [last[key] for key in ("round", "objective", "dual")] == [7, then["objective"], now["dual"]]
    found = evaluate.objective(ended.model, some_rows(), loss="hinge", alpha=LAM)
    assert last["objective"] == pytest.approx(found, rel=1e-12)
    assert found - optimum() <= tol * found


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_round_ends_where_no_row_is_left_to_a_node_whatever_its_ending(variant: Variant) -> None:
    endings: tuple[Ending, ...] = (ByRows(10**6), Race(10**6), TimeBox(1e6), Given(((10**6,) * 3,) * 4))
    runs = [simulated(3, 1e-6, 2e-6, 3e-6).run(job(cocoa(ending, variant), 3)) for ending in endings]
    assert support.counts(runs[0])[0] == [80, 80, 80]
    for run in runs[1:]:
        assert support.counts(run) == support.counts(runs[0])
        assert run.model.tobytes() == runs[0].model.tobytes()


def test_more_passes_over_the_rows_that_move_come_nearer_to_the_optimum_in_a_round() -> None:
    programs = [cocoa(ByRows(10**4), "add", rounds=4, relaxation=1.0, passes=passes) for passes in (1, 3, 0)]
    runs = [simulated(3).run(job(program, 3)) for program in programs]
    counts = [np.array(support.counts(run)) for run in runs]
    assert (counts[1][0] == 3 * counts[0][0]).all()
    assert (counts[2] == 10**4).all()
    duals = [support.of_kind(run, "round")[-1]["dual"] for run in runs]
    assert duals == sorted(duals)


def test_single_precision_comes_as_far_as_double_precision() -> None:
    ends = []
    for dtype in ("float32", "float64"):
        rows = some_rows(dtype)
        for program in (cocoa(ByRows(80), rounds=40), admm(ByRows(80), 40)):
            model = simulated(3).run(job(program, 3, rows)).model
            assert model.dtype == dtype
            ends.append(evaluate.objective(model.astype(np.float64), some_rows(), loss="hinge", alpha=LAM))
    assert ends[:2] == pytest.approx(ends[2:], rel=2e-3)


# the same on every runtime, whatever is looked at, and after a stop


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_and_virtual_clocks_give_the_same_bits(name: str) -> None:
    models = [
        runtime.run(job(both(Given(COUNTS), looks=2)[name], 3)).model
        for runtime in (simulated(3), Local(3, (1.0, 0.5, 0.25), chunk=13))
    ]
    assert models[0].tobytes() == models[1].tobytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_neither_looks_nor_chunks_change_a_bit(name: str) -> None:
    unseen = simulated(3).run(job(both(Given(COUNTS))[name], 3))
    seen = simulated(3, chunk=7).run(job(both(Given(COUNTS), looks=ROUNDS)[name], 3))
    assert seen.model.tobytes() == unseen.model.tobytes()
    looks = support.of_kind(seen, "look")
    assert [look["round"] for look in looks] == [1, 2, 3, 4]
    rows = np.cumsum([max(row) for row in support.counts(seen)])
    assert [look["rows"] for look in looks] == rows.tolist()
    if name != "admm":
        for look, event in zip(looks, support.of_kind(seen, "round"), strict=True):
            assert look["objective"] == pytest.approx(event["objective"], rel=1e-12)


@pytest.mark.parametrize("kept_at", [1, 3])
@pytest.mark.parametrize("name", [*PROGRAMS, "race"])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, name: str, kept_at: int) -> None:
    program = cocoa(Race(60), looks=ROUNDS) if name == "race" else both(Given(COUNTS), looks=2)[name]
    place: Runtime = simulated(3, 1e-6, 2e-6, 3e-6, chunk=10)
    whole = place.run(job(program, 3))
    half = place.run(job(program, 3, keeper=support.keeper(tmp_path, stop_after=kept_at)))
    rest = place.run(job(program, 3, state=support.resumed(tmp_path)))
    assert {state.round for state in half.states.values()} == {kept_at}
    assert half.model.tobytes() != whole.model.tobytes()
    for rank, state in whole.states.items():
        for one, other in ((state.own, rest.states[rank].own), (state.shared, rest.states[rank].shared)):
            support.same_bits(*({key: np.asarray(v) for key, v in part.items()} for part in (one, other)))
    rounds = [support.of_kind(outcome, "round") for outcome in (whole, rest)]
    assert rounds[0] == rounds[1]


# endings, and nodes without rows

ENDINGS: dict[str, Ending] = {
    "rows": ByRows(60),
    "race": Race(60),
    "time box": TimeBox(1e-4),
    "given": Given(((60, 0, 30, 0),) * 40),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_nodes_without_rows_take_part_in_any_ending(name: str, ending: str) -> None:
    empty, rounds = (1, 3), 40
    how = ENDINGS[ending]
    program = admm(how, rounds) if name == "admm" else cocoa(how, name, rounds)  # type: ignore[arg-type]
    outcome = simulated(4, 1e-6, 1e-6, 2e-6, 1e-6, chunk=10).run(job(program, 4, empty=empty))
    counts = support.counts(outcome)
    assert len(counts) == rounds
    assert all(row[1] == row[3] == 0 < min(row[0], row[2]) for row in counts)
    found = evaluate.objective(outcome.model, some_rows(), loss="hinge", alpha=LAM)
    assert found <= 1.1 * optimum()
    models = [state.shared["weights"] for state in outcome.states.values()]
    assert all(np.array_equal(model, models[0]) for model in models)


@pytest.mark.parametrize("name", ["add", "add_line_search", "admm"])
def test_nodes_without_rows_change_nothing_for_the_others(name: str) -> None:
    program = both(ByRows(60))[name]
    three = simulated(3).run(job(program, 3, empty=(2,)))
    two = simulated(2).run(job(program, 2))
    np.testing.assert_allclose(three.model, two.model, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_without_any_rows_gives_back_its_start(name: str) -> None:
    nothing = some_rows()[5:5]
    objective = Objective("hinge", StepSize("optimal", LAM))
    run = Job(both(Race(10))[name], lambda rank: ShardDual(nothing, objective, SEED, rank))
    assert not simulated(2).run(run).model.any()


@pytest.mark.parametrize("name", ["add", "add_line_search", "admm"])
def test_a_node_whose_rows_all_weigh_nothing_leaves_the_optimum_to_the_others(name: str) -> None:
    weights = np.ones(ROWS)
    weights[owned(3)[1]] = 0.0
    rows = replace(some_rows(), weights=weights)
    program = admm(ByRows(80), 150) if name == "admm" else cocoa(ByRows(80), name, 150)  # type: ignore[arg-type]
    model = simulated(3).run(job(program, 3, rows)).model
    found = evaluate.objective(model, rows, loss="hinge", alpha=LAM)
    assert found == pytest.approx(solve_dual(rows, "hinge", LAM, tol=1e-6).objective, rel=2e-3)


# what cannot be meant


@pytest.mark.parametrize(
    ("variant", "sigma", "least"), [("add", 2.9, "3"), ("average", 0.9, "1")], ids=["add", "average"]
)
def test_a_sigma_that_bounds_nothing_is_refused(variant: Variant, sigma: float, least: str) -> None:
    with pytest.raises(ConfigError, match=rf"^sigma_prime = {sigma}: must be at least {least} with variant"):
        simulated(3).run(job(cocoa(ByRows(9), variant, sigma_prime=sigma), 3))
    simulated(3).run(job(cocoa(ByRows(9), sigma_prime=sigma), 3))


def test_another_learner_is_refused() -> None:
    for name, program in {"cocoa": cocoa(ByRows(9)), "admm": admm(ByRows(9))}.items():
        with pytest.raises(ConfigError, match=f"^{name}: needs a learner of the kind ShardDual, not SGDLea"):
            simulated(2).run(support.job(program, 2))


def test_a_shard_takes_no_gradient_steps_and_no_state_of_other_rows() -> None:
    shard = ShardDual(some_rows(), Objective("hinge", StepSize("optimal", LAM)), SEED, 0)
    for call in (lambda: shard.accumulate(1), shard.gradient, lambda: shard.descend(np.zeros(3))):
        with pytest.raises(ConfigError, match=r"^dual variables take no gradient steps"):
            call()
    with pytest.raises(ConfigError, match=r"^the saved weights and dual variables have shapes \(30,\) and"):
        shard.restore(shard.weights, {**shard.state(), "dual": np.zeros(3)})
    with pytest.raises(ConfigError, match=r"^loss 'log_loss': the dual solver takes one of"):
        ShardDual(some_rows(), Objective("log_loss", StepSize("optimal", LAM)), SEED, 0)
    with pytest.raises(ConfigError, match=r"^w0: the dual solver starts from 0"):
        ShardDual(some_rows(), Objective("hinge", StepSize("optimal", LAM), w0=4.0), SEED, 0)


def test_values_that_are_not_finite_diverge() -> None:
    values = some_rows().values.copy()
    values[50] = np.inf
    with pytest.raises(Diverged, match="a margin is not a finite number"):
        simulated(2).run(job(cocoa(ByRows(120)), 2, replace(some_rows(), values=values)))


# memory


@pytest.mark.parametrize(
    ("name", "threads", "dtype"),
    [
        ("cocoa", 1, "float64"),
        ("cocoa", 4, "float32"),
        ("admm", 1, "float64"),
        ("admm", 4, "float64"),
    ],
)
def test_a_node_takes_the_vectors_that_its_entry_says(
    name: str, threads: int, dtype: str, tmp_path: Path
) -> None:
    config = tmp_path / "x.toml"
    config.write_text(f'[data]\nsource = "x"\n[[strategy]]\nname = "{name}"\nthreads = {threads}\n')
    features, some = 400_000, some_rows(dtype)
    itemsize = some.values.itemsize
    foretold = 2 * itemsize * features + load(config).strategies[0].extra_bytes(features, itemsize)
    rows, objective = replace(some, features=features), Objective("hinge", StepSize("optimal", LAM))
    program = cocoa(ByRows(60)) if name == "cocoa" else admm(ByRows(60))
    run = Job(program, lambda rank: ShardDual(rows, objective, SEED, rank, threads=threads))
    simulated(1).run(run)
    tracemalloc.start()
    try:
        simulated(1).run(run)
        assert 0.8 * foretold <= tracemalloc.get_traced_memory()[1] <= 1.05 * foretold
    finally:
        tracemalloc.stop()
