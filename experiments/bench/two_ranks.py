"""Run by two ranks: rounds with an average after each, against the same passes with nothing in between."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

import wpsgd.learners.sgd as learner_module
from experiments.bench.data import opened
from experiments.bench.tasks.epochs import ALPHA
from wpsgd.data.rows import Rows
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import BLOCK, Objective, SGDLearner
from wpsgd.reducers import rule_named
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.patterns import ByRows, Looks

COMM = mpi.COMM_WORLD
RANK, RANKS = COMM.Get_rank(), COMM.Get_size()
ROUNDS = 4
STEP = StepSize("optimal", ALPHA)
LARGE_CHUNK = 5000
KERNEL = "sgd_pass"  # as the learner knows it


class Clocked:
    """A kernel whose seconds are added up."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.seconds = kernel, 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        answer = self.kernel(*arguments)
        self.seconds += time.perf_counter() - started
        return answer


def fresh(rows: Rows) -> SGDLearner:
    return make_learner(rows, Objective("hinge", STEP), seed=0, rank=RANK, block=BLOCK)


def independent(rows: Rows, period: int) -> float:
    """Rows per second of all ranks, none of which hears of another."""
    learner = fresh(rows)
    learner.warm_up()
    COMM.Barrier()
    started = time.perf_counter()
    learner.advance(ROUNDS * period)
    mine = ROUNDS * period / (time.perf_counter() - started)
    return float(COMM.allreduce(mine))


def together(rows: Rows, period: int, chunk: int | None = None) -> tuple[float, dict[str, float]]:
    """Rows per second of all ranks as the runtime runs them, and rank 0's shares of the wall time."""
    shards = (len(rows),) * RANKS
    program = Averaging(ROUNDS, ByRows(period), rule_named("uniform"), STEP, shards, Looks(0, ROUNDS))
    clocked = Clocked(vars(learner_module)[KERNEL])
    setattr(learner_module, KERNEL, clocked)
    try:
        events = MPI(chunk=chunk).run(Job(program, lambda rank: fresh(rows))).events
    finally:
        setattr(learner_module, KERNEL, clocked.kernel)
    totals = [event for event in events if event["kind"] == "totals"]
    if RANK:
        return 0.0, {}
    seconds = max(event["seconds"] for event in totals)
    wall, mpi_seconds = totals[0]["seconds"], totals[0]["communication"]
    shares = {
        "outside kernels and MPI": 1.0 - (clocked.seconds + totals[0]["wait"] + mpi_seconds) / wall,
        "communicating": mpi_seconds / wall,
        "waiting": totals[0]["wait"] / wall,
    }
    return sum(event["rows"] for event in totals) / seconds, shares


def main() -> None:
    """Interleaves the cases; rank 0 writes the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--period", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    asked = parser.parse_args()
    whole = opened(asked.folder, asked.dtype)
    rows = whole[RANK * len(whole) // RANKS : (RANK + 1) * len(whole) // RANKS]
    together(rows, 100)
    speeds: dict[str, list[float]] = {}
    shares: list[dict[str, float]] = []
    for _ in range(asked.repeats):
        speeds.setdefault("independent", []).append(independent(rows, asked.period))
        speeds.setdefault("ranks", []).append(together(rows, asked.period)[0])
        speed, parts = together(rows, asked.period, LARGE_CHUNK)
        speeds.setdefault("ranks, chunks of 5000", []).append(speed)
        shares.append(parts)
    if RANK == 0:
        setting = f"{ROUNDS} rounds of {asked.period} rows each"
        medians = {name: statistics.median(some) for name, some in speeds.items()}
        middle = {name: statistics.median(one[name] for one in shares) for name in shares[0]}
        asked.answer.write_text(json.dumps({"speeds": medians, "shares": middle, "setting": setting}))


if __name__ == "__main__":
    main()
