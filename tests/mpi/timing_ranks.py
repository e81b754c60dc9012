"""Run by ranks of unequal emulated speeds: WP-SGD, SimuParallel SGD and WP-SGD again; rank 0 writes traces.

Arguments: the file for the events of each run, as JSON; the rows of a round.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

from wpsgd.data.synthetic import real_sim_twin
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import Rule, uniform, wp
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.patterns import ByRows, Ending, Looks, Race

SPEEDS = (1.0, 0.5, 0.25, 0.25)  # two cores' work in all
ROUNDS, PERIOD = 2, int(sys.argv[2])
RANKS = mpi.COMM_WORLD.Get_size()


def main() -> None:
    rows, step = real_sim_twin(0.3).rows, StepSize("optimal", 1e-4)
    shards = np.array_split(np.random.default_rng(0).permutation(len(rows)), RANKS)
    sizes = tuple(map(len, shards))
    runtime = MPI(speeds=SPEEDS)

    def learner(rank: int) -> SGDLearner:
        return make_learner(rows.take(shards[rank]), Objective("hinge", step), seed=0, rank=rank)

    def averaging(ending: Ending, rule: Rule) -> Averaging:
        return Averaging(ROUNDS, ending, rule, step, sizes, Looks(0, ROUNDS))

    race, by_rows = averaging(Race(PERIOD), wp), averaging(ByRows(PERIOD), uniform)
    runs = {"wp first": race, "simuparallel": by_rows, "wp last": race}
    events = {name: runtime.run(Job(program, learner)).events for name, program in runs.items()}
    if runtime.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(events))


main()
