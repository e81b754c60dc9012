"""What a runtime is given to run, and what it gives back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wpsgd.checkpoint import Keeper
from wpsgd.evaluate import Scorer
from wpsgd.learners.sgd import Learner
from wpsgd.requests import Node, Program, State, Value
from wpsgd.sample import Sample
from wpsgd.trace import Event, Observer, Recorder, Totals

T = TypeVar("T")
_RUNTIME = "runtime."  # before the names of what a runtime adds to a state


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One strategy with all it needs.

    learner, scorer, state: made for each rank where that rank runs; observer: sees rank 0's events as they
    come; keeper: decides at boundaries, and saves; seed: of the nodes' own generators
    sample: rows to judge models by between rounds, the same on all nodes, or None
    """

    program: Program
    learner: Callable[[int], Learner]
    scorer: Callable[[int], Scorer | None] = lambda rank: None
    state: Callable[[int], State] = lambda rank: State()
    keeper: Keeper = field(default_factory=Keeper)
    observer: Observer | None = None
    seed: int = 0
    sample: Sample | None = None

    def node(self, rank: int, ranks: tuple[int, ...], now: Callable[[], float], recorder: Recorder) -> Node:
        """The node of one rank; kernels are compiled here, before any clock starts."""
        learner = self.learner(rank)
        learner.warm_up()
        if self.sample is not None:
            self.sample.warm_up(learner.weights)
        rng = np.random.default_rng((self.seed, rank))
        return Node(rank, ranks, learner, rng, now, recorder.report, self.scorer(rank), self.sample)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a job.

    states: final states by rank, under MPI this process's only; events: of all ranks, on the first rank,
    ordered by rank; elsewhere empty
    """

    states: Mapping[int, State]
    events: list[Event]

    @property
    def model(self) -> NDArray[np.floating[Any]]:
        """The model that all ranks hold."""
        weights = next(iter(self.states.values())).shared["weights"]
        assert isinstance(weights, np.ndarray)
        return weights


class Runtime(Protocol):
    """A place to run.

    ranks: how many; rank: this process's, 0 where one process runs them all; name: for reports
    processes: of this run on this host
    agreed(phase): its result on every process, or the lowest failing rank's error on all
    first(phase): run on rank 0 alone, the result or the error on all
    gathered(phase): the small results of all processes, in rank order, on each of them; errors as `agreed`
    collected(array): the arrays (n,) of all processes, of one dtype, behind one another on rank 0, else None
    """

    @property
    def ranks(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def processes(self) -> int: ...
    def agreed(self, phase: Callable[[], T]) -> T: ...
    def first(self, phase: Callable[[], T]) -> T: ...
    def gathered(self, phase: Callable[[], T]) -> list[T]: ...
    def collected(self, array: NDArray[Any]) -> NDArray[Any] | None: ...
    def run(self, job: Job) -> Outcome: ...


class OneProcess:
    """What the runtimes share that run all ranks in one process."""

    rank = 0
    processes = 1

    def agreed(self, phase: Callable[[], T]) -> T:
        """One process agrees with itself."""
        return phase()

    first = agreed

    def gathered(self, phase: Callable[[], T]) -> list[T]:
        """There is one."""
        return [phase()]

    def collected(self, array: NDArray[Any]) -> NDArray[Any] | None:
        """There is one."""
        return array


def saved(state: State, recorder: Recorder, seconds: float) -> State:
    """A state with what the runtime needs to go on as if it had never stopped: clock, totals and trace."""
    runtime: dict[str, Value] = {
        "seconds": seconds,
        "totals": json.dumps(asdict(recorder.totals)),
        "events": json.dumps(recorder.events),
    }
    return State(
        state.round, state.shared, {**state.own, **{_RUNTIME + key: v for key, v in runtime.items()}}
    )


def restore(state: State, recorder: Recorder) -> float:
    """Takes out of `state` what `saved` put in, fills the recorder, and gives the seconds on the clock."""
    if _RUNTIME + "seconds" not in state.own:
        return 0.0
    own = state.own
    recorder.totals = Totals(**json.loads(str(own.pop(_RUNTIME + "totals"))))
    recorder.events = json.loads(str(own.pop(_RUNTIME + "events")))
    recorder.spans = sum(event["kind"] == "span" for event in recorder.events)
    return float(own.pop(_RUNTIME + "seconds"))


class StopWatch:
    """A real clock that can stand still; `seconds` may be set before it is restarted."""

    def __init__(self) -> None:
        self.seconds, self._since = 0.0, time.perf_counter()
        self._running = True

    def read(self) -> float:
        return self.seconds + (time.perf_counter() - self._since if self._running else 0.0)

    def pause(self, paused: bool) -> None:
        self.seconds = self.read()
        self._since, self._running = time.perf_counter(), not paused

    def restart(self) -> None:
        """Forgets the time since it was made; what `seconds` was set to stays."""
        self._since = time.perf_counter()
