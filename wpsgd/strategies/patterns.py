"""Helper coroutines that strategies share: races, time boxes, draining, looks.

Like the strategies they await requests and nothing else (see requests.py): `await` means "this takes time".
What steers the control flow comes out of a collective or a message, never out of a local clock.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from wpsgd.learners.moving_rows import ENDLESS
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.requests import (
    AllGather,
    AllReduce,
    Boundary,
    Compute,
    Node,
    OffClock,
    Recv,
    Send,
    State,
    Tag,
    Value,
    Vector,
    Verdict,
)

NOTHING: Mapping[str, Value] = MappingProxyType({})
T = TypeVar("T")


@dataclass(slots=True)
class Spent:
    """What a node has computed of a round, in seconds; looks, and waiting for them, are none of it."""

    seconds: float = 0.0


class Mark(NamedTuple):
    """The end of part `part` of `parts` of round `round`; parts = 1 is a round without looks inside.

    spent: of this node on the parts before it, for endings that look at clocks; None for nothing
    """

    round: int
    part: int = 1
    parts: int = 1
    spent: Spent | None = None

    def share(self, whole: int) -> int:
        """Rows of a round of `whole` rows that are done at this mark."""
        return whole * self.part // self.parts

    @property
    def number(self) -> int:
        """Counts the marks of a run, for the tags of messages."""
        return self.round * self.parts + self.part - 1

    @property
    def ends_round(self) -> bool:
        """Whether it is more than a moment for a look."""
        return self.part == self.parts


class Ending(Protocol):
    """How a part of a round ends: advances the learner, which applied `done` rows of the round before.

    Returns the rows applied in the round so far, keyed by rank; the same on all nodes. At a mark inside a
    round they are told off the clock, so that neither seconds nor rows depend on how often one looks.
    """

    async def __call__(self, node: Node, mark: Mark, done: int) -> Mapping[int, int]: ...


def left(node: Node) -> int:
    """Rows that the node's learner still takes in this round, 0 where its shard is empty."""
    if isinstance(node.learner, ShardDual):
        return node.learner.left
    return ENDLESS if node.learner.rows else 0


async def advance(node: Node, rows: int) -> int:
    """The next `rows` rows of this node, or as many as are left to it."""
    return await Compute(node.learner.advance, min(rows, left(node)))


