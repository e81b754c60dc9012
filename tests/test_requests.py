"""Every request does on virtual clocks and on threads what conformance.py says; mpi/ has it on real ranks."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support
from conformance import CASES, PAUSE, check_accounts_of_judging, expected, judging, regrouping
from faults import FAULTS

from wpsgd.errors import Deadlock, ProtocolError
from wpsgd.runtimes.costs import Link
from wpsgd.runtimes.job import Runtime
from wpsgd.runtimes.local import Local

RANKS = 4
RUNTIMES: dict[str, Runtime] = {
    "simulated": support.simulated(RANKS),
    "simulated, unequal, slow link": support.simulated(
        RANKS, 1e-6, 2e-6, 7e-6, 1e-5, link=Link(latency=1e-3, bandwidth=1e8)
    ),
    "local": Local(RANKS),
    "local, unequal": Local(RANKS, (1.0, 0.5, 0.25, 0.25)),
}


def answered(runtime: Runtime, name: str) -> list[Any]:
    outcome = runtime.run(support.job(CASES[name].program, RANKS))
    return [outcome.states[rank].own["answer"] for rank in range(RANKS)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_requests_do_what_they_promise(runtime: str, name: str) -> None:
    # as JSON, because that is how the answers of MPI ranks are compared
    assert json.dumps(answered(RUNTIMES[runtime], name)) == json.dumps(expected(name, RANKS))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_judging_is_compute_of_no_training_rows(runtime: str) -> None:
    totals = support.of_kind(RUNTIMES[runtime].run(support.job(judging, RANKS)), "totals")
    check_accounts_of_judging(totals)
    costs = {"simulated": [1e-6] * 4, "simulated, unequal, slow link": [1e-6, 2e-6, 7e-6, 1e-5]}
    if runtime in costs:
        assert [event["judging"] for event in totals] == pytest.approx(
            [300 * cost for cost in costs[runtime]]
        )
    else:
        assert all(event["judging"] >= PAUSE for event in totals)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_regrouping_is_refused_in_words(runtime: str) -> None:
    with pytest.raises(ProtocolError, match="regroup: not supported"):
        RUNTIMES[runtime].run(support.job(regrouping, RANKS))


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("runtime", ["simulated", "simulated, unequal, slow link", "local"])
def test_broken_strategies_are_told_rank_request_and_line(runtime: str, name: str) -> None:
    fault = FAULTS[name]
    with pytest.raises(ProtocolError) as caught:
        RUNTIMES[runtime].run(support.job(fault.program, RANKS))
    # the absence of a rank is a deadlock here, under MPI an end that the others did not reach
    absent = name == "a rank that has finished is missing"
    assert caught.type is (Deadlock if absent else fault.error)
    assert fault.explained_by(str(caught.value))
