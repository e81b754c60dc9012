"""All nodes in one process, each computing on a thread of its own: kernels release the GIL."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from wpsgd.errors import ConfigError
from wpsgd.learners.crew import processor_time
from wpsgd.requests import Compute, Mail, Recv
from wpsgd.runtimes.job import Job, OneProcess, Outcome, StopWatch
from wpsgd.runtimes.pacing import Pace
from wpsgd.runtimes.scheduler import Scheduler
from wpsgd.runtimes.task import Collective, Task


@dataclass(frozen=True)
class Local(OneProcess):
    """A runtime of threads.

    speeds: one for each rank, 1 at most (emulated), or None; chunk: as in `Pace`
    """

    ranks: int
    speeds: tuple[float, ...] | None = None
    chunk: int | None = None
    name: str = "local"

    def __post_init__(self) -> None:
        if self.speeds is not None and len(self.speeds) != self.ranks:
            raise ConfigError(f"{len(self.speeds)} speeds for {self.ranks} ranks: give one for each")

    def run(self, job: Job) -> Outcome:
        """Runs the job."""
        scheduler = _RealTime(job, self)
        try:
            return scheduler.run()
        finally:
            scheduler.close()


class _RealTime(Scheduler):
    """Threads put what happened into a queue; one thread, the caller's, drives all programs."""

    def __init__(self, job: Job, runtime: Local) -> None:
        ranks = tuple(range(runtime.ranks))
        speeds = runtime.speeds or (1.0,) * runtime.ranks
        self.speeds = runtime.speeds
        self._paces = {rank: Pace(speed, runtime.chunk) for rank, speed in zip(ranks, speeds, strict=True)}
        self._clocks = {rank: StopWatch() for rank in ranks}
        self._stopped = dict.fromkeys(ranks, False)
        self._happened: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._timers: list[tuple[float, Task, Recv]] = []
        self._computing = 0
        self._pool = ThreadPoolExecutor(runtime.ranks, thread_name_prefix="wpsgd-node")
        super().__init__(job, ranks)
        for watch in self._clocks.values():  # all nodes start together, when the last one is ready
            watch.restart()

    def close(self) -> None:
        """Ends the threads, after the chunks they are in."""
        self._stopped = dict.fromkeys(self._stopped, True)
        self._pool.shutdown()

    def start_clock(self, task: Task, seconds: float) -> None:
        self._clocks[task.rank].seconds = seconds

    def now(self, task: Task) -> float:
        return self._clocks[task.rank].read()

    def pause(self, task: Task, paused: bool) -> None:
        self._clocks[task.rank].pause(paused)

    def wake(self, task: Task, answer: Any, at: float) -> None:
        self._happened.put(partial(self.proceed, task, answer))

    def step(self) -> bool:
        timeout = None
        self._timers = [timer for timer in self._timers if timer[1].pending is timer[2]]
        if self._timers:
            timeout = max(0.0, min(deadline - self.now(task) for deadline, task, _ in self._timers))
        elif not self._computing and self._happened.empty():
            return False
        try:
            happened = self._happened.get(timeout=timeout)
        except queue.Empty:
            self._expire_timers()
        else:
            happened()
        return True

    def _expire_timers(self) -> None:
        due = [timer for timer in self._timers if timer[0] <= self.now(timer[1])]
        for _, task, request in due:
            self.expire(task, request)

    def start_timer(self, task: Task, request: Recv) -> None:
        self._timers.append((request.deadline, task, request))

    def start_compute(self, task: Task, request: Compute) -> None:
        self._stopped[task.rank] = any(mail.tag == request.stop_on for mail in task.mailbox)
        self._computing += 1
        self._pool.submit(self._compute, task, request)

    def _compute(self, task: Task, request: Compute) -> None:
        clock, rank = self._clocks[task.rank].read, task.rank
        pace = self._paces[rank]
        before = processor_time().total
        try:
            rows = pace.run(request, clock, lambda: self._stopped[rank])
        except BaseException as error:  # handed to the thread that drives the programs
            error.add_note(f"on rank {rank}")
            self._happened.put(partial(self._failed, error))
        else:
            self._happened.put(partial(self._finished, task, rows, processor_time().total - before))

    def _finished(self, task: Task, rows: int, cpu: float) -> None:
        self._computing -= 1
        task.recorder.totals.cpu += 0.0 if task.off_clock else cpu
        self.computed(task, rows)

    @staticmethod
    def _failed(error: BaseException) -> None:
        raise error

    def post(self, task: Task, mail: Mail, to: Task) -> None:
        self.deliver(to, mail)

    def mail_came(self, task: Task) -> None:
        assert isinstance(task.pending, Compute)
        stop_on = task.pending.stop_on
        self._stopped[task.rank] = any(mail.tag == stop_on for mail in task.mailbox)

    def meeting(self, task: Task, members: Sequence[Task]) -> float:
        return self.now(task)

    def cost(self, request: Collective, nbytes: int, members: int, took: float) -> float:
        return took

    def closing_fields(self, task: Task) -> dict[str, Any]:
        return {"speed": self.speeds[task.rank] if self.speeds else None}