async def at(mark: Mark, meeting: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What comes of a meeting of all nodes at a mark, which costs time only where it ends a round."""
    return await (meeting() if mark.ends_round else OffClock(meeting, apart=True))


async def told(mark: Mark, done: int) -> Mapping[int, int]:
    """Everybody's rows of the round, keyed by rank."""

    async def meeting() -> Mapping[int, int]:
        return await AllGather(done)

    return await at(mark, meeting)


@dataclass(frozen=True, slots=True)
class ByRows:
    """Every node applies `period` rows, or what is left to it; a round lasts as long as the slowest node."""

    period: int

    async def __call__(self, node: Node, mark: Mark, done: int) -> Mapping[int, int]:
        done += await advance(node, mark.share(self.period) - done)
        return await told(mark, done)


@dataclass(frozen=True, slots=True)
class Given:
    """Node i applies `counts[round][i]` rows, or what is left to it; for replays, resumed runs and tests."""

    counts: tuple[tuple[int, ...], ...]

    async def __call__(self, node: Node, mark: Mark, done: int) -> Mapping[int, int]:
        mine = self.counts[mark.round][node.ranks.index(node.rank)]
        done += await advance(node, mark.share(mine) - done)
        return await told(mark, done)


@dataclass(frozen=True, slots=True)
class TimeBox:
    """Every node applies what it can in `seconds` from the last collective on: hosts' clocks disagree."""

    seconds: float

    async def __call__(self, node: Node, mark: Mark, done: int) -> Mapping[int, int]:
        begin, spent = node.now(), mark.spent or Spent()
        seconds = self.seconds * mark.part / mark.parts - spent.seconds  # less what the last chunk was late
        done += await Compute(node.learner.advance, left(node), deadline=begin + max(0.0, seconds))
        spent.seconds += node.now() - begin
        return await told(mark, done)


@dataclass(frozen=True, slots=True)
class Race:
    """Ends when the fastest node has applied `period` rows: it tells the others, who stop where they are.

    Or when all have applied what was left to them.
    """

    period: int

    async def __call__(self, node: Node, mark: Mark, done: int) -> Mapping[int, int]:
        finish = Tag("finish", mark.number)
        target = mark.share(self.period)
        if rows := min(target - done, left(node)):
            done += await Compute(node.learner.advance, rows, stop_on=finish)
        first = done >= target
        if first:
            for rank in node.others:
                await Send(rank, finish)

        async def meeting() -> Mapping[int, int]:
            # the row counts say who finished, and so how many signals are on their way
            counts = await AllGather(done)
            finishers = sum(count >= target for count in counts.values())
            await drain(finish, finishers - first)
            return counts

        return await at(mark, meeting)


async def judged(judge: Callable[[], T], rows: int) -> T:
    """What `judge` finds between rounds: compute that no signal and no deadline cuts short.

    rows: how many its work is worth, for virtual clocks; they are no training rows
    """
    found: list[T] = []

    def work(rows: int) -> None:
        if not found:  # all of it in the first chunk
            found.append(judge())

    await Compute(work, max(1, rows), judging=True)
    return found[0]


async def drain(tag: Tag, messages: int) -> None:
    """Receives what was sent and is no longer needed, so that it does not end something later."""
    for _ in range(messages):
        await Recv(tag)


@dataclass(frozen=True, slots=True)
class Looks:
    """When a run is scored: about `looks` times in `rounds` rounds, evenly spread, and at the end.

    Rounds that outnumber the looks are scored at some of their ends; otherwise each is cut into `parts`.
    """

    looks: int
    rounds: int

    @property
    def parts(self) -> int:
        """Parts of each round; all but the last end with a look inside the round."""
        return max(1, self.looks // self.rounds) if self.looks else 1

    def due_after(self, round: int) -> bool:
        """Whether the model is scored that `round` complete rounds led to."""
        if self.looks == 0:
            return False
        return (
            round == self.rounds
            or round * self.looks // self.rounds > (round - 1) * self.looks // self.rounds
        )


async def look(node: Node, model: Vector, round: float, rows: int, **found: float | None) -> None:
    """Scores a model that all nodes hold, each node on its part of the rows, and rank 0 reports it.

    round: rounds complete, a fraction inside one; rows: of the fastest node so far; found: what else is to be
    reported. To be run off the clock.
    """
    if node.scorer is None:
        return
    seconds = np.array([node.now()])
    await AllReduce(seconds, op="max")
    sums = node.scorer.partial(model)
    await AllReduce(sums)
    if node.rank == node.ranks[0]:
        score = node.scorer.total(model, sums)
        node.report("look", round=round, rows=rows, seconds=float(seconds[0]), **score.fields(), **found)


def capture(node: Node, round: int, kept: Mapping[str, Value] = NOTHING) -> State:
    """The state of a strategy in which all nodes hold one model after each round, and `kept` beside it."""
    return State(round, {"weights": node.learner.weights, **kept}, node.learner.state())


def resume(node: Node, state: State) -> None:
    """Puts the learner where `capture` found it; a fresh state changes nothing."""
    if state.round:
        weights = state.shared["weights"]
        assert isinstance(weights, np.ndarray)
        node.learner.restore(weights, state.own)


async def boundary(node: Node, round: int, kept: Mapping[str, Value] = NOTHING) -> bool:
    """Whether the run goes on after `round` complete rounds; `kept` as in `capture`."""
    return await Boundary(round, lambda: capture(node, round, kept)) is Verdict.GO


async def total_weight(shard: ShardDual) -> tuple[float, int]:
    """The sum of all nodes' sample weights, 1 where there are no rows, and how many threads hold rows."""
    sums = np.array([shard.total, float(shard.parts)])
    await AllReduce(sums)
    return float(sums[0]) or 1.0, int(sums[1])
