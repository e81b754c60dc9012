"""The requests: all that a strategy may await.

A strategy is the paper's pseudocode, run once per node: an `async def` whose every `await` is one of the
frozen requests below. There is no asyncio and no event loop: `await` means "this takes time, whoever runs
me decides how". The set is closed; new behaviour is a helper coroutine in strategies/patterns.py.
What takes no time is called on the node: `node.now()`, `node.report(...)`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from wpsgd.evaluate import Scorer
from wpsgd.learners.sgd import Learner
from wpsgd.sample import Sample

Vector: TypeAlias = NDArray[np.floating[Any]]
Value: TypeAlias = NDArray[Any] | int | float | str
Op: TypeAlias = Literal["sum", "max", "min"]
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Tag(NamedTuple):
    """What a message is about; the round keeps a late one from ending the next race."""

    kind: str
    round: int = 0


class Group(NamedTuple):
    """Ranks that take part in a collective, ascending; the epoch rises with each regrouping."""

    ranks: tuple[int, ...]
    epoch: int = 0


class Sparse(NamedTuple):
    """A body of (index, value) pairs: int32 or int64 of shape (m,), float of shape (m,)."""

    indices: NDArray[np.integer[Any]]
    values: Vector


class Mail(NamedTuple):
    """A message as it was received."""

    source: int
    tag: Tag
    head: tuple[int | float, ...] = ()
    body: Vector | Sparse | None = None


class Verdict(enum.Enum):
    """What a boundary agreed on."""

    GO = "go"
    STOP = "stop"


@dataclass(slots=True)
class State:
    """Everything resumable of a strategy between two rounds.

    round: the next round to run; shared: values equal on all ranks (saved once); own: this rank's.
    """

    round: int = 0
    shared: dict[str, Value] = field(default_factory=dict)
    own: dict[str, Value] = field(default_factory=dict)


class _Request(Generic[R_co]):
    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, R_co]:
        answer: R_co = yield self
        return answer


@dataclass(frozen=True, slots=True, eq=False)
class Compute(_Request[int]):
    """Goes through up to `rows` rows with `work(n)`, in place, and answers the rows done.

    Ends early, between two chunks of rows, when `node.now()` reaches `deadline` (seconds) or when mail
    tagged `stop_on` is there (the mail stays in the box). `draw` tells a cost model whether service
    times are drawn per row or once for the whole task.
    judging: the rows cost what rows cost, but are no training rows, and accounts count none of them;
    patterns.judged awaits it.
    """

    work: Callable[[int], None]
    rows: int
    deadline: float = inf
    stop_on: Tag | None = None
    draw: Literal["row", "task"] = "row"
    judging: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AllReduce(_Request[None]):
    """Replaces every member's `buffer` by the weighted sum (or max, min) of all, added in rank order.

    A weight of exactly 0 contributes zeros, whatever the buffer holds.
    """

    buffer: Vector
    weight: float = 1.0
    op: Op = "sum"
    group: Group | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AllGather(_Request[Mapping[int, T]], Generic[T]):
    """Everybody's `value`, keyed by rank in ascending order.

    A small one of any kind; or a `Sparse` of any length, which on all members has the same types of arrays.
    What comes back of it is not to be changed.
    """

    value: T
    group: Group | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Broadcast(_Request[None]):
    """Overwrites every member's `buffer` with the root's."""

    buffer: Vector
    root: int
    group: Group | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Send(_Request[None]):
    """Sends and returns at once. A writable body is copied, a read-only one is shared."""

    to: int
    tag: Tag
    head: tuple[int | float, ...] = ()
    body: Vector | Sparse | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Recv(_Request[Mail | None]):
    """The earliest mail that fits `tag` and `source` (None fits all), or None once `deadline` has passed.

    With `into`, a dense body is copied there and the mail's body is that array.
    """

    tag: Tag | None
    source: int | None = None
    into: Vector | None = None
    deadline: float = inf


@dataclass(frozen=True, slots=True, eq=False)
class Boundary(_Request[Verdict]):
    """Between rounds: all agree on signals to stop, and save `state()` when a checkpoint is due.

    round: number of rounds that are complete.
    """

    round: int
    state: Callable[[], State]
    group: Group | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OffClock(_Request[T], Generic[T]):
    """Runs `program()` with all clocks of the group stopped; they go on together afterwards.

    apart: no virtual clock waits for the others before `program` either; each goes on from where its node
    came. Real ones cannot: who is ahead waits, and that time counts.
    """

    program: Callable[[], Coroutine[Any, Any, T]]
    group: Group | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Regroup(_Request[Group]):
    """After a rank was lost: the group of the survivors."""

    group: Group | None = None


Request: TypeAlias = (
    Compute | AllReduce | AllGather[Any] | Broadcast | Send | Recv | Boundary | OffClock[Any] | Regroup
)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One rank as its program sees it.

    rank: of this node, never changes; ranks: of all nodes, ascending
    learner: the weights and rows of this node; scorer: what a look evaluates, or None
    rng: this rank's own generator; now: seconds on this node's clock
    report: records an event in the trace; sample: rows that all nodes hold, or None
    """

    rank: int
    ranks: tuple[int, ...]
    learner: Learner
    rng: np.random.Generator
    now: Callable[[], float]
    report: Callable[..., None]
    scorer: Scorer | None = None
    sample: Sample | None = None

    @property
    def others(self) -> tuple[int, ...]:
        """All ranks but this one."""
        return tuple(rank for rank in self.ranks if rank != self.rank)


Program: TypeAlias = Callable[[Node, State], Coroutine[Any, Any, State]]
