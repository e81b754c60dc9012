"""The schema of bench.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measurement(_Strict):
    """One competitor in one case. wall, cpu: medians, seconds; runs: wall seconds of each run.

    setting: what the competitor was given; reached: relative distance to the optimum, by `objective.py`;
    value: what was measured where it is no time, in `unit`
    """

    task: str
    data: str
    case: str
    competitor: str
    wall: float | None = None
    cpu: float | None = None
    runs: tuple[float, ...] = ()
    setting: str = ""
    reached: float | None = None
    value: float | None = None
    unit: str = ""


class Figure(_Strict):
    """A ratio or a share. value: from wall times; cpu: the same from processor times, where there is one."""

    task: str
    name: str
    value: float
    cpu: float | None = None
    unit: str = "x"
    at_least: float | None = None
    aim: float | None = None
    higher_is_better: bool = True
    verdict: str = "information"


class Skipped(_Strict):
    """What was not measured."""

    task: str
    what: str
    reason: str


class Results(_Strict):
    """A whole run of the bench."""

    format: Literal[1] = 1
    command: str
    scale: Literal["small", "full"]
    date: str
    seconds: float
    machine: dict[str, str]
    environment: dict[str, str]
    versions: dict[str, str]
    commit: str
    measurements: tuple[Measurement, ...]
    figures: tuple[Figure, ...]
    skipped: tuple[Skipped, ...]

    @property
    def under(self) -> tuple[str, ...]:
        """The figures that fall short of their least."""
        return tuple(
            f"{figure.name} ({shown(figure)})" for figure in self.figures if figure.verdict == "UNDER"
        )


def shown(figure: Figure) -> str:
    """A figure's value as people write it."""
    return with_unit(figure.value, figure.unit)


def with_unit(value: float, unit: str) -> str:
    """1.234 -> 1.23x, 12.3 ms, 0.45 s, 93.1 %."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "s":
        return f"{1e3 * value:.1f} ms" if value < 1.0 else f"{value:.2f} s"
    return f"{value:.2f}{unit}" if unit == "x" else f"{value:.4g} {unit}"
