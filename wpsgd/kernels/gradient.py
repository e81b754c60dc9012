"""Margins, the sum of loss gradients over rows, and the step along such a sum.

A sum of few rows is zero nearly everywhere: kernels with `columns` or `order` go to the rest alone, and give
the bits of those that go through all of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_at, loss_of, pull_at
from wpsgd.kernels.sparse import AHEAD, CACHE, dot, dot_asking


@kernel
def margins(w: Any, intercept: float, indptr: Any, indices: Any, values: Any, labels: Any, out: Any) -> None:
    """Writes y_i (<w, x_i> + intercept) into `out`, float64 of shape (n,)."""
    ahead = AHEAD if w.size * w.itemsize > CACHE else 0
    for i in range(labels.size):
        if ahead > 0 and i + ahead < labels.size:
            coming, until = indptr[i + ahead], indptr[i + ahead + 1]
            product = dot_asking(w, indices, values, indptr[i], indptr[i + 1], coming, until)
        else:
            product = dot(w, indices, values, indptr[i], indptr[i + 1])
        out[i] = labels[i] * (product + intercept)


@kernel
def losses(loss: int, m: Any, out: Any) -> None:
    """Writes the loss at each margin into `out`, float64 of the shape of `m`."""
    for i in range(m.size):
        out[i] = loss_at(loss, m[i])


@kernel
def add_gradient(
    w: Any,
    scale: float,
    intercept: float,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    loss: int,
    eta: float,
    reach: float,
    out: Any,
    seen: Any = None,
) -> float:
    """Adds the loss gradients of the rows `order` at the weights scale x w to `out`, in place.

    eta: size of the step that they are for, 0 for the plain gradients; reach: where a row of a smooth loss
    may not take so large a step (limit.py), its gradient is shortened
    out: float64 (features + 1,), the intercept's gradient last
    seen: losses, as behind the carry of kernels.sgd.sgd_pass, or empty or None where nobody asks
    Returns the rows gone through, or nan where a margin is not finite.
    """
    weighted = weights.size > 0
    total = 0.0
    for k in range(order.size):
        i = order[k]
        m = labels[i] * (scale * dot(w, indices, values, indptr[i], indptr[i + 1]) + intercept)
        if not math.isfinite(m):
            return math.nan
        pull = pull_at(loss, m)
        if seen is not None and seen.size > 0:
            seen[0] += 1.0
            if pull > 0.0:
                seen[1] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
        pull *= labels[i]
        if weighted:
            pull *= weights[i]
        if pull != 0.0:
            s = np.float64(weights[i]) if weighted else 1.0
            size = limited(eta, loss, reach, s, values, indptr[i], indptr[i + 1])
            if size < eta:
                pull *= size / eta
            for j in range(indptr[i], indptr[i + 1]):
                out[indices[j]] -= pull * values[j]
            out[out.size - 1] -= pull
        total += 1.0
    return total


@kernel
def add_touched(order: Any, indptr: Any, indices: Any, part: Any, total: Any) -> None:
    """total += part in the columns of the rows `order`, and part is 0 there afterwards."""
    for i in order:
        for entry in range(indptr[i], indptr[i + 1]):
            column = indices[entry]
            total[column] += part[column]
            part[column] = 0.0


@kernel
def take_touched(
    order: Any, indptr: Any, indices: Any, gradient: Any, columns: Any, values: Any, found: int
) -> int:
    """Moves what is not 0 of a gradient in the columns of the rows `order` to pairs, behind `found` others.

    columns: int32 and values: float64, long enough for all, changed in place
    Returns how many pairs there are then.
    """
    for i in order:
        for entry in range(indptr[i], indptr[i + 1]):
            column = indices[entry]
            if gradient[column] != 0.0:
                columns[found] = column
                values[found] = gradient[column]
                gradient[column] = 0.0
                found += 1
    return int(found)


@kernel
def add_pairs(columns: Any, values: Any, out: Any) -> None:
    """out[columns] += values, one after another."""
    for k in range(columns.size):
        out[columns[k]] += values[k]


@kernel
def descend(w: Any, gradient: Any, factor: float) -> None:
    """w <- w - factor gradient, which is 0 afterwards. gradient: float64, as long as w or longer."""
    for j in range(w.size):
        w[j] -= factor * gradient[j]
    gradient[:] = 0.0


@kernel
def descend_at(w: Any, columns: Any, gradient: Any, factor: float) -> None:
    """`descend` where a gradient is 0 but in `columns`, some of which may come again."""
    for column in columns:
        if column < w.size:
            w[column] -= factor * gradient[column]
        gradient[column] = 0.0
