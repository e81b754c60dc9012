"""Dual coordinate ascent over CSR rows, for the hinge and the squared hinge.

Hsieh, Chang, Lin, Keerthi, Sundararajan (2008); Shalev-Shwartz, Zhang (2013). With s the sample weights, S
their sum and c_i = s_i / (lambda S), w = sum_i c_i alpha_i y_i x_i throughout, and

    hinge            0 <= alpha_i <= 1      row i's part of S gap:  s_i (max(0, 1-m) + alpha_i (m-1))
    squared hinge    0 <= alpha_i           s_i (max(0, 1-m)^2 + alpha_i (m-1) + alpha_i^2 / 4)

Both parts are never negative, and 0 where the row holds alpha_i at the optimum of its coordinate.
Steps are over-relaxed by a factor omega in (0, 2), projected onto the box (Mangasarian, Musicant 1999): the
dual objective never falls. Row numbers are unsigned where they index, which spares a sign test per entry.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.sparse import AHEAD, CACHE, add, prefetch

_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@kernel
def _dot(w: Any, indices: Any, values: Any, start: Any, end: Any, zero: Any) -> Any:
    """<w, row>, in four sums of the type of `zero`; in kernels/sparse.py they are of the type of w."""
    a, b, c, d = zero, zero, zero, zero
    j = start
    while j + _FOUR <= end:
        a += w[indices[j]] * values[j]
        b += w[indices[j + _ONE]] * values[j + _ONE]
        c += w[indices[j + _TWO]] * values[j + _TWO]
        d += w[indices[j + _THREE]] * values[j + _THREE]
        j += _FOUR
    while j < end:
        a += w[indices[j]] * values[j]
        j += _ONE
    return (a + b) + (c + d)


@kernel
def _dot_asking(
    w: Any, indices: Any, values: Any, start: Any, end: Any, zero: Any, coming: Any, until: Any
) -> Any:
    """`_dot`, to the bit, that asks for the entries of w which the row coming..until will need."""
    a, b, c, d = zero, zero, zero, zero
    j, ask = start, coming
    while j + _FOUR <= end:
        if ask + _FOUR <= until:
            prefetch(w, indices[ask])
            prefetch(w, indices[ask + _ONE])
            prefetch(w, indices[ask + _TWO])
            prefetch(w, indices[ask + _THREE])
            ask += _FOUR
        a += w[indices[j]] * values[j]
        b += w[indices[j + _ONE]] * values[j + _ONE]
        c += w[indices[j + _TWO]] * values[j + _TWO]
        d += w[indices[j + _THREE]] * values[j + _THREE]
        j += _FOUR
    while j < end:
        a += w[indices[j]] * values[j]
        j += _ONE
    while ask < until:
        prefetch(w, indices[ask])
        ask += _ONE
    return (a + b) + (c + d)


@kernel
def _gap_at(squared: bool, a: float, m: float) -> float:
    loss = max(0.0, 1.0 - m)
    return loss * loss + a * (m - 1.0) + 0.25 * a * a if squared else loss + a * (m - 1.0)


@kernel
def ascend(
    w: Any,
    dual: Any,
    moved: Any,
    sums: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    numbers: Any,
    labels: Any,
    weights: Any,
    norms: Any,
    order: Any,
    unit: float,
    squared: bool,
    omega: float,
) -> None:
    """Takes a step on the dual variable of each row at the places `order` of a CSR block, one after another.

    w: float (features,), dual: float64 (n,), both changed in place
    moved: uint8 by place in the block, set to whether the row's dual variable changed
    sums: float64 (2,), whose second entry gets the rows' parts of S gap added, as they were before the steps
    numbers: by place in the block, the row's number in `dual`, `labels`, `weights` and `norms`
    weights: sample weights, or an empty array for all ones; norms: ||x_i||^2, written at a first visit
    where below 0; unit: 1 / (lambda S); omega: in (0, 2)
    """
    weighted = weights.size > 0
    top = math.inf if squared else 1.0
    curvature = 0.5 if squared else 0.0
    cell = np.zeros(1, w.dtype)
    zero = cell[0]
    gap = sums[1]
    ahead = AHEAD if w.size * w.itemsize > CACHE else 0
    for k in range(order.size):
        place = order[k]
        i = numbers[place]
        start, end = np.uint64(indptr[place]), np.uint64(indptr[place + 1])
        if ahead > 0 and k + ahead < order.size:
            coming = order[k + ahead]
            asked = (np.uint64(indptr[coming]), np.uint64(indptr[coming + 1]))
            product = _dot_asking(w, indices, values, start, end, zero, asked[0], asked[1])
        else:
            product = _dot(w, indices, values, start, end, zero)
        y = np.float64(labels[i])
        m = y * np.float64(product)
        a = dual[i]
        s = np.float64(weights[i]) if weighted else 1.0
        gap += s * _gap_at(squared, a, m)
        slope = 1.0 - m - curvature * a
        stays = (a <= 0.0 and slope <= 0.0) or (a >= top and slope >= 0.0) or slope == 0.0
        moved[place] = 0
        if stays:
            continue
        norm = norms[i]
        if norm < 0.0:
            norm = 0.0
            for j in range(start, end):
                norm += np.float64(values[j]) * np.float64(values[j])
            norms[i] = norm
        c = unit * s
        steepness = c * norm + curvature
        if steepness > 0.0:
            b = min(max(a + omega * slope / steepness, 0.0), top)
        else:
            b = top if slope > 0.0 else 0.0
        if b == a:
            continue
        moved[place] = 1
        dual[i] = b
        cell[0] = c * y * (b - a)
        add(w, indices, values, start, end, cell[0])
    sums[1] = gap


@kernel
def look_through(
    w: Any,
    dual: Any,
    moved: Any,
    sums: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    order: Any,
    squared: bool,
) -> None:
    """Goes through the rows `order` at fixed w: adds up losses, and finds the rows a step would move.

    moved: uint8 (n,), set to 1 where the dual variable is not at the optimum of its coordinate, else to 0
    sums: float64 (2,), [sum of s_i losses, sum of the parts of S gap], added to in place
    """
    weighted = weights.size > 0
    top = math.inf if squared else 1.0
    curvature = 0.5 if squared else 0.0
    ahead = AHEAD if w.size * w.itemsize > CACHE else 0
    for k in range(order.size):
        i = order[k]
        start, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        if ahead > 0 and k + ahead < order.size:
            coming = order[k + ahead]
            asked = (np.uint64(indptr[coming]), np.uint64(indptr[coming + 1]))
            product = _dot_asking(w, indices, values, start, end, 0.0, asked[0], asked[1])
        else:
            product = _dot(w, indices, values, start, end, 0.0)
        m = np.float64(labels[i]) * np.float64(product)
        a = dual[i]
        s = np.float64(weights[i]) if weighted else 1.0
        loss = max(0.0, 1.0 - m)
        sums[0] += s * (loss * loss if squared else loss)
        sums[1] += s * _gap_at(squared, a, m)
        slope = 1.0 - m - curvature * a
        stays = (a <= 0.0 and slope <= 0.0) or (a >= top and slope >= 0.0)
        moved[i] = 0 if stays else 1


@kernel
def inner(a: Any, b: Any) -> float:
    """<a, b> in four sums of float64, the same bits on any processor; a BLAS would wake its threads."""
    p, q, r, s = 0.0, 0.0, 0.0, 0.0
    whole = a.size - a.size % 4
    for j in range(0, whole, 4):
        p += np.float64(a[j]) * np.float64(b[j])
        q += np.float64(a[j + 1]) * np.float64(b[j + 1])
        r += np.float64(a[j + 2]) * np.float64(b[j + 2])
        s += np.float64(a[j + 3]) * np.float64(b[j + 3])
    for j in range(whole, a.size):
        p += np.float64(a[j]) * np.float64(b[j])
    return (p + q) + (r + s)


@kernel
def approach(one: Any, other: Any, share: float) -> None:
    """one = (1 - share) one + share other, in float64, in place; vectors of the same length."""
    for j in range(one.size):
        one[j] = (1.0 - share) * np.float64(one[j]) + share * np.float64(other[j])


@kernel
def losses_between(one: Any, other: Any, weights: Any, shares: Any, squared: bool, out: Any) -> None:
    """Adds sum_i s_i loss((1-c) one_i + c other_i) to out[j], for each c = shares[j].

    one, other: margins, float64 (n,); shares, out: float64 (m,)
    """
    weighted = weights.size > 0
    for i in range(one.size):
        s = np.float64(weights[i]) if weighted else 1.0
        for j in range(shares.size):
            loss = max(0.0, 1.0 - (1.0 - shares[j]) * one[i] - shares[j] * other[i])
            out[j] += s * (loss * loss if squared else loss)


@kernel
def add_moves(
    out: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
    weights: Any,
    before: Any,
    after: Any,
    unit: float,
) -> None:
    """Adds to `out` what w moves by as the dual variables of all rows go from `before` to `after`.

    out: float64 (features,), before, after: float64 (n,); weights, unit: as in `ascend`
    """
    weighted = weights.size > 0
    for i in range(before.size):
        if after[i] == before[i]:
            continue
        c = unit * (after[i] - before[i]) * labels[i]
        if weighted:
            c *= weights[i]
        for j in range(indptr[i], indptr[i + 1]):
            out[indices[j]] += c * values[j]


@kernel
def copy_rows(
    numbers: Any, indptr: Any, indices: Any, values: Any, starts: Any, columns: Any, entries: Any
) -> None:
    """Writes the rows `numbers` one behind another into `starts`, `columns`, `entries`, a CSR block."""
    at = np.uint64(0)
    starts[0] = 0
    for k in range(numbers.size):
        i = numbers[k]
        for j in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            columns[at] = indices[j]
            entries[at] = values[j]
            at += _ONE
        starts[k + 1] = at
