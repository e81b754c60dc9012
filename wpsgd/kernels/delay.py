"""Passes of delay SGD over CSR rows: every gradient is applied `tau` steps after its weights were current.

Langford, Smola, Zinkevich (2009); Cheng, Li, Zhang (JPDC 2020), Algorithms 3 and 4. With v_t = v_0 for t < 0

    delayed_pass        v_{t+1} = (1 - eta lambda) v_t - eta g(v_{t-tau})          g the loss gradient only
    stale_decay_pass    v_{t+1} = v_t - eta (lambda v_{t-tau} + g(v_{t-tau}))      dense, for study
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import HINGE, LOGISTIC, loss_of, pull_at
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.sparse import add, ask_for_row, dot, dot_asking
from wpsgd.kernels.squares import add_squares
from wpsgd.kernels.tail import DECAY, average_step, gather_tail

# places of a ring's counters: of its oldest pair, of how many there are, and what became of those that left
FIRST, PENDING, APPLIED, ABANDONED = 0, 1, 2, 3
ROUNDING = 1e-6  # rows of unit length in single precision miss their fixed point by so much


@kernel
def delayed_pass(
    w: Any,
    carry: Any,
    ring_rows: Any,
    ring_pulls: Any,
    ring: Any,
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
    ahead: int,
    rows_ahead: int,
    checked: bool,
    kept: Any,
) -> int:
    """Puts the rows `order` into a ring of (row, pull) pairs, and applies those that leave it.

    w: float (features,) and carry: float64, as for kernels.sgd.sgd_pass, both changed in place
    ring_rows: int64 (tau + 1,), ring_pulls: float64 (tau + 1,), ring: int64 (4,), see FIRST and so on; all
    carried from call to call
    etas: step sizes of the steps that this call applies, in their order
    checked: whether an update that would carry its row across the row's fixed point is abandoned
    kept: (squares, mean, blend) of kernels/squares.py and kernels/tail.py, empty where nobody asks for them
    weights, reach, intercept_rate, ahead, rows_ahead: as for kernels.sgd.sgd_pass

    Returns the rows put in: fewer than given where a margin is not finite.
    """
    size = ring_rows.size
    before = ring[APPLIED]
    seen = carry[2:]
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
        m = labels[i] * (carry[0] * product + carry[1])
        if not math.isfinite(m):
            return int(k)
        place = (ring[FIRST] + ring[PENDING]) % size
        ring_rows[place] = i
        ring_pulls[place] = pull_at(loss, m)
        if seen.size > 0 and ring_pulls[place] > 0.0:
            s = np.float64(weights[i]) if weights.size > 0 else 1.0
            seen[1] += s * loss_of(loss, m, ring_pulls[place])
        ring[PENDING] += 1
        if ring[PENDING] == size:
            leaving = ring_rows[ring[FIRST]]
            pull = ring_pulls[ring[FIRST]]
            ring[FIRST] = (ring[FIRST] + 1) % size
            ring[PENDING] -= 1
            eta = etas[ring[APPLIED] - before]
            arrays = (indptr, indices, values, labels, weights)
            s = np.float64(weights[leaving]) if weights.size > 0 else 1.0
            # a checked row that comes to rest in even steps is never across: see theory.settles_evenly
            share = reach * contraction(eta, lam) ** size if checked else reach
            step_size = limited(eta, loss, share, s, values, indptr[leaving], indptr[leaving + 1])
            if checked and pull > 0.0 and crosses(w, carry, arrays, leaving, pull, eta, step_size, lam, loss):
                ring[ABANDONED] += 1
            else:
                step(w, carry, arrays, leaving, pull, eta, step_size, lam, intercept_rate, kept)
                ring[APPLIED] += 1
    if seen.size > 0:
        seen[0] += order.size
    return int(order.size)


@kernel
def step(
    w: Any,
    carry: Any,
    arrays: Any,
    i: int,
    pull: float,
    eta: float,
    gradient_eta: float,
    lam: float,
    intercept_rate: float,
    kept: Any,
) -> None:
    """One step on row i with a given pull, in place: the second half of a turn of kernels.sgd.sgd_pass.

    eta: of the decay; gradient_eta: of the gradient, limited for the row (limit.py)
    """
    indptr, indices, values, labels, weights = arrays
    squares, mean, blend = kept
    start, end = indptr[i], indptr[i + 1]
    c = w.dtype.type(0.0)
    carry[0] *= contraction(eta, lam)
    if carry[0] < FOLD_BELOW:
        if mean.size > 0:
            gather_tail(mean, blend, w)
        for j in range(w.size):
            w[j] *= carry[0]
        carry[0] = 1.0
    if pull > 0.0:
        size = gradient_eta * pull * labels[i]
        if weights.size > 0:
            size *= weights[i]
            pull *= weights[i]
        c = w.dtype.type(size / carry[0])
        add(w, indices, values, start, end, c)
        carry[1] += intercept_rate * size
        if squares.size > 0:
            add_squares(squares, indices, values, start, end, pull)
    if mean.size > 0:
        average_step(mean, blend, w, indices, values, start, end, c, carry[0], carry[1])


@kernel
def crosses(
    w: Any,
    carry: Any,
    arrays: Any,
    i: int,
    pull: float,
    eta: float,
    gradient_eta: float,
    lam: float,
    loss: int,
) -> bool:
    """Whether a step on row i would carry its margin across the margin at which the row comes to rest.

    The step takes m to (1 - eta lambda) m + eta b2 pull, b2 = s_i ||x_i||^2: a simplification of GetTheRange
    (Cheng, Li, Zhang 2020). m is that of the current weights, no intercept; the rest as for `step`.
    """
    indptr, indices, values, labels, weights = arrays
    start, end = indptr[i], indptr[i + 1]
    m = labels[i] * carry[0] * dot(w, indices, values, start, end)
    b2 = 0.0
    for j in range(start, end):
        b2 += np.float64(values[j]) * np.float64(values[j])
    if weights.size > 0:
        b2 *= weights[i]
    fixed = min(1.0, b2 / lam) if loss == HINGE else rest(loss, gradient_eta * b2 / (eta * lam))
    moved = contraction(eta, lam) * m + gradient_eta * b2 * pull
    room = ROUNDING * fixed
    return bool((m < fixed and moved > fixed + room) or (m > fixed and moved < fixed - room))


@kernel
def rest(loss: int, strength: float) -> float:
    """The margin m at which a row of a smooth loss, repeated alone, comes to rest: m = strength pull(m).

    strength: >= 0, what the pull is multiplied by over what the decay is
    """
    if strength <= 0.0 or not math.isfinite(strength):
        return 0.0 if strength <= 0.0 else math.inf if loss == LOGISTIC else 1.0
    if loss != LOGISTIC:
        return 1.0 / (1.0 + 0.5 / strength)  # of the branch 2 (1 - m), which is that of 0 < m < 1
    # m (1 + e^m) = strength is convex: Newton's steps from above come down to the root
    m = min(0.5 * strength, max(1.0, math.log(strength)))
    for _ in range(100):
        grown = math.exp(m)
        nearer = m - (m * (1.0 + grown) - strength) / (1.0 + grown + m * grown)
        if nearer >= m:
            break
        m = nearer
    return m


@kernel
def stale_decay_pass(
    history: Any,
    place: Any,
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
    kept: Any,
    seen: Any = None,
) -> int:
    """Applies the rows `order`, the decay as late as the gradients: all coordinates at every step.

    history: float (tau + 1, features + 1), the last models with their intercepts, changed in place
    place: int64 (1,), the row of the newest; the one behind it, in a circle, is the oldest
    kept: as for `delayed_pass`; the average lies in `mean` alone
    seen: losses, as behind the carry of kernels.sgd.sgd_pass, or empty or None where nobody asks

    Returns the rows applied: fewer than given where a margin is not finite.
    """
    features = history.shape[1] - 1
    squares, mean, blend = kept
    for k in range(order.size):
        i = order[k]
        start, end = indptr[i], indptr[i + 1]
        now = history[place[0]]
        place[0] = (place[0] + 1) % history.shape[0]
        old = history[place[0]]  # becomes the new model
        m = labels[i] * (dot(old, indices, values, start, end) + old[features])
        if not math.isfinite(m):
            place[0] = (place[0] - 1) % history.shape[0]
            return int(k)
        eta = etas[k]
        for j in range(features):
            old[j] = now[j] - eta * lam * old[j]
        pull = pull_at(loss, m)
        if seen is not None and seen.size > 0 and pull > 0.0:
            seen[1] += (np.float64(weights[i]) if weights.size > 0 else 1.0) * loss_of(loss, m, pull)
        s = np.float64(weights[i]) if weights.size > 0 else 1.0
        size = limited(eta, loss, reach, s, values, start, end) * pull * labels[i]
        if weights.size > 0:
            size *= weights[i]
            pull *= weights[i]
        old[features] = now[features] + intercept_rate * size
        if size != 0.0:
            add(old, indices, values, start, end, history.dtype.type(size))
            if squares.size > 0:
                add_squares(squares, indices, values, start, end, pull)
        if mean.size > 0:
            blend[2] += 1.0
            rho = (DECAY + 1.0) / (blend[2] + DECAY)
            for j in range(features):
                mean[j] += rho * (old[j] - mean[j])
            blend[3] += rho * (old[features] - blend[3])
    if seen is not None and seen.size > 0:
        seen[0] += order.size
    return int(order.size)
