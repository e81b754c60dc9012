"""A rank that fails ends the run on every rank, with the reason; ranks that cannot meet never train alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support

pytestmark = pytest.mark.mpi
RANKS = 3
REASONS = {
    "at work": "ZeroDivisionError: the fuse blew",
    "while others wait for mail": "ZeroDivisionError: the fuse blew",
    "while others compute": "ZeroDivisionError: the fuse blew",
    "when others have finished": "ZeroDivisionError: the fuse blew",
    "while saving": "ZeroDivisionError: the disk blew",
    "before it begins": "ZeroDivisionError: no data",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all ranks saw of each failure; and the job as a whole, in which things failed, must fail."""
    path: Path = tmp_path_factory.mktemp("failures") / "seen.json"
    ended = support.start_ranks("failing_ranks.py", RANKS, path)
    assert ended.returncode != 0
    return json.loads(path.read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", REASONS)
def test_a_rank_that_fails_ends_the_run_everywhere(seen: dict[str, Any], name: str) -> None:
    """Ranks that are not told would be at work, or wait, for longer than the job is given (start_ranks)."""
    *others, failed = seen[name]
    assert failed["kind"] == "ZeroDivisionError"
    for told in others:
        assert told["kind"] == "PeerFailed"
        assert told["message"] == f"rank {RANKS - 1} failed: {REASONS[name]}"


def test_ranks_that_meet_in_different_collectives_all_say_so(seen: dict[str, Any]) -> None:
    for told in seen["off the beat"]:
        assert "nodes met in different collectives" in told["message"]
        assert "rank 0 awaits AllReduce(sum of 3 float64) at failing_ranks.py:" in told["message"]


def test_groups_save_by_themselves(seen: dict[str, Any]) -> None:
    assert seen["saved in halves"] == [1 + rank % 2 for rank in range(len(seen["saved in halves"]))]


def test_phases_end_in_the_same_way_on_all_ranks(seen: dict[str, Any]) -> None:
    for rank, found in enumerate(seen["agreements"]):
        assert (found["agreed"], found["first"]) == (rank, 0)
        assert found["agreed, data"] == found["first, data"] == ["DataError", "no such file", True]
        bugs = [("agreed, bug", RANKS - 1), ("first, bug", 0)]
        for name, bad in bugs:
            own, passed_on = (
                "ZeroDivisionError: a bug",
                f"PeerFailed: rank {bad} failed: ZeroDivisionError: a bug",
            )
            assert ": ".join(found[name][:2]) == (own if rank == bad else passed_on)


@pytest.mark.parametrize("variable", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_a_rank_that_is_alone_in_a_larger_launch_says_what_to_do(variable: str) -> None:
    support.mpiexec()
    code = f"from wpsgd.runtimes.mpi import check_launch; check_launch(1, {{{variable!r}: '4'}})"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=support.environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"wpsgd.errors.LaunchError: {variable} says 4 ranks, but this MPI (")
    assert "start with the mpiexec of the same installation" in last


def test_a_runtime_is_not_made_of_singletons() -> None:
    support.mpiexec()
    code = "from wpsgd.runtimes.mpi import MPI; MPI()"
    for size, fails in (("4", True), ("1", False)):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=support.environment(SLURM_STEP_NUM_TASKS=size),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert (ended.returncode != 0) == fails, ended.stderr
        assert ("LaunchError" in ended.stderr) == fails
