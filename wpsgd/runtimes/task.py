"""One node's program as a process that drives all nodes' sees it: where it is, and what it waits for."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wpsgd.requests import AllGather, AllReduce, Boundary, Broadcast, Group, Mail, OffClock, State
from wpsgd.runtimes.wording import Leave, Pending, where
from wpsgd.trace import Recorder

Collective: TypeAlias = AllReduce | AllGather[Any] | Broadcast | Boundary | OffClock[Any] | Leave


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A coroutine on a task's stack: its program, or an off-clock program and the group that runs it."""

    program: Coroutine[Any, Any, Any]
    group: Group | None = None


@dataclass(eq=False)
class Task:
    """One node's program and what it waits for."""

    rank: int
    recorder: Recorder
    stack: list[Frame] = field(default_factory=list)
    pending: Pending | None = None
    entered: float = 0.0
    mailbox: list[Mail] = field(default_factory=list)
    result: State | None = None

    @property
    def off_clock(self) -> bool:
        """Whether the clock of this task stands still."""
        return len(self.stack) > 1 or isinstance(self.pending, Leave)


def described(tasks: Iterable[Task]) -> str:
    """Each task with its pending request, file and line."""
    return "; ".join(
        f"rank {task.rank} {where(task.pending, [frame.program for frame in task.stack])}" for task in tasks
    )
