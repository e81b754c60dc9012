"""Rows in chunks under a real clock: between chunks, signals and deadlines count, and speeds are emulated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from wpsgd.learners.crew import processor_time
from wpsgd.requests import Compute

CHUNK = 1000  # rows between two looks at the mail, at first or under a virtual clock
SMALLEST = 50  # rows of a chunk, however long they take: work may cost something beside its rows
PARTS = 10  # at least, of work that a signal may end, or a short race would be over before anybody listens
TICK = 1e-3  # seconds that a chunk of rows is to last where its size is not given
NAP = 1e-3  # seconds that are owed before a slowed rank sleeps: shorter sleeps last longer than they should


@dataclass(slots=True)
class Pace:
    """How fast a rank works. speed: 1 for what its machine gives, less for that fraction of it (emulated).

    A slowed rank owes sleep in proportion to the processor time of its thread: time in which it was not
    running on a shared machine is not slowed down twice. Of threads that worked side by side, it is that of
    the one who worked longest. cpu, of all of them together, and owed: seconds, of slowed ranks alone.
    chunk: rows between two looks at the mail, or None for as many as take about TICK: small ones cost time
    that is not spent on rows, and in large ones a signal waits, so that none is more than a tenth of a race.
    """

    speed: float = 1.0
    chunk: int | None = None
    cpu: float = 0.0
    owed: float = 0.0
    _rows: int = CHUNK

    def run(self, request: Compute, clock: Callable[[], float], stopped: Callable[[], bool]) -> int:
        """Works through the request; the rows done. `stopped` is asked between chunks."""
        done, now = 0, clock()
        most = request.rows if request.stop_on is None else max(SMALLEST, request.rows // PARTS)
        while done < request.rows and not stopped() and now < request.deadline:
            before, rows = now, min(self.chunk or min(self._rows, most), request.rows - done)
            self._work(request, rows)
            done += rows
            if self.owed >= NAP:
                self._sleep(request.deadline - clock())
            now = clock()
            if rows == self._rows and not request.judging:  # whose rows are others
                self._learn(now - before)
        return done

    def _work(self, request: Compute, rows: int) -> None:
        if self.speed == 1.0:
            request.work(rows)
            return
        before = processor_time()
        request.work(rows)
        after = processor_time()
        self.cpu += after.total - before.total
        self.owed += (after.longest - before.longest) * (1.0 / self.speed - 1.0)

    def _learn(self, seconds: float) -> None:
        """Brings the size of the next chunk nearer to what takes TICK."""
        if seconds < TICK / 2.0:
            self._rows *= 2
        elif seconds > 2.0 * TICK:
            self._rows = max(SMALLEST, self._rows // 2)

    def _sleep(self, at_most: float) -> None:
        started = time.perf_counter()
        time.sleep(max(0.0, min(self.owed, at_most)))
        self.owed -= time.perf_counter() - started  # below 0 where a sleep was too long: the next is shorter
