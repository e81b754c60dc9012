"""One pass of SGD over CSR rows (DESIGN.md, "The mathematics", 1).

Kernels change `w` in place and keep what they carry from call to call in small arrays, so that a pass cut
into chunks gives the same bits as one pass. The weights are scale x w: decay costs one multiplication.
Indices come as uint32 views of int32, which spares the kernels a sign test per entry.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_of, pull_at
from wpsgd.kernels.sparse import add, ask_for_row, dot, dot_asking
from wpsgd.kernels.stepsize import eta_at

WIPED = 1e-15  # a contraction below this is a rounded 0
FOLD_BELOW = 1e-9  # scale is multiplied into w before c / scale loses its meaning


@kernel
def contraction(eta: float, lam: float) -> float:
    """1 - eta lambda. Where that is 0 the weights are wiped, and rounding must not leave a trace of them."""
    left = 1.0 - eta * lam
    return left if left > WIPED else 0.0


@kernel
def sgd_pass(
    w: Any,
    carry: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    done: int,
    schedule: int,
    lam: float,
    eta0: float,
    extra: float,
    loss: int,
    reach: float | None,
    intercept_rate: float,
    ahead: int,
    rows_ahead: int,
) -> int:
    """Applies the rows `order` one after another, after `done` steps.

    w: float (features,) and carry: float64, [scale, intercept], both changed in place; behind them, where
        somebody asks, [rows, sum of their losses times sample weights], each loss as before the row's step
    weights: sample weights, or an empty array for all ones
    schedule, lam, eta0, extra: the formula of the step sizes (stepsize.py)
    reach: of a row's own step under a smooth loss (limit.py), None for the hinge
    intercept_rate: factor on the intercept's step, 0 for none
    ahead: rows before its turn that a row's weights are asked for (pays once w outgrows the cache), 0: never
    rows_ahead: rows before its turn that a row itself is asked for (pays in random order), 0: never

    Returns the rows applied: fewer than given where a margin is not finite.
    """
    scale, intercept = carry[0], carry[1]
    weighted, watched = weights.size > 0, carry.size > 2
    total = carry[3] if watched else 0.0
    for k in range(order.size):
        i = order[k]
        start, end = indptr[i], indptr[i + 1]
        if rows_ahead > 0 and k + rows_ahead < order.size:
            coming = order[k + rows_ahead]
            ask_for_row(indices, values, indptr[coming], indptr[coming + 1])
        if ahead > 0 and k + ahead < order.size:
            coming = order[k + ahead]
            product = dot_asking(w, indices, values, start, end, indptr[coming], indptr[coming + 1])
        else:
            product = dot(w, indices, values, start, end)
        y = labels[i]
        m = y * (scale * product + intercept)
        if not math.isfinite(m):
            carry[0], carry[1] = scale, intercept
            return int(k)
        eta = eta_at(schedule, float(done + k + 1), lam, eta0, extra)
        scale *= contraction(eta, lam)
        if scale < FOLD_BELOW:
            for j in range(w.size):
                w[j] *= scale
            scale = 1.0
        pull = pull_at(loss, m)
        if pull > 0.0:
            if watched:
                total += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
            size = eta
            if reach is not None:  # a branch that numba leaves out where it is None
                s = np.float64(weights[i]) if weighted else 1.0
                size = limited(eta, loss, reach, s, values, start, end)
            step = size * pull * y
            if weighted:
                step *= weights[i]
            c = w.dtype.type(step / scale)
            add(w, indices, values, start, end, c)
            intercept += intercept_rate * step
    carry[0], carry[1] = scale, intercept
    if watched:
        carry[2] += order.size
        carry[3] = total
    return int(order.size)


@kernel
def decayed(w: float, squares: float, idle: int, eta: float, lam: float) -> float:
    """A coordinate after `idle` steps of decay alone; it stands still while nothing is accumulated."""
    if idle <= 0 or squares <= 0.0:
        return w
    return w * max(0.0, 1.0 - eta * lam / math.sqrt(squares)) ** idle


@kernel
def adagrad_pass(
    w: Any,
    squares: Any,
    touched: Any,
    carry: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    step: int,
    eta: float,
    lam: float,
    loss: int,
    intercept_rate: float,
) -> int:
    """AdaGrad with the L2 term inside the gradient, applied to a coordinate when a row next touches it.

    squares: accumulated squared gradients; touched: int64, the step at which each coordinate is current
    carry: float64, [the intercept's accumulated squares, intercept], and losses as in `sgd_pass`
    step: steps done before this pass

    Returns the rows applied: fewer than given where a margin is not finite.
    """
    weighted = weights.size > 0
    seen = carry[2:]
    for k in range(order.size):
        i = order[k]
        start, end = indptr[i], indptr[i + 1]
        product = np.float64(0.0)
        for j in range(start, end):
            column = indices[j]
            w[column] = decayed(w[column], squares[column], step + k - touched[column], eta, lam)
            touched[column] = step + k + 1
            product += w[column] * values[j]
        y = labels[i]
        m = y * (product + carry[1])
        if not math.isfinite(m):
            return int(k)
        pull = pull_at(loss, m)
        if seen.size > 0 and pull > 0.0:
            seen[1] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
        pull *= y
        if weighted:
            pull *= weights[i]
        for j in range(start, end):
            column = indices[j]
            gradient = lam * w[column] - pull * values[j]
            squares[column] += gradient * gradient
            if squares[column] > 0.0:
                w[column] -= eta * gradient / math.sqrt(squares[column])
        carry[0] += pull * pull
        if carry[0] > 0.0:
            carry[1] += intercept_rate * eta * pull / math.sqrt(carry[0])
    if seen.size > 0:
        seen[0] += order.size
    return int(order.size)


@kernel
def settle(w: Any, squares: Any, touched: Any, step: int, eta: float, lam: float) -> None:
    """Brings every coordinate of an AdaGrad pass up to `step`, in place."""
    for j in range(squares.size):
        w[j] = decayed(w[j], squares[j], step - touched[j], eta, lam)
        touched[j] = step
