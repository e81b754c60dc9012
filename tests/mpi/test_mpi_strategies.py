"""Strategies on 2 and 4 MPI ranks give the bits of virtual clocks, whole, resumed, and without rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import support
from support import ADAGRAD, OPTIMAL, ROUNDS, averaging, job, simulated
from test_minibatch_wire import GRADIENTS, stepped
from test_shard_strategies import COUNTS, both
from test_shard_strategies import job as shard_job
from test_wire import PROGRAMS, total_bytes, widened

from wpsgd.requests import Program
from wpsgd.strategies.patterns import Given

pytestmark = pytest.mark.mpi


class Results(NamedTuple):
    """What the ranks wrote."""

    ranks: int
    whole: dict[str, Any]
    resumed: dict[str, Any]
    clock: dict[str, Any]
    facts: dict[str, Any]


@pytest.fixture(scope="module", params=[2, 4], ids=["2 ranks", "4 ranks"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder: Path = tmp_path_factory.mktemp("identities")
    support.run_ranks("identities_ranks.py", request.param, folder)
    whole, resumed, clock = (dict(np.load(folder / f"{name}.npz")) for name in ("whole", "resumed", "clock"))
    return Results(request.param, whole, resumed, clock, json.loads((folder / "facts.json").read_text()))


def virtual(program: Program, ranks: int, **settings: Any) -> np.ndarray[Any, Any]:
    return simulated(ranks).run(job(program, ranks, **settings)).model


def test_every_strategy_gives_the_bits_of_virtual_clocks(results: Results) -> None:
    expected = {
        f"{name}, {step.schedule}, {dtype}": virtual(program, results.ranks, step=step, dtype=dtype)
        for dtype in ("float64", "float32")
        for step in (OPTIMAL, ADAGRAD)
        for name, program in support.strategies(results.ranks, step).items()
    }
    support.same_bits(results.whole, expected)


def test_ranks_find_what_virtual_clocks_find_of_other_rules(results: Results) -> None:
    name, ranks = "asum, sparse", results.ranks
    told = results.facts[f"{name}, optimal"]["rest"]
    outcome = simulated(ranks).run(job(support.strategies(ranks, looks=8)[name], ranks))
    expected = support.of_kind(outcome, "counterfactual")
    assert expected
    assert [event for event in told if event["kind"] == "counterfactual"] == expected


def test_a_run_that_one_rank_stopped_goes_on_as_if_nothing_had_happened(results: Results) -> None:
    whole = {name: bits for name, bits in results.whole.items() if name.endswith("float64")}
    support.same_bits(results.resumed, whole)


def test_the_trace_of_a_resumed_run_goes_on(results: Results) -> None:
    for step in (OPTIMAL, ADAGRAD):
        for name in support.strategies(results.ranks, step):
            told = results.facts[f"{name}, {step.schedule}"]
            totals = [event for event in told["rest"] if event["kind"] == "totals"]
            program = support.strategies(results.ranks, step, looks=8)[name]
            whole = simulated(results.ranks).run(job(program, results.ranks, step))
            for event, expected in zip(totals, support.of_kind(whole, "totals"), strict=True):
                assert event["rows"] == expected["rows"]
            first = [event for event in told["half"] if event["rank"] == 0 and event["kind"] == "totals"]
            assert all(totals[0]["seconds"] > event["seconds"] > 0.0 for event in first)
            looks = [event["round"] for event in told["rest"] if event["kind"] == "look"]
            assert looks == [event["round"] for event in support.of_kind(whole, "look")]


@pytest.mark.parametrize("name", ["race", "time box", "short race", "500 rounds of 3 rows"])
def test_a_run_on_real_clocks_is_replayed_from_its_counts(results: Results, name: str) -> None:
    counts = results.facts[name]
    program = averaging(results.ranks, Given(tuple(map(tuple, counts))), rounds=len(counts))
    assert virtual(program, results.ranks).tobytes() == results.clock[name].tobytes()


@pytest.mark.parametrize(
    ("name", "rounds", "period"),
    [("race", ROUNDS, 2000), ("short race", 20, 7), ("500 rounds of 3 rows", 500, 3)],
)
def test_races_end_when_the_fastest_has_its_rows(
    results: Results, name: str, rounds: int, period: int
) -> None:
    counts = results.facts[name]
    assert len(counts) == rounds
    assert all(max(round) == period for round in counts)


@pytest.mark.parametrize("ending", ["rows", "race", "given", "time box"])
def test_ranks_without_rows_have_no_weight(results: Results, ending: str) -> None:
    for empty in ((0,), (results.ranks - 1,), tuple(range(results.ranks))):
        label = f"{ending} without rows on {list(empty)}"
        counts = [round for round, _ in results.facts[label]]
        assert len(counts) == ROUNDS
        for round, weights in results.facts[label]:
            assert all(round[rank] == 0 for rank in empty)
            assert any(round) == (len(empty) < results.ranks) or ending == "time box"
            assert all(weights[rank] == 0.0 for rank in empty) or not any(round)
            assert sum(weights) == pytest.approx(1.0)
        replay = averaging(results.ranks, Given(tuple(map(tuple, counts))), empty=empty)
        assert virtual(replay, results.ranks, empty=empty).tobytes() == results.clock[label].tobytes()


def test_cocoa_and_admm_on_ranks_give_the_bits_of_virtual_clocks_whole_and_resumed(tmp_path: Path) -> None:
    support.run_ranks("shard_ranks.py", 3, tmp_path)
    found = np.load(tmp_path / "models.npz")
    for name, program in both(Given(COUNTS), looks=2).items():
        expected = simulated(3).run(shard_job(program, 3)).model
        for way in ("whole", "resumed"):
            assert found[f"{name}, {way}"].tobytes() == expected.tobytes(), (name, way)


def test_sparse_sums_on_ranks_have_the_bits_of_dense_ones_and_fewer_bytes(tmp_path: Path) -> None:
    support.run_ranks("wire_ranks.py", 3, tmp_path)
    found = np.load(tmp_path / "models.npz")
    models = {
        name: widened(replace(program, wire="dense"), 3, **more) for name, (program, more) in PROGRAMS.items()
    }
    gradients = {name: stepped(3, "dense", **settings) for name, settings in GRADIENTS.items()}
    for name, made in (models | gradients).items():
        dense = simulated(3).run(made)
        assert found[name].tobytes() == dense.model.tobytes(), name
        assert 0 < found[f"{name}, bytes"] < total_bytes(dense), name
