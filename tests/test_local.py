"""Threads: real seconds, emulated speeds, errors from the thread that made them, and nothing left behind."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
import support
from support import averaging, job

from wpsgd.checkpoint import CheckpointKeeper
from wpsgd.errors import ConfigError, Deadlock, Diverged
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.requests import Compute, Node, OffClock, Recv, State, Tag
from wpsgd.runtimes.local import Local
from wpsgd.runtimes.pacing import Pace
from wpsgd.strategies.patterns import ByRows, Looks, Race, TimeBox


def burn(rows: int) -> None:
    """Work that takes 2 ms of processor time, however many rows."""
    end = time.thread_time() + 0.002
    while time.thread_time() < end:
        pass


async def burning(node: Node, state: State) -> State:
    await Compute(burn, 20_000)
    return state


def totals(runtime: Local, program: Any, **settings: Any) -> list[dict[str, Any]]:
    return support.of_kind(runtime.run(job(program, runtime.ranks, **settings)), "totals")


class FakeClock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("speed", "sleeps_per_work"), [(1.0, 0.0), (0.5, 1.0), (0.25, 3.0)])
def test_an_emulated_speed_sleeps_in_proportion_to_its_work(
    monkeypatch: pytest.MonkeyPatch, speed: float, sleeps_per_work: float
) -> None:
    clock, pace = FakeClock(), Pace(speed, chunk=1000)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    assert pace.run(Compute(burn, 10_000), lambda: clock.now, lambda: False) == 10_000
    assert pace.cpu >= 10 * 0.002 or speed == 1.0
    assert clock.now + pace.owed == pytest.approx(sleeps_per_work * pace.cpu, rel=1e-9, abs=1e-12)
    assert 0.0 <= pace.owed < 1e-3  # what is shorter than a nap is not slept yet


@pytest.mark.parametrize(("rows", "most"), [(1000, 100), (100, 50), (10**6, 8000)])
def test_a_signal_that_comes_in_a_short_race_ends_it_there(rows: int, most: int) -> None:
    spent, mail = [0.0], [False]

    def work(count: int) -> None:
        spent[0] += 2e-7 * count  # a race of 1000 rows is shorter than the time that a chunk is to last
        mail[0] = spent[0] > 1e-7 * rows

    race = Compute(work, rows, stop_on=Tag("finish", 0))
    done = Pace().run(race, lambda: spent[0], lambda: mail[0])
    assert rows // 2 <= done <= rows // 2 + most
    mail[0] = False
    chunks: list[int] = []
    Pace().run(Compute(chunks.append, rows), lambda: 0.0, lambda: False)
    assert rows > 1000 or chunks == [rows]  # what nobody may end is not cut for it


@pytest.mark.parametrize("seconds_per_row", [1e-7, 1e-5, 3e-3])
def test_a_chunk_comes_to_last_about_a_millisecond(seconds_per_row: float) -> None:
    clock, pace, chunks = FakeClock(), Pace(), []

    def work(rows: int) -> None:
        chunks.append(rows)
        clock.sleep(rows * seconds_per_row)

    assert pace.run(
        Compute(work, 3_000_000 if seconds_per_row < 1e-3 else 3000), lambda: clock.now, lambda: False
    )
    expected = max(1e-3, 50 * seconds_per_row)  # never fewer than 50 rows
    assert 0.5 * expected <= chunks[-2] * seconds_per_row <= 2.0 * expected
    assert sum(chunks) in (3000, 3_000_000)


def test_slowed_ranks_take_longer_and_say_how_fast_they_are() -> None:
    full, quarter = totals(Local(2, (1.0, 0.25), chunk=1000), burning)
    assert (full["speed"], quarter["speed"]) == (1.0, 0.25)
    assert quarter["compute"] > 3.0 * quarter["cpu"] >= 3.0 * 20 * 0.002
    assert full["compute"] >= 0.95 * full["cpu"]


def test_speeds_must_be_one_for_each_rank() -> None:
    with pytest.raises(ConfigError, match="2 speeds for 3 ranks: give one for each"):
        Local(3, (1.0, 0.5))


def test_spans_sum_to_the_seconds_of_a_rank() -> None:
    runtime = Local(3, (1.0, 0.5, 0.25), chunk=200)
    for event in totals(runtime, averaging(3, ByRows(100_000), looks=Looks(8, 4))):
        parts = event["compute"] + event["wait"] + event["communication"]
        assert 0.0 < parts <= event["seconds"] + 1e-6  # between two requests a busy machine takes its time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of all ranks, which nothing moves but its own `sleep`."""
    clock = FakeClock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_a_time_box_lasts_its_seconds_and_looks_do_not_shorten_it(clock: FakeClock) -> None:
    async def slow_look() -> None:
        clock.sleep(1.0)

    def work(rows: int) -> None:
        clock.sleep(rows * 1e-5)

    async def program(node: Node, state: State) -> State:
        deadline = node.now() + 0.4
        first = await Compute(work, 1000)
        await OffClock(slow_look)
        second = await Compute(work, 10**9, deadline=deadline)
        return State(0, {}, {"now": node.now() - deadline, "rows": first + second})

    (state,) = Local(1, chunk=100).run(job(program, 1)).states.values()
    assert 0.0 <= state.own["now"] <= 1e-3 + 1e-9  # type: ignore[operator]  # a chunk at most
    assert 40_000 <= state.own["rows"] <= 40_100  # type: ignore[operator]


