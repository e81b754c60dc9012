"""Strategies that break a rule of the requests: what a runtime must say about each, and about which lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wpsgd.errors import Deadlock, ProtocolError
from wpsgd.requests import (
    AllGather,
    AllReduce,
    Boundary,
    Broadcast,
    Group,
    Node,
    OffClock,
    Program,
    Recv,
    Send,
    Sparse,
    State,
    Tag,
)

Body: TypeAlias = Callable[[Node], Coroutine[Any, Any, None]]
NEWS = Tag("news", 3)
FAULTS: dict[str, Fault] = {}


class Fault(NamedTuple):
    """A broken strategy, the error that says so, and pieces of its message.

    under_mpi: whether MPI ranks notice; "{place}" in a piece stands for "faults.py:" and the line that is
    marked with the name of the function.
    """

    body: Body
    error: type[Exception]
    pieces: tuple[str, ...]
    under_mpi: bool

    @property
    def program(self) -> Program:
        async def run(node: Node, state: State) -> State:
            await self.body(node)
            return state

        return run

    def explained_by(self, message: str) -> bool:
        return "\n" not in message and all(piece in message for piece in self.pieces)


def breaks(error: type[Exception], *pieces: str, under_mpi: bool = True) -> Callable[[Body], Body]:
    """Registers a broken strategy under its name."""

    def register(body: Body) -> Body:
        said = tuple(re.sub(r"\{(\w+)\}", lambda found: place(found[1]), piece) for piece in pieces)
        FAULTS[body.__name__.replace("_", " ")] = Fault(body, error, said, under_mpi)
        return body

    return register


def place(mark: str) -> str:
    """The file and the line that carries a mark."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"faults.py:{next(n for n, line in enumerate(lines, 1) if line.endswith(f'# {mark}'))}"


@breaks(
    Deadlock,
    "rank 0 awaits Recv(",
    "news",
    "from rank 1) at {lonely}",
    "rank 1 awaits AllReduce(sum of 5 float64) at {beside}",
    under_mpi=False,
)
async def a_recv_that_nobody_sends_for(node: Node) -> None:
    if node.rank == 0:
        await Recv(NEWS, source=1)  # lonely
    await AllReduce(np.zeros(5))  # beside


@breaks(Deadlock, "rank 0 awaits Recv(any tag, from any rank) at {mutual}", "rank 1 awaits", under_mpi=False)
async def all_wait_for_mail(node: Node) -> None:
    await Recv(None)  # mutual


@breaks(ProtocolError, "rank 0 has finished", "rank 1 awaits AllGather at {left}")
async def a_rank_that_has_finished_is_missing(node: Node) -> None:
    if node.rank:
        await AllGather(1)  # left


async def helper() -> None:
    await AllGather(1)  # helped


@breaks(
    ProtocolError,
    "rank 0 awaits AllGather at {helped}",
    "rank 1 awaits AllReduce(max of 2 float64) at {kinds}",
)
async def collectives_of_two_kinds(node: Node) -> None:
    if node.rank == 0:
        await helper()  # the line to name is the one inside
    else:
        await AllReduce(np.zeros(2), op="max")  # kinds


@breaks(
    ProtocolError, "rank 0 awaits AllReduce(sum of 3 float64)", "rank 1 awaits AllReduce(sum of 4 float64)"
)
async def vectors_of_two_lengths(node: Node) -> None:
    await AllReduce(np.zeros(3 + (node.rank > 0)))


@breaks(
    ProtocolError, "rank 0 awaits AllReduce(sum of 3 float32)", "rank 1 awaits AllReduce(sum of 3 float64)"
)
async def vectors_of_two_precisions(node: Node) -> None:
    await AllReduce(np.zeros(3, np.float64 if node.rank else np.float32))


@breaks(ProtocolError, "rank 0 awaits AllReduce(max of", "rank 1 awaits AllReduce(sum of")
async def reductions_of_two_operations(node: Node) -> None:
    await AllReduce(np.zeros(3), op="sum" if node.rank else "max")


@breaks(
    ProtocolError,
    "rank 0 awaits AllGather at {gathers}",
    "rank 1 awaits AllGather(pairs of int64 and float64)",
)
async def gathers_of_a_value_and_of_pairs(node: Node) -> None:
    await AllGather(Sparse(np.arange(2), np.zeros(2)) if node.rank else 1)  # gathers


@breaks(ProtocolError, "AllGather(pairs of int64 and float32)", "AllGather(pairs of int64 and float64)")
async def pairs_of_two_precisions(node: Node) -> None:
    await AllGather(Sparse(np.arange(2), np.zeros(2, np.float64 if node.rank else np.float32)))


@breaks(ProtocolError, "from rank 1) at {roots}", "from rank 0) at {roots}")
async def broadcasts_from_two_roots(node: Node) -> None:
    await Broadcast(np.zeros(3), root=int(node.rank == 0))  # roots


@breaks(ProtocolError, "rank 0 awaits Boundary(1)", "rank 1 awaits Boundary(2)")
async def boundaries_of_two_rounds(node: Node) -> None:
    await Boundary(1 + (node.rank > 0), State)


@breaks(ProtocolError, "rank 0 awaits OffClock at {looking}", "rank 1 awaits AllGather")
async def a_look_that_only_one_takes(node: Node) -> None:
    async def look() -> None:
        await AllGather(2)

    if node.rank == 0:
        await OffClock(look)  # looking
    await AllGather(1)


@breaks(ProtocolError, "rank 0 awaits the end of OffClock", "rank 1 awaits AllGather")
async def a_look_that_one_leaves_early(node: Node) -> None:
    async def look() -> None:
        if node.rank:
            await AllGather(1)

    await OffClock(look)


@breaks(ProtocolError, "mail that nobody received", "news", "from rank 0 to rank 1")
async def mail_that_nobody_receives(node: Node) -> None:
    if node.rank == 0:
        await Send(1, NEWS)


@breaks(ProtocolError, "to rank 99, which is not there")
async def mail_to_a_rank_that_is_not_there(node: Node) -> None:
    if node.rank == 0:
        await Send(99, NEWS)
    await AllGather(1)


@breaks(ProtocolError, "of which it is no member")
async def a_collective_of_others(node: Node) -> None:
    await AllGather(1, group=None if node.rank else Group(node.others))


@breaks(ProtocolError, "Recv with a deadline inside OffClock: clocks stand still there")
async def a_deadline_in_a_look(node: Node) -> None:
    async def look() -> None:
        await Recv(NEWS, deadline=node.now() + 1.0)

    await OffClock(look)
