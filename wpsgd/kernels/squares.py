"""SGD over CSR rows that adds up its squared gradients, coordinate by coordinate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_of, pull_at
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.sparse import add, dot


@kernel
def squares_pass(
    w: Any,
    carry: Any,
    squares: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    etas: Any,
    lam: float,
    loss: int,
    reach: float,
    intercept_rate: float,
) -> int:
    """`sgd_pass`, to the bit, and the sum over rows of the squared gradients of their losses.

    squares: float64 (features + 1,), the intercept's last, changed in place
    The rest as in `sgd_pass`.
    """
    scale, intercept = carry[0], carry[1]
    weighted = weights.size > 0
    seen = carry[2:]
    done = order.size
    for k in range(order.size):
        i = order[k]
        start, end = indptr[i], indptr[i + 1]
        y = labels[i]
        m = y * (scale * dot(w, indices, values, start, end) + intercept)
        if not math.isfinite(m):
            done = k
            break
        eta = etas[k]
        scale *= contraction(eta, lam)
        if scale < FOLD_BELOW:
            for j in range(w.size):
                w[j] *= scale
            scale = 1.0
        pull = pull_at(loss, m)
        if pull > 0.0:
            if seen.size > 0:
                seen[1] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
            s = np.float64(weights[i]) if weighted else 1.0
            step = limited(eta, loss, reach, s, values, start, end) * pull * y
            if weighted:
                step *= weights[i]
                pull *= weights[i]
            c = w.dtype.type(step / scale)
            add(w, indices, values, start, end, c)
            add_squares(squares, indices, values, start, end, pull)
            intercept += intercept_rate * step
    carry[0], carry[1] = scale, intercept
    if seen.size > 0:
        seen[0] += done
    return int(done)


@kernel
def add_squares(squares: Any, indices: Any, values: Any, start: Any, end: Any, pull: float) -> None:
    """Adds the squared gradient of the row start..end to `squares`; pull: times its sample weight."""
    for j in range(start, end):
        squares[indices[j]] += (pull * values[j]) ** 2
    squares[squares.size - 1] += pull * pull
