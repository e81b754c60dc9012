"""Run by two ranks: time to a certified distance of the optimum, on one of them and on both."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from numpy.typing import NDArray

from experiments.bench.data import opened
from wpsgd.data.rows import Rows
from wpsgd.dual import solve_dual
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.sgd import BLOCK, Objective
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.cocoa import Cocoa
from wpsgd.strategies.patterns import ByRows, Looks

COMM = mpi.COMM_WORLD
RANK, RANKS = COMM.Get_rank(), COMM.Get_size()
ROUNDS = 60  # at most
Solver = Callable[[float, float], NDArray[Any] | None]


def main() -> None:
    """Interleaves one and two; rank 0 writes all seconds, and the weights of the last runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--alphas", type=float, nargs="+", required=True)
    parser.add_argument("--distance", type=float, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    asked = parser.parse_args()
    whole = opened(asked.folder, asked.dtype)
    cases: dict[str, Solver] = {"one": alone(whole), "two": together(whole)}
    for solve in cases.values():
        solve(asked.alphas[0], 0.5)  # compiles
    seconds: dict[str, list[float]] = {}
    for _ in range(asked.repeats):
        for alpha in asked.alphas:
            for name, solve in cases.items():
                meet()
                started = time.perf_counter()
                weights = solve(alpha, asked.distance)
                if RANK == 0:
                    seconds.setdefault(f"{name}, alpha {alpha:g}", []).append(time.perf_counter() - started)
                    np.save(asked.answer.with_name(f"{name}-{alpha:g}.npy"), np.asarray(weights))
    if RANK == 0:
        asked.answer.write_text(json.dumps(seconds))


def meet() -> None:
    """Waits for the other rank asleep: in a barrier it would spin beside one that works."""
    request = COMM.Ibarrier()
    while not request.Test():
        time.sleep(1e-3)


def alone(rows: Rows) -> Solver:
    """The dual solver on all rows, on the first rank."""

    def solve(alpha: float, distance: float) -> NDArray[Any] | None:
        return None if RANK else solve_dual(rows, "hinge", alpha, tol=distance).weights

    return solve


def together(rows: Rows) -> Solver:
    """CoCoA+ on both halves, a pass a round over the rows that move."""
    mine = rows[RANK * len(rows) // RANKS : (RANK + 1) * len(rows) // RANKS]

    def solve(alpha: float, distance: float) -> NDArray[Any] | None:
        objective = Objective("hinge", StepSize("optimal", alpha))
        period = -(-len(rows) // RANKS)
        program = Cocoa(ROUNDS, ByRows(period), Looks(0, ROUNDS), "add", relaxation=1.0, tol=distance)
        return MPI().run(Job(program, lambda rank: ShardDual(mine, objective, 0, rank, block=BLOCK))).model

    return solve


if __name__ == "__main__":
    main()
