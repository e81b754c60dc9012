"""The runtime of MPI ranks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from numpy.typing import NDArray

from wpsgd.errors import ConfigError, PeerFailed, ProtocolError
from wpsgd.runtimes.job import Job, Outcome
from wpsgd.runtimes.mpi.launch import check_launch, check_running, usable
from wpsgd.runtimes.mpi.rank import Rank
from wpsgd.runtimes.mpi.wire import Wire

T = TypeVar("T")
_WRECKS: list[Rank] = []  # runs that failed: MPI may still write into their buffers


class MPI:
    """A runtime of MPI ranks.

    comm: a communicator of this rank and others, duplicated here; COMM_WORLD where none is given
    speeds: one for each rank, 1 at most (emulated), or None; chunk: as in `Pace`

    Raises ConfigError, before any rank waits for another, for what nobody can train on: COMM_NULL, which a
    rank is handed that is in no part of a split, a freed communicator, an intercommunicator, or another type.
    """

    name = "mpi"

    def __init__(
        self,
        comm: mpi.Intracomm | None = None,
        *,
        speeds: Sequence[float] | None = None,
        chunk: int | None = None,
    ) -> None:
        check_running()
        check_launch(mpi.COMM_WORLD.Get_size())
        self.chunk, self.speeds = chunk, None if speeds is None else tuple(speeds)
        self._join(usable(comm))

    def _join(self, comm: mpi.Intracomm) -> None:
        self.rank, self.ranks = comm.Get_rank(), comm.Get_size()
        if self.speeds is not None and len(self.speeds) != self.ranks:
            raise ConfigError(f"{len(self.speeds)} speeds for {self.ranks} ranks: give one for each")
        self.comm = comm.Dup()
        shared = self.comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.first_on_host, self.processes = shared.Get_rank() == 0, shared.Get_size()
        shared.Free()
        self._broken = False
        self._key = uuid.uuid4().hex
        _LIVING[self._key] = self

    def __deepcopy__(self, memo: object) -> MPI:
        """Itself: duplicating a communicator would take all ranks, and who copies is one."""
        return self

    def __copy__(self) -> MPI:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Itself where it is unpickled in this process; elsewhere one that joins COMM_WORLD when used."""
        return _revived, (self.__dict__.get("_key", ""), self.speeds, self.chunk)

    def __getattr__(self, name: str) -> Any:
        if name not in _JOINED or "comm" in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._join(mpi.COMM_WORLD)  # unpickled in another process, used for the first time, by all ranks
        return getattr(self, name)

    def run(self, job: Job) -> Outcome:
        """Runs the job: this rank's part of it.

        Raises what this rank's program raises; PeerFailed where another rank's program did. Messages may then
        still be under way on this communicator: the runtime runs nothing more, and says so (ProtocolError).
        """
        if self._broken:
            raise ProtocolError("a run of this MPI runtime failed: make a new one, all ranks together")
        rank = Rank(self, job)
        try:
            return rank.run()
        except BaseException as error:
            self._broken = True
            _WRECKS.append(rank)
            if isinstance(error, Exception) and not isinstance(error, PeerFailed):
                rank.mail.notify(f"{type(error).__name__}: {error}")
            raise

    def agreed(self, phase: Callable[[], T]) -> T:
        """Runs `phase` on every rank; ends in its results, or in the lowest failing rank's error on all."""
        return Wire(self.comm).agreed(phase)

    def first(self, phase: Callable[[], T]) -> T:
        """Runs `phase` on rank 0 alone; all ranks get its result, or its error."""
        result = self.agreed(lambda: phase() if self.rank == 0 else None)
        return Wire(self.comm).from_first(cast(T, result))

    def gathered(self, phase: Callable[[], T]) -> list[T]:
        """Runs `phase` on every rank; all ranks get all results, in rank order, or an error as `agreed`."""
        return Wire(self.comm).allgather(self.agreed(phase))

    def collected(self, array: NDArray[Any]) -> NDArray[Any] | None:
        """The arrays (n,) of all ranks, of one dtype, behind one another on rank 0; None elsewhere."""
        wire = Wire(self.comm)
        lengths = wire.rendezvous(len(array))[:, 0]
        # agreed, because nobody may send to a rank that has no room
        room = self.agreed(lambda: np.empty(lengths.sum(), array.dtype) if self.rank == 0 else None)
        wire.collect(array, lengths, room)
        return room


_LIVING: WeakValueDictionary[str, MPI] = WeakValueDictionary()  # what is pickled and stays in this process
_JOINED = ("comm", "rank", "ranks", "first_on_host", "processes", "_broken")


def _revived(key: str, speeds: tuple[float, ...] | None, chunk: int | None) -> MPI:
    """What a pickled runtime becomes."""
    if key in _LIVING:
        return _LIVING[key]
    runtime = MPI.__new__(MPI)
    runtime.speeds, runtime.chunk = speeds, chunk
    return runtime
