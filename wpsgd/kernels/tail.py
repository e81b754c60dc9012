"""SGD over CSR rows with the polynomial-decay average of its iterates (Shamir, Zhang 2013, section 4)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_of, pull_at
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.sparse import add, dot
from wpsgd.kernels.squares import add_squares

DECAY = 3.0  # the paper's eta: later iterates count for more, the last quarter of T for two thirds
SMALLEST, LARGEST = 1e-9, 1e3  # a, and b / scale: beyond, digits would cancel


@kernel
def tail_pass(
    w: Any,
    carry: Any,
    mean: Any,
    blend: Any,
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
    """`sgd_pass`, to the bit, and the average of the iterates.

    wbar_t = (1 - rho_t) wbar_{t-1} + rho_t w_t with rho_t = (DECAY + 1) / (t + DECAY), t = 1, 2, ...
    The iterate is scale x w, and the average is held as a x mean + b x w (Bottou's averaged SGD): a row
    changes its own columns of both, and two numbers.

    mean: float64 (features,), changed in place, zeros before the first row
    blend: float64 (4,), [a, b, rows averaged, average of the intercept], changed in place
    squares: as in `squares_pass`, or empty where nobody asks for them
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
            gather_tail(mean, blend, w)
            for j in range(w.size):
                w[j] *= scale
            scale = 1.0
        c = w.dtype.type(0.0)
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
            if squares.size > 0:
                add_squares(squares, indices, values, start, end, pull)
            intercept += intercept_rate * step
        average_step(mean, blend, w, indices, values, start, end, c, scale, intercept)
    carry[0], carry[1] = scale, intercept
    if seen.size > 0:
        seen[0] += done
    return int(done)


@kernel
def average_step(
    mean: Any,
    blend: Any,
    w: Any,
    indices: Any,
    values: Any,
    start: Any,
    end: Any,
    c: Any,
    scale: float,
    intercept: float,
) -> None:
    """Takes the iterate scale x w into the average, in place; c times the row start..end was added to w."""
    a, b, t = blend[0], blend[1], blend[2] + 1.0
    if c != 0.0:
        add(mean, indices, values, start, end, -c * (b / a))  # what the average holds is still wbar_{t-1}
    rho = (DECAY + 1.0) / (t + DECAY)
    if t > 1.0:
        blend[0] = a * (1.0 - rho)
    blend[1] = (1.0 - rho) * b + rho * scale
    blend[2] = t
    blend[3] = (1.0 - rho) * blend[3] + rho * intercept
    if blend[0] < SMALLEST or blend[1] > LARGEST * scale:
        gather_tail(mean, blend, w)


@kernel
def gather_tail(mean: Any, blend: Any, w: Any) -> None:
    """Gathers the two vectors that an average is held as into `mean`, in place."""
    a, b = blend[0], blend[1]
    for j in range(mean.size):
        mean[j] = a * mean[j] + b * w[j]
    blend[0], blend[1] = 1.0, 0.0


def share_left(before: int, after: int) -> float:
    """What is left of wbar_before in wbar_after: the product of 1 - rho_t over t = before + 1 .. after."""
    share = 1.0
    for step in range(int(DECAY) + 1):
        share *= (before + step) / (after + step)
    return share
