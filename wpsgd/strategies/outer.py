"""Outer momentum: rounds as steps of an optimiser whose gradient is x0 - v.

SlowMo (Wang, Tantia, Ballas, Rabbat 2020), FedAvgM (Hsu, Qi, Brown 2019), DiLoCo (Douillard et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wpsgd.requests import Vector


@dataclass(frozen=True, slots=True)
class Outer:
    """Nesterov's momentum on x0 - v as a gradient.

    u <- momentum u + (x0 - v);  x <- x0 - rate ((x0 - v) + momentum u). 0 and 1 leave v as it is.
    """

    momentum: float = 0.0
    rate: float = 1.0

    @property
    def moves(self) -> bool:
        """Whether it changes anything."""
        return self.momentum != 0.0 or self.rate != 1.0

    def step(self, x0: Vector, v: Vector, velocity: Vector | None) -> Vector:
        """Moves `v` in place and gives the next velocity, float64 of its shape."""
        # step by step, for each of these is as wide as the model
        gradient = np.subtract(x0, v, dtype=np.float64)
        following = np.zeros_like(gradient) if velocity is None else self.momentum * velocity
        following += gradient
        step = self.momentum * following
        step += gradient
        step *= self.rate
        np.subtract(x0, step, out=v, casting="same_kind")
        return following


STAY = Outer()
