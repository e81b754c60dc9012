"""What a node waits for, and where, in words: for reports of deadlocks and mismatches."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from wpsgd.requests import AllGather, AllReduce, Boundary, Broadcast, Compute, Group, Recv, Request, Sparse


@dataclass(frozen=True, slots=True, eq=False)
class Leave:
    """The end of an off-clock program, at which its group waits for all; carries the program's answer."""

    value: Any
    group: Group | None


Pending: TypeAlias = Request | Leave


def where(pending: Pending | None, stack: Sequence[Coroutine[Any, Any, Any]]) -> str:
    """What a program waits for, and the line it waits at."""
    if not stack:
        return "has finished"
    program: Any = stack[-1]
    while getattr(program, "cr_await", None) is not None and hasattr(program.cr_await, "cr_frame"):
        program = program.cr_await
    frame = program.cr_frame
    place = f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""
    return f"awaits {outline(pending)}{place}"


def outline(pending: Pending | None) -> str:
    """A request in a few words."""
    match pending:
        case Recv(tag=tag, source=source):
            return f"Recv({tag or 'any tag'}, from {'any rank' if source is None else f'rank {source}'})"
        case Boundary(round=round):
            return f"Boundary({round})"
        case AllReduce(buffer=buffer, op=op):
            return f"AllReduce({op} of {len(buffer)} {buffer.dtype})"
        case AllGather(value=Sparse() as pairs):
            return f"AllGather(pairs of {pairs.indices.dtype} and {pairs.values.dtype})"
        case Broadcast(buffer=buffer, root=root):
            return f"Broadcast({len(buffer)} {buffer.dtype} from rank {root})"
        case Compute(rows=rows):
            return f"Compute({rows} rows)"
        case Leave():
            return "the end of OffClock"
        case _:
            return type(pending).__name__
