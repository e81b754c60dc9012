"""Sums over rows that a Newton step on the weights needs: slopes and curvatures of a loss, and products.

With m_i = y_i <w, x_i> and s the sample weights, F has the gradient lambda w - 1/S sum_i s_i pull_i y_i x_i
and the Hessian lambda I + 1/S sum_i s_i bend_i x_i x_i', where pull = -loss' and bend = loss'' at m_i.
The squared hinge and modified Huber have a generalised second derivative: that of the piece m lies in.
The hinge has none at its kink: a parabola rounds it off where |m - 1| < width / 2, which raises it by
width / 8 at most (Chapelle 2007). `width` has no say in other losses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.losses import HINGE, loss_at, pull_at
from wpsgd.kernels.sparse import add, dot

_SQUARED_HINGE, _LOGISTIC = 1, 2


@kernel
def parts_at(loss: int, m: float, width: float) -> tuple[float, float, float]:
    """(loss, pull, bend) of a smooth loss at margin m; bend is that of the piece where it is piecewise."""
    if loss == HINGE:
        short, half = 1.0 - m, 0.5 * width
        if short >= half:
            return short, 1.0, 0.0
        pull = max(0.0, (short + half) / width)
        return 0.5 * width * pull * pull, pull, (1.0 / width if pull > 0.0 else 0.0)
    if loss == _LOGISTIC:  # one exponential for all three, which cannot overflow
        e = math.exp(-abs(m))
        share = 1.0 / (1.0 + e)
        value = math.log1p(e) + max(-m, 0.0)
        return value, (e * share if m > 0.0 else share), e * share * share
    bend = 2.0 if m < 1.0 and (loss == _SQUARED_HINGE or m >= -1.0) else 0.0
    return loss_at(loss, m), pull_at(loss, m), bend


@kernel
def slopes(loss: int, m: Any, labels: Any, weights: Any, pulls: Any, bends: Any, width: float = 0.0) -> float:
    """Writes s_i y_i pull_i and s_i bend_i, both float64 (n,), and returns the sum of s_i losses.

    m: float64 (n,); weights: sample weights, or an empty array for all ones
    """
    weighted = weights.size > 0
    total = 0.0
    for i in range(m.size):
        s = np.float64(weights[i]) if weighted else 1.0
        value, pull, bend = parts_at(loss, m[i], width)
        total += s * value
        pulls[i] = s * labels[i] * pull
        bends[i] = s * bend
    return total


@kernel
def along(
    loss: int, m: Any, q: Any, weights: Any, t: float, width: float = 0.0
) -> tuple[float, float, float]:
    """Sums of s_i loss(m_i + t q_i) and of its first and second derivative by t. m, q: float64 (n,)."""
    weighted = weights.size > 0
    value, slope, bend = 0.0, 0.0, 0.0
    for i in range(m.size):
        s = np.float64(weights[i]) if weighted else 1.0
        loss_there, pull, curved = parts_at(loss, m[i] + t * q[i], width)
        value += s * loss_there
        slope -= s * pull * q[i]
        bend += s * curved * q[i] * q[i]
    return value, slope, bend


@kernel
def add_rows(indptr: Any, indices: Any, values: Any, factors: Any, out: Any) -> None:
    """out += sum_i factors_i x_i. factors: float64 (n,); out: float64 (features,)"""
    for i in range(factors.size):
        if factors[i] != 0.0:
            add(out, indices, values, indptr[i], indptr[i + 1], factors[i])


@kernel
def add_curved(indptr: Any, indices: Any, values: Any, bends: Any, v: Any, out: Any) -> None:
    """out += sum_i bends_i <x_i, v> x_i, each row read once. bends: float64 (n,); v, out: (features,)"""
    for i in range(bends.size):
        if bends[i] != 0.0:
            product = bends[i] * dot(v, indices, values, indptr[i], indptr[i + 1])
            add(out, indices, values, indptr[i], indptr[i + 1], product)


@kernel
def add_squares(indptr: Any, indices: Any, values: Any, bends: Any, out: Any) -> None:
    """out_j += sum_i bends_i x_ij^2: the diagonal of `add_outer`'s sum."""
    for i in range(bends.size):
        if bends[i] != 0.0:
            for j in range(indptr[i], indptr[i + 1]):
                value = np.float64(values[j])
                out[indices[j]] += bends[i] * value * value


@kernel
def add_outer(indptr: Any, indices: Any, values: Any, bends: Any, out: Any) -> None:
    """out += sum_i bends_i x_i x_i', below the diagonal and on it: for rows of few entries.

    out: float64 (features, features), row by row in memory
    """
    for i in range(bends.size):
        if bends[i] == 0.0:
            continue
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        for j in range(first, last):
            factor = bends[i] * np.float64(values[j])
            row = out[indices[j]]
            for k in range(first, j + np.uint64(1)):
                row[indices[k]] += factor * values[k]


@kernel
def spread_rows(numbers: Any, indptr: Any, indices: Any, values: Any, factors: Any, out: Any) -> None:
    """Writes the rows `numbers` times their factor's root into `out`, float64 (len(numbers), features)."""
    for k in range(numbers.size):
        i = numbers[k]
        root = math.sqrt(factors[i])
        row = out[k]
        row[:] = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            row[indices[j]] = root * values[j]
