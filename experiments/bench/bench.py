"""A bench in progress: what was asked for, and what was found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.bench.goals import Goal
from experiments.bench.results import Figure, Measurement, Skipped, shown
from experiments.bench.timing import Times, interleaved, ratio


@dataclass
class Bench:
    """scale: small is for trying the bench; cache: folder for data and settings; say: tells the progress."""

    scale: Literal["small", "full"]
    repeats: int
    full_width: bool
    cache: Path
    say: Callable[[str], None] = print
    measurements: list[Measurement] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def time(
        self,
        task: str,
        data: str,
        case: str,
        cases: Mapping[str, Callable[[], Any]],
        *,
        parts: int = 1,
        warm: bool = True,
        repeats: int | None = None,
        about: Mapping[str, Mapping[str, Any]] | None = None,
        judges: Mapping[str, Callable[[Any], Mapping[str, Any]]] | None = None,
    ) -> dict[str, Times]:
        """Times the competitors `cases` interleaved, and keeps what was measured. Seconds are of one part.

        about: by competitor, further fields of `Measurement`; judges: more of them, from a timed run's result
        """
        self.say(f"{task}: {data}, {case}")
        found = interleaved(cases, repeats or self.repeats, warm=warm)
        times = {name: one.per(parts) for name, one in found.items()}
        for name, one in times.items():
            judged = judges[name](one.last) if judges else {}
            more = {**(about or {}).get(name, {}), **judged}
            known = {"task": task, "data": data, "case": case, "competitor": name, **more}
            self.measurements.append(Measurement(wall=one.wall, cpu=one.cpu, runs=one.walls, **known))
        return times

    def faster(self, task: str, name: str, times: tuple[Times, Times], goal: Goal | None = None) -> None:
        """Keeps how many times longer the first of `times` takes than the second."""
        wall, cpu = ratio(*times)
        self.figure(task, name, wall, cpu=cpu, goal=goal)

    def figure(
        self,
        task: str,
        name: str,
        value: float,
        *,
        cpu: float | None = None,
        unit: str = "x",
        goal: Goal | None = None,
    ) -> None:
        """Keeps a figure, judged where it has a goal."""
        judged: dict[str, Any] = {}
        if goal is not None:
            judged = {"at_least": goal.at_least, "aim": goal.aim, "higher_is_better": goal.higher}
            judged["verdict"] = goal.verdict(value)
        self.figures.append(Figure(task=task, name=name, value=value, cpu=cpu, unit=unit, **judged))
        self.say(f"  {name}: {shown(self.figures[-1])}")

    def skip(self, task: str, what: str, reason: str) -> None:
        """Keeps that something was not measured."""
        self.say(f"{task}: {what}: skipped: {reason}")
        self.skipped.append(Skipped(task=task, what=what, reason=reason))
