"""What a run shows while it runs, on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Literal, Protocol, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.table import Table

from wpsgd.trace import Event

Style: TypeAlias = Literal["auto", "live", "plain", "none"]
STDERR = 2
STYLES: tuple[Style, ...] = ("auto", "live", "plain", "none")


class Progress(Protocol):
    """Told of a run as it goes on. `said` is a line for the reader."""

    def say(self, said: str) -> None: ...
    def start(self, label: str, rounds: int) -> None: ...
    def event(self, event: Event) -> None: ...
    def stopping(self, why: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Shows nothing: ranks other than the first."""

    def say(self, said: str) -> None:
        """Nothing is said."""

    def start(self, label: str, rounds: int) -> None:
        """Nothing is shown."""

    def event(self, event: Event) -> None:
        """Nothing is shown."""

    def stopping(self, why: str) -> None:
        """Nothing is said."""

    def close(self) -> None:
        """Nothing is open."""


class Plain(Silent):
    """A line for each look, at most one a second."""

    def __init__(self) -> None:
        self.label, self.rounds, self.last = "", 0, 0.0
        self.counts: list[int] = []

    def say(self, said: str) -> None:
        print(said, file=sys.stderr, flush=True)

    def start(self, label: str, rounds: int) -> None:
        self.label, self.rounds, self.last = label, rounds, 0.0

    def event(self, event: Event) -> None:
        if event["kind"] == "round":
            self.counts = event["counts"]
        if event["kind"] != "look":
            return
        final = event["round"] >= self.rounds
        if final or time.monotonic() - self.last >= 1.0:
            self.last = time.monotonic()
            self.say(f"{self.label}: {outline(event, self.rounds)}")

    def stopping(self, why: str) -> None:
        # called by a signal's handler, which may interrupt a print: not through Python's buffers
        os.write(STDERR, f"{why}\n".encode())


class LiveTable(Silent):
    """One row a strategy, refreshed as looks come in."""

    def __init__(self) -> None:
        console = Console(stderr=True, force_terminal=True)
        self.rows: dict[str, tuple[str, ...]] = {}
        self.label, self.rounds, self.counts, self.why = "", 0, "", ""
        self.live = Live(console=console, refresh_per_second=8, get_renderable=self.table)

    def say(self, said: str) -> None:
        self.live.console.print(said, highlight=False, markup=False)

    def start(self, label: str, rounds: int) -> None:
        self.label, self.rounds, self.counts = label, rounds, ""
        self.rows[label] = ("starting", "", "", "", "", "")
        self.live.start()

    def event(self, event: Event) -> None:
        if event["kind"] == "round":
            self.counts = " ".join(f"{count:,}" for count in event["counts"])
        elif event["kind"] == "look":
            accuracy = "" if event["accuracy"] is None else f"{100 * event['accuracy']:.2f} %"
            progress = f"{event['round']:,g} / {self.rounds:,}"
            numbers = (f"{event['seconds']:.2f}", f"{event['rows']:,}", f"{event['objective']:.5f}")
            self.rows[self.label] = (progress, *numbers, accuracy, self.counts)

    def stopping(self, why: str) -> None:
        self.why = why  # shown when the table is next refreshed

    def close(self) -> None:
        if self.live.is_started:
            self.live.stop()
            self.live.console.print()  # results follow

    def table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), caption=self.why or None)
        table.caption_justify = "left"
        table.add_column("strategy", no_wrap=True)
        for column in ("round", "seconds", "rows", "objective", "accuracy", "rows of each rank, last round"):
            table.add_column(column, justify="right")
        for label, cells in list(self.rows.items()):  # drawn by a thread of its own
            table.add_row(label, *cells)
        return table


def outline(event: Event, rounds: int) -> str:
    """A look in one line."""
    accuracy = "" if event["accuracy"] is None else f", accuracy {100 * event['accuracy']:.2f} %"
    return (
        f"round {event['round']:,g} of {rounds:,}, {event['rows']:,} rows, {event['seconds']:.2f} s,"
        f" objective {event['objective']:.5f}{accuracy}"
    )


def make_progress(style: Style, *, first: bool) -> Progress:
    """The progress display of this rank."""
    if not first or style == "none":
        return Silent()
    if style == "live" or (style == "auto" and sys.stderr.isatty()):
        return LiveTable()
    return Plain()