def test_the_seconds_of_a_run_are_real_ones() -> None:
    begin = time.perf_counter()
    found = totals(Local(2, chunk=100), averaging(2, TimeBox(0.05)))
    lasted = time.perf_counter() - begin
    assert all(4 * 0.05 <= event["seconds"] <= lasted for event in found)


def test_saving_does_not_count_as_time(tmp_path: Any, clock: FakeClock) -> None:
    class Slow(CheckpointKeeper):
        def prepare(self, round: int) -> None:
            clock.sleep(0.1)
            super().prepare(round)

    keeper = Slow(tmp_path, support.KEPT_BY, every=0.0)
    found = totals(Local(2), averaging(2, ByRows(10)), keeper=keeper)
    assert clock.now >= 4 * 0.1
    assert all(event["seconds"] == 0.0 for event in found)


def test_an_error_in_a_thread_ends_the_run_with_its_rank() -> None:
    def explode(rows: int) -> None:
        raise ZeroDivisionError("the fuse blew")

    async def program(node: Node, state: State) -> State:
        if node.rank == 2:
            await Compute(explode, 10)
        await Compute(burn, 10**9)
        return state

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="the fuse blew") as caught:
        Local(3).run(job(program, 3))
    assert caught.value.__notes__ == ["on rank 2"]
    assert threading.active_count() == before


def test_a_model_that_diverges_says_so_and_where() -> None:
    # weights whose margins leave the range of floats: steps of smooth losses are bounded, and do not
    objective = Objective("hinge", StepSize("constant", 1e-3, eta0=900.0), w0=1.7e308)

    def learner(rank: int) -> Any:
        return make_learner(support.rows().take(support.shards(2)[rank]), objective, seed=0, rank=rank)

    broken = replace(job(averaging(2, ByRows(10_000), "uniform"), 2), learner=learner)
    with pytest.raises(Diverged, match=r"diverged at step \d+ on rank [01].*lower eta0"):
        Local(2).run(broken)


def test_threads_end_after_a_deadlock() -> None:
    async def program(node: Node, state: State) -> State:
        await Recv(Tag("never"))
        return state

    before = threading.active_count()
    with pytest.raises(Deadlock):
        Local(4).run(job(program, 4))
    assert threading.active_count() == before


def test_a_deadlock_is_not_mistaken_for_a_deadline_that_will_come() -> None:
    async def program(node: Node, state: State) -> State:
        first = await Recv(Tag("never"), deadline=node.now() + 0.05)
        if node.rank:
            await Recv(Tag("never"))
        return State(0, {}, {"none": float(first is None)})

    with pytest.raises(Deadlock, match="rank 0 has finished; rank 1 awaits Recv"):
        Local(2).run(job(program, 2))


def test_races_on_threads_end_when_the_fastest_has_its_rows() -> None:
    outcome = Local(3, (1.0, 0.5, 0.02), chunk=100).run(job(averaging(3, Race(30_000)), 3))
    found = support.counts(outcome)
    assert all(max(counts) == 30_000 for counts in found)
    assert all(0 <= count <= 30_000 for counts in found for count in counts)  # the clock says how many
