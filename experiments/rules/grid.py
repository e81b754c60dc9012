"""What the study of the rules varies: problems, speeds of nodes, how rows are dealt, rows, rounds, rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.load import Dataset, load
from wpsgd.data.rows import Rows
from wpsgd.data.shards import SKEW, label_skew, replica, shuffled
from wpsgd.kernels.stepsize import StepSize
from wpsgd.reducers import RULES, Rule, fednova_with, wp_with

ALPHA, ETA = 1e-4, 1.0
EXPONENTS = (0.05, 0.3, 1.0, 3.0, 6.0, 10.0)  # eta lambda T
DECAYING = (1e4, 1e5)  # rows T of the fastest node under the decaying schedule "optimal"
ROUNDS = {"one shot": 1, "20 rounds": 20}
SPEEDS: Mapping[str, tuple[float, ...]] = {
    "table 1": (1.0, 0.85, 0.85, 0.7, 0.7, 0.7, 0.55, 0.55),
    "strong": (1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.1, 0.1),
    "one slow": (1.0,) * 7 + (0.05,),
}
DEALT = ("at random", "by label", "replica")
COMPARED: Mapping[str, Rule] = {
    **RULES,
    "wp R^3": wp_with("R^3"),
    "wp validated": wp_with("validated"),
    "fednova max": fednova_with("max"),
    "fastest alone": wp_with("R^1e9"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A problem on a cluster. schedule: of the step sizes; x: eta lambda T, or T where they decay."""

    data: str
    speeds: str
    dealt: str
    rounds: str
    schedule: str
    x: float
    seed: int

    @property
    def step(self) -> StepSize:
        """The step sizes."""
        return StepSize("constant", ALPHA, ETA) if self.schedule == "constant" else StepSize("optimal", ALPHA)

    def counts(self) -> tuple[tuple[int, ...], ...]:
        """Rows of each node in each round; a node applies one at least."""
        rows = self.x / (ALPHA * ETA) if self.schedule == "constant" else self.x
        period = rows / ROUNDS[self.rounds]
        return (tuple(max(1, round(speed * period)) for speed in SPEEDS[self.speeds]),) * ROUNDS[self.rounds]


def cases(data: tuple[str, ...], seeds: int) -> list[Case]:
    """All of them, those of one data set after one another."""
    lengths = [("constant", x) for x in EXPONENTS] + [("optimal", rows) for rows in DECAYING]
    places = product(data, range(seeds), SPEEDS, DEALT, ROUNDS, lengths)
    return [
        Case(name, speeds, dealt, rounds, *length, seed)
        for name, seed, speeds, dealt, rounds, length in places
    ]


@lru_cache(maxsize=1)
def problem(name: str, folder: Path | None, seed: int) -> Dataset:
    """The data set of that name: a twin, or real data of a folder. Raises DataError where it is not there."""
    common: dict[str, Any] = {"unit_norm": True, "seed": seed}
    if name == "real-sim-twin":
        return load(name, scale=0.3, test=0.2, **common)
    assert folder is not None
    if name == "reuters":
        return load(folder / "reuters.bz2", test=folder / "reuters.t.bz2", **common)
    return load(folder / f"{name}.bz2", test=0.2, positive=tuple(range(1, 11)), **common)


def dealt(case: Case, rows: Rows) -> list[NDArray[np.int64]]:
    """The row numbers of each node."""
    nodes = len(SPEEDS[case.speeds])
    if case.dealt == "replica":
        return replica(len(rows), nodes)
    if case.dealt == "at random":
        return shuffled(len(rows), nodes, case.seed)
    return label_skew(np.sign(rows.labels), nodes, case.seed, SKEW)
