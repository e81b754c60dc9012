"""Virtual clocks against closed forms: races, waits, services, links, and the order in which mail comes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import support
from support import averaging, job, simulated

from wpsgd.errors import ConfigError
from wpsgd.requests import AllGather, AllReduce, Broadcast, Compute, Node, OffClock, Recv, Send, State, Tag
from wpsgd.runtimes.costs import Cluster, Link, RowCost, Service
from wpsgd.runtimes.job import Outcome
from wpsgd.runtimes.simulated import Simulated
from wpsgd.strategies.patterns import ByRows, Looks, Race, TimeBox

UNEQUAL = (1e-6, 1e-6, 2e-6, 8e-6)
NEWS = Tag("news")


def nothing(rows: int) -> None:
    """Work of which only the cost counts."""


def seconds(outcome: Outcome) -> list[float]:
    return [event["seconds"] for event in support.of_kind(outcome, "totals")]


def run(runtime: Simulated, program: Any, **settings: Any) -> Outcome:
    return runtime.run(job(program, runtime.ranks, **settings))


# races and waits


@pytest.mark.parametrize("chunk", [1, 10, 50])
def test_a_race_ends_with_rows_in_proportion_to_speed(chunk: int) -> None:
    runtime = simulated(4, *UNEQUAL, chunk=chunk)
    outcome = run(runtime, averaging(4, Race(2000), rounds=3))
    assert seconds(outcome)[0] == pytest.approx(3 * 2000e-6, rel=chunk / 2000 * 8)
    for found in support.counts(outcome):
        assert found[:2] == [2000, 2000]
        assert all(
            0 <= count - expected <= chunk for count, expected in zip(found[2:], (1000, 250), strict=True)
        )


def test_a_simulation_is_the_same_run_each_time() -> None:
    costs = tuple(RowCost(cost, "exponential") for cost in UNEQUAL)
    runtime = Simulated(Cluster(costs, Link(1e-5, 1e9)), chunk=20)
    first, second = (run(runtime, averaging(4, Race(2000), looks=Looks(8, 4))) for _ in range(2))
    assert [strip(event) for event in first.events] == [strip(event) for event in second.events]
    other = run(runtime, averaging(4, Race(2000), looks=Looks(8, 4)), seed=1)
    assert support.counts(other) != support.counts(first)


def strip(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "host": ""}


def test_waiting_for_the_slowest_takes_as_long_as_the_slowest() -> None:
    runtime = simulated(4, *UNEQUAL, chunk=10)
    race = run(runtime, averaging(4, Race(2000)))
    by_rows = run(runtime, averaging(4, ByRows(2000), "uniform"))
    assert seconds(by_rows) == pytest.approx([4 * 2000 * 8e-6] * 4)
    assert seconds(by_rows)[0] == pytest.approx(8.0 * seconds(race)[0], rel=0.05)
    waits = [event["wait"] for event in support.of_kind(by_rows, "totals")]
    assert waits == pytest.approx([4 * 2000 * (8e-6 - cost) for cost in UNEQUAL])


@pytest.mark.parametrize("looks", [0, 20])
def test_a_time_box_lasts_its_seconds_with_and_without_looks(looks: int) -> None:
    runtime = simulated(4, *UNEQUAL, chunk=1)
    outcome = run(runtime, averaging(4, TimeBox(1e-3), looks=Looks(looks, 4)))
    assert seconds(outcome)[0] == pytest.approx(4e-3, rel=0.02 if not looks else 0.05)
    for found in support.counts(outcome):
        np.testing.assert_allclose(found, [1000, 1000, 500, 125], atol=6)


def test_compute_wait_and_communication_add_up_to_the_seconds() -> None:
    runtime = simulated(4, *UNEQUAL, link=Link(1e-4, 1e7), chunk=10)
    outcome = run(runtime, averaging(4, Race(2000), looks=Looks(8, 4)))
    for event in support.of_kind(outcome, "totals"):
        parts = event["compute"] + event["wait"] + event["communication"]
        assert parts == pytest.approx(event["seconds"])
        spans = [e for e in support.of_kind(outcome, "span") if e["rank"] == event["rank"]]
        assert sum(e["end"] - e["start"] for e in spans) == pytest.approx(event["seconds"])
        assert sum(e["rows"] for e in spans) == event["rows"]


# services


async def tasks(node: Node, state: State) -> State:
    """A barrier after each of many tasks."""
    for _ in range(2000):
        await Compute(nothing, 1, draw="task")
        await AllGather(0)
    return state


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_a_barrier_over_exponential_tasks_lasts_a_harmonic_number(ranks: int) -> None:
    runtime = Simulated(Cluster((RowCost(1.0, "exponential"),) * ranks))
    found = seconds(run(runtime, tasks))[0] / 2000
    harmonic = sum(1.0 / n for n in range(1, ranks + 1))
    deviation = math.sqrt(sum(1.0 / n**2 for n in range(1, ranks + 1)) / 2000)
    assert abs(found - harmonic) < 4.0 * deviation


def drawn(cost: RowCost, rows: int, per: Any, times: int = 4000) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(0)
    return np.array([cost.draw(rows, per, generator, number) for number in range(times)])


SPREADS: list[tuple[Service, float]] = [  # standard deviation of one draw, in means
    ("fixed", 0.0),
    ("jittered", 0.4 / math.sqrt(3.0)),
    ("exponential", 1.0),
    ("shifted_exponential", 0.4),
]


@pytest.mark.parametrize(("service", "deviation"), SPREADS)
@pytest.mark.parametrize(("per", "draws"), [("row", 25), ("task", 1)])
def test_services_have_their_mean_and_spread(
    service: Service, deviation: float, per: Any, draws: int
) -> None:
    found = drawn(RowCost(2e-6, service, spread=0.4), 25, per) / 50e-6
    expected = deviation / math.sqrt(draws)
    assert found.mean() == pytest.approx(1.0, abs=4.0 * expected / math.sqrt(4000) + 1e-12)
    assert found.std() == pytest.approx(expected, rel=0.06, abs=1e-12)
    if service == "shifted_exponential":
        assert found.min() > 0.6


def test_recorded_services_are_replayed_in_their_order() -> None:
    cost = RowCost(0.0, "replayed", recorded=(1.0, 3.0, 2.0))
    assert drawn(cost, 10, "row", times=5).tolist() == [10.0, 30.0, 20.0, 10.0, 30.0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"service": "poisson"},
            "must be one of fixed, jittered, exponential, shifted_exponential, replayed",
        ),
        ({"spread": 1.5}, "spread 1.5"),
        ({"seconds": -1.0}, "seconds per row -1.0"),
        ({"seconds": math.nan}, "seconds per row nan"),
        ({"service": "replayed"}, "needs recorded seconds"),
    ],
)
def test_impossible_costs_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(RowCost(1.0), **settings)


# links


def cost_of(request: Any, ranks: int, link: Link) -> float:
    async def program(node: Node, state: State) -> State:
        await request()
        return state

    return seconds(run(simulated(ranks, link=link), program))[0]


@pytest.mark.parametrize(("ranks", "steps"), [(1, 0), (2, 1), (4, 2), (5, 3), (16, 4)])
def test_collectives_cost_what_their_algorithms_do(ranks: int, steps: int) -> None:
    link, nbytes = Link(latency=1e-3, bandwidth=1e6), 8 * 1000
    sent = (ranks - 1) / ranks * nbytes / 1e6
    assert cost_of(lambda: AllReduce(np.zeros(1000)), ranks, link) == pytest.approx(
        2 * steps * 1e-3 + 2 * sent
    )
    assert cost_of(lambda: Broadcast(np.zeros(1000), 0), ranks, link) == pytest.approx(
        2 * steps * 1e-3 + 2 * sent
    )
    small = cost_of(lambda: AllGather(1), ranks, link)
    assert steps * 1e-3 <= small < steps * 1e-3 + (ranks - 1) * 100 / 1e6 + 1e-12


def test_looks_cost_nothing() -> None:
    async def look() -> None:
        await AllReduce(np.zeros(1000))
        await Compute(nothing, 1000)

    assert cost_of(lambda: OffClock(look), 4, Link(1e-3, 1e6)) == 0.0


def test_mail_takes_latency_and_bytes_over_bandwidth() -> None:
    async def program(node: Node, state: State) -> State:
        times = []
        for body in (None, np.zeros(1000)):
            if node.rank == 0:
                await Compute(nothing, 500)
                await Send(1, NEWS, body=body)
            else:
                await Recv(NEWS)
            times.append(node.now())
            await AllGather(0)
        return State(0, {}, {"times": np.array(times)})

    link = Link(latency=1e-3, bandwidth=1e6)
    states = run(simulated(2, 1e-6, 1e-6, link=link), program).states
    begin, gathered = 0.0, link.allgather(5, 2)
    sent, received = states[0].own["times"], states[1].own["times"]
    assert isinstance(sent, np.ndarray)
    assert isinstance(received, np.ndarray)
    assert sent[0] == pytest.approx(begin + 500e-6)  # a sender does not wait
    assert (received - sent).tolist() == pytest.approx([1e-3, 1e-3 + 8000 / 1e6])
    assert sent[1] - received[0] == pytest.approx(500e-6 + gathered, abs=1e-5)


def test_the_earliest_mail_comes_first_whoever_sent_it() -> None:
    async def program(node: Node, state: State) -> State:
        if node.rank:
            await Compute(nothing, 100)
            await Send(0, NEWS, body=np.zeros(1000 if node.rank == 1 else 1))
            return state
        order, times = [], []
        for _ in node.others:
            mail = await Recv(NEWS)
            assert mail is not None
            order.append(mail.source)
            times.append(node.now())
        return State(0, {}, {"order": str(order), "times": np.array(times)})

    # rank 1 is the fastest, but its mail is long; 3 is faster than 2
    runtime = simulated(4, 1e-6, 1e-6, 4e-6, 2e-6, link=Link(1e-3, 1e6))
    own = run(runtime, program).states[0].own
    assert own["order"] == "[3, 2, 1]"
    expected = [200e-6 + 1e-3 + 8e-6, 400e-6 + 1e-3 + 8e-6, 100e-6 + 1e-3 + 8e-3]
    np.testing.assert_allclose(own["times"], expected)  # type: ignore[arg-type]


def test_a_receiver_that_comes_late_does_not_wait() -> None:
    async def program(node: Node, state: State) -> State:
        if node.rank:
            await Send(0, NEWS)
            return state
        await Compute(nothing, 5000)
        await Recv(NEWS)
        return State(0, {}, {"now": node.now()})

    assert run(simulated(2, link=Link(1e-3)), program).states[0].own["now"] == pytest.approx(5e-3)


@pytest.mark.parametrize(("patience", "there"), [(0.9e-3, False), (1.1e-3, True)])
def test_a_deadline_is_kept_to_the_second(patience: float, there: bool) -> None:
    async def program(node: Node, state: State) -> State:
        if node.rank:
            await Send(0, NEWS)
            return state
        mail = await Recv(NEWS, deadline=patience)
        now = node.now()
        await Recv(NEWS) if mail is None else None
        return State(0, {}, {"there": float(mail is not None), "now": now})

    own = run(simulated(2, link=Link(1e-3)), program).states[0].own
    assert own["there"] == there
    assert own["now"] == pytest.approx(min(patience, 1e-3))


def test_a_signal_ends_a_computation_when_it_arrives_and_not_before() -> None:
    async def program(node: Node, state: State) -> State:
        done = 0
        if node.rank:
            await Compute(nothing, 2000)
            await Send(0, NEWS)
        else:
            done = await Compute(nothing, 10**9, stop_on=NEWS)
            await Recv(NEWS)
        return State(0, {}, {"done": done})

    done = run(simulated(2, link=Link(1e-3), chunk=10), program).states[0].own["done"]
    assert 3000 <= done <= 3010  # type: ignore[operator]


def test_a_thousand_nodes_fit_into_one_process() -> None:
    async def program(node: Node, state: State) -> State:
        await Compute(nothing, 1000)
        buffer = np.ones(1)
        await AllReduce(buffer)
        return State(0, {}, {"sum": float(buffer[0])})

    outcome = simulated(1000).run(
        replace(job(program, 1000), learner=lambda rank: support.learner_of(0, 1), scorer=lambda rank: None)
    )
    assert {state.own["sum"] for state in outcome.states.values()} == {1000.0}
