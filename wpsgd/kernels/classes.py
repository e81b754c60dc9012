"""SGD over CSR rows for several classes at once, each against the rest (DESIGN.md, "The mathematics", 1).

Weights lie feature by feature, w[j, k] that of feature j in the model of class k, so that an entry of a row
meets neighbouring numbers. A class is one lane of every loop, and its sums are taken in the order of the
kernels for one problem (sgd.py, gradient.py): its bits are theirs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.limit import limited
from wpsgd.kernels.losses import loss_at, loss_of, pull_at
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.stepsize import eta_at

# positions are unsigned: as in sparse.py
_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@kernel
def add_scaled(out: Any, w: Any, row: Any, factor: Any) -> None:
    """out <- out + factor w[row]. With more arrays in one loop the compiler would not vectorise it."""
    for k in range(out.size):
        out[k] += w[row, k] * factor


@kernel
def dots(w: Any, indices: Any, values: Any, start: int, end: int, lanes: Any, out: Any) -> None:
    """<w_k, row> of each class into `out`, in the precision of w, added up as `sparse.dot` does.

    lanes: of the dtype of w, (4, classes), overwritten
    """
    lanes[:] = 0
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    j, stop = np.uint64(start), np.uint64(end)
    while j + _FOUR <= stop:
        add_scaled(a, w, indices[j], values[j])
        add_scaled(b, w, indices[j + _ONE], values[j + _ONE])
        add_scaled(c, w, indices[j + _TWO], values[j + _TWO])
        add_scaled(d, w, indices[j + _THREE], values[j + _THREE])
        j += _FOUR
    while j < stop:
        add_scaled(a, w, indices[j], values[j])
        j += _ONE
    for k in range(out.size):
        out[k] = (a[k] + b[k]) + (c[k] + d[k])


@kernel
def add_rows(w: Any, indices: Any, values: Any, start: int, end: int, factors: Any, pulled: Any) -> None:
    """w_k <- w_k + factors[k] row, for the classes `pulled`; the factors of all others are 0."""
    first, stop = np.uint64(start), np.uint64(end)
    if 2 * pulled.size <= factors.size:
        for j in range(first, stop):
            row, value = indices[j], values[j]
            for p in range(pulled.size):
                w[row, pulled[p]] += factors[pulled[p]] * value
    else:
        for j in range(first, stop):
            row, value = indices[j], values[j]
            for k in range(factors.size):
                w[row, k] += factors[k] * value


@kernel
def classes_pass(
    w: Any,
    carry: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    own: Any,
    weights: Any,
    order: Any,
    done: int,
    schedule: int,
    lam: float,
    eta0: float,
    extra: float,
    loss: int,
    reach: float | None,
) -> int:
    """`sgd.sgd_pass` of all classes, which share steps and scale; no unregularised intercept.

    w: float (features, classes) and carry: float64, [scale, ...], both changed in place; behind two entries,
        where somebody asks, [rows, sum of losses of each class] as there
    own: int32 (n,), the class in which a row is +1, -1 for none; the rest as there

    Returns the rows applied: fewer than given where a margin is not finite.
    """
    scale, classes = carry[0], w.shape[1]
    weighted = weights.size > 0
    seen = carry[2:]
    lanes, products = np.empty((4, classes), w.dtype), np.empty(classes, w.dtype)
    factors, pulled = np.zeros(classes, w.dtype), np.empty(classes, np.uint64)
    for t in range(order.size):
        i = order[t]
        start, end = indptr[i], indptr[i + 1]
        dots(w, indices, values, start, end, lanes, products)
        eta = eta_at(schedule, float(done + t + 1), lam, eta0, extra)
        before = scale
        scale *= contraction(eta, lam)
        folded = scale
        if scale < FOLD_BELOW:
            scale = np.float64(1.0)  # not a literal: see compile.kernel
        size = eta
        if reach is not None:
            s = np.float64(weights[i]) if weighted else 1.0
            size = limited(eta, loss, reach, s, values, start, end)
        found = 0
        for k in range(classes):
            y = 1.0 if k == own[i] else -1.0
            m = y * (before * products[k])
            if not math.isfinite(m):
                carry[0] = before
                return int(t)
            pull = pull_at(loss, m)
            factors[k] = 0.0
            if pull > 0.0:
                step = size * pull * y
                if seen.size > 0:
                    seen[1 + k] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
                if weighted:
                    step *= weights[i]
                factors[k] = step / scale
                pulled[found] = k
                found += 1
        if folded < FOLD_BELOW:
            w *= folded
        if found > 0:
            add_rows(w, indices, values, start, end, factors, pulled[:found])
    carry[0] = scale
    if seen.size > 0:
        seen[0] += order.size
    return int(order.size)


@kernel
def add_classes_gradient(
    w: Any,
    scale: float,
    indptr: Any,
    indices: Any,
    values: Any,
    own: Any,
    weights: Any,
    order: Any,
    loss: int,
    eta: float,
    reach: float,
    out: Any,
    seen: Any = None,
) -> float:
    """`gradient.add_gradient` of all classes. out: float64 (features, classes), added to in place.

    seen: as behind the carry of `classes_pass`, or empty or None where nobody asks

    Returns the rows gone through, or nan where a margin is not finite.
    """
    classes = w.shape[1]
    weighted = weights.size > 0
    lanes, products = np.empty((4, classes), w.dtype), np.empty(classes, w.dtype)
    pulls, pulled = np.zeros(classes), np.empty(classes, np.uint64)
    for t in range(order.size):
        i = order[t]
        start, end = indptr[i], indptr[i + 1]
        dots(w, indices, values, start, end, lanes, products)
        s = np.float64(weights[i]) if weighted else 1.0
        size = limited(eta, loss, reach, s, values, start, end)
        found = 0
        for k in range(classes):
            y = 1.0 if k == own[i] else -1.0
            m = y * (scale * products[k])
            if not math.isfinite(m):
                return math.nan
            pull = pull_at(loss, m)
            if seen is not None and seen.size > 0 and pull > 0.0:
                seen[1 + k] += (np.float64(weights[i]) if weighted else 1.0) * loss_of(loss, m, pull)
            pulls[k] = -pull * y
            if weighted:
                pulls[k] *= weights[i]
            if size < eta:
                pulls[k] *= size / eta
            if pulls[k] != 0.0:
                pulled[found] = k
                found += 1
        add_rows(out, indices, values, start, end, pulls, pulled[:found])
        if seen is not None and seen.size > 0:
            seen[0] += 1.0
    return float(order.size)


@kernel
def classes_losses(
    w: Any, indptr: Any, indices: Any, values: Any, own: Any, weights: Any, loss: int, out: Any
) -> float:
    """Of each class, adds the losses to out[0] and the sample weights of rows classed right to out[1].

    out: float64 (2, classes), in place; a decision value of exactly 0 counts as class -1
    Returns the sum of the sample weights.
    """
    classes, total = w.shape[1], 0.0
    lanes, products = np.empty((4, classes), w.dtype), np.empty(classes, w.dtype)
    for i in range(own.size):
        dots(w, indices, values, indptr[i], indptr[i + 1], lanes, products)
        s = np.float64(weights[i]) if weights.size > 0 else 1.0
        total += s
        for k in range(classes):
            mine = k == own[i]
            value = np.float64(products[k])
            out[0, k] += s * loss_at(loss, value if mine else -value)
            if (value > 0.0) == mine:
                out[1, k] += s
    return total


@kernel
def classes_squares(w: Any, out: Any) -> None:
    """Adds ||w_k||^2 of each class to `out`, float64 (classes,)."""
    for j in range(w.shape[0]):
        for k in range(out.size):
            out[k] += np.float64(w[j, k]) * np.float64(w[j, k])
