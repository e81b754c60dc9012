"""The hybrid of delay SGD and WP-SGD: where it is one of its parts, on every runtime, stopped and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
import support
from naive_delay import delay_sgd
from support import CONSTANT, NO_LOOKS, OPTIMAL, PERIOD, ROUNDS, averaging, simulated

from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.reducers import wp
from wpsgd.report import summarise
from wpsgd.requests import Program
from wpsgd.runtimes.job import Job, Runtime
from wpsgd.runtimes.local import Local
from wpsgd.strategies.delay import Delay
from wpsgd.strategies.hybrid import Hybrid
from wpsgd.strategies.patterns import Ending, Looks, Race
from wpsgd.strategies.sequential import Sequential

LATE = InNode(delay=5)
CHECKED = InNode(delay=5, range_check=True)
STALE = InNode(delay=5, stale_decay=True)


def hybrid(
    ranks: int, ending: Ending, step: StepSize = CONSTANT, looks: Looks = NO_LOOKS, **more: Any
) -> Hybrid:
    return Hybrid(ROUNDS, ending, wp, step, support.sizes(ranks), looks, **more)


def job(program: Program, ranks: int, inside: InNode, step: StepSize = CONSTANT, **settings: Any) -> Job:
    """The small problem of the other tests, with late learners."""

    def learner(rank: int) -> Any:
        shard = support.rows().take(support.shards(ranks)[rank])
        return make_learner(shard, Objective("hinge", step, 0.25), inside, seed=7, rank=rank)

    return replace(support.job(program, ranks, step, **settings), learner=learner)


def place(runtime: str, ranks: int) -> Runtime:
    return simulated(ranks, chunk=13) if runtime == "simulated" else Local(ranks, chunk=13)


# where it is one of its parts


@pytest.mark.parametrize("runtime", ["simulated", "local"])
@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
def test_without_delay_one_node_is_sequential(step: StepSize, runtime: str) -> None:
    sequential = simulated(1).run(support.job(Sequential(ROUNDS, PERIOD, NO_LOOKS), 1, step))
    for ending in (Race(PERIOD), support.ByRows(PERIOD)):
        found = place(runtime, 1).run(job(hybrid(1, ending, step), 1, InNode(), step))
        assert found.model.tobytes() == sequential.model.tobytes()


@pytest.mark.parametrize("runtime", ["simulated", "local"])
@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
def test_without_delay_several_nodes_are_wp_in_rounds(step: StepSize, runtime: str) -> None:
    given = support.given(3)
    expected = simulated(3).run(support.job(averaging(3, given, "wp", step), 3, step))
    found = place(runtime, 3).run(job(hybrid(3, given, step), 3, InNode(), step))
    assert found.model.tobytes() == expected.model.tobytes()
    assert support.of_kind(found, "round")[-1]["weights"] == support.of_kind(expected, "round")[-1]["weights"]


def test_without_delay_a_race_is_that_of_wp() -> None:
    clocks = simulated(3, 1e-6, 2e-6, 3e-6, chunk=10)
    expected = clocks.run(support.job(averaging(3, Race(PERIOD), "wp", CONSTANT), 3, CONSTANT))
    found = clocks.run(job(hybrid(3, Race(PERIOD)), 3, InNode()))
    assert found.model.tobytes() == expected.model.tobytes()
    assert found.model.tobytes() != clocks.run(job(hybrid(3, Race(PERIOD)), 3, LATE)).model.tobytes()


def test_one_late_node_is_delay_sgd() -> None:
    alone = simulated(1).run(job(Delay(ROUNDS, PERIOD, NO_LOOKS), 1, LATE))
    found = simulated(1).run(job(hybrid(1, Race(PERIOD)), 1, LATE))
    assert found.model.tobytes() == alone.model.tobytes()


@pytest.mark.parametrize("stale_decay", [False, True])
def test_a_round_averages_the_recursions_of_its_nodes(stale_decay: bool) -> None:
    counts, inside = (90, 40, 17), InNode(5, stale_decay=stale_decay)
    program = replace(hybrid(3, support.Given((counts,))), rounds=1)
    outcome = simulated(3).run(job(program, 3, inside))
    models = []
    for rank, count in enumerate(counts):
        learner = support.learner_of(rank, 3, CONSTANT)
        order = np.concatenate(list(learner.order.take(count)))
        data, etas = naive.dense(learner.shard), np.full(count, CONSTANT.eta0)
        late: Any = {"loss": "hinge", "alpha": CONSTANT.alpha, "stale_decay": stale_decay}
        models.append(delay_sgd(data, order, etas, np.full(80, 0.25), 5, **late).w[-1])
    omega = np.array(support.of_kind(outcome, "round")[0]["weights"])
    np.testing.assert_allclose(outcome.model, omega @ np.array(models), rtol=1e-9, atol=1e-12)


# as any strategy


@pytest.mark.parametrize("inside", [LATE, CHECKED, STALE], ids=["late", "checked", "stale decay"])
def test_clocks_chunks_and_looks_change_no_bit(inside: InNode) -> None:
    checked = {"range_check": inside.range_check}
    runs = [
        runtime.run(job(hybrid(3, support.given(3), looks=Looks(looks, ROUNDS), **checked), 3, inside))
        for runtime, looks in (
            (simulated(3, chunk=1), 0),
            (simulated(3), 5 * ROUNDS),
            (Local(3, (1.0, 0.5, 0.25), chunk=7), ROUNDS),
        )
    ]
    assert len({outcome.model.tobytes() for outcome in runs}) == 1
    assert len(support.of_kind(runs[1], "look")) == 5 * ROUNDS


@pytest.mark.parametrize("runtime", ["simulated", "local"])
@pytest.mark.parametrize("inside", [LATE, CHECKED, STALE], ids=["late", "checked", "stale decay"])
@pytest.mark.parametrize("strategy", ["hybrid", "delay"])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, strategy: str, inside: InNode, runtime: str
) -> None:
    programs: dict[str, Program] = {
        "hybrid": hybrid(3, support.given(3), range_check=inside.range_check),
        "delay": Delay(ROUNDS, PERIOD, Looks(2, ROUNDS), range_check=inside.range_check),
    }
    program, where = programs[strategy], place(runtime, 3)
    whole = where.run(job(program, 3, inside))
    half = where.run(job(program, 3, inside, keeper=support.keeper(tmp_path, stop_after=ROUNDS // 2)))
    rest = where.run(job(program, 3, inside, state=support.resumed(tmp_path)))
    assert half.model.tobytes() != whole.model.tobytes()
    assert rest.model.tobytes() == whole.model.tobytes()
    told = [
        [event.get("abandoned") for event in support.of_kind(outcome, "round")] for outcome in (whole, rest)
    ]
    assert told[0] == told[1]


def test_the_trace_tells_how_many_rows_each_node_abandoned() -> None:
    outcome = simulated(3).run(job(hybrid(3, support.given(3), range_check=True), 3, CHECKED))
    told = np.array([event["abandoned"] for event in support.of_kind(outcome, "round")])
    assert told.shape == (ROUNDS, 3)
    assert (np.diff(told, axis=0) >= 0).all()
    final = [state.own["abandoned"] for state in outcome.states.values()]
    assert told[-1].tolist() == final
    assert min(final) > 0
    # the steps of the weights are those applied, whatever was abandoned
    assert support.counts(outcome) == [list(row) for row in support.given(3).counts]
    assert summarise(outcome.events)[0].abandoned == sum(final)


def test_the_trace_of_one_node_tells_it_too_and_that_of_others_says_nothing() -> None:
    checked = simulated(2).run(job(Delay(ROUNDS, PERIOD, NO_LOOKS, range_check=True), 2, CHECKED))
    events = support.of_kind(checked, "round")
    assert [event["counts"] for event in events] == [[PERIOD, 0]] * ROUNDS
    assert events[-1]["abandoned"] == [checked.states[0].own["abandoned"], 0]
    assert events[-1]["abandoned"][0] > 0
    plain = simulated(2).run(job(hybrid(2, support.given(2)), 2, LATE))
    assert "abandoned" not in support.of_kind(plain, "round")[0]
    assert summarise(plain.events)[0].abandoned is None


# threads


def test_a_race_of_crews_ends_when_the_fastest_has_its_rows() -> None:
    runtime = Local(3, (1.0, 0.5, 0.02), chunk=100)
    outcome = runtime.run(job(hybrid(3, Race(10_000), OPTIMAL), 3, InNode(threads=2), OPTIMAL))
    found = support.counts(outcome)
    assert len(found) == ROUNDS
    assert all(max(counts) == 10_000 for counts in found)
    assert any(counts[2] < 10_000 for counts in found)  # all, but for a machine that starves the fast ones
    assert outcome.states[0].own["steps"] == ROUNDS * 10_000


def test_the_slow_node_of_a_race_of_crews_is_behind_in_every_round() -> None:
    # under virtual clocks, where nothing else can keep the fast ones waiting
    runtime = simulated(3, 1e-6, 2e-6, 50e-6, chunk=100)
    outcome = runtime.run(job(hybrid(3, Race(10_000), OPTIMAL), 3, InNode(threads=2), OPTIMAL))
    found = support.counts(outcome)
    assert len(found) == ROUNDS
    assert all(counts[0] == 10_000 for counts in found)
    assert all(counts[2] < counts[1] < 10_000 for counts in found)


def test_crews_apply_the_rows_that_they_are_given() -> None:
    runs = [
        simulated(3).run(job(hybrid(3, support.given(3), OPTIMAL), 3, InNode(threads=threads), OPTIMAL))
        for threads in (1, 3)
    ]
    assert support.counts(runs[1]) == support.counts(runs[0])
    own = [[state.own for state in outcome.states.values()] for outcome in runs]
    assert own[1] == own[0]  # steps, epochs and cursors
    assert np.isfinite(runs[1].model).all()


def test_a_slowed_node_with_threads_takes_as_many_seconds_as_its_speed_says() -> None:
    runtime = Local(2, (1.0, 0.25), chunk=1000)
    program = hybrid(2, support.ByRows(50_000), OPTIMAL)
    totals = support.of_kind(runtime.run(job(program, 2, InNode(threads=2), OPTIMAL)), "totals")
    full, quarter = totals
    assert (full["speed"], quarter["speed"]) == (1.0, 0.25)
    # the longer of two threads works at least half of what both do; a millisecond may still be owed
    assert quarter["compute"] > 4.0 * 0.5 * quarter["cpu"] - 0.01 > 0.0
