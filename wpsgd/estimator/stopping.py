"""When a strategy's run ends before its last round: tolerance, validation rows, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from wpsgd.checkpoint import Keeper
from wpsgd.requests import State
from wpsgd.trace import Event

LONGEST = 3  # times its patience for which a run waits for a good end of a pass


@dataclass(eq=False)
class Stopper(Keeper):
    """Watches a run's looks, and stops it once `patience` of them in a row were no better by `tol`.

    Better is a smaller objective or, with `validated`, a larger accuracy on validation rows. The objective is
    that of a whole pass of SGD, where looks tell it, as SGDClassifier compares it: ends of passes vary more
    from one to the next than there is to gain, and the luckiest would soon be the last. Then the run still
    goes on to an end that is the best of the last `patience`, or as many looks again as it waits at most.
    tol: None for never; deadline: on `time.perf_counter`'s clock; tell: gets a line for each look, or None
    It never saves. Under MPI only the first rank sees looks, and one rank's wish stops all.
    """

    tol: float | None
    patience: int
    validated: bool = False
    deadline: float = inf
    tell: Callable[[str], None] | None = None
    settled: bool = False
    late: bool = False
    _best: float = inf
    _misses: int = field(default=0)
    _ends: list[float] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        """Takes note of an event of the first rank."""
        if event["kind"] != "look":
            return
        if self.tell is not None:
            accuracy = event["accuracy"]
            judged = "" if accuracy is None else f", accuracy {accuracy:.4f}"
            passed = event.get("pass_objective")
            whole = "" if passed is None else f", of the whole pass {passed:.6g}"
            self.tell(f"pass {event['round']:g}: objective {event['objective']:.6g}{whole}{judged}")
        if self.tol is None:
            return
        value, of_pass = event["objective"], event.get("pass_objective")
        if self.validated:
            value = -event["accuracy"]
        elif of_pass is not None:
            value = of_pass
        self._misses = 0 if value < self._best - self.tol else self._misses + 1
        self._best = min(self._best, value)
        self._ends = [*self._ends, event["objective"]][-self.patience :]
        good = self.validated or of_pass is None or self._ends[-1] <= min(self._ends)
        self.settled = self._misses >= (self.patience if good else LONGEST * self.patience)

    def wants_stop(self) -> bool:
        self.late = time.perf_counter() >= self.deadline
        return self.settled or self.late

    def go_on(self) -> None:
        """Begins to count anew, with the best value there was."""
        self.settled, self._misses = False, 0


@dataclass(eq=False)
class Stage(Keeper):
    """Stops where `stopper` wants to, and keeps the states of all ranks for the next stage to begin with.

    begun: the states that this stage begins with, empty for the first
    """

    stopper: Stopper
    begun: Mapping[int, State] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)

    def wants_stop(self) -> bool:
        return self.stopper.wants_stop()

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        self.states[rank] = state
        return {}


@dataclass(eq=False)
class Stoppers(Keeper):
    """Watches a run of several models by a `Stopper` each, and stops it once any of them wants to.

    looks: of each model, as its own run would have told them
    states: by rank, kept in memory where the run stops, for the others to go on from
    """

    each: Sequence[Stopper]
    looks: Sequence[list[Event]]
    states: dict[int, State] = field(default_factory=dict)

    @property
    def settled(self) -> list[bool]:
        """Which models have met their tolerance."""
        return [stopper.settled for stopper in self.each]

    @property
    def late(self) -> bool:
        """Whether time was up at the last boundary."""
        return any(stopper.late for stopper in self.each)

    def observe(self, event: Event) -> None:
        """Takes note of an event of the first rank."""
        if event["kind"] != "look":
            return
        common = {name: value for name, value in event.items() if name != "each"}
        for stopper, looks, score in zip(self.each, self.looks, event["each"], strict=True):
            looks.append(common | score)
            stopper.observe(looks[-1])

    def wants_stop(self) -> bool:
        return any(stopper.wants_stop() for stopper in self.each)

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        self.states[rank] = state
        return {}


class Certified(Stopper):
    """Stops a run whose rounds tell their duality gap once that is `tol` at most."""

    def observe(self, event: Event) -> None:
        """Takes note of an event of the first rank."""
        if event["kind"] != "round":
            return
        if self.tell is not None:
            self.tell(f"pass {event['round']}: objective {event['objective']:.6g}, gap {event['gap']:.3g}")
        self.settled = self.tol is not None and event["gap"] <= self.tol
