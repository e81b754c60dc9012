"""Run by three ranks: CoCoA+ and ADMM, whole, and stopped and resumed; rank 0 writes the models.

Argument: a folder for models.npz and checkpoints.
"""

from __future__ import annotations

import sys
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import support
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from test_shard_strategies import COUNTS, both, job

from wpsgd.runtimes.mpi import MPI
from wpsgd.strategies.patterns import Given, Race

COMM, FOLDER = mpi.COMM_WORLD, Path(sys.argv[1])
RANKS, RANK = COMM.Get_size(), COMM.Get_rank()
models: dict[str, Any] = {}
place = MPI(chunk=13)
for name, program in both(Given(COUNTS), looks=2).items():
    models[f"{name}, whole"] = place.run(job(program, RANKS)).model.copy()
    folder = FOLDER / name
    # the signal reaches one rank only, and not the first
    keeper = support.keeper(folder, stop_after=2 if RANK == RANKS - 1 else inf)
    place.run(job(program, RANKS, keeper=keeper))
    COMM.Barrier()
    models[f"{name}, resumed"] = place.run(job(program, RANKS, state=support.resumed(folder))).model.copy()
    raced = place.run(job(both(Race(90), looks=2)[name], RANKS)).model
    assert len(set(COMM.allgather(raced.tobytes()))) == 1, name
for name, model in models.items():
    assert len(set(COMM.allgather(model.tobytes()))) == 1, name
if RANK == 0:
    np.savez(FOLDER / "models.npz", **models)
