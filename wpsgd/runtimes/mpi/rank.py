"""One rank's program, its clock and its accounts: one case per request."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from wpsgd.errors import ProtocolError
from wpsgd.learners.crew import processor_time
from wpsgd.requests import (
    AllGather,
    AllReduce,
    Boundary,
    Broadcast,
    Compute,
    Group,
    Mail,
    OffClock,
    Recv,
    Regroup,
    Request,
    Send,
    Sparse,
    Tag,
    Verdict,
)
from wpsgd.runtimes.job import Job, Outcome, StopWatch, restore, saved
from wpsgd.runtimes.mailing import nbytes_of, placed, refuse_off_clock
from wpsgd.runtimes.mpi.mailbox import Mailbox
from wpsgd.runtimes.mpi.wire import Wire, told_of, wait_for
from wpsgd.runtimes.pacing import Pace
from wpsgd.runtimes.wording import Leave, Pending, outline, where
from wpsgd.trace import Recorder

if TYPE_CHECKING:
    from wpsgd.runtimes.mpi.runtime import MPI


class Rank:
    """This rank's program, its clock and its accounts."""

    def __init__(self, runtime: MPI, job: Job) -> None:
        self.runtime, self.job = runtime, job
        self.comm, self.rank = runtime.comm, runtime.rank
        self.mail = Mailbox(self.comm)
        self.everybody = Group(tuple(range(runtime.ranks)))
        self.wires = {self.everybody: Wire(self.comm, self.mail.poll)}
        self.clock = StopWatch()
        self.off_clock = 0
        self.recorder = Recorder(self.rank, job.observer if self.rank == 0 else None)
        speed = 1.0 if runtime.speeds is None else runtime.speeds[self.rank]
        self.pace = Pace(speed, runtime.chunk)
        self.stack: list[Coroutine[Any, Any, Any]] = []
        self.cpu_counted = 0.0

    def run(self) -> Outcome:
        state = self.job.state(self.rank)
        self.clock.seconds = restore(state, self.recorder)
        wire = self.wires[self.everybody]
        make_node = partial(self.job.node, self.rank, self.everybody.ranks, self.clock.read, self.recorder)
        # one rank of each host compiles, the others find its work on disk
        node = make_node() if self.runtime.first_on_host else None
        wire.rendezvous()
        node = node or make_node()
        wire.rendezvous()
        self.cpu_counted = processor_time().total
        self.clock.restart()
        final = self.drive(self.job.program(node, state))
        self.count_cpu()
        seconds = self.clock.read()
        self.met(wire, None)  # or else the others are still in the middle of their programs
        self.mail.settle(wire)
        speed = None if self.runtime.speeds is None else self.pace.speed
        self.recorder.close(host=socket.gethostname(), seconds=seconds, speed=speed)
        events = self.comm.gather(self.recorder.events, root=0) or []
        return Outcome({self.rank: final}, [event for part in events for event in part])

    def drive(self, program: Coroutine[Any, Any, Any]) -> Any:
        """Answers a program's requests until it ends."""
        self.stack.append(program)
        answer: Any = None
        try:
            while True:
                try:
                    request = program.send(answer)
                except StopIteration as end:
                    return end.value
                answer = self.answer(request)
        finally:
            program.close()
            del self.stack[-1]

    def answer(self, request: Request) -> Any:
        match request:
            case Compute():
                return self.compute(request)
            case Send():
                return self.send(request)
            case Recv():
                return self.receive(request)
            case AllReduce() | AllGather() | Broadcast() | Boundary():
                return self.collective(request)
            case OffClock():
                return self.off(request)
            case Regroup():
                raise ProtocolError("regroup: not supported here")
            case _:
                assert_never(request)

    def compute(self, request: Compute) -> int:
        refuse_off_clock(request, self.off_clock > 0)
        entered = self.clock.read()
        rows = self.pace.run(request, self.clock.read, partial(self.stopped, request.stop_on))
        self.span("compute", entered, rows=rows, judging=request.judging)
        return rows

    def stopped(self, stop_on: Tag | None) -> bool:
        self.mail.poll()
        return stop_on is not None and any(mail.tag == stop_on for mail in self.mail.box)

    def send(self, request: Send) -> None:
        entered = self.clock.read()
        if not 0 <= request.to < self.runtime.ranks:
            raise ProtocolError(f"rank {self.rank} sends to rank {request.to}, which is not there")
        self.mail.send(request, self.rank)
        self.span("communication", entered, nbytes=nbytes_of(request.body))

    def receive(self, request: Recv) -> Mail | None:
        refuse_off_clock(request, self.off_clock > 0)
        entered = self.clock.read()
        found: list[Mail] = []

        def there() -> bool:
            self.mail.poll()
            mail = self.mail.take(request)
            if mail is not None:
                found.append(mail)
            return bool(found)

        def late() -> bool:
            return request.deadline < inf and self.clock.read() >= request.deadline

        wait_for(there, lambda: None, late)
        self.span("wait", entered)
        return placed(found[0], request.into) if found else None

    def off(self, request: OffClock[Any]) -> Any:
        entered = self.clock.read()
        self.met(self.wire(request.group), request)
        self.span("wait", entered)
        self.clock.pause(True)
        self.off_clock += 1
        value = self.drive(request.program())
        self.met(self.wire(request.group), Leave(value, request.group))
        self.off_clock -= 1
        if not self.off_clock:
            self.clock.pause(False)
        return value

    def collective(self, request: AllReduce | AllGather[Any] | Broadcast | Boundary) -> Any:
        entered = self.clock.read()
        wire = self.wire(request.group)
        data = np.empty(0, dtype=np.uint8)
        if isinstance(request, AllGather):
            data = told_of(request.value)
        lengths = self.met(wire, request, len(data))
        met = self.span("wait", entered)
        answer, nbytes = self.perform(wire, request, data, lengths)
        self.span("communication", met, nbytes=nbytes)
        return answer

    def perform(self, wire: Wire, request: Any, data: Any, lengths: Any) -> tuple[Any, int]:
        match request:
            case AllReduce(buffer=buffer):
                wire.reduce(buffer, request.op, request.weight)
                return None, buffer.nbytes
            case Broadcast(buffer=buffer):
                ranks = (request.group or self.everybody).ranks
                wire.broadcast(buffer, ranks.index(request.root))
                return None, buffer.nbytes
            case AllGather(value=Sparse() as pairs):
                ranks = (request.group or self.everybody).ranks
                return dict(zip(ranks, wire.gather_pairs(pairs, lengths), strict=True)), nbytes_of(pairs)
            case AllGather():
                ranks = (request.group or self.everybody).ranks
                return dict(zip(ranks, wire.gather_bytes(data, lengths), strict=True)), len(data)
            case _:
                return self.boundary(wire, request), 1

    def boundary(self, wire: Wire, request: Boundary) -> Verdict:
        keeper, first = self.job.keeper, wire.comm.Get_rank() == 0
        signals = wire.rendezvous(keeper.wants_stop(), first and keeper.due(request.round))
        stop, due = bool(signals[:, 0].any()), bool(signals[:, 1].any())
        if stop or due:
            self.clock.pause(True)
            self.save(wire, request, first)
            self.clock.pause(self.off_clock > 0)
        return Verdict.STOP if stop else Verdict.GO

    def save(self, wire: Wire, request: Boundary, first: bool) -> None:
        keeper = self.job.keeper

        def save_own() -> dict[str, str]:
            self.count_cpu()
            state = saved(request.state(), self.recorder, self.clock.read())
            return keeper.save(self.rank, state, first)

        wire.agreed(lambda: keeper.prepare(request.round) if first else None)
        checksums = wire.allgather(wire.agreed(save_own))
        wire.agreed(lambda: keeper.publish(request.round, checksums) if first else None)

    def met(self, wire: Wire, request: Pending | None, length: int = 0) -> Any:
        """Waits for all members of a collective; everybody's `length`. Raises ProtocolError on a mismatch."""
        signature = zlib.crc32(outline(request).encode())
        everybody = wire.rendezvous(signature, length)
        if (everybody[:, 0] != signature).any():
            places = wire.allgather(f"rank {self.rank} {where(request, self.stack)}")
            raise ProtocolError(f"nodes met in different collectives: {'; '.join(places)}")
        return everybody[:, 1]

    def wire(self, group: Group | None) -> Wire:
        group = group or self.everybody
        if group not in self.wires:
            if self.rank not in group.ranks:
                raise ProtocolError(
                    f"rank {self.rank} awaits a collective of {group}, of which it is no member"
                )
            members = self.comm.Get_group().Incl(group.ranks)
            tag = zlib.crc32(repr(group).encode()) % 32768
            self.wires[group] = Wire(self.comm.Create_group(members, tag), self.mail.poll)
        return self.wires[group]

    def count_cpu(self) -> None:
        """Brings the total of processor time up to now."""
        now = processor_time().total
        self.recorder.totals.cpu += now - self.cpu_counted
        self.cpu_counted = now

    def span(
        self, activity: Any, start: float, *, rows: int = 0, nbytes: int = 0, judging: bool = False
    ) -> float:
        """Accounts for the time since `start`, and gives the time it is."""
        now = self.clock.read()
        if not self.off_clock:
            self.recorder.span(activity, start, now, rows, nbytes, judging)
        return now
