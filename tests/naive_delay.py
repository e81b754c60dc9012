"""Slow, obvious twins of delay SGD: every model is kept, and gradients are looked up in the past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from naive import INTERCEPT_RATE, Array, Dense, own_step, slope_at


class Past(NamedTuple):
    """Every model of a run, weights of shape (steps + 1, d) and intercepts, and the margins of each row."""

    w: Array
    b: Array
    margins: Array

    @property
    def vector(self) -> Array:
        """The last weights with the intercept behind them, as learners hold them."""
        return np.append(self.w[-1], self.b[-1])


def delay_sgd(
    data: Dense,
    order: Any,
    etas: Any,
    w0: Any,
    tau: int,
    *,
    loss: str,
    alpha: float,
    intercept: bool = False,
    b0: float = 0.0,
    stale_decay: bool = False,
) -> Past:
    """v_{t+1} = (1 - eta alpha) v_t - eta g(v_{t-tau}); stale decay: v_t - eta (alpha v + g)(v_{t-tau})."""
    w, b, margins = [np.array(w0, dtype=np.float64)], [b0], []
    for t, (i, eta) in enumerate(zip(order, etas, strict=True)):
        then = max(0, t - tau)
        m = data.y[i] * (w[then] @ data.x[i] + b[then])
        g = data.s[i] * slope_at(loss, m) * data.y[i]
        size = own_step(loss, eta, data.s[i], data.x[i], late=tau)
        w.append(w[t] - eta * alpha * w[then if stale_decay else t] - size * g * data.x[i])
        b.append(b[t] - (INTERCEPT_RATE * size * g if intercept else 0.0))
        margins.append(m)
    return Past(np.array(w), np.array(b), np.array(margins))


class Checked(NamedTuple):
    """What range checks let through: weights, and for each row whether it was applied, in the order taken."""

    w: Array
    applied: list[bool]


def checked_delay_sgd(
    data: Dense,
    order: Any,
    eta: float,
    w0: Any,
    tau: int,
    steps: int,
    alpha: float,
    loss: str,
    fixed_point: Callable[[str, float], float],
) -> Checked:
    """Range checks at a constant step: takes rows until so many steps are applied.

    fixed_point(loss, strength): the margin m = strength times the loss's pull at m
    """
    w, queue, applied = np.array(w0, dtype=np.float64), [], []
    rows = iter(order)
    while sum(applied) < steps:
        i = next(rows)
        queue.append((i, -slope_at(loss, data.y[i] * (w @ data.x[i]))))
        if len(queue) <= tau:
            continue
        i, pull = queue.pop(0)
        size = own_step(loss, eta, data.s[i], data.x[i], late=tau, decay=1.0 - eta * alpha)
        moved = (1.0 - eta * alpha) * w + size * data.s[i] * pull * data.y[i] * data.x[i]
        before, after = (data.y[i] * (model @ data.x[i]) for model in (w, moved))
        fixed = fixed_point(loss, size / eta * data.s[i] * (data.x[i] @ data.x[i]) / alpha)
        crosses = (
            pull > 0.0 and (before - fixed) * (after - fixed) < 0.0 and abs(after - fixed) > 1e-6 * fixed
        )
        applied.append(not crosses)
        if not crosses:
            w = moved
    return Checked(w, applied)
