"""Messages between the programs of ranks: a pickled head, then arrays as buffers."""

from __future__ import annotations

import pickle
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI as mpi  # noqa: N811 - the runtime is called MPI
from mpi4py.util.dtlib import from_numpy_dtype

from wpsgd.errors import PeerFailed, ProtocolError
from wpsgd.requests import (
    Mail,
    Recv,
    Send,
    Sparse,
    Tag,
)
from wpsgd.runtimes.mailing import fits, unshared
from wpsgd.runtimes.mpi.wire import Wire, wait_for

HEADER, BODY, NOTICE = 1, 2, 3  # MPI tags of a message's head, of its arrays, and of a rank's last words


@dataclass(slots=True)
class _Incoming:
    mail: Mail
    requests: list[mpi.Request]


class Mailbox:
    """Messages between programs: a pickled head, then its arrays as buffers, in order between two ranks."""

    def __init__(self, comm: mpi.Intracomm) -> None:
        self.comm = comm
        self.box: list[Mail] = []
        self._incoming: deque[_Incoming] = deque()
        self._outgoing: list[tuple[mpi.Request, Any]] = []
        self.sent = np.zeros(comm.Get_size(), dtype=np.int64)
        self.received = 0

    def send(self, request: Send, rank: int) -> None:
        body = unshared(request.body)
        arrays = () if body is None else tuple(body) if isinstance(body, Sparse) else (body,)
        shapes = [(array.dtype.str, len(array)) for array in arrays]
        head = pickle.dumps((request.tag, request.head, isinstance(body, Sparse), shapes))
        self._outgoing.append((self.comm.Isend([head, mpi.BYTE], request.to, HEADER), head))
        for array in arrays:
            kind = from_numpy_dtype(array.dtype)
            self._outgoing.append((self.comm.Isend([array, kind], request.to, BODY), array))
        self.sent[request.to] += 1

    def poll(self) -> None:
        """Takes in what has arrived. Raises PeerFailed where a rank said that it failed."""
        status = mpi.Status()
        while (message := self.comm.Improbe(mpi.ANY_SOURCE, HEADER, status)) is not None:
            data = bytearray(status.Get_count(mpi.BYTE))
            message.Recv([data, mpi.BYTE])
            self._announce(status.Get_source(), data)
        while self._incoming and all(request.Test() for request in self._incoming[0].requests):
            self.box.append(self._incoming.popleft().mail)
            self.received += 1
        if self._outgoing:
            self._outgoing = [(request, data) for request, data in self._outgoing if not request.Test()]
        if self.comm.Iprobe(mpi.ANY_SOURCE, NOTICE, status):
            raise PeerFailed(
                f"rank {status.Get_source()} failed: {self.comm.recv(source=status.Get_source(), tag=NOTICE)}"
            )

    def _announce(self, source: int, data: bytearray) -> None:
        tag, head, sparse, shapes = pickle.loads(data)
        arrays = [np.empty(length, dtype=dtype) for dtype, length in shapes]
        requests = [self.comm.Irecv([array, from_numpy_dtype(array.dtype)], source, BODY) for array in arrays]
        body = Sparse(*arrays) if sparse else arrays[0] if arrays else None
        self._incoming.append(_Incoming(Mail(source, Tag(*tag), head, body), requests))

    def take(self, request: Recv) -> Mail | None:
        """The earliest mail that fits, out of the box."""
        for number, mail in enumerate(self.box):
            if fits(mail, request):
                return self.box.pop(number)
        return None

    def settle(self, wire: Wire) -> None:
        """At the end of a run: lets all mail arrive. Raises ProtocolError where some was never received."""
        expected = int(np.array(wire.allgather(self.sent))[:, self.comm.Get_rank()].sum())
        wait_for(lambda: self.received == expected and not self._outgoing, self.poll)
        unread = [f"{mail.tag} from rank {mail.source} to rank {self.comm.Get_rank()}" for mail in self.box]
        problems = [problem for part in wire.allgather(unread) for problem in part]
        if problems:
            raise ProtocolError(f"the run ended with mail that nobody received: {'; '.join(problems)}")

    def notify(self, message: str) -> None:
        """Tells all others that this rank's program failed."""
        for rank in range(self.comm.Get_size()):
            if rank != self.comm.Get_rank():
                self._outgoing.append((self.comm.isend(message, rank, NOTICE), message))
