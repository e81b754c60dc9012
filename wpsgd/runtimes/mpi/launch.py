"""How ranks were started, and by which MPI library; how all of them are ended."""

from __future__ import annotations

import os
from typing import Any

from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

from wpsgd.errors import LaunchError


def check_launch(size: int, environment: Any = os.environ) -> None:
    """Raises LaunchError where a launcher started more ranks than this MPI library sees."""
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        announced = environment.get(name, "")
        if announced.isdigit() and int(announced) > 1 and size == 1:
            raise LaunchError(
                f"{name} says {announced} ranks, but this MPI ({library()}) sees 1: each rank would train"
                " alone. Launcher and library do not match: start with the mpiexec of the same installation,"
                " or under Slurm with --mpi=pmi2 for MPICH and --mpi=pmix for Open MPI"
            )


def library() -> str:
    """Name and version of the MPI library, in one line."""
    return mpi.Get_library_version().splitlines()[0].strip().rstrip(",")


def abort(code: int) -> None:
    """Ends all ranks with this exit code, if MPI is running."""
    if mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.COMM_WORLD.Abort(code)
