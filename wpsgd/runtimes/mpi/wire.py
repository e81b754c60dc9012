"""Collectives among the ranks of one communicator, polled: a blocked rank spins beside working ones."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from mpi4py.util.dtlib import from_numpy_dtype

from wpsgd.errors import PeerFailed, WPSGDError
from wpsgd.requests import (
    Sparse,
    Vector,
)
from wpsgd.runtimes.arithmetic import fold, weigh

T = TypeVar("T")
LARGEST = 2**31 - 1  # bytes of a gather in one go: MPI counts by int
BLOCK = 1 << 17  # elements of a vector that are exchanged at a time: weighed, sent and folded in the cache
PIECE = 1 << 27  # elements of a message: older MPI libraries count to 2^31 bytes at most
SPIN, NAP = 50e-6, 1e-3  # seconds before a waiting rank sleeps at all, and the longest it sleeps


class Wire:
    """Collectives among the ranks of one communicator, polled.

    Where `idle` raises, MPI may still write into the buffers of the request under way: `held` keeps them.
    """

    def __init__(self, comm: mpi.Intracomm, idle: Callable[[], None] = lambda: None) -> None:
        self.comm, self.size, self.idle = comm, comm.Get_size(), idle
        self.held: tuple[Any, ...] = ()

    def wait(self, request: mpi.Request, *buffers: Any) -> None:
        """Polls and sleeps until a request is complete: for what depends on other ranks' work."""
        self.held = (request, *buffers)
        wait_for(request.Test, self.idle)

    def finish(self, request: mpi.Request, *buffers: Any) -> None:
        """Polls until a request is complete without sleeping: for transfers that all ranks have begun."""
        self.held = (request, *buffers)
        while not request.Test():
            self.idle()  # a member may have heard that a rank failed, and left before its part was done
            os.sched_yield()

    def agreed(self, phase: Callable[[], T]) -> T:
        """Runs `phase` on all members; ends in its results, or in the lowest failing one's error on all."""
        result: T | None = None
        failure: Exception | None = None
        try:
            result = phase()
        except Exception as error:
            failure = error
        failures = [error for error in self.allgather(self._told(failure)) if error is not None]
        if failure is not None and not isinstance(failure, WPSGDError):
            raise failure
        if failures:
            failures[0].agreed = True
            raise failures[0]
        return cast(T, result)

    def _told(self, failure: Exception | None) -> WPSGDError | None:
        """What others raise: an error that nobody foresaw may not be one that can be sent."""
        if failure is None or isinstance(failure, WPSGDError):
            return failure
        return PeerFailed(f"rank {self.comm.Get_rank()} failed: {type(failure).__name__}: {failure}")

    def rendezvous(self, *numbers: int) -> np.ndarray[Any, Any]:
        """Waits for all ranks; everybody's `numbers`, int64 of shape (ranks, len(numbers))."""
        mine = np.array(numbers or (0,), dtype=np.int64)
        everybody = np.empty((self.size, len(mine)), dtype=np.int64)
        self.wait(self.comm.Iallgather(mine, everybody), mine, everybody)
        return everybody

    def allgather(self, value: T) -> list[T]:
        """Everybody's small value, pickled, in rank order."""
        data = np.frombuffer(pickle.dumps(value), dtype=np.uint8)
        return self.gather_bytes(data, self.rendezvous(len(data))[:, 0])

    def from_first(self, value: T) -> T:
        """The first member's value, pickled for the others: of any size, with few copies."""
        first = self.comm.Get_rank() == 0
        told = np.frombuffer(pickle.dumps(value) if first else b"", dtype=np.uint8)
        length = int(self.rendezvous(len(told))[0, 0])
        data: Any = told if first else np.empty(length, dtype=np.uint8)
        self.broadcast(data, 0)
        return value if first else cast(T, pickle.loads(data))

    def gather_bytes(self, data: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> list[Any]:
        """Everybody's pickled value once all lengths are known."""
        everything = np.empty(int(lengths.sum()), dtype=np.uint8)
        ends = np.cumsum(lengths)
        cut = (lengths, ends - lengths)
        self.finish(self.comm.Iallgatherv(data, [everything, cut, mpi.BYTE]), data, everything, cut)
        return [
            pickle.loads(everything[end - n : end].tobytes()) for n, end in zip(lengths, ends, strict=True)
        ]

    def gather_pairs(self, pairs: Sparse, lengths: np.ndarray[Any, Any]) -> list[Sparse]:
        """Everybody's pairs, as buffers, once all lengths are known."""
        ends = np.cumsum(lengths)
        indices, values = (self._gather_array(array, lengths, ends) for array in pairs)
        parts = [slice(end - n, end) for n, end in zip(lengths, ends, strict=True)]
        return [Sparse(indices[part], values[part]) for part in parts]

    def _gather_array(self, array: Any, lengths: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> Any:
        kind, everything = from_numpy_dtype(array.dtype), np.empty(int(lengths.sum()), dtype=array.dtype)
        if everything.nbytes > LARGEST:
            for root, (length, end) in enumerate(zip(lengths, ends, strict=True)):
                part = everything[end - length : end]
                if root == self.comm.Get_rank():
                    part[:] = array
                self.broadcast(part, root)
            return everything
        cut = (lengths, ends - lengths)
        whole = np.ascontiguousarray(array)
        self.finish(self.comm.Iallgatherv([whole, kind], [everything, cut, kind]), whole, everything, cut)
        return everything

    def collect(self, array: Vector, lengths: np.ndarray[Any, Any], room: Vector | None) -> None:
        """Puts everybody's array, once all lengths are known, into the first rank's `room`, in rank order."""
        kind, whole = from_numpy_dtype(array.dtype), np.ascontiguousarray(array)
        if room is None:
            for part in pieces(whole):
                self.finish(self.comm.Isend([part, kind], 0), whole)
            return
        at = len(whole)
        room[:at] = whole
        for rank, length in enumerate(lengths[1:].tolist(), start=1):
            for part in pieces(room[at : at + length]):
                self.finish(self.comm.Irecv([part, kind], rank), room)
            at += length

    def reduce(self, buffer: Vector, op: Any, weight: float) -> None:
        """Folds everybody's weighed buffer in rank order, in place: segments exchanged, folded, gathered."""
        kind, rank = from_numpy_dtype(buffer.dtype), self.comm.Get_rank()
        room = np.empty(self.size * -(-min(BLOCK, len(buffer)) // self.size), dtype=buffer.dtype)
        for start in range(0, len(buffer), BLOCK):
            block = buffer[start : start + BLOCK]
            weigh(block, weight, op)
            cut, mine, received = segments(len(block), self.size, rank)
            parts = room[: self.size * mine].reshape(self.size, mine)
            self.finish(self.comm.Ialltoallv([block, cut, kind], [parts, received, kind]), block, room)
            fold(parts, op, parts[0])
            self.finish(self.comm.Iallgatherv([parts[0], mine, kind], [block, cut, kind]), block, room)

    def broadcast(self, buffer: np.ndarray[Any, Any], root: int) -> None:
        for start in range(0, len(buffer), BLOCK):
            block = buffer[start : start + BLOCK]
            self.finish(self.comm.Ibcast(block, root), block)


def pieces(array: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The array in stretches that one message holds."""
    return [array[start : start + PIECE] for start in range(0, len(array), PIECE)]


def told_of(value: object) -> np.ndarray[Any, Any]:
    """What is gathered of a value, as long as its length: its bytes, or of pairs the indices."""
    return value.indices if isinstance(value, Sparse) else np.frombuffer(pickle.dumps(value), dtype=np.uint8)


@lru_cache(maxsize=64)
def segments(length: int, ranks: int, rank: int) -> tuple[Any, int, Any]:
    """How a vector is cut for an exchange: (sizes, begins) of all, this rank's size, what it receives."""
    begins = [length * number // ranks for number in range(ranks + 1)]
    sizes = [end - begin for begin, end in pairwise(begins)]
    mine = sizes[rank]
    return (sizes, begins[:-1]), mine, ([mine] * ranks, [mine * number for number in range(ranks)])


def wait_for(
    ready: Callable[[], bool], idle: Callable[[], None], deadline: Callable[[], bool] = lambda: False
) -> bool:
    """Polls until ready (True) or past the deadline (False); sleeps a tenth of what was waited already."""
    started = time.perf_counter()
    while not ready():
        if deadline():
            return False
        idle()
        waited = time.perf_counter() - started
        if waited > SPIN:
            time.sleep(min(NAP, waited / 10.0))
    return True
