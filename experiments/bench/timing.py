"""Interleaved timing: A B A B, so that what else the machine does hits all alike."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each run, and what the last one returned.

    walls: as people wait; cpus: of all threads of this process
    """

    walls: tuple[float, ...]
    cpus: tuple[float, ...]
    last: Any = None

    @property
    def wall(self) -> float:
        """Median."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """Median."""
        return statistics.median(self.cpus)

    def per(self, parts: int) -> Times:
        """The times of one of `parts` equal parts."""
        return Times(
            tuple(wall / parts for wall in self.walls), tuple(cpu / parts for cpu in self.cpus), self.last
        )


def once(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """(wall seconds, processor seconds, what the work returned)."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    value = work()
    return time.perf_counter() - wall, time.process_time() - cpu, value


def interleaved(
    cases: Mapping[str, Callable[[], Any]], repeats: int, *, warm: bool = True
) -> dict[str, Times]:
    """Times each case `repeats` times in turn. warm: after a round that does not count."""
    if warm:
        for work in cases.values():
            work()
    runs: dict[str, list[tuple[float, float, Any]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, work in cases.items():
            runs[name] = [(*run[:2], None) for run in runs[name]]  # one result each is enough to hold
            runs[name].append(once(work))
    return {name: _times(found) for name, found in runs.items()}


def _times(runs: list[tuple[float, float, Any]]) -> Times:
    return Times(tuple(run[0] for run in runs), tuple(run[1] for run in runs), runs[-1][2])


def ratio(slower: Times, faster: Times) -> tuple[float, float]:
    """How many times longer `slower` takes: by the median wall time, by the median processor time."""
    return slower.wall / faster.wall, slower.cpu / max(faster.cpu, 1e-9)


@contextmanager
def pinned() -> Iterator[None]:
    """This process stays on one processor meanwhile, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
