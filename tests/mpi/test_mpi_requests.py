"""Every request does on 2 and 4 MPI ranks what conformance.py says, and broken strategies are told so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import support
from conformance import CASES, PAUSE, check_accounts_of_judging, expected
from faults import FAULTS

pytestmark = pytest.mark.mpi
REDUCING = [name for name in CASES if name.startswith(("allreduce", "broadcast"))]


@pytest.fixture(scope="module", params=[2, 4], ids=["2 ranks", "4 ranks"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all ranks answered to all cases, in one start."""
    path: Path = tmp_path_factory.mktemp("conformance") / "results.json"
    support.run_ranks("conformance_ranks.py", request.param, path)
    return {"ranks": request.param, **json.loads(path.read_text())}


@pytest.mark.parametrize("name", CASES)
def test_requests_do_what_they_promise_on_ranks(results: dict[str, Any], name: str) -> None:
    assert json.dumps(results["answers"][name]) == json.dumps(expected(name, results["ranks"]))


@pytest.mark.parametrize("name", REDUCING)
def test_vectors_longer_than_a_block_are_exchanged_block_by_block(results: dict[str, Any], name: str) -> None:
    assert json.dumps(results["blocks"][name]) == json.dumps(expected(name, results["ranks"]))


@pytest.mark.parametrize("name", [name for name in FAULTS if FAULTS[name].under_mpi])
def test_broken_strategies_end_on_every_rank_with_a_line_that_says_why(
    results: dict[str, Any], name: str
) -> None:
    fault, errors = FAULTS[name], results["faults"][name]
    assert all(error is not None for error in errors)
    own = [message for kind, message in errors if kind == fault.error.__name__]
    assert own
    assert all(fault.explained_by(message) for message in own)
    # whoever did not notice first hears of it from another rank, with the reason
    others = [message for kind, message in errors if kind != fault.error.__name__]
    assert all("failed: ProtocolError" in message for message in others)


def test_judging_is_compute_of_no_training_rows_on_ranks(results: dict[str, Any]) -> None:
    assert len(results["judging"]) == results["ranks"]
    check_accounts_of_judging(results["judging"])
    assert all(event["judging"] >= PAUSE for event in results["judging"])


def test_regrouping_is_refused_on_ranks(results: dict[str, Any]) -> None:
    assert all("regroup: not supported" in message for _, message in results["faults"]["regrouping"])
