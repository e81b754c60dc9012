"""Margins, and the sum of loss gradients over rows."""

from __future__ import annotations

import math
from typing import Any

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.losses import loss_at, pull_at
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
    intercept: float,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    loss: int,
    out: Any,
) -> float:
    """Adds the loss gradients of the rows `order` at w to `out`, in place.

    out: float64 (features + 1,), the intercept's gradient last
    Returns the rows gone through, or nan where a margin is not finite.
    """
    weighted = weights.size > 0
    total = 0.0
    for k in range(order.size):
        i = order[k]
        m = labels[i] * (dot(w, indices, values, indptr[i], indptr[i + 1]) + intercept)
        if not math.isfinite(m):
            return math.nan
        pull = pull_at(loss, m) * labels[i]
        if weighted:
            pull *= weights[i]
        if pull != 0.0:
            for j in range(indptr[i], indptr[i + 1]):
                out[indices[j]] -= pull * values[j]
            out[out.size - 1] -= pull
        total += 1.0
    return total
