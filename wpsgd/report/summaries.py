"""What each strategy of a trace came to: one value per strategy, one per rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from wpsgd.errors import ConfigError
from wpsgd.trace import Event

MARGIN = 0.01  # without a target: this close to the best end objective
AS_RUN = "as run"  # the combination that a run went on from, among those of other rules
UNNAMED = "run"  # a trace of one strategy need not name it


@dataclass(frozen=True, slots=True)
class RankSummary:
    """One rank's whole run. Seconds, rows and bytes; `speed` is the emulated one, None where the real one."""

    rank: int
    host: str
    speed: float | None
    rows: int
    compute: float
    wait: float
    communication: float
    bytes: int
    cpu: float
    rows_per_second: float | None  # of training, a part of compute; None where no rows were done

    @property
    def seconds(self) -> float:
        """Seconds accounted for."""
        return self.compute + self.wait + self.communication


@dataclass(frozen=True, slots=True)
class Summary:
    """One strategy's whole run; None stands for what the trace does not tell.

    seconds: of the rank that took longest
    target, target_seconds: the objective aimed at; seconds of the first look at or below it
    objective, test_objective, accuracy: of the last look
    rows, total_rows: of the rank that did most; of all ranks
    weights, effective_nodes: of the last round; 1 / sum of squared weights
    abandoned: rows that range checks abandoned, of all ranks
    counterfactual: what each rule would have given at the last look that asked
    waiting_share: waiting, of the seconds of all ranks
    slowest_rank: fewest rows per second of training among the ranks that did any
    waited: node-seconds that the other ranks spent waiting
    """

    name: str
    seconds: float | None
    target: float | None
    target_seconds: float | None
    objective: float | None
    test_objective: float | None
    accuracy: float | None
    rows: int
    total_rows: int
    per_rank: tuple[RankSummary, ...]
    weights: tuple[float, ...] | None
    effective_nodes: float | None
    waiting_share: float | None
    slowest_rank: int | None
    waited: float
    abandoned: int | None = None
    counterfactual: tuple[Event, ...] = ()


def by_strategy(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each strategy, strategies in order of first appearance; headers are left out."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        if event["kind"] != "header":
            groups.setdefault(event.get("strategy", UNNAMED), []).append(event)
    return groups


def of_kind(events: Iterable[Event], kind: str) -> list[Event]:
    """The events of one kind, in order."""
    return [event for event in events if event["kind"] == kind]


def is_number(value: Any) -> bool:
    """Whether a field of an event holds a finite number."""
    return isinstance(value, int | float) and isfinite(value)


def first_at(looks: Iterable[Event], target: float | None) -> Event | None:
    """The first look with an objective at or below the target: nothing is read between looks."""
    if target is None:
        return None
    return next(
        (look for look in looks if is_number(look["objective"]) and look["objective"] <= target), None
    )


def summarise(events: Iterable[Event], *, target: float | None = None) -> list[Summary]:
    """One summary per strategy, in order of first appearance.

    target: an objective; None for 1 % above the best end objective of the strategies in `events`.
    Raises ConfigError where the target is not a finite number.
    """
    if target is not None and not isfinite(target):
        raise ConfigError(f"target: {target} is no objective to aim at; a finite number, or none at all")
    groups = by_strategy(events)
    if target is None:
        target = _default_target(groups.values())
    return [_summary(name, group, target) for name, group in groups.items()]


def _default_target(groups: Iterable[Sequence[Event]]) -> float | None:
    ends = [looks[-1]["objective"] for group in groups if (looks := of_kind(group, "look"))]
    finite = [end for end in ends if is_number(end)]
    return min(finite) + MARGIN * abs(min(finite)) if finite else None


def _summary(name: str, events: Sequence[Event], target: float | None) -> Summary:
    looks = of_kind(events, "look")
    last = looks[-1] if looks else {}
    reached = first_at(looks, target)
    ranks = _ranks(events)
    weights = _last_weights(events)
    slowest = slowest_of(ranks)
    return Summary(
        name=name,
        seconds=_seconds(events),
        target=target,
        target_seconds=reached["seconds"] if reached else None,
        objective=last.get("objective"),
        test_objective=last.get("test_objective"),
        accuracy=last.get("accuracy"),
        rows=max((rank.rows for rank in ranks), default=0),
        total_rows=sum(rank.rows for rank in ranks),
        per_rank=ranks,
        weights=weights,
        effective_nodes=_effective_nodes(weights),
        waiting_share=_waiting_share(ranks),
        slowest_rank=slowest.rank if slowest else None,
        waited=sum(rank.wait for rank in ranks if rank is not slowest),
        abandoned=_abandoned(events),
        counterfactual=_last_asked(events),
    )


def _ranks(events: Sequence[Event]) -> tuple[RankSummary, ...]:
    totals = {event["rank"]: event for event in of_kind(events, "totals")}
    return tuple(_rank(totals[rank]) for rank in sorted(totals))


def _rank(totals: Event) -> RankSummary:
    rows, compute = totals["rows"], totals["compute"]
    training = compute - totals.get("judging", 0.0)  # which older traces do not know
    return RankSummary(
        rank=totals["rank"],
        host=totals["host"],
        speed=totals["speed"],
        rows=rows,
        compute=compute,
        wait=totals["wait"],
        communication=totals["communication"],
        bytes=totals["bytes"],
        cpu=totals["cpu"],
        rows_per_second=rows / training if rows and training > 0 else None,
    )


def _seconds(events: Sequence[Event]) -> float | None:
    totals = of_kind(events, "totals")
    # A run that was cut short has no totals; its last round or look then says how far it came.
    timed = totals or [event for event in events if event["kind"] in ("round", "look")]
    return max((event["seconds"] for event in timed), default=None)


def _last_weights(events: Sequence[Event]) -> tuple[float, ...] | None:
    weights = [event["weights"] for event in of_kind(events, "round") if event.get("weights")]
    return tuple(weights[-1]) if weights else None


def _abandoned(events: Sequence[Event]) -> int | None:
    counted = [event["abandoned"] for event in of_kind(events, "round") if "abandoned" in event]
    return sum(counted[-1]) if counted else None


def _last_asked(events: Sequence[Event]) -> tuple[Event, ...]:
    asked = of_kind(events, "counterfactual")
    return tuple(event for event in asked if event["round"] == asked[-1]["round"])


def _effective_nodes(weights: Sequence[float] | None) -> float | None:
    squares = sum(weight * weight for weight in weights or ())
    return 1 / squares if squares > 0 and isfinite(squares) else None


def _waiting_share(ranks: Sequence[RankSummary]) -> float | None:
    seconds = sum(rank.seconds for rank in ranks)
    return sum(rank.wait for rank in ranks) / seconds if seconds > 0 else None


def ranks_of(summaries: Iterable[Summary]) -> tuple[RankSummary, ...]:
    """The ranks of a comparison, as the strategy with the most of them has them."""
    ranks: tuple[RankSummary, ...] = ()
    for summary in summaries:
        ranks = max(ranks, summary.per_rank, key=len)
    return ranks


def slowest_of(ranks: Iterable[RankSummary]) -> RankSummary | None:
    """The rank with the fewest rows per second of training; ranks that did no rows are not in the race."""
    working = [rank for rank in ranks if rank.rows_per_second is not None]
    return min(working, key=lambda rank: rank.rows_per_second or 0.0, default=None)
