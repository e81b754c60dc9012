"""What comes of a collective in one process, once all its members are there."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from wpsgd.errors import ProtocolError
from wpsgd.requests import AllGather, AllReduce, Boundary, Broadcast, OffClock, Sparse, Vector, Verdict
from wpsgd.runtimes.arithmetic import fold, weigh
from wpsgd.runtimes.mailing import gathered, nbytes_of
from wpsgd.runtimes.task import Task, described
from wpsgd.runtimes.wording import Leave, outline


def performed(members: Sequence[Task], agree: Callable[[], Verdict]) -> tuple[Sequence[Any], Sequence[int]]:
    """The answers of a collective whose members are all there, and the bytes that each of them sends.

    agree: what a Boundary comes to. Raises ProtocolError where the members disagree about what they do.
    """
    requests: list[Any] = [task.pending for task in members]
    each = len(members)
    nothing = [None] * each
    match requests[0]:
        case AllReduce(op=op):
            buffers = [request.buffer for request in requests]
            _check_alike(members, buffers, [request.op for request in requests])
            for request in requests:
                weigh(request.buffer, request.weight, op)
            fold(buffers, op, buffers[0])
            return _copied(buffers, buffers[0], nothing), [buffers[0].nbytes] * each
        case Broadcast(root=root):
            buffers = [request.buffer for request in requests]
            _check_alike(members, buffers, [request.root for request in requests])
            source = next(task for task in members if task.rank == root).pending.buffer  # type: ignore[union-attr]
            return _copied(buffers, source, nothing), [source.nbytes] * each
        case AllGather():
            _check_alike(members, [], [outline(request) for request in requests])
            values = {
                task.rank: gathered(request.value) for task, request in zip(members, requests, strict=True)
            }
            return [values] * each, _sizes(list(values.values()))
        case Boundary():
            _check_alike(members, [], [request.round for request in requests])
            return [agree()] * each, [1] * each
        case OffClock():
            return nothing, [0] * each
        case Leave():
            return [request.value for request in requests], [0] * each
        case other:
            raise ProtocolError(f"{other} is not a collective")


def _sizes(values: Sequence[Any]) -> Sequence[int]:
    if isinstance(values[0], Sparse):
        return [nbytes_of(value) for value in values]
    return [len(pickle.dumps(values[0]))] * len(values)  # small ones are about as large as one another


def _check_alike(members: Sequence[Task], buffers: Sequence[Vector], settings: Sequence[Any]) -> None:
    """Raises ProtocolError where the members of a collective disagree about it."""
    shapes = {(buffer.shape, buffer.dtype.str) for buffer in buffers}
    if len(shapes) > 1 or len(set(settings)) > 1:
        raise ProtocolError(f"nodes disagree about a collective: {described(members)}")


def _copied(buffers: Sequence[Vector], source: Vector, answers: Sequence[None]) -> Sequence[None]:
    for buffer in buffers:
        if buffer is not source:
            buffer[:] = source
    return answers
