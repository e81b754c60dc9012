"""Slow, obvious twins of the dual strategies: dense NumPy, one row at a time, from the formulas alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from naive import Array, Dense
from scipy.optimize import minimize_scalar


def weights_of(data: Dense, alpha: Array, lam: float) -> Array:
    """w = sum_i s_i / (lambda S) alpha_i y_i x_i."""
    w: Array = (data.s * alpha * data.y) @ data.x / (lam * data.s.sum())
    return w


def primal(data: Dense, w: Array, loss: str, lam: float) -> float:
    """F(w)."""
    short = np.maximum(0.0, 1.0 - data.y * (data.x @ w))
    losses = short if loss == "hinge" else short**2
    return float(lam / 2.0 * w @ w + np.average(losses, weights=data.s))


def dual(data: Dense, alpha: Array, loss: str, lam: float) -> float:
    """D(alpha)."""
    w = weights_of(data, alpha, lam)
    gains = alpha if loss == "hinge" else alpha - alpha**2 / 4.0
    return float(np.average(gains, weights=data.s) - lam / 2.0 * w @ w)


def coordinate_step(
    data: Dense, i: int, a: float, m: float, loss: str, unit: float, relaxation: float = 1.0
) -> float:
    """alpha_i after a step at margin m, where a step of 1 moves the weights by unit s_i y_i x_i."""
    square = unit * data.s[i] * (data.x[i] @ data.x[i])
    if loss == "hinge":
        return float(np.clip(a + relaxation * (1.0 - m) / square, 0.0, 1.0))
    return float(max(0.0, a + relaxation * (1.0 - m - a / 2.0) / (square + 0.5)))


@dataclass
class Cocoa:
    """CoCoA+ over shards of one data set; `owned[k]` numbers the rows of node k."""

    data: Dense
    owned: list[Any]
    loss: str
    lam: float
    variant: str
    sigma: float
    relaxation: float
    alpha: Array = field(init=False)
    w: Array = field(init=False)

    def __post_init__(self) -> None:
        self.alpha, self.w = np.zeros(len(self.data.y)), np.zeros(self.data.x.shape[1])

    def round(self, orders: list[Any]) -> float:
        """One round in which node k visits its rows orders[k]; the step that was taken."""
        change, dw = np.zeros_like(self.alpha), np.zeros_like(self.w)
        scale = 1.0 / (self.lam * self.data.s.sum())
        for mine, order in zip(self.owned, orders, strict=True):
            own = np.zeros_like(self.w)
            for place in order:
                i = mine[place]
                m = self.data.y[i] * (self.data.x[i] @ (self.w + self.sigma * own))
                before = self.alpha[i] + change[i]
                after = coordinate_step(
                    self.data, i, before, m, self.loss, self.sigma * scale, self.relaxation
                )
                change[i] += after - before
                own += scale * self.data.s[i] * (after - before) * self.data.y[i] * self.data.x[i]
            dw += own
        s = self.step(change)
        self.alpha, self.w = self.alpha + s * change, self.w + s * dw
        return s

    def moves(self, i: int) -> bool:
        """Whether a step moves alpha_i, which rounding may have left beside the edge of the box."""
        a, m = round(float(self.alpha[i]), 9), self.data.y[i] * (self.data.x[i] @ self.w)
        return coordinate_step(self.data, i, a, m, self.loss, 1.0 / (self.lam * self.data.s.sum())) != a

    def step(self, change: Array) -> float:
        if self.variant != "add_line_search":
            return 1.0 if self.variant == "add" else 1.0 / len(self.owned)
        longest = 1e6
        for a, d in zip(self.alpha, change, strict=True):
            if d < 0.0:
                longest = min(longest, -a / d)
            if d > 0.0 and self.loss == "hinge":
                longest = min(longest, (1.0 - a) / d)

        def below(s: float) -> float:
            return -dual(self.data, self.alpha + s * change, self.loss, self.lam)

        found = minimize_scalar(below, bounds=(0.0, longest), method="bounded", options={"xatol": 1e-12})
        return float(found.x if found.fun < below(longest) else longest)


@dataclass
class Admm:
    """Consensus ADMM; local solves are passes of coordinate steps from where they stood."""

    data: Dense
    owned: list[Any]
    loss: str
    lam: float
    rho: float
    over_relaxation: float
    relaxation: float

    def __post_init__(self) -> None:
        features = self.data.x.shape[1]
        self.alpha, self.z = np.zeros(len(self.data.y)), np.zeros(features)
        self.u = [np.zeros(features) for _ in self.owned]

    def local(self, k: int) -> Array:
        """w_k as its dual variables have it."""
        mine = self.owned[k]
        pulls = (self.data.s * self.alpha * self.data.y)[mine] @ self.data.x[mine]
        w: Array = self.z - self.u[k] + pulls / (self.rho * self.data.s.sum())
        return w

    def round(self, orders: list[Any]) -> list[Array]:
        """One round in which node k visits its rows orders[k]; the w_k."""
        unit, models, plain = 1.0 / (self.rho * self.data.s.sum()), [], []
        for k, order in enumerate(orders):
            for place in order:
                i = self.owned[k][place]
                m = self.data.y[i] * (self.data.x[i] @ self.local(k))
                self.alpha[i] = coordinate_step(
                    self.data, i, self.alpha[i], m, self.loss, unit, self.relaxation
                )
            plain.append(self.local(k))
            models.append(self.over_relaxation * self.local(k) + (1.0 - self.over_relaxation) * self.z)
        count = len(self.owned)
        mean = sum(w + u for w, u in zip(models, self.u, strict=True)) / count
        self.z = count * self.rho / (self.lam + count * self.rho) * mean
        self.u = [u + w - self.z for u, w in zip(self.u, models, strict=True)]
        return plain
