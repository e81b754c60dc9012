"""Each competitor at its best: of the settings tried that reach a target the quickest, before any clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from experiments.bench.peers import Knob

PATIENCE = 40.0  # seconds of one fit beyond which nothing longer is tried
PROMPT = 2.0  # seconds of the closest fit beyond which a default that may be closer still is not tried
FINE = 1.1  # a bisection ends when its bounds are closer than this factor
FURTHER = 3  # rungs beyond the first that reaches a target: a closer goal may end a solver in fewer checks


@dataclass
class Tried:
    """A knob's fits so far: setting to (objective, seconds)."""

    knob: Knob
    judge: Callable[[Any], float]
    known: dict[int, tuple[float, float]] = field(default_factory=dict)

    def objective(self, setting: int) -> float:
        """At a setting, from a fit now unless it was made before."""
        if setting not in self.known:
            started = time.perf_counter()
            weights = self.knob.fit(setting)
            self.known[setting] = (0.0, time.perf_counter() - started)
            self.known[setting] = (self.judge(weights), self.known[setting][1])
        return self.known[setting][0]

    def seconds(self, setting: int) -> float:
        return self.known[setting][1]

    @property
    def nearest(self) -> float:
        """The lowest objective so far."""
        return min((objective for objective, _ in self.known.values()), default=math.inf)

    def soonest(self, target: float) -> int | None:
        """The quickest of all settings tried whose objective is at most `target`, the default among them.

        A tolerance is followed by some closer ones. None as `smallest`.
        """
        first = self.smallest(target)
        if first is None:
            return None
        if not self.knob.bisect:
            start = self.knob.ladder.index(first)
            for setting in self.knob.ladder[start : start + 1 + FURTHER]:
                self.objective(setting)
                if self.seconds(setting) > PATIENCE:
                    break
        default = self.knob.default
        if default is not None and self.seconds(max(self.known)) <= PROMPT:
            self.objective(default)
        reached = [setting for setting, (objective, _) in self.known.items() if objective <= target]
        return min(reached, key=self.seconds)

    def smallest(self, target: float) -> int | None:
        """The smallest setting whose objective is at most `target`, None where patience ends before."""
        below = 0
        for setting in self.knob.ladder:
            if self.objective(setting) <= target:
                return self._between(below, setting, target) if self.knob.bisect else setting
            if self.seconds(setting) > PATIENCE:
                return None
            below = setting
        return None

    def _between(self, below: int, enough: int, target: float) -> int:
        """Bisects: `below` is too little (0: nothing is known), `enough` is enough."""
        while enough - below > 1 and enough > FINE * below:
            middle = (below + enough) // 2
            if self.objective(middle) <= target:
                enough = middle
            else:
                below = middle
        return enough


def best(tried: Iterable[Tried], target: float) -> tuple[Tried, int] | None:
    """The knob and the setting that reach `target` soonest."""
    reached = [(one, setting) for one in tried if (setting := one.soonest(target)) is not None]
    return min(reached, key=lambda pair: pair[0].seconds(pair[1]), default=None)
