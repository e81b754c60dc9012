"""A sparse row and a dense vector: dot products, and memory asked for before it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from wpsgd.kernels.compile import instruction, kernel

# positions are unsigned: that spares a sign test per entry
_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
_LINE = 64  # bytes that come into a cache together
CACHE = 1 << 20  # bytes of weights that stay in a core's second-level cache; beyond, they are asked for early
AHEAD = 3  # rows before its turn that a row's weights are asked for


@kernel
def dot(w: Any, indices: Any, values: Any, start: int, end: int) -> float:
    """<w, row> over the entries start..end, in the precision of w.

    Four strided lanes: a single sum would wait for itself at each entry.
    """
    a = b = c = d = w.dtype.type(0)
    j, stop = np.uint64(start), np.uint64(end)
    while j + _FOUR <= stop:
        a += w[indices[j]] * values[j]
        b += w[indices[j + _ONE]] * values[j + _ONE]
        c += w[indices[j + _TWO]] * values[j + _TWO]
        d += w[indices[j + _THREE]] * values[j + _THREE]
        j += _FOUR
    while j < stop:
        a += w[indices[j]] * values[j]
        j += _ONE
    total: float = (a + b) + (c + d)
    return total


@kernel
def dot_asking(w: Any, indices: Any, values: Any, start: int, end: int, coming: int, until: int) -> float:
    """`dot`, to the bit, that asks for the entries of w which the row coming..until will need.

    One of its own between any two requests: many at once would wait for one another.
    """
    a = b = c = d = w.dtype.type(0)
    j, stop = np.uint64(start), np.uint64(end)
    ask, last = np.uint64(coming), np.uint64(until)
    while j + _FOUR <= stop:
        if ask + _FOUR <= last:
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
    while j < stop:
        a += w[indices[j]] * values[j]
        j += _ONE
    while ask < last:
        prefetch(w, indices[ask])
        ask += _ONE
    total: float = (a + b) + (c + d)
    return total


@kernel
def add(w: Any, indices: Any, values: Any, start: Any, end: Any, factor: Any) -> None:
    """w <- w + factor row."""
    j, stop = np.uint64(start), np.uint64(end)
    while j + _FOUR <= stop:
        w[indices[j]] += factor * values[j]
        w[indices[j + _ONE]] += factor * values[j + _ONE]
        w[indices[j + _TWO]] += factor * values[j + _TWO]
        w[indices[j + _THREE]] += factor * values[j + _THREE]
        j += _FOUR
    while j < stop:
        w[indices[j]] += factor * values[j]
        j += _ONE


@kernel
def ask_for_row(indices: Any, values: Any, start: int, end: int) -> None:
    """Asks for a row itself: where rows come in random order, the processor cannot guess the next."""
    stop = np.uint64(end)
    j = np.uint64(start)
    while j < stop:
        prefetch(indices, j)
        j += np.uint64(_LINE // indices.itemsize)
    j = np.uint64(start)
    while j < stop:
        prefetch(values, j)
        j += np.uint64(_LINE // values.itemsize)


@instruction
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Asks for array[index] to be brought into the cache."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, is_data = flag(0), flag(3), flag(1)
        builder.call(function, [address, read, keep, is_data])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit
