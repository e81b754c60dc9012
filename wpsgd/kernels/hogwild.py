"""One thread's share of a lock-free pass of SGD over CSR rows (Hogwild: Niu, Recht, Ré, Wright 2011).

Threads store into one vector without locks, so an update may be lost where two touch a weight at once. What
they do not share is the decay: the weights are scale x w, and the scale of a row is that of its step number,
known before any thread starts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_of, pull_at
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.sparse import add, ask_for_row, dot, dot_asking
from wpsgd.kernels.squares import add_squares


@kernel
def scales_ahead(scale: float, etas: Any, lam: float, scales: Any) -> int:
    """Writes the scale before each step, and after the last, into `scales`: float64 (steps + 1,).

    Returns the steps before the first at which the scale would have to be multiplied into the weights.
    """
    scales[0] = scale
    for k in range(etas.size):
        scales[k + 1] = scales[k] * contraction(etas[k], lam)
        if scales[k + 1] < FOLD_BELOW:
            return int(k)
    return int(etas.size)


@kernel
def hogwild_pass(
    w: Any,
    carry: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    etas: Any,
    scales: Any,
    first: int,
    stride: int,
    loss: int,
    reach: float | None,
    intercept_rate: float,
    ahead: int,
    rows_ahead: int,
    squares: Any,
    seen: Any = None,
) -> int:
    """Applies every `stride`-th of the rows `order`, from the place `first` on; other threads do the others.

    w: float (features,), changed in place by all threads; carry: float64 (2,), of which the threads share the
    intercept, its second entry
    squares: this thread's own, of kernels/squares.py, or empty where nobody asks for them
    scales: of `scales_ahead` for the rows `order`; weights, reach, intercept_rate, ahead, rows_ahead: as
    for kernels.sgd.sgd_pass
    seen: this thread's own losses, as behind the carry there, or empty or None where nobody asks

    Returns the place of the first row whose margin is not finite, where the thread stops; else order.size.
    """
    weighted = weights.size > 0
    for k in range(first, order.size, stride):
        i = order[k]
        start, end = indptr[i], indptr[i + 1]
        if rows_ahead > 0 and k + rows_ahead * stride < order.size:
            coming = order[k + rows_ahead * stride]
            ask_for_row(indices, values, indptr[coming], indptr[coming + 1])
        if ahead > 0 and k + ahead * stride < order.size:
            coming = order[k + ahead * stride]
            product = dot_asking(w, indices, values, start, end, indptr[coming], indptr[coming + 1])
        else:
            product = dot(w, indices, values, start, end)
        y = labels[i]
        m = y * (scales[k] * product + carry[1])
        if not math.isfinite(m):
            return int(k)
        pull = pull_at(loss, m)
        if pull > 0.0:
            if seen is not None and seen.size > 0:
                seen[1] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
            size = etas[k]
            if reach is not None:
                s = np.float64(weights[i]) if weighted else 1.0
                size = limited(etas[k], loss, reach, s, values, start, end)
            step = size * pull * y
            if weighted:
                step *= weights[i]
                pull *= weights[i]
            add(w, indices, values, start, end, w.dtype.type(step / scales[k + 1]))
            carry[1] += intercept_rate * step
            if squares.size > 0:
                add_squares(squares, indices, values, start, end, pull)
    if seen is not None and seen.size > 0:
        seen[0] += len(range(first, order.size, stride))
    return int(order.size)
