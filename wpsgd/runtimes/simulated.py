"""All nodes in one process under virtual clocks: the arithmetic is real, only the time is modelled."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from wpsgd.requests import AllGather, AllReduce, Boundary, Broadcast, Compute, Mail, OffClock, Recv
from wpsgd.runtimes.costs import Cluster
from wpsgd.runtimes.job import Job, OneProcess, Outcome
from wpsgd.runtimes.mailing import fits, nbytes_of
from wpsgd.runtimes.pacing import CHUNK
from wpsgd.runtimes.scheduler import Scheduler
from wpsgd.runtimes.task import Collective, Task

TIE = 1e-9  # of a time: what sums of many floats may be off, far below what any cost is known to


@dataclass(frozen=True)
class Simulated(OneProcess):
    """A runtime that models a cluster. chunk: rows between two looks at the mail."""

    cluster: Cluster
    chunk: int = CHUNK
    name: str = "simulated"

    @property
    def ranks(self) -> int:
        """How many nodes the cluster has."""
        return len(self.cluster.nodes)

    def run(self, job: Job) -> Outcome:
        """Runs the job; the same job on the same cluster gives the same run, to the bit and to the second."""
        return _VirtualTime(job, self).run()


def has_come(time: float, now: float) -> bool:
    """Whether a clock that shows `now` has reached `time`; a tie has."""
    return time <= now * (1.0 + TIE)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """The `rows` of a request that a node is at, after `done` others, until `end`."""

    request: Compute
    done: int
    rows: int
    end: float


class _VirtualTime(Scheduler):
    """Events in a heap, ordered by time and then by when they were foreseen."""

    def __init__(self, job: Job, runtime: Simulated) -> None:
        self.runtime, self.link = runtime, runtime.cluster.link
        self.clocks: dict[int, float] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._foreseen = 0
        self._draws: Counter[int] = Counter()
        self._chunks: dict[int, _Chunk] = {}
        self._arrivals: defaultdict[tuple[int, int], float] = defaultdict(float)
        ranks = tuple(range(runtime.ranks))
        self._service = {rank: np.random.default_rng((job.seed, rank, 1)) for rank in ranks}
        super().__init__(job, ranks)

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time, self._foreseen, event))
        self._foreseen += 1

    def step(self) -> bool:
        if not self._agenda:
            return False
        _, _, event = heapq.heappop(self._agenda)
        event()
        return True

    def start_clock(self, task: Task, seconds: float) -> None:
        self.clocks[task.rank] = seconds

    def now(self, task: Task) -> float:
        return self.clocks[task.rank]

    def pause(self, task: Task, paused: bool) -> None:
        """A virtual clock stands still unless it is moved."""

    def wake(self, task: Task, answer: Any, at: float) -> None:
        self.at(at, partial(self._wake, task, answer, at))

    def _wake(self, task: Task, answer: Any, at: float) -> None:
        self.clocks[task.rank] = at
        self.proceed(task, answer)

    def start_compute(self, task: Task, request: Compute) -> None:
        if task.off_clock:
            request.work(request.rows)
            self.wake(task, request.rows, self.now(task))
        else:
            self.at(self.now(task), partial(self._next_chunk, task, request, 0))

    def _next_chunk(self, task: Task, request: Compute, done: int) -> None:
        stopped = any(mail.tag == request.stop_on for mail in task.mailbox)
        if done == request.rows or stopped or has_come(request.deadline, self.now(task)):
            self.computed(task, done)
            return
        rows = min(self.runtime.chunk, request.rows - done) if request.draw == "row" else request.rows
        cost, rank = self.runtime.cluster.nodes[task.rank], task.rank
        seconds = cost.draw(rows, request.draw, self._service[rank], self._draws[rank])
        self._draws[rank] += not request.judging  # what is replayed are training rows
        chunk = self._chunks[rank] = _Chunk(request, done, rows, self.now(task) + seconds)
        self.at(chunk.end, partial(self._chunk_done, task, chunk))

    def _chunk_done(self, task: Task, chunk: _Chunk) -> None:
        if self._chunks.get(task.rank) is not chunk:
            return  # it never began
        del self._chunks[task.rank]
        self.clocks[task.rank] = chunk.end
        chunk.request.work(chunk.rows)
        self._next_chunk(task, chunk.request, chunk.done + chunk.rows)

    def _stop_at_tie(self, task: Task, mail: Mail, arrival: float) -> None:
        """Takes back the chunk that a node began at the very moment when the signal to stop arrived.

        Which of two events of one moment comes first in the heap, rounding decides, or their numbers.
        """
        chunk = self._chunks.get(task.rank)
        if chunk and mail.tag == chunk.request.stop_on and has_come(arrival, self.now(task)):
            del self._chunks[task.rank]
            self._draws[task.rank] -= not chunk.request.judging
            self.computed(task, chunk.done)

    def post(self, task: Task, mail: Mail, to: Task) -> None:
        seconds = 0.0 if task.off_clock else self.link.message(nbytes_of(mail.body))
        way = task.rank, to.rank
        # a small message does not overtake a large one that was sent before it on the same way
        arrival = self._arrivals[way] = max(self.now(task) + seconds, self._arrivals[way])
        self.at(arrival, partial(self._arrive, to, mail, arrival))

    def _arrive(self, task: Task, mail: Mail, arrival: float) -> None:
        if isinstance(task.pending, Recv) and fits(mail, task.pending) and not task.off_clock:
            self.clocks[task.rank] = max(self.now(task), arrival)
        self.deliver(task, mail)
        self._stop_at_tie(task, mail, arrival)

    def start_timer(self, task: Task, request: Recv) -> None:
        self.at(max(request.deadline, self.now(task)), partial(self.expire, task, request))

    def expire(self, task: Task, request: Recv) -> None:
        if task.pending is request:
            self.clocks[task.rank] = max(self.now(task), request.deadline)
        super().expire(task, request)

    def meeting(self, task: Task, members: Sequence[Task]) -> float:
        if isinstance(task.pending, OffClock) and task.pending.apart:
            return self.now(task)
        return max(self.now(member) for member in members)

    def cost(self, request: Collective, nbytes: int, members: int, took: float) -> float:
        match request:
            case AllReduce():
                return self.link.allreduce(nbytes, members)
            case Broadcast():
                return self.link.broadcast(nbytes, members)
            case AllGather() | Boundary():
                return self.link.allgather(nbytes, members)
            case _:
                return 0.0
