"""Run by ranks: one thing after the other fails on one of them; rank 0 writes what each saw.

The ranks then end the job as a command does when a run has failed. Argument: the file for rank 0.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import support
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from support import averaging, job

from wpsgd.checkpoint import Keeper
from wpsgd.errors import DataError
from wpsgd.learners.sgd import SGDLearner
from wpsgd.requests import AllGather, AllReduce, Boundary, Compute, Group, Node, Recv, State, Tag
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.patterns import ByRows

COMM = mpi.COMM_WORLD
RANKS, RANK = COMM.Get_size(), COMM.Get_rank()
BAD = RANKS - 1  # the rank on which it fails; all but rank 0 would do


class Fuse:
    """Work that fails after some calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, rows: int) -> None:
        time.sleep(0.001)
        self.calls -= 1
        if RANK == BAD and self.calls == 0:
            raise ZeroDivisionError("the fuse blew")


async def fails_at_work(node: Node, state: State) -> State:
    work = Fuse(calls=20)
    while True:  # the others would go on for ever
        await Compute(work, 1000)
        await AllReduce(np.zeros(1000))


async def fails_while_others_wait_for_mail(node: Node, state: State) -> State:
    if node.rank == BAD:
        await Compute(Fuse(calls=20), 10**9)
    await Recv(Tag("never"))
    return state


async def fails_while_others_compute(node: Node, state: State) -> State:
    await Compute(Fuse(calls=20), 10**9)
    return state


async def fails_when_others_have_finished(node: Node, state: State) -> State:
    if node.rank == BAD:
        await Compute(Fuse(calls=20), 10**9)
    return state


async def fails_off_the_beat(node: Node, state: State) -> State:
    await (AllGather(1) if node.rank == BAD else AllReduce(np.zeros(3)))
    return state


class BadDisk(Keeper):
    """Saving breaks on one rank, in a way that nobody foresaw."""

    def due(self, round: int) -> bool:
        return True

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        if rank == BAD:
            raise ZeroDivisionError("the disk blew")
        return {}


def no_learner(rank: int) -> SGDLearner:
    if rank == BAD:
        raise ZeroDivisionError("no data")
    return support.learner_of(rank, RANKS)


def jobs() -> dict[str, Job]:
    rounds = averaging(RANKS, ByRows(10), rounds=10)
    return {
        "at work": job(fails_at_work, RANKS),
        "while others wait for mail": job(fails_while_others_wait_for_mail, RANKS),
        "while others compute": job(fails_while_others_compute, RANKS),
        "when others have finished": job(fails_when_others_have_finished, RANKS),
        "off the beat": job(fails_off_the_beat, RANKS),
        "while saving": job(rounds, RANKS, keeper=BadDisk()),
        "before it begins": Job(rounds, no_learner),
    }


def seen(broken: Job) -> dict[str, Any]:
    """What this rank sees of a failure, on a runtime of its own."""
    runtime = MPI()
    try:
        runtime.run(broken)
    except Exception as error:
        return {"kind": type(error).__name__, "message": str(error)}
    return {"kind": "nothing"}


def agreements() -> dict[str, Any]:
    """What becomes of phases that fail on some ranks, outside of any run."""

    def no_file() -> None:
        raise DataError("no such file")

    def bug() -> None:
        raise ZeroDivisionError("a bug")

    runtime = MPI()
    found: dict[str, Any] = {"agreed": runtime.agreed(lambda: RANK), "first": runtime.first(lambda: RANK)}
    phases: dict[str, Callable[[], Any]] = {
        "agreed, data": lambda: runtime.agreed(no_file if RANK else lambda: None),
        "agreed, bug": lambda: runtime.agreed(bug if RANK == BAD else lambda: None),
        "first, data": lambda: runtime.first(no_file),
        "first, bug": lambda: runtime.first(bug),
    }
    for name, phase in phases.items():
        try:
            phase()
        except Exception as error:
            found[name] = [type(error).__name__, str(error), getattr(error, "agreed", False)]
    return found


class Counting(Keeper):
    """Saves at each boundary, and counts."""

    def __init__(self) -> None:
        self.saves = 0

    def due(self, round: int) -> bool:
        return True

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        self.saves += 1
        return {}


async def saves_in_halves(node: Node, state: State) -> State:
    half = Group(tuple(range(node.rank % 2, RANKS, 2)))
    for round in range(1, 2 + node.rank % 2):  # one half saves once, the other twice
        await Boundary(round, State, group=half)
    return state


def saved_in_halves() -> int:
    keeper = Counting()
    MPI().run(job(saves_in_halves, RANKS, keeper=keeper))
    return keeper.saves


def main() -> None:
    groups = COMM.allgather(saved_in_halves())
    results: dict[str, Any] = {name: COMM.allgather(seen(broken)) for name, broken in jobs().items()}
    results["saved in halves"] = groups
    results["agreements"] = COMM.allgather(agreements())
    if RANK == 0:
        Path(sys.argv[1]).write_text(json.dumps(results))
    COMM.Barrier()
    COMM.Abort(3)


main()
