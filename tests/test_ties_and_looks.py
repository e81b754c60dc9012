"""Ties under virtual clocks, and looks: rows and seconds of a round are the same however often one looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import support
from support import averaging, job, simulated

from wpsgd.config import load_cluster
from wpsgd.requests import Compute, Node, Recv, Send, State, Tag
from wpsgd.runtimes.costs import Cluster, Link, RowCost
from wpsgd.runtimes.simulated import Simulated
from wpsgd.strategies.patterns import ByRows, Ending, Looks, Race, TimeBox
from wpsgd.strategies.sequential import Sequential

SPEEDS = (1.0, 0.85, 0.7, 0.55)  # of the paper's Table 1
ROW = 25e-6
COSTS = tuple(ROW / speed for speed in SPEEDS)
LINK = Link(50e-6, 1.25e9)
NEWS = Tag("news")
ENDINGS: dict[str, Ending] = {"race": Race(10_000), "time box": TimeBox(0.25), "rows": ByRows(10_000)}


def found(
    runtime: Simulated, ending: Ending, looks: int, rounds: int = 1
) -> tuple[list[list[int]], list[float]]:
    """The row counts of the rounds, and the seconds of each node."""
    program = averaging(runtime.ranks, ending, rounds=rounds, looks=Looks(looks, rounds))
    outcome = runtime.run(job(program, runtime.ranks))
    return support.counts(outcome), [event["seconds"] for event in support.of_kind(outcome, "totals")]


@pytest.mark.parametrize("looks", [0, 1, 50])
@pytest.mark.parametrize("chunk", [10, 50])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_a_race_ends_at_rows_times_speed_however_often_one_looks(
    chunk: int, looks: int, order: tuple[int, ...]
) -> None:
    runtime = simulated(4, *(COSTS[place] for place in order), chunk=chunk)
    counts, seconds = found(runtime, Race(10_000), looks, rounds=2)
    assert counts == [[(10_000, 8_500, 7_000, 5_500)[place] for place in order]] * 2
    assert seconds == pytest.approx([2 * 10_000 * ROW] * 4, rel=1e-9)


@pytest.mark.parametrize("costs", [COSTS[:2], (ROW, ROW * 10.0)])
def test_two_nodes_that_race_keep_to_their_speeds(costs: tuple[float, float]) -> None:
    for looks in (0, 50):
        counts, _ = found(simulated(2, *costs, chunk=10), Race(10_000), looks)
        assert counts == [[10_000, round(10_000 * costs[0] / costs[1])]]


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("chunk", [7, 50])
@pytest.mark.parametrize("service", ["fixed", "exponential"])
def test_looks_change_neither_rows_nor_seconds(name: str, chunk: int, service: Any) -> None:
    nodes = tuple(RowCost(cost, service) for cost in COSTS)
    runtime = Simulated(Cluster(nodes, LINK), chunk)
    # drawn costs are those of chunks, which looks must not cut
    looks = 50 if service == "fixed" or chunk == 50 else 1
    (seen, lasted), (unseen, alone) = (found(runtime, ENDINGS[name], number) for number in (looks, 0))
    assert seen == unseen
    assert lasted == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("chunk", [25, 50])
def test_nodes_of_table_1_are_as_fast_as_it_says(chunk: int) -> None:
    cluster = load_cluster("cluster-table-1-2017-10g")
    counts, _ = found(Simulated(cluster, chunk), Race(20_000), looks=50)
    fastest = cluster.nodes[0].seconds
    for count, node in zip(counts[0], cluster.nodes, strict=True):
        # the signal is on its way for 50 microseconds, and the chunk that it falls into is finished
        exact = 20_000 * fastest / node.seconds
        assert 0 <= count - exact <= 50e-6 / node.seconds + chunk


@pytest.mark.parametrize("rounds", [1, 50])
def test_one_node_that_trains_alone_pays_for_its_rows_and_nothing_else(rounds: int) -> None:
    runtime = simulated(4, *COSTS, link=LINK, chunk=50)
    outcome = runtime.run(job(Sequential(rounds, 10_000 // rounds, Looks(rounds, rounds)), 4))
    seconds = [event["seconds"] for event in support.of_kind(outcome, "totals")]
    assert seconds == pytest.approx([10_000 * ROW] * 4, rel=1e-9)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("chunk", [1, 10, 20])
def test_a_signal_that_comes_as_a_chunk_ends_is_seen(first: int, chunk: int) -> None:
    """first: the rank that computes; ranks of equal moments are handled in an order of their own."""

    async def program(node: Node, state: State) -> State:
        if node.rank != first:
            await Compute(lambda rows: None, 300)
            await Send(first, NEWS)
            return state
        applied: list[int] = []
        done = await Compute(applied.append, 10**9, stop_on=NEWS)
        assert done == sum(applied)
        await Recv(NEWS)
        return State(0, {}, {"done": done, "now": node.now()})

    costs = [0.1, 0.1]  # ten of them are not 1.0 in floats
    costs[first] = 0.3
    own = simulated(2, *costs, chunk=chunk).run(job(program, 2)).states[first].own
    assert own == {"done": 100, "now": pytest.approx(30.0)}


def test_a_signal_that_comes_before_the_first_row_leaves_none() -> None:
    async def program(node: Node, state: State) -> State:
        if node.rank == 1:
            await Send(0, NEWS)
            return state
        done = await Compute(lambda rows: None, 100, stop_on=NEWS)
        await Recv(NEWS)
        return State(0, {}, {"done": done})

    assert simulated(2).run(job(program, 2)).states[0].own["done"] == 0


def test_a_replayed_cost_that_a_tie_takes_back_comes_next() -> None:
    async def program(node: Node, state: State) -> State:
        if node.rank == 1:
            await Compute(lambda rows: None, 2)
            await Send(0, NEWS)
            return state
        await Compute(lambda rows: None, 100, stop_on=NEWS)
        await Recv(NEWS)
        await Compute(lambda rows: None, 1)
        return State(0, {}, {"now": node.now()})

    nodes = (RowCost(0.0, "replayed", recorded=(1.0, 1.0, 7.0)), RowCost(1.0))
    own = Simulated(Cluster(nodes), chunk=1).run(job(program, 2)).states[0].own
    assert own["now"] == pytest.approx(2.0 + 7.0)


@pytest.mark.parametrize("rows", [3, 10, 1000])
def test_a_deadline_that_comes_as_a_chunk_ends_is_seen(rows: int) -> None:
    async def program(node: Node, state: State) -> State:
        done = await Compute(lambda rows: None, 10**9, deadline=rows * 0.1)
        return State(0, {}, {"done": done})

    assert simulated(1, 0.1, chunk=1).run(job(program, 1)).states[0].own["done"] == rows


def test_a_look_sees_the_rows_that_a_run_without_looks_would_have_then() -> None:
    runtime = simulated(4, *COSTS, chunk=10)
    program = averaging(4, Race(10_000), rounds=1, looks=Looks(10, 1))
    looks = support.of_kind(runtime.run(job(program, 4)), "look")
    assert [look["rows"] for look in looks] == list(range(1_000, 10_001, 1_000))
    np.testing.assert_allclose([look["seconds"] for look in looks], 1_000 * ROW * np.arange(1, 11), rtol=1e-9)
