"""Threads of nodes that ascend a dual: what nodes of one thread would do, and certificates that stay true."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import naive
import naive_dual
import numpy as np
import pytest
import support
from support import simulated
from test_shard_strategies import LAM, LOSSES, PROGRAMS, SEED, both, cocoa, some_rows

from wpsgd import evaluate
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.sgd import Objective
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.requests import Program
from wpsgd.runtimes.job import Job, Outcome
from wpsgd.runtimes.local import Local
from wpsgd.strategies.cocoa import COARSE, VARIANTS, Variant
from wpsgd.strategies.patterns import ByRows, Given

WHOLE = ((61, 130), (90, 41), (1, 201), (70, 70))  # rows of two nodes, round by round


def job(program: Program, rows: Rows, nodes: int, threads: int = 1, loss: str = "hinge", **more: Any) -> Job:
    """Node k holds the k-th stretch of the rows, each thread of it a stretch of that."""
    objective = Objective(loss, StepSize("optimal", LAM))
    cuts = [len(rows) * place // nodes for place in range(nodes + 1)]
    parts = [rows[first:end] for first, end in itertools.pairwise(cuts)]
    return Job(
        program,
        lambda rank: ShardDual(parts[rank], objective, SEED, rank, block=4, threads=threads),
        **more,
    )


def alone(counts: tuple[tuple[int, ...], ...], threads: int) -> Given:
    """The rows of each thread, where row number c of a run is thread c mod t's."""
    rounds, before = [], np.zeros(len(counts[0]), dtype=int)
    for row in counts:
        turns = [np.arange(done, done + count) % threads for done, count in zip(before, row, strict=True)]
        rounds.append(tuple(int((turn == j).sum()) for turn in turns for j in range(threads)))
        before += row
    return Given(tuple(rounds))


def all_dual(outcome: Outcome) -> np.ndarray[Any, Any]:
    return np.concatenate([np.asarray(state.own["dual"]) for state in outcome.states.values()])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_of_a_node_are_nodes_of_one_thread(name: str, loss: str, threads: int) -> None:
    rows = some_rows(weighted=True)
    together = simulated(2).run(job(both(Given(WHOLE))[name], rows, 2, threads, loss))
    counts = alone(tuple(map(tuple, support.counts(together))), threads)
    apart = simulated(2 * threads).run(job(both(counts)[name], rows, 2 * threads, loss=loss))
    np.testing.assert_allclose(together.model, apart.model, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(all_dual(together), all_dual(apart), rtol=1e-8, atol=1e-11)
    told = ("objective", "dual", "step", "primal_residual", "dual_residual")
    for one, other in zip(*(support.of_kind(run, "round") for run in (together, apart)), strict=True):
        keys = [key for key in told if key in one]
        assert len(keys) >= 2
        assert [one[key] for key in keys] == pytest.approx([other[key] for key in keys], rel=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_neither_the_timing_of_threads_nor_chunks_change_a_bit(name: str, dtype: str) -> None:
    rows = some_rows(dtype)
    places = (simulated(2), simulated(2, chunk=7), Local(2, (1.0, 0.5), chunk=13))
    runs = [place.run(job(both(Given(WHOLE))[name], rows, 2, 3)) for place in places]
    for run in runs[1:]:
        assert run.model.tobytes() == runs[0].model.tobytes()
        assert all_dual(run).tobytes() == all_dual(runs[0]).tobytes()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_never_falls_with_the_line_search_however_many_threads(loss: str) -> None:
    data, before = naive.dense(some_rows()), 0.0
    for rounds in range(1, 9):
        run = simulated(2).run(job(cocoa(ByRows(90), rounds=rounds), some_rows(), 2, 3, loss))
        now = naive_dual.dual(data, all_dual(run), loss, LAM)
        assert now >= before + 1e-7
        before = now


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_go_on_after_a_stop_as_if_nothing_had_happened(tmp_path: Path, name: str) -> None:
    made = partial(job, both(Given(WHOLE))[name], some_rows(), 2, 2)
    whole = simulated(2).run(made())
    simulated(2).run(made(keeper=support.keeper(tmp_path, stop_after=2)))
    rest = simulated(2).run(made(state=support.resumed(tmp_path)))
    assert rest.model.tobytes() == whole.model.tobytes()
    assert all_dual(rest).tobytes() == all_dual(whole).tobytes()


def test_more_threads_than_rows_leave_one_row_to_each() -> None:
    rows = some_rows()[:5]
    crowded, enough = (
        simulated(1).run(job(both(ByRows(10))["add"], rows, 1, threads)).model for threads in (40, 5)
    )
    # the random order of one row has no say
    assert crowded.tobytes() == enough.tobytes()
    assert crowded.any()


# certificates in single precision


def slope_terms(model: np.ndarray[Any, Any], rows: Rows) -> float:
    """sum_j |w_j| |g_j|, g a subgradient of F but for the signs of its terms."""
    w, data = np.abs(model.astype(np.float64)), naive.dense(rows)
    short = data.y * (data.x @ model) < 1.0
    return float(LAM * w @ w + np.average(short * (np.abs(data.x) @ w), weights=data.s))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_certificates_in_single_precision_are_those_of_double_precision(
    variant: Variant, threads: int
) -> None:
    rows = problem(200, 400, 30.0, noise=0.2, seed=1, dtype=np.dtype(np.float32)).rows
    exact = replace(rows, values=rows.values.astype(np.float64), labels=rows.labels.astype(np.float64))
    run = simulated(2).run(job(cocoa(ByRows(100), variant, 300), rows, 2, threads))
    shared = run.states[0].shared
    found = evaluate.objective(run.model.astype(np.float64), exact, loss="hinge", alpha=LAM)
    dual = naive_dual.dual(naive.dense(exact), all_dual(run), "hinge", LAM)
    w = naive_dual.weights_of(naive.dense(exact), all_dual(run), LAM)
    np.testing.assert_allclose(np.asarray(shared["dual_weights"]), w, atol=1e-12)
    # the model is in single precision: a rounding moves each term of F's slope by a part in 2^24 at most
    assert shared["objective"] == pytest.approx(found, abs=2.0**-24 * slope_terms(run.model, exact))
    assert shared["dual_objective"] == pytest.approx(dual, rel=1e-12) or variant != "add_line_search"
    assert float(shared["dual_objective"]) <= found  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS)
def test_where_a_coarse_gap_will_do_rounding_is_a_hundredth_of_it(variant: Variant) -> None:
    rows = problem(200, 400, 30.0, noise=0.2, seed=1, dtype=np.dtype(np.float32)).rows
    exact = replace(rows, values=rows.values.astype(np.float64), labels=rows.labels.astype(np.float64))
    run = simulated(3).run(job(replace(cocoa(ByRows(100), variant, 300), tol=COARSE), rows, 3))
    shared, allowed = run.states[0].shared, COARSE * float(run.states[0].shared["objective"])  # type: ignore[arg-type]
    found = evaluate.objective(run.model.astype(np.float64), exact, loss="hinge", alpha=LAM)
    assert abs(float(shared["objective"]) - found) < 0.01 * allowed  # type: ignore[arg-type]
    # of the last w(alpha): the best dual so far may be that of one before
    w = naive_dual.weights_of(naive.dense(exact), all_dual(run), LAM)
    np.testing.assert_allclose(np.asarray(shared["dual_weights"]), w, atol=1e-5)
    best = float(shared["dual_objective"])  # type: ignore[arg-type]
    assert naive_dual.dual(naive.dense(exact), all_dual(run), "hinge", LAM) < best + 0.01 * allowed
    assert best < found
