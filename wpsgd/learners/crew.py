"""Threads of one node that work side by side, and the processor time that they take.

Whoever watches a thread's processor time (runtimes/pacing.py) would not see that of the threads who help it.
So a crew charges it to the thread it works for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class ProcessorTime(NamedTuple):
    """Seconds a thread has worked, with those who helped it.

    total: of all together; longest: where they worked side by side, only of the one who worked longest
    """

    total: float
    longest: float


class _Account(threading.local):
    """What helpers did for a thread, beside its own processor time. Seconds."""

    total = 0.0
    longest = 0.0


_helped = _Account()


def processor_time() -> ProcessorTime:
    """Of the calling thread, so far."""
    own = time.thread_time()
    return ProcessorTime(own + _helped.total, own + _helped.longest)


class Crew:
    """The calling thread and `threads` - 1 helpers, which are kept until the crew is gone."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="wpsgd-thread")

    def run(self, parts: Sequence[Callable[[], T]]) -> list[T]:
        """Does all parts side by side, the first on the calling thread; their answers, when all are done."""
        helping = [self._helpers.submit(_timed, part) for part in parts[1:]]
        before = time.thread_time()
        try:
            answers = [parts[0]()]
        finally:  # whatever happened, nobody is still at work when this returns
            own = time.thread_time() - before
            seconds = [future.result()[1] for future in helping if future.exception() is None]
            _helped.total += sum(seconds)
            _helped.longest += max(0.0, max(seconds, default=0.0) - own)
        return [*answers, *(future.result()[0] for future in helping)]


def _timed(part: Callable[[], T]) -> tuple[T, float]:
    before = time.thread_time()
    return part(), time.thread_time() - before
