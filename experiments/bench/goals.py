"""What is expected of each figure: the least that will do, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """at_least, aim: bounds of a figure; higher: whether more is better, else they are upper bounds."""

    at_least: float
    aim: float
    higher: bool = True

    def meets(self, value: float) -> bool:
        """Whether `value` is no worse than `at_least`."""
        return value >= self.at_least if self.higher else value <= self.at_least

    def verdict(self, value: float) -> str:
        """In words for the table."""
        if not self.meets(value):
            return "UNDER"
        return "meets aim" if Goal(self.aim, self.aim, self.higher).meets(value) else "meets least"


EPOCH_DEFAULT = {"real-sim-twin": Goal(3.0, 5.0), "kdd2010-twin/8": Goal(6.0, 8.0)}
EPOCH_SAME_ORDER = {"real-sim-twin": Goal(1.7, 2.0), "kdd2010-twin/8": Goal(2.9, 4.0)}
DOT_SHARE = Goal(0.90, 0.97)
TARGET = {"LinearSVC": Goal(3.0, 5.0), "Snap ML": Goal(2.5, 4.5)}
ESTIMATOR = Goal(1.0, 2.0)
NARROW = Goal(1.0, 2.0)
LOADING = Goal(10.0, 14.0)
OPENING = Goal(0.050, 0.010, higher=False)
SCALING = Goal(1.4, 1.7)
TWO_RANKS = Goal(0.90, 0.97)
OUTSIDE = Goal(0.02, 0.005, higher=False)
