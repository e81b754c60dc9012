"""Runtimes on communicators of an application: those of some ranks train, what is none is refused."""

from __future__ import annotations

import json

import pytest
import support

ALL = [0, 1, 2, 3]
GOOD = {  # which ranks are together, in their order, by rank
    "none": [ALL] * 4,
    "self": [[0], [1], [2], [3]],
    "halves": [[0, 2], [1, 3], [0, 2], [1, 3]],
    "reversed": [ALL[::-1]] * 4,
    "cart": [ALL] * 4,
    "merged": [[0, 2, 1, 3]] * 4,
    "plain": [ALL] * 4,
}
BAD = {
    "freed": "comm is COMM_NULL: freed, or ",
    "inter": "comm is an intercommunicator",
    "number": "comm = 4: must be a communicator of mpi4py",
    "text": "comm = 'world': must be a communicator of mpi4py",
    "class": "comm = <class 'mpi4py.MPI.Intracomm'>: must be a communicator",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    path = tmp_path_factory.mktemp("comms") / "found.json"
    support.run_ranks("comm_ranks.py", 4, path)
    everybody: list[dict[str, object]] = json.loads(path.read_text())
    return everybody


@pytest.mark.mpi
@pytest.mark.parametrize("name", GOOD)
def test_ranks_of_a_communicator_make_a_runtime(found: list[dict[str, object]], name: str) -> None:
    assert [rank[name] for rank in found] == GOOD[name]


@pytest.mark.mpi
@pytest.mark.parametrize("name", ["null", "group"])
def test_a_rank_that_is_in_no_part_is_told_and_the_others_train(
    found: list[dict[str, object]], name: str
) -> None:
    assert [rank[name] for rank in found[:3]] == [[0, 1, 2]] * 3
    assert str(found[3][name]).startswith("comm is COMM_NULL")


@pytest.mark.mpi
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_communicator_of_ranks_is_refused_in_one_line(
    found: list[dict[str, object]], name: str
) -> None:
    for rank in found:
        assert str(rank[name]).startswith(BAD[name])
        assert "\n" not in str(rank[name])
