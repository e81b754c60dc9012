"""Run by 4 ranks: runtimes on every kind of communicator; rank 0 writes what each rank got.

Argument: the file for rank 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

from wpsgd.errors import ConfigError
from wpsgd.runtimes.mpi import MPI

WORLD = mpi.COMM_WORLD
RANK = WORLD.Get_rank()


def made(comm: Any) -> object:
    """What all ranks of a runtime on `comm` bring along, or why there is none."""
    try:
        return MPI(comm).gathered(lambda: RANK)
    except ConfigError as error:
        return str(error)


def freed() -> mpi.Intracomm:
    comm = WORLD.Split(RANK % 2, RANK)
    comm.Free()
    return comm


def between() -> mpi.Intercomm:
    local = WORLD.Split(RANK % 2, RANK)
    return local.Create_intercomm(0, WORLD, 1 - RANK % 2)


def of_three() -> mpi.Intracomm:
    return WORLD.Create_group(WORLD.Get_group().Excl([3])) if RANK != 3 else mpi.COMM_NULL


CASES = {
    "none": lambda: None,
    "self": lambda: mpi.COMM_SELF,
    "halves": lambda: WORLD.Split(RANK % 2, RANK),
    "reversed": lambda: WORLD.Split(0, -RANK),
    "cart": lambda: WORLD.Create_cart([2, 2]),
    "merged": lambda: between().Merge(RANK % 2 == 1),
    "plain": lambda: mpi.Comm(WORLD),
    "null": lambda: WORLD.Split(mpi.UNDEFINED if RANK == 3 else 0, RANK),
    "group": of_three,
    "freed": freed,
    "inter": between,
    "number": lambda: 4,
    "text": lambda: "world",
    "class": lambda: mpi.Intracomm,
}

found = {name: made(case()) for name, case in CASES.items()}
everybody = WORLD.gather(found)
if RANK == 0:
    Path(sys.argv[1]).write_text(json.dumps(everybody))
