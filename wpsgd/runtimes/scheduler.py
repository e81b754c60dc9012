"""Runs the programs of all nodes in one process: collectives, mail, off-clock programs, whatever the clock.

A runtime built on this says what time it is, how rows are worked through, and what happens next.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any, assert_never

from wpsgd.errors import Deadlock, ProtocolError
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
    Tag,
    Verdict,
)
from wpsgd.runtimes.collectives import performed
from wpsgd.runtimes.job import Job, Outcome, restore, saved
from wpsgd.runtimes.mailing import fits, nbytes_of, placed, refuse_off_clock, unshared
from wpsgd.runtimes.task import Collective, Frame, Task, described
from wpsgd.runtimes.wording import Leave
from wpsgd.trace import Event, Recorder


class Scheduler(ABC):
    """Drives tasks until all are done."""

    def __init__(self, job: Job, ranks: tuple[int, ...]) -> None:
        self.job, self.everybody = job, Group(ranks)
        self._arrived: Counter[Group] = Counter()
        self._unread: Counter[tuple[int, int, Tag]] = Counter()
        self._ready: list[tuple[Task, Any]] = []
        self.tasks = {rank: self._task(rank) for rank in ranks}

    def _task(self, rank: int) -> Task:
        recorder = Recorder(rank, self.job.observer if rank == self.everybody.ranks[0] else None)
        state = self.job.state(rank)
        task = Task(rank, recorder)
        self.start_clock(task, restore(state, recorder))
        node = self.job.node(rank, self.everybody.ranks, partial(self.now, task), recorder)
        task.stack.append(Frame(self.job.program(node, state)))
        return task

    # what a runtime on top of this provides

    @abstractmethod
    def start_clock(self, task: Task, seconds: float) -> None:
        """Sets a task's clock, which in a resumed run does not begin at 0."""

    @abstractmethod
    def now(self, task: Task) -> float:
        """Seconds on a task's own clock, which stands still off the clock."""

    @abstractmethod
    def pause(self, task: Task, paused: bool) -> None:
        """Stops or starts a task's clock."""

    @abstractmethod
    def wake(self, task: Task, answer: Any, at: float) -> None:
        """Has `proceed` called with the answer when the task's clock shows `at`."""

    @abstractmethod
    def start_compute(self, task: Task, request: Compute) -> None:
        """Begins to work through rows; ends in `computed`."""

    @abstractmethod
    def post(self, task: Task, mail: Mail, to: Task) -> None:
        """Has `deliver` called when the mail gets there."""

    @abstractmethod
    def start_timer(self, task: Task, request: Recv) -> None:
        """Has `expire` called when the task's clock shows the deadline."""

    @abstractmethod
    def meeting(self, task: Task, members: Sequence[Task]) -> float:
        """When, on the task's clock, the last member of a collective was there."""

    @abstractmethod
    def cost(self, request: Collective, nbytes: int, members: int, took: float) -> float:
        """Seconds that a collective lasts once all are there; `took` is what it really took."""

    @abstractmethod
    def step(self) -> bool:
        """Waits for the next thing to happen and handles it; False if nothing can."""

    def mail_came(self, task: Task) -> None:  # noqa: B027 - nothing to do unless threads compute
        """Mail was put into the box of a task that computes."""

    def closing_fields(self, task: Task) -> dict[str, Any]:
        """What the totals of a task say besides seconds and host."""
        return {"speed": None}

    # the run

    def run(self) -> Outcome:
        """Drives all programs to their ends. Raises Deadlock, ProtocolError, or what a program raises."""
        try:
            for task in self.tasks.values():
                self.wake(task, None, self.now(task))
            while any(task.stack for task in self.tasks.values()):
                if not self.step():
                    raise Deadlock(f"deadlock, no node can move: {described(self.tasks.values())}")
            self._check_mail()
        finally:
            for task in self.tasks.values():
                for frame in reversed(task.stack):
                    frame.program.close()
        return Outcome(
            {rank: task.result for rank, task in self.tasks.items() if task.result}, self._events()
        )

    def _events(self) -> list[Event]:
        for task in self.tasks.values():
            seconds, host = self.now(task), socket.gethostname()
            task.recorder.close(host=host, seconds=seconds, **self.closing_fields(task))
        return [event for task in self.tasks.values() for event in task.recorder.events]

    def _check_mail(self) -> None:
        unread = [f"{key[2]} from rank {key[1]} to rank {key[0]}" for key, n in self._unread.items() if n]
        if unread:
            raise ProtocolError(f"the run ended with mail that nobody received: {'; '.join(unread)}")

    def proceed(self, task: Task, answer: Any) -> None:
        """Gives a program its answer, and handles requests until one takes time."""
        self._ready.append((task, answer))
        while self._ready:
            task, answer = self._ready.pop()
            task.pending = None
            try:
                request = task.stack[-1].program.send(answer)
            except StopIteration as end:
                self._ended(task, end.value)
            except Exception as error:
                error.add_note(f"on rank {task.rank}")
                raise
            else:
                task.pending, task.entered = request, self.now(task)
                self._handle(task, request)

    def _ended(self, task: Task, value: Any) -> None:
        frame = task.stack.pop()
        if not task.stack:
            task.result = value
            return
        task.pending = Leave(value, frame.group)
        self._join(task, task.pending)

    def _handle(self, task: Task, request: Request) -> None:
        match request:
            case Compute():
                refuse_off_clock(request, task.off_clock)
                self.start_compute(task, request)
            case Send():
                self._send(task, request)
                self._ready.append((task, None))
            case Recv():
                refuse_off_clock(request, task.off_clock)
                self._receive(task, request)
            case AllReduce() | AllGather() | Broadcast() | Boundary() | OffClock():
                self._join(task, request)
            case Regroup():
                raise ProtocolError("regroup: not supported here; a run on one host cannot lose a rank")
            case _:
                assert_never(request)

    def computed(self, task: Task, rows: int) -> None:
        """Rows are done: accounts for them and goes on."""
        assert isinstance(task.pending, Compute)
        if not task.off_clock:
            judging = task.pending.judging
            task.recorder.span("compute", task.entered, self.now(task), rows, judging=judging)
        self.proceed(task, rows)

    # mail

    def _send(self, task: Task, request: Send) -> None:
        if request.to not in self.tasks:
            raise ProtocolError(f"rank {task.rank} sends to rank {request.to}, which is not there")
        self._unread[request.to, task.rank, request.tag] += 1
        mail = Mail(task.rank, request.tag, request.head, unshared(request.body))
        if not task.off_clock:
            task.recorder.span("communication", task.entered, task.entered, nbytes=nbytes_of(request.body))
        self.post(task, mail, self.tasks[request.to])

    def deliver(self, task: Task, mail: Mail) -> None:
        """Mail got there."""
        task.mailbox.append(mail)
        if isinstance(task.pending, Recv):
            if fits(mail, task.pending):
                self._receive(task, task.pending)
        elif isinstance(task.pending, Compute):
            self.mail_came(task)

    def _receive(self, task: Task, request: Recv) -> None:
        mail = next((mail for mail in task.mailbox if fits(mail, request)), None)
        if mail is None:
            if request.deadline < inf:
                self.start_timer(task, request)
            return
        task.mailbox.remove(mail)
        self._unread[task.rank, mail.source, mail.tag] -= 1
        task.pending = None
        self._waited(task)
        self.wake(task, placed(mail, request.into), self.now(task))

    def expire(self, task: Task, request: Recv) -> None:
        """The deadline of a request passed; nothing happens if it was answered meanwhile."""
        if task.pending is request:
            self._waited(task)
            self.proceed(task, None)

    def _waited(self, task: Task) -> None:
        if not task.off_clock:
            task.recorder.span("wait", task.entered, self.now(task))

    # collectives

    def _join(self, task: Task, request: Collective) -> None:
        group = request.group or self.everybody
        if task.rank not in group.ranks:
            raise ProtocolError(f"rank {task.rank} awaits a collective of {group}, of which it is no member")
        self._arrived[group] += 1
        if self._arrived[group] == len(group.ranks):
            del self._arrived[group]
            self._meet([self.tasks[rank] for rank in group.ranks])

    def _meet(self, members: Sequence[Task]) -> None:
        requests = [task.pending for task in members]
        if len({type(request) for request in requests}) > 1:
            raise ProtocolError(f"nodes met in different collectives: {described(members)}")
        there = [self.meeting(task, members) for task in members]
        before = self.now(members[0])
        answers, sizes = performed(members, partial(self._agree, members))
        kind = members[0].pending
        assert isinstance(kind, AllReduce | AllGather | Broadcast | Boundary | OffClock | Leave)
        seconds = self.cost(kind, sum(sizes) // len(sizes), len(members), self.now(members[0]) - before)
        for task, answer, met, nbytes in zip(members, answers, there, sizes, strict=True):
            self._go_on(task, answer, met, seconds, nbytes)

    def _go_on(self, task: Task, answer: Any, met: float, seconds: float, nbytes: int) -> None:
        request, at = task.pending, self.now(task)
        if not task.off_clock:
            at = met + seconds
            task.recorder.span("wait", task.entered, met)
            task.recorder.span("communication", met, at, nbytes=nbytes)
        if isinstance(request, OffClock):
            self.pause(task, True)
            task.stack.append(Frame(request.program(), request.group))
        elif isinstance(request, Leave) and len(task.stack) == 1:
            self.pause(task, False)
        self.wake(task, answer, at)

    def _agree(self, members: Sequence[Task]) -> Verdict:
        """Stops if a signal says so; saves if it stops or a checkpoint is due."""
        keeper, first = self.job.keeper, members[0]
        assert isinstance(first.pending, Boundary)
        round = first.pending.round
        stop = keeper.wants_stop()
        if stop or keeper.due(round):
            self._save(members, round)
        return Verdict.STOP if stop else Verdict.GO

    def _save(self, members: Sequence[Task], round: int) -> None:
        """Saves all members' states with their clocks stopped."""
        keeper, checksums = self.job.keeper, []
        for task in members:
            self.pause(task, True)
        keeper.prepare(round)
        for task in members:
            assert isinstance(task.pending, Boundary)
            state = saved(task.pending.state(), task.recorder, self.now(task))
            checksums.append(keeper.save(task.rank, state, task is members[0]))
        keeper.publish(round, checksums)
        for task in members:
            self.pause(task, task.off_clock)
