"""Whether a launcher started this process as one rank of many, and as which: what the environment tells."""

from __future__ import annotations

import os
from collections.abc import Mapping

# what MPICH's launcher, Open MPI's and srun set for each rank that they start: its number, and how many
RANKS = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
STARTED = tuple(size for _, size in RANKS)
STARTED_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
# numbers of launchers that may leave it to their library to ask for the size
BARE_RANKS = ("PMI_RANK", "PMIX_RANK")
# where that library asks; the addresses of PMIx have names of their own for each version
ASKED_AT = ("PMI_FD", "PMI_PORT", "PMI_CONTROL_PORT", "PMIX_SERVER_URI")


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether mpiexec or srun started this process as one rank of several.

    An interactive shell of Slurm, a notebook in such a shell or `srun -n 1` leave the variables of one rank:
    one is no launcher, and programs run there as they do anywhere.
    """
    sizes, ranks = _numbers(environment, STARTED), _numbers(environment, BARE_RANKS)
    if max([1, *sizes]) > 1 or max([0, *ranks]) > 0:
        return True
    if sizes and "SLURM_HET_SIZE" not in environment:  # whose parts are counted one by one
        return False
    # the number of the first rank does not tell whether there are others
    return bool(ranks) and any(name.startswith(ASKED_AT) for name in environment)


def launched_rank(environment: Mapping[str, str] = os.environ) -> int:
    """The rank that the launcher gave this process, 0 without one."""
    for rank, size in RANKS:  # what a launcher around this one left is of one rank
        if max(_numbers(environment, [size]), default=1) > 1:
            return next(iter(_numbers(environment, [rank])), 0)
    return max(_numbers(environment, BARE_RANKS), default=0)


def launched_ranks(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """How many ranks the launcher started, and how many of them on this host: all where it does not say."""
    ranks = max([1, *_numbers(environment, STARTED)])
    return ranks, min([ranks, *_numbers(environment, STARTED_HERE)])


def _numbers(environment: Mapping[str, str], names: tuple[str, ...] | list[str]) -> list[int]:
    return [int(environment[name]) for name in names if environment.get(name, "").isdigit()]
