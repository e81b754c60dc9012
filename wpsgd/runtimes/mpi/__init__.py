"""One program per MPI rank, one case per request, over mpi4py's buffer calls. Nothing else touches MPI.

A rank never blocks inside MPI: it polls and sleeps, because a blocked rank spins and slows the working ones
down on shared cores. So every collective begins with a rendezvous, which also tells waiting apart from
communication and notices ranks that met in different collectives.
"""

from wpsgd.runtimes.mpi.launch import abort, check_launch, library
from wpsgd.runtimes.mpi.runtime import MPI

__all__ = ["MPI", "abort", "check_launch", "library"]
