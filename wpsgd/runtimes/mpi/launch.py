"""How ranks were started, and by which MPI library; how all of them are ended."""

from __future__ import annotations

import os
from typing import Any, cast

from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI

from wpsgd.errors import ConfigError, LaunchError
from wpsgd.launcher import STARTED


def check_launch(size: int, environment: Any = os.environ) -> None:
    """Raises LaunchError where a launcher started more ranks than this MPI library sees."""
    for name in STARTED:
        announced = environment.get(name, "")
        if announced.isdigit() and int(announced) > 1 and size == 1:
            raise LaunchError(
                f"{name} says {announced} ranks, but this MPI ({library()}) sees 1: each rank would train"
                " alone. Launcher and library do not match: start with the mpiexec of the same installation,"
                " or under Slurm with --mpi=pmi2 for MPICH and --mpi=pmix for Open MPI"
            )


def check_running() -> None:
    """Raises ConfigError where MPI has not begun yet or is over: its calls would end this process."""
    if not mpi.Is_initialized() or mpi.Is_finalized():
        state = "over" if mpi.Is_initialized() else "not initialised"
        raise ConfigError(f"MPI is {state} in this process: make the runtime while it runs")


def usable(comm: Any) -> mpi.Intracomm:
    """A communicator whose ranks can train, COMM_WORLD for None. Raises ConfigError for any other."""
    if comm is None:
        return mpi.COMM_WORLD
    if not isinstance(comm, mpi.Comm):
        raise ConfigError(f"comm = {comm!r}: must be a communicator of mpi4py, or None for COMM_WORLD")
    if comm == mpi.COMM_NULL:
        raise ConfigError(
            "comm is COMM_NULL: freed, or of ranks that this one is not among (Split with MPI.UNDEFINED):"
            " make the runtime on the ranks of a communicator that is in use"
        )
    try:
        between = comm.Is_inter()
    except mpi.Exception as error:
        raise ConfigError("comm is a communicator that is no longer in use: was it freed?") from error
    if between:
        raise ConfigError(
            "comm is an intercommunicator, of two groups that do not train together: give comm.Merge() or"
            " the communicator of one group"
        )
    return cast(mpi.Intracomm, comm)


def library() -> str:
    """Name and version of the MPI library, in one line."""
    return mpi.Get_library_version().splitlines()[0].strip().rstrip(",")


def abort(code: int) -> None:
    """Ends all ranks with this exit code, if MPI is running."""
    if mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.COMM_WORLD.Abort(code)
