"""AdaGrad over CSR rows for several classes at once, to the bit `sgd.adagrad_pass` of each (classes.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.losses import loss_of, pull_at
from wpsgd.kernels.sgd import decayed


@kernel
def adagrad_classes_pass(
    w: Any,
    squares: Any,
    touched: Any,
    carry: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    own: Any,
    weights: Any,
    order: Any,
    step: int,
    eta: float,
    lam: float,
    loss: int,
) -> int:
    """w, squares: (features, classes); touched: int64 (features,), which classes share, as they share rows.

    carry: float64, in which losses stand as in `classes.classes_pass`
    own: int32 (n,), the class in which a row is +1, -1 for none; the rest as in `adagrad_pass`

    Returns the rows applied: fewer than given where a margin is not finite.
    """
    classes = w.shape[1]
    weighted = weights.size > 0
    seen = carry[2:]
    products, pulls = np.empty(classes), np.empty(classes)
    for t in range(order.size):
        i = order[t]
        products[:] = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            column = indices[j]
            idle = step + t - touched[column]
            touched[column] = step + t + 1
            for k in range(classes):
                w[column, k] = decayed(w[column, k], squares[column, k], idle, eta, lam)
                products[k] += w[column, k] * values[j]
        for k in range(classes):
            y = 1.0 if k == own[i] else -1.0
            m = y * products[k]
            if not math.isfinite(m):
                return int(t)
            pull = pull_at(loss, m)
            if seen.size > 0 and pull > 0.0:
                seen[1 + k] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
            pulls[k] = pull * y
            if weighted:
                pulls[k] *= weights[i]
        for j in range(indptr[i], indptr[i + 1]):
            column = indices[j]
            for k in range(classes):
                gradient = lam * w[column, k] - pulls[k] * values[j]
                squares[column, k] += gradient * gradient
                if squares[column, k] > 0.0:
                    w[column, k] -= eta * gradient / math.sqrt(squares[column, k])
    if seen.size > 0:
        seen[0] += order.size
    return int(order.size)


@kernel
def settle_classes(w: Any, squares: Any, touched: Any, step: int, eta: float, lam: float) -> None:
    """Brings every coordinate up to `step`, in place."""
    for j in range(touched.size):
        for k in range(w.shape[1]):
            w[j, k] = decayed(w[j, k], squares[j, k], step - touched[j], eta, lam)
        touched[j] = step
