"""What a round changed in a model, and the sum of many such changes: the sparse form of a reduction."""

from __future__ import annotations

from typing import Any

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.sgd import FOLD_BELOW, contraction
from wpsgd.kernels.stepsize import eta_at

STRETCH = 4096  # coordinates that are summed at a time, in the fastest cache


@kernel
def mark_columns(order: Any, indptr: Any, indices: Any, seen: Any, columns: Any, found: int) -> int:
    """Appends the columns of the rows `order` that are not marked yet to `columns`, and marks them.

    seen: uint8 (features,) and columns: int32, changed in place; found: columns there are already
    Returns how many there are then.
    """
    for i in order:
        for entry in range(indptr[i], indptr[i + 1]):
            column = indices[entry]
            if seen[column] == 0:
                seen[column] = 1
                columns[found] = column
                found += 1
    return int(found)


@kernel
def folds(done: int, steps: int, schedule: int, lam: float, eta0: float, extra: float, factors: Any) -> int:
    """Writes the scales that kernels.sgd.sgd_pass multiplies into the weights during `steps` steps.

    factors: float64, filled as far as it reaches; the other arguments: as for sgd_pass
    Returns how many there are.
    """
    scale, count = 1.0, 0
    for k in range(steps):
        scale *= contraction(eta_at(schedule, float(done + k + 1), lam, eta0, extra), lam)
        if scale < FOLD_BELOW:
            if count < factors.size:
                factors[count] = scale
            count += 1
            scale = 1.0
    return count


@kernel
def decay(x: Any, factors: Any, out: Any) -> None:
    """out = x times the factors, one after another, each product rounded to its type."""
    dtype = out.dtype.type
    for j in range(x.size):
        out[j] = dtype(x[j] * factors[0])
    for factor in factors[1:]:
        for j in range(x.size):
            out[j] = dtype(out[j] * factor)


@kernel
def weigh(total: Any, part: Any, weight: float) -> None:
    """total = weight x part, in their type; zeros for a weight of 0, whatever the part holds."""
    omega = total.dtype.type(weight)
    if weight == 0.0:
        total[:] = omega
    else:
        for j in range(total.size):
            total[j] = part[j] * omega


@kernel
def add_weighed(total: Any, part: Any, weight: float) -> None:
    """total += weight x part, as `weigh` has it."""
    omega = total.dtype.type(weight)
    if weight == 0.0:
        for j in range(total.size):
            total[j] += omega
    else:
        for j in range(total.size):
            total[j] += part[j] * omega


@kernel
def begin_from(total: Any, x0: Any, start: float, part: Any, weight: float) -> None:
    """total = weight x part + start x x0, in their type."""
    omega, origin = total.dtype.type(weight), total.dtype.type(start)
    for j in range(total.size):
        total[j] = part[j] * omega + origin * x0[j]


@kernel
def add_changed(
    x0: Any,
    start: float,
    omegas: Any,
    factors: Any,
    factor_ends: Any,
    indices: Any,
    values: Any,
    ends: Any,
    room: Any,
    out: Any,
) -> None:
    """out = start x0 + sum_i omega_i w_i, with the bits of a reduction in rank order of the models w_i.

    Node i's model is `values` at `indices`, from ends[i] to ends[i + 1], ascending; elsewhere it is x0 times
    `factors`, from factor_ends[i] to factor_ends[i + 1], one after another.
    x0, out: float (features,); room: of their type, STRETCH long
    """
    place = ends[:-1].copy()
    for first in range(0, x0.size, STRETCH):
        last = min(first + STRETCH, x0.size)
        origin, total, part = x0[first:last], out[first:last], room[: last - first]
        for i in range(omegas.size):
            decay(origin, factors[factor_ends[i] : factor_ends[i + 1]], part)
            while place[i] < ends[i + 1] and indices[place[i]] < last:
                part[indices[place[i]] - first] = values[place[i]]
                place[i] += 1
            if i > 0:
                add_weighed(total, part, omegas[i])
            elif start != 0.0:
                begin_from(total, origin, start, part, omegas[i])
            else:
                weigh(total, part, omegas[i])
