"""Run by ranks: strategies that other runtimes repeat to the bit, whole and resumed; rank 0 writes it all.

Argument: a folder for models.npz (by name), facts.json and checkpoints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import support
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from support import ADAGRAD, OPTIMAL, ROUNDS, averaging, job

from wpsgd.kernels.stepsize import StepSize
from wpsgd.requests import Program
from wpsgd.runtimes.job import Outcome
from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.patterns import Looks, Race, TimeBox

COMM, FOLDER = mpi.COMM_WORLD, Path(sys.argv[1])
RANKS, RANK = COMM.Get_size(), COMM.Get_rank()
SPEEDS = (1.0, 0.5, 0.25, 0.25)[:RANKS]
STEPS = {"optimal": OPTIMAL, "adagrad": ADAGRAD}
models: dict[str, Any] = {}
facts: dict[str, Any] = {}


def keep(name: str, outcome: Outcome) -> None:
    """The model of every rank must be the same; rank 0's is written."""
    everybody = COMM.allgather(outcome.model.tobytes())
    assert len(set(everybody)) == 1, name
    models[name] = outcome.model.copy()


def whole_runs(place: MPI) -> None:
    for dtype in ("float64", "float32"):
        for schedule, step in STEPS.items():
            for name, program in support.strategies(RANKS, step, looks=8).items():
                keep(f"{name}, {schedule}, {dtype}", place.run(job(program, RANKS, step, dtype)))


def resumed_runs(place: MPI) -> None:
    for schedule, step in STEPS.items():
        for name, program in support.strategies(RANKS, step, looks=8).items():
            label = f"{name}, {schedule}"
            half, rest = stopped_and_resumed(place, FOLDER / label, program, step)
            keep(f"{label}, float64", rest)
            facts[label] = {"half": half.events[-RANKS:], "rest": rest.events}


def stopped_and_resumed(
    place: MPI, folder: Path, program: Program, step: StepSize
) -> tuple[Outcome, Outcome]:
    # the signal reaches one rank only, and not the first
    keeper = support.keeper(folder, stop_after=ROUNDS // 2 if RANK == RANKS - 1 else float("inf"))
    half = place.run(job(program, RANKS, step, keeper=keeper))
    assert {state.round for state in half.states.values()} == {ROUNDS // 2}
    COMM.Barrier()
    return half, place.run(job(program, RANKS, step, state=support.resumed(folder)))


def runs_on_the_clock(place: MPI) -> None:
    """Races and time boxes: their counts, from which they are replayed elsewhere."""
    seen = Looks(2 * ROUNDS, ROUNDS)
    programs = {
        "race": averaging(RANKS, Race(2000), looks=seen),
        "time box": averaging(RANKS, TimeBox(0.01), looks=seen),
        "short race": averaging(RANKS, Race(7), rounds=20),
        "500 rounds of 3 rows": averaging(RANKS, Race(3), rounds=500),
    }
    for name, program in programs.items():
        outcome = place.run(job(program, RANKS))
        keep(name, outcome)
        facts[name] = support.counts(outcome)


def runs_without_rows(place: MPI) -> None:
    for empty in ((0,), (RANKS - 1,), tuple(range(RANKS))):
        for name, ending in support.endings(RANKS).items():
            label = f"{name} without rows on {list(empty)}"
            program = averaging(RANKS, ending, empty=empty, looks=Looks(2 * ROUNDS, ROUNDS))
            outcome = place.run(job(program, RANKS, empty=empty))
            keep(label, outcome)
            facts[label] = [
                [event["counts"], event["weights"]] for event in support.of_kind(outcome, "round")
            ]


def main() -> None:
    equal, unequal = MPI(chunk=13), MPI(speeds=SPEEDS, chunk=50)
    whole_runs(unequal)
    whole = dict(models)
    models.clear()
    resumed_runs(equal)
    resumed = dict(models)
    models.clear()
    runs_on_the_clock(unequal)
    runs_without_rows(equal)
    if RANK == 0:
        for name, found in (("whole", whole), ("resumed", resumed), ("clock", models)):
            np.savez(FOLDER / f"{name}.npz", **found)
        (FOLDER / "facts.json").write_text(json.dumps(facts))


main()
