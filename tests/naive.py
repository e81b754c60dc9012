"""Slow, obvious twins of the arithmetic: dense NumPy, one row at a time, written from the formulas alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows

Array = NDArray[np.float64]

LOSSES = ("hinge", "squared_hinge", "log_loss", "modified_huber")
SCHEDULES = ("constant", "optimal", "pegasos", "invscaling", "inverse")
INTERCEPT_RATE = 0.01
STEEPEST = {"squared_hinge": 2.0, "log_loss": 0.25, "modified_huber": 2.0}  # their largest second derivative


@dataclass(frozen=True)
class Dense:
    """Rows as plain float64 arrays: x of shape (n, d), y and s of shape (n,)."""

    x: Array
    y: Array
    s: Array


def dense(rows: Rows) -> Dense:
    """The same rows without sparsity; sample weights of 1 where there are none."""
    x = np.zeros((len(rows), rows.features))
    for i in range(len(rows)):
        for j in range(rows.indptr[i], rows.indptr[i + 1]):
            x[i, rows.indices[j]] += rows.values[j]
    s = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
    return Dense(x, rows.labels.astype(np.float64), s)


def loss_at(name: str, m: float) -> float:
    """The loss at margin m, as textbooks print it."""
    if name == "hinge":
        return max(0.0, 1.0 - m)
    if name == "squared_hinge":
        return max(0.0, 1.0 - m) ** 2
    if name == "log_loss":
        return float(np.logaddexp(0.0, -m))
    return max(0.0, 1.0 - m) ** 2 if m >= -1.0 else -4.0 * m


def slope_at(name: str, m: float) -> float:
    """The derivative of the loss at margin m; 0 at the kink of the hinge."""
    if name == "log_loss":
        return -math.exp(-m) / (1.0 + math.exp(-m)) if m > 0.0 else -1.0 / (1.0 + math.exp(m))
    if m >= 1.0:
        return 0.0
    if name == "hinge":
        return -1.0
    return -2.0 * (1.0 - m) if name == "squared_hinge" or m >= -1.0 else -4.0


def step_size(schedule: str, t: int, alpha: float, eta0: float = 1.0, power: float = 0.5) -> float:
    """eta_t for t = 1, 2, ..."""
    if schedule == "optimal":
        t0 = 1.0 / (math.sqrt(1.0 / math.sqrt(alpha)) * alpha)
        return 1.0 / (alpha * (t0 + t - 1))
    if schedule == "pegasos":
        return 1.0 / (alpha * t)
    if schedule == "invscaling":
        return float(eta0 / t**power)
    return eta0 if schedule == "constant" else eta0 / (1.0 + alpha * eta0 * t)


def own_step(loss: str, eta: float, s: float, x: Array, *, late: int = 0, decay: float = 1.0) -> float:
    """The step of a row's gradient: not beyond its rest, and less far where gradients are late.

    decay: 1 - eta alpha where that is to count, too
    """
    if loss not in STEEPEST or s * (x @ x) == 0.0:
        return eta
    share = decay ** (late + 1) * (late**late / (late + 1) ** (late + 1))
    return min(eta, share / (STEEPEST[loss] * s * (x @ x)))


@dataclass
class Model:
    """Weights of shape (d,), an intercept, and the margin that each applied row had before its step."""

    w: Array
    b: float
    margins: list[float]

    @property
    def vector(self) -> Array:
        """The weights with the intercept last, as learners hold them."""
        return np.append(self.w, self.b)


def sgd(
    data: Dense,
    order: Any,
    etas: Any,
    w0: Any,
    *,
    loss: str,
    alpha: float,
    intercept: bool = False,
    b0: float = 0.0,
) -> Model:
    """One SGD step for each row of `order`, with the step sizes `etas`."""
    model = Model(np.array(w0, dtype=np.float64), b0, [])
    for i, eta in zip(order, etas, strict=True):
        m = data.y[i] * (model.w @ data.x[i] + model.b)
        g = data.s[i] * slope_at(loss, m) * data.y[i]
        size = own_step(loss, eta, data.s[i], data.x[i])
        model.w = (1.0 - eta * alpha) * model.w - size * g * data.x[i]
        if intercept:
            model.b -= INTERCEPT_RATE * size * g
        model.margins.append(float(m))
    return model


def adagrad(
    data: Dense,
    order: Any,
    w0: Any,
    *,
    loss: str,
    alpha: float,
    eta0: float,
    intercept: bool = False,
) -> Model:
    """AdaGrad: a row's coordinates descend, all others only decay, at the rate their past left them."""
    model = Model(np.array(w0, dtype=np.float64), 0.0, [])
    squares, intercept_squares = np.zeros_like(model.w), 0.0
    for i in order:
        m = data.y[i] * (model.w @ data.x[i] + model.b)
        g = data.s[i] * slope_at(loss, m) * data.y[i]
        for j in range(model.w.size):
            touched = data.x[i, j] != 0.0
            g_j = alpha * model.w[j] + g * data.x[i, j]
            if touched:
                squares[j] += g_j**2
            if squares[j] > 0.0:
                moved = model.w[j] - eta0 * g_j / math.sqrt(squares[j])
                # decay alone stops at 0
                model.w[j] = moved if touched or moved * model.w[j] > 0.0 else 0.0
        intercept_squares += g**2
        if intercept and intercept_squares > 0.0:
            model.b -= INTERCEPT_RATE * eta0 * g / math.sqrt(intercept_squares)
        model.margins.append(float(m))
    return model


def loss_gradient(data: Dense, order: Any, w: Any, *, loss: str, b: float = 0.0, eta: float = 0.0) -> Array:
    """Sum over `order` of s_i times the gradient of the loss at w, the intercept's last: shape (d + 1,).

    eta: of the step they are for; where a row may not take it whole, its gradient is as much shorter
    """
    total = np.zeros(data.x.shape[1] + 1)
    for i in order:
        m = data.y[i] * (np.asarray(w, dtype=np.float64) @ data.x[i] + b)
        part = own_step(loss, eta, data.s[i], data.x[i]) / eta if eta > 0.0 else 1.0
        total += part * data.s[i] * slope_at(loss, m) * data.y[i] * np.append(data.x[i], 1.0)
    return total


def objective(data: Dense, w: Any, *, loss: str, alpha: float, b: float = 0.0) -> float:
    """F(w) = lambda/2 ||w||^2 + the weighted mean loss."""
    w = np.asarray(w, dtype=np.float64)
    total = 0.0
    for x, y, s in zip(data.x, data.y, data.s, strict=True):
        total += s * loss_at(loss, y * (w @ x + b))
    return 0.5 * alpha * sum(float(v) ** 2 for v in w) + total / float(data.s.sum())
