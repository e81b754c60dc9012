"""Who did what, and when: one schema for all runtimes, kept as JSON lines.

A trace is a list of events, each a flat JSON object with a `kind`:

    header     format, wpsgd, data (its name), config: the first line of a file
    span       rank, activity ("compute", "wait" or "communication"), start, end, rows, bytes
    round      rank 0: round, seconds, counts (rows of each rank), weights, effective_nodes; contraction_power
               where it was validated, line_search_factor where there was one, with range checks abandoned
               (rows of each rank so far); of cocoa step, objective (of the model), dual (the best so far) and
               their gap; of admm the residuals
    look       rank 0: round, seconds, rows (of the fastest rank so far), objective, test_objective, accuracy;
               pass_objective, with each row's loss as SGD met it since the look before, in the estimator;
               relative_deviation of the ranks' models (null: not finite) where models were combined; of
               several models in one vector means, and each, a list of those of each
    counterfactual  rank 0, at looks, one for each rule and one for the run itself (rule "as run"): round,
               rows, rule; objective, test_objective, accuracy, line_search_factor,
               objective_after_line_search, effective_nodes of what it would have made of the nodes' last
               iterates ("tail": of averages of them); or left_out, the reason
    totals     rank, host, speed (emulated, or null), rows, compute, wait, communication, bytes, cpu, seconds;
               judging, the seconds of compute in which models were judged rather than trained

Seconds count from the start of the strategy on the node's own clock, which stands still during looks; cpu is
processor time, of a rank's computing and under MPI of its waiting, communication and looks too. Rows are
training rows: a span in which models were judged has none. Every event of a comparison also names its
`strategy`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from wpsgd.errors import DataError

FORMAT = 1
SPAN_LIMIT = 20_000  # per rank and strategy; the totals go on beyond it

Activity: TypeAlias = Literal["compute", "wait", "communication"]
Event: TypeAlias = dict[str, Any]
Observer: TypeAlias = Callable[[Event], None]


@dataclass(slots=True)
class Totals:
    """Sums over a rank's run. Seconds, rows and bytes."""

    rows: int = 0
    compute: float = 0.0
    wait: float = 0.0
    communication: float = 0.0
    bytes: int = 0
    cpu: float = 0.0
    judging: float = 0.0


@dataclass(slots=True)
class Recorder:
    """Collects the events of one rank; `observer` sees them as they come (not the spans)."""

    rank: int
    observer: Observer | None = None
    events: list[Event] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    spans: int = 0

    def span(
        self,
        activity: Activity,
        start: float,
        end: float,
        rows: int = 0,
        nbytes: int = 0,
        judging: bool = False,
    ) -> None:
        """Accounts for the seconds from start to end. Nothing is recorded for an empty span.

        judging: whether models were judged, so that `rows` were not trained on
        """
        totals = self.totals
        setattr(totals, activity, getattr(totals, activity) + (end - start))
        if judging:
            totals.judging += end - start
            rows = 0
        totals.rows += rows
        totals.bytes += nbytes
        if self.spans < SPAN_LIMIT and (end > start or rows or nbytes):
            self.spans += 1
            self.events.append(
                {
                    "kind": "span",
                    "rank": self.rank,
                    "activity": activity,
                    "start": start,
                    "end": end,
                    "rows": rows,
                    "bytes": nbytes,
                }
            )

    def report(self, kind: str, **fields: Any) -> None:
        """Records an event of this rank."""
        event = {"kind": kind, "rank": self.rank, **fields}
        self.events.append(event)
        if self.observer is not None:
            self.observer(event)

    def close(self, **fields: Any) -> None:
        """Records the totals, with `fields` (host, speed, seconds) beside them."""
        self.report("totals", **fields, **asdict(self.totals))


def write(path: Path, events: Iterable[Mapping[str, Any]], header: Mapping[str, Any]) -> None:
    """Writes a whole trace, atomically: a reader sees the old file or the new one."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "header", "format": FORMAT, **header}) + "\n")
        file.writelines(json.dumps(event) + "\n" for event in events)
    os.replace(part, path)


def read(path: Path) -> tuple[Event, list[Event]]:
    """The header and the events of a trace. Raises DataError where it is not one of this format."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable trace ({error})") from error
    if not lines or lines[0].get("kind") != "header":
        raise DataError(f"{path}: not a trace; the first line should be its header")
    if lines[0].get("format") != FORMAT:
        raise DataError(f"{path}: trace format {lines[0].get('format')}; this version reads format {FORMAT}")
    return lines[0], lines[1:]
