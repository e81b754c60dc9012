"""Run by three ranks: models and gradients that are summed as pairs; rank 0 writes the models.

Argument: a folder for models.npz.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from test_minibatch_wire import GRADIENTS, stepped
from test_wire import PROGRAMS, total_bytes, widened

from wpsgd.runtimes.mpi import MPI
from wpsgd.runtimes.mpi import wire as mpi_wire

COMM, FOLDER = mpi.COMM_WORLD, Path(sys.argv[1])
RANKS, RANK = COMM.Get_size(), COMM.Get_rank()
found: dict[str, Any] = {}
place = MPI(chunk=13)
jobs = {
    **{
        name: widened(replace(program, wire="sparse"), RANKS, **more)
        for name, (program, more) in PROGRAMS.items()
    },
    **{name: stepped(RANKS, "sparse", **settings) for name, settings in GRADIENTS.items()},
}
for name, job in jobs.items():
    outcome = place.run(job)
    assert len(set(COMM.allgather(outcome.model.tobytes()))) == 1, name
    found[name] = outcome.model
    if RANK == 0:
        found[f"{name}, bytes"] = total_bytes(outcome)
# as where gathers are too large for one call: node by node
mpi_wire.LARGEST = 100
for name, job in jobs.items():
    outcome = place.run(job)
    assert np.array_equal(outcome.model, found[name]), name
# what the first rank says reaches all others in blocks
said = place.first(lambda: np.arange(50_000) + 1)
assert np.array_equal(said, np.arange(50_000) + 1)
if RANK == 0:
    np.savez(FOLDER / "models.npz", **found)
