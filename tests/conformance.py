"""What every request promises, as small programs with the answers that each rank must give, on any runtime.

A case is a program and a plain function that says, without any runtime, what it answers on a rank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf, nan
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wpsgd.requests import (
    AllGather,
    AllReduce,
    Boundary,
    Broadcast,
    Compute,
    Group,
    Node,
    OffClock,
    Program,
    Recv,
    Regroup,
    Send,
    Sparse,
    State,
    Tag,
)
from wpsgd.strategies.patterns import judged

Answer: TypeAlias = Any
Body: TypeAlias = Callable[[Node], Coroutine[Any, Any, Answer]]
Expected: TypeAlias = Callable[[int, int], Answer]
CASES: dict[str, Case] = {}
DTYPES = ("float64", "float32")
PAUSE = 0.002  # seconds
GO, STOP, NEWS, OTHER = Tag("go", 1), Tag("stop", 1), Tag("news"), Tag("other")


class Case(NamedTuple):
    """A program, and what it answers on a rank of so many."""

    body: Body
    expected: Expected

    @property
    def program(self) -> Program:
        async def run(node: Node, state: State) -> State:
            return State(0, {}, {"answer": await self.body(node)})

        return run


def answers(expected: Expected) -> Callable[[Body], Body]:
    """Registers a program under its name."""

    def register(body: Body) -> Body:
        CASES[body.__name__.replace("_", " ")] = Case(body, expected)
        return body

    return register


class Tally:
    """Work that only counts: rows, and the calls they came in; each call lasts `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.rows, self.calls, self.seconds = 0, 0, seconds

    def __call__(self, rows: int) -> None:
        self.rows, self.calls = self.rows + rows, self.calls + 1
        time.sleep(self.seconds)


# Compute


@answers(lambda rank, ranks: [2500, 2500])
async def compute_goes_through_all_rows(node: Node) -> Answer:
    work = Tally()
    return [await Compute(work, 2500), work.rows]


@answers(lambda rank, ranks: [0, 0, 0])
async def compute_of_no_rows_does_not_call_the_work(node: Node) -> Answer:
    work = Tally()
    return [await Compute(work, 0), await Compute(work, 0, draw="task"), work.calls]


@answers(lambda rank, ranks: [True, True, True, True])
async def compute_ends_at_its_deadline(node: Node) -> Answer:
    work, patience, done = Tally(seconds=0.001), 0.02, 0
    while not done:  # a busy machine may let a thread wait until a near deadline has passed
        patience, deadline = 4.0 * patience, node.now() + patience
        done = await Compute(work, 10**9, deadline=deadline)
    return [0 < done < 10**9, done == work.rows, node.now() >= deadline, patience < 100.0]


@answers(lambda rank, ranks: 0)
async def compute_does_nothing_past_its_deadline(node: Node) -> Answer:
    await Compute(Tally(seconds=0.001), 1000)
    return await Compute(Tally(), 1000, deadline=node.now())


@answers(lambda rank, ranks: [True, 0, ["stop", 1]] if rank else [True, ranks - 1])
async def compute_ends_when_its_mail_is_there_and_leaves_it_in_the_box(node: Node) -> Answer:
    if node.rank == 0:
        for rank in node.others:
            await Recv(GO, source=rank)
        for rank in node.others:
            await Send(rank, STOP)
        return [True, len(node.others)]
    await Send(0, GO)
    done = await Compute(Tally(seconds=0.001), 10**9, stop_on=STOP)
    mail = await Recv(None)
    assert mail is not None
    return [0 <= done < 10**9, mail.source, list(mail.tag)]


@answers(lambda rank, ranks: [0, 3000] if rank else None)
async def compute_ends_at_once_on_mail_that_came_before_it_but_not_on_other_mail(node: Node) -> Answer:
    if node.rank == 0:
        for rank in node.others:
            await Send(rank, STOP)
            await Send(rank, GO)
        return None
    await Recv(GO)  # mail between two ranks keeps its order, so the other is there too
    stopped = await Compute(Tally(), 3000, stop_on=STOP)
    unmoved = await Compute(Tally(), 3000, stop_on=Tag("stop", 2))
    await Recv(STOP)
    return [stopped, unmoved]


@answers(lambda rank, ranks: ["found", 1, True])
async def judging_is_done_once_and_takes_time(node: Node) -> Answer:
    calls, before = list[int](), node.now()

    def judge() -> str:
        calls.append(1)
        return "found"

    return [await judged(judge, 25_000), len(calls), node.now() > before]


async def judging(node: Node, state: State) -> State:
    """Judges models on and off the clock, between training rows."""
    await Compute(Tally(), 100)
    await judged(partial(time.sleep, PAUSE), 300)
    await OffClock(partial(judged, partial(time.sleep, 20.0 * PAUSE), 300))
    await Compute(Tally(), 100)
    return state


def check_accounts_of_judging(totals: list[dict[str, Any]]) -> None:
    """It is compute without training rows, and off the clock nothing."""
    for event in totals:
        assert event["rows"] == 200
        assert 0.0 < event["judging"] <= event["compute"] <= event["seconds"]


# AllReduce


def part_of(rank: int, dtype: str = "float64", length: int = 23) -> np.ndarray[Any, Any]:
    """Numbers of very different sizes, whose sum depends on the order it is added in."""
    generator = np.random.default_rng(100 + rank)
    return (generator.standard_normal(length) * 10.0 ** generator.integers(-6, 6, length)).astype(dtype)


def sum_in_rank_order(members: Any, dtype: str = "float64", length: int = 23) -> list[float]:
    """The weighted sum, added one rank after the other in the vector's own precision."""
    total = np.zeros(length, dtype)
    for number, rank in enumerate(members):
        weighted = part_of(rank, dtype, length) * np.asarray(weight_of(rank), dtype)
        total = weighted if number == 0 else total + weighted
    return [float(value) for value in total]


def weight_of(rank: int) -> float:
    return 0.3 + rank / 7.0


async def reduced(node: Node, **settings: Any) -> list[float]:
    buffer = part_of(node.rank, settings.pop("dtype", "float64"), settings.pop("length", 23))
    await AllReduce(buffer, **settings)
    return [float(value) for value in buffer]


@answers(lambda rank, ranks: sum_in_rank_order(range(ranks)))
async def allreduce_adds_in_rank_order_with_weights(node: Node) -> Answer:
    return await reduced(node, weight=weight_of(node.rank))


@answers(lambda rank, ranks: sum_in_rank_order(range(ranks), "float32"))
async def allreduce_adds_float32_as_float32(node: Node) -> Answer:
    return await reduced(node, weight=weight_of(node.rank), dtype="float32")


@answers(lambda rank, ranks: [sum_in_rank_order(range(ranks), length=n) for n in (0, 1, 2, 1000)])
async def allreduce_takes_any_length(node: Node) -> Answer:
    return [await reduced(node, weight=weight_of(node.rank), length=n) for n in (0, 1, 2, 1000)]


@answers(lambda rank, ranks: np.max([part_of(r) for r in range(ranks)], axis=0).tolist())
async def allreduce_finds_the_largest(node: Node) -> Answer:
    return await reduced(node, op="max", weight=5.0)  # which weights do not touch


@answers(lambda rank, ranks: np.min([part_of(r) for r in range(ranks)], axis=0).tolist())
async def allreduce_finds_the_smallest(node: Node) -> Answer:
    return await reduced(node, op="min")


@answers(lambda rank, ranks: [float(sum(range(1, ranks)))] * 3)
async def allreduce_with_weight_0_drops_what_is_not_finite(node: Node) -> Answer:
    buffer = np.array([nan, inf, -inf]) if node.rank == 0 else np.full(3, float(node.rank))
    await AllReduce(buffer, weight=float(node.rank > 0))
    return buffer.tolist()


def half_of(rank: int, ranks: int) -> tuple[int, ...]:
    return tuple(range(rank % 2, ranks, 2))


@answers(lambda rank, ranks: [sum_in_rank_order(half_of(rank, ranks)), sum_in_rank_order(range(ranks))])
async def allreduce_in_groups_leaves_the_others_alone(node: Node) -> Answer:
    half = Group(half_of(node.rank, len(node.ranks)))
    weight = weight_of(node.rank)
    return [await reduced(node, weight=weight, group=half), await reduced(node, weight=weight)]


# AllGather and Broadcast


@answers(lambda rank, ranks: [[r, ["value", r, r / 3]] for r in range(ranks)])
async def allgather_is_keyed_by_rank_in_ascending_order(node: Node) -> Answer:
    values = await AllGather(["value", node.rank, node.rank / 3])
    return [[rank, value] for rank, value in values.items()]


@answers(lambda rank, ranks: [[r, "x" * r] for r in half_of(rank, ranks)])
async def allgather_in_a_group_keeps_the_original_ranks(node: Node) -> Answer:
    half = Group(half_of(node.rank, len(node.ranks)))
    return [[rank, value] for rank, value in (await AllGather("x" * node.rank, group=half)).items()]


@answers(
    lambda rank, ranks: [
        [r, list(range(r)), part_of(r, kind, length=r).tolist(), ["int32", kind]]
        for kind in DTYPES
        for r in range(ranks)
    ]
)
async def allgather_of_pairs_has_another_length_of_every_rank(node: Node) -> Answer:
    found = []
    for kind in DTYPES:
        mine = Sparse(np.arange(node.rank, dtype=np.int32), part_of(node.rank, kind, length=node.rank))
        for rank, (indices, values) in (await AllGather(mine)).items():
            kinds = [indices.dtype.name, values.dtype.name]
            found.append([rank, indices.tolist(), values.tolist(), kinds])
    return found


@answers(lambda rank, ranks: [[r, [7] * 50_000, [r / 3] * 50_000] for r in half_of(rank, ranks)])
async def allgather_of_pairs_in_a_group_lets_a_rank_change_its_arrays_at_once(node: Node) -> Answer:
    half = Group(half_of(node.rank, len(node.ranks)))
    mine = Sparse(np.full(50_000, 7), np.full(50_000, node.rank / 3))
    gathered = await AllGather(mine, group=half)
    mine.indices[:] = mine.values[:] = -1
    await AllGather(0)
    return [[rank, pairs.indices.tolist(), pairs.values.tolist()] for rank, pairs in gathered.items()]


@answers(lambda rank, ranks: [part_of(1).tolist(), part_of(ranks - 1, "float32").tolist()])
async def broadcast_gives_all_the_buffer_of_the_root(node: Node) -> Answer:
    buffer, small = part_of(node.rank), part_of(node.rank, "float32")
    await Broadcast(buffer, root=1)
    await Broadcast(small, root=node.ranks[-1])
    return [buffer.tolist(), small.tolist()]


@answers(lambda rank, ranks: part_of(half_of(rank, ranks)[-1]).tolist())
async def broadcast_in_a_group_counts_its_root_in_original_ranks(node: Node) -> Answer:
    buffer, half = part_of(node.rank), half_of(node.rank, len(node.ranks))
    await Broadcast(buffer, root=half[-1], group=Group(half))
    return buffer.tolist()


# Send and Recv


def ring(node: Node) -> tuple[int, int]:
    """The ranks after and before this one."""
    ranks = len(node.ranks)
    return (node.rank + 1) % ranks, (node.rank - 1) % ranks


@answers(lambda rank, ranks: [(rank - 1) % ranks, ["news", 0], [3, 0.25], None])
async def mail_may_be_a_head_alone(node: Node) -> Answer:
    after, _ = ring(node)
    await Send(after, NEWS, head=(3, 0.25))
    mail = await Recv(NEWS)
    assert mail is not None
    return [mail.source, list(mail.tag), list(mail.head), mail.body]


@answers(lambda rank, ranks: [[part_of((rank - 1) % ranks, kind).tolist(), kind] for kind in DTYPES])
async def dense_bodies_arrive_as_they_were_sent(node: Node) -> Answer:
    after, before = ring(node)
    received = []
    for dtype in DTYPES:
        await Send(after, NEWS, body=part_of(node.rank, dtype))
        mail = await Recv(NEWS, source=before)
        assert mail is not None
        assert isinstance(mail.body, np.ndarray)
        received.append([mail.body.tolist(), mail.body.dtype.name])
    return received


@answers(
    lambda rank, ranks: [
        [[1, 5, (rank - 1) % ranks], kind, [0.5, -2.0, 1e-3], "float64"] for kind in ("int32", "int64")
    ]
)
async def sparse_bodies_arrive_as_they_were_sent(node: Node) -> Answer:
    after, _ = ring(node)
    received = []
    for kind in (np.int32, np.int64):
        body = Sparse(np.array([1, 5, node.rank], kind), np.array([0.5, -2.0, 1e-3]))
        await Send(after, NEWS, body=body)
        mail = await Recv(NEWS)
        assert mail is not None
        assert isinstance(mail.body, Sparse)
        indices, values = mail.body
        received.append([indices.tolist(), indices.dtype.name, values.tolist(), values.dtype.name])
    return received


@answers(lambda rank, ranks: [part_of((rank - 1) % ranks).tolist(), True])
async def a_body_is_put_where_the_receiver_wants_it(node: Node) -> Answer:
    after, _ = ring(node)
    await Send(after, NEWS, body=part_of(node.rank))
    mine = np.zeros(23)
    mail = await Recv(NEWS, into=mine)
    assert mail is not None
    return [mine.tolist(), mail.body is mine]


@answers(lambda rank, ranks: [(rank - 1) % ranks + 1.0] * 4 + [50_000.0])
async def a_sender_may_change_its_arrays_at_once(node: Node) -> Answer:
    after, _ = ring(node)
    body, sparse = np.full(50_000, node.rank + 1.0), Sparse(np.arange(2), np.full(2, node.rank + 1.0))
    await Send(after, NEWS, body=body)
    await Send(after, OTHER, body=sparse)
    body[:] = -1.0
    sparse.values[:] = -1.0
    dense, pairs = await Recv(NEWS), await Recv(OTHER)
    assert dense is not None
    assert pairs is not None
    assert isinstance(dense.body, np.ndarray)
    assert isinstance(pairs.body, Sparse)
    ends = [float(dense.body.min()), float(dense.body.max())]
    return [*ends, *pairs.body.values.tolist(), float(len(dense.body))]


@answers(lambda rank, ranks: [float((rank - 1) % ranks)] * 3)
async def a_read_only_body_arrives_too(node: Node) -> Answer:
    after, _ = ring(node)
    body = np.full(3, float(node.rank))
    body.flags.writeable = False
    await Send(after, NEWS, body=body)
    mail = await Recv(NEWS)
    assert mail is not None
    assert isinstance(mail.body, np.ndarray)
    return mail.body.tolist()


@answers(lambda rank, ranks: list(range(20)))
async def mail_between_two_ranks_keeps_its_order(node: Node) -> Answer:
    after, before = ring(node)
    for number in range(20):
        size = 40_000 if number % 3 == 0 else 2  # large messages take another way than small ones
        await Send(after, NEWS, head=(number,), body=np.zeros(size) if number % 2 else None)
    received = []
    for _ in range(20):
        mail = await Recv(NEWS, source=before)
        assert mail is not None
        received.append(mail.head[0])
    return received


@answers(lambda rank, ranks: list(range(1, ranks))[::-1] if rank == 0 else None)
async def mail_is_chosen_by_its_source(node: Node) -> Answer:
    if node.rank:
        await Send(0, NEWS, head=(node.rank,))
        return None
    return [(await Recv(NEWS, source=rank)).source for rank in reversed(node.others)]  # type: ignore[union-attr]


@answers(lambda rank, ranks: ["other", "news 2", "news 1", "first", "second"])
async def mail_is_chosen_by_its_tag_and_earliest_first(node: Node) -> Answer:
    after, _ = ring(node)
    first, second = Tag("first"), Tag("second")
    for tag in (Tag("news", 1), Tag("news", 2), first, OTHER, second):
        await Send(after, tag)
    chosen = [await Recv(OTHER), await Recv(Tag("news", 2)), await Recv(Tag("news", 1))]
    chosen += [await Recv(None), await Recv(None)]
    return [f"{mail.tag.kind} {mail.tag.round or ''}".strip() for mail in chosen if mail]


@answers(lambda rank, ranks: [(rank - 1) % ranks, rank])
async def a_rank_may_write_to_itself(node: Node) -> Answer:
    after, _ = ring(node)
    await Send(after, NEWS)
    await Send(node.rank, OTHER)
    return [(await Recv(NEWS)).source, (await Recv(OTHER)).source]  # type: ignore[union-attr]


@answers(lambda rank, ranks: [True, True, True])
async def recv_gives_up_at_its_deadline(node: Node) -> Answer:
    deadline = node.now() + 0.02
    mail = await Recv(NEWS, deadline=deadline)
    again = await Recv(NEWS, deadline=node.now())
    return [mail is None, again is None, deadline <= node.now() < deadline + 2.0]


@answers(lambda rank, ranks: (rank - 1) % ranks)
async def recv_takes_mail_that_comes_before_its_deadline(node: Node) -> Answer:
    after, _ = ring(node)
    await Send(after, NEWS)
    mail = await Recv(NEWS, deadline=node.now() + 30.0)
    assert mail is not None
    return mail.source


# Boundary and OffClock


@answers(lambda rank, ranks: ["go", "go"])
async def a_boundary_of_a_group_leaves_the_others_alone(node: Node) -> Answer:
    half = Group(half_of(node.rank, len(node.ranks)))
    # the halves meet at boundaries of different rounds
    rounds = (node.rank % 2, 2 + node.rank % 2)
    return [(await Boundary(round, State, group=half)).value for round in rounds]


@answers(lambda rank, ranks: [sum_in_rank_order(half_of(rank, ranks)), True, True])
async def a_look_of_a_group_leaves_the_others_alone(node: Node) -> Answer:
    half = Group(half_of(node.rank, len(node.ranks)))
    before = node.now()
    clocks: list[float] = []

    async def look() -> list[float]:
        clocks.append(node.now())
        return await reduced(node, weight=weight_of(node.rank), group=half)

    summed = await OffClock(look, group=half)
    return [summed, clocks[0] >= before, node.now() >= clocks[0]]


@answers(lambda rank, ranks: ["go", "go"])
async def a_boundary_without_signals_goes_on(node: Node) -> Answer:
    def unwanted() -> State:
        raise AssertionError("no checkpoint is due")

    return [(await Boundary(round, unwanted)).value for round in (1, 2)]


@answers(lambda rank, ranks: [float(sum(range(ranks))), list(range(ranks)), True, True])
async def clocks_stand_still_during_a_look_which_may_communicate(node: Node) -> Answer:
    times = []
    begin = time.perf_counter()

    async def look() -> Answer:
        times.append(node.now())
        time.sleep(0.3)
        buffer = np.array([float(node.rank)])
        await AllReduce(buffer)
        gathered = await AllGather(node.rank)
        await Compute(Tally(), 10)
        times.append(node.now())
        return [float(buffer[0]), list(gathered)]

    answer = await OffClock(look)
    moved, lasted = node.now() - times[1], time.perf_counter() - begin
    return [*answer, times[0] == times[1], 0.0 <= moved <= lasted - 0.3]


@answers(lambda rank, ranks: [[rank, "inner"], True])
async def a_look_inside_a_look_leaves_the_clock_stopped(node: Node) -> Answer:
    async def inner() -> Answer:
        return [node.rank, "inner"]

    async def outer() -> Answer:
        before = node.now()
        answer = await OffClock(inner)
        time.sleep(0.005)
        return [answer, node.now() == before]

    return await OffClock(outer)


@answers(lambda rank, ranks: (rank - 1) % ranks)
async def mail_may_be_sent_and_received_during_a_look(node: Node) -> Answer:
    async def look() -> Answer:
        await Send(ring(node)[0], NEWS)
        return (await Recv(NEWS)).source  # type: ignore[union-attr]

    return await OffClock(look)


@answers(lambda rank, ranks: [True, True])
async def a_deadline_is_shifted_by_a_look_before_it(node: Node) -> Answer:
    async def look() -> None:
        time.sleep(0.8)

    begin, before = time.perf_counter(), node.now()
    await Compute(Tally(seconds=0.1), 1000)
    await OffClock(look)
    moved, lasted = node.now() - before, time.perf_counter() - begin
    deadline = node.now() + 0.01
    await Compute(Tally(seconds=0.001), 10**9, deadline=deadline)
    return [moved <= lasted - 0.8, deadline <= node.now()]


async def regrouping(node: Node, state: State) -> State:
    """What no runtime here supports."""
    await Regroup()
    return state


def expected(name: str, ranks: int) -> list[Answer]:
    """What the ranks must answer, in rank order."""
    return [CASES[name].expected(rank, ranks) for rank in range(ranks)]
