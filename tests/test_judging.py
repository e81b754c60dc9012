"""Judging models between rounds under virtual clocks: what it costs, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import support
from support import CONSTANT, UNEQUAL, averaging, given, job, simulated

from wpsgd.reducers import wp_with
from wpsgd.reducers.contraction import POWERS
from wpsgd.requests import Compute, Node, State
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.pacing import CHUNK, Pace
from wpsgd.runtimes.simulated import Simulated
from wpsgd.sample import LENGTHS
from wpsgd.strategies.patterns import Race, judged


def test_judging_models_costs_what_its_rows_would() -> None:
    costs, sample = (2e-6, 1e-6, 5e-6), support.sample_of().rows
    judging = averaging(3, given(3, 1), wp_with("validated"), CONSTANT, rounds=1, line_search=True)
    plain = replace(judging, rule=wp_with("theory"), line_search=False)
    dear, cheap = (
        support.of_kind(simulated(3, *costs).run(job(program, 3)), "totals") for program in (judging, plain)
    )
    # all nodes take the margins of their own models and judge a third of the combinations; the first, lengths
    margins, entries = len(sample), len(sample.to_scipy().data) / len(sample)
    thirds = [len(POWERS[place::3]) * margins * (3 + 1) / entries for place in range(3)]
    lengths = margins + LENGTHS * margins / entries
    slowest = max(cost * third for cost, third in zip(costs, thirds, strict=True))
    expected = max(costs) * margins + slowest + costs[0] * lengths
    assert dear[0]["seconds"] - cheap[0]["seconds"] == pytest.approx(expected, rel=1e-2)
    assert [event["rows"] for event in dear] == list(UNEQUAL[:3])


def test_judging_ends_no_race_and_is_not_ended_by_one() -> None:
    runtime = simulated(3, 1e-6, 1.7e-6, 1.1e-5, chunk=10)  # no two nodes end a chunk together
    program = averaging(3, Race(300), wp_with("validated"), CONSTANT, line_search=True)
    told = runtime.run(job(program, 3))
    silent = runtime.run(job(replace(program, rule=wp_with("theory"), line_search=False), 3))
    assert support.counts(told) == support.counts(silent)
    for before, after in zip(*(support.of_kind(one, "totals") for one in (silent, told)), strict=True):
        assert before["rows"] == after["rows"]
        assert before["judging"] == 0.0 < after["judging"]


def test_replayed_rows_are_not_used_up_by_judging() -> None:
    recorded = RowCost(0.0, "replayed", recorded=(1.0, 10.0, 100.0))

    async def between(node: Node, state: State) -> State:
        await Compute(lambda rows: None, 1, draw="task")
        await judged(lambda: None, 1)
        await Compute(lambda rows: None, 1, draw="task")
        return state

    (total,) = support.of_kind(Simulated(Cluster((recorded,))).run(job(between, 1)), "totals")
    assert total["compute"] - total["judging"] == 11.0


def test_the_size_of_chunks_is_not_learnt_from_judging() -> None:
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for judging, chunks in sizes.items():
        Pace().run(Compute(chunks.append, 20 * CHUNK, judging=judging), lambda: 0.0, lambda: False)
    assert set(sizes[True]) == {CHUNK}
    assert max(sizes[False]) > CHUNK
