"""The sums of collectives, element by element the same in every runtime: added in rank order."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from wpsgd.requests import Op, Vector

_FOLDS = MappingProxyType({"sum": np.add, "max": np.maximum, "min": np.minimum})


def weigh(buffer: Vector, weight: float, op: Op) -> None:
    """buffer *= weight in place; a weight of 0 clears it, whatever it holds."""
    if op != "sum" or weight == 1.0:
        return
    if weight == 0.0:
        buffer[:] = 0.0
    else:
        buffer *= weight


def fold(parts: Iterable[Vector], op: Op, out: Vector) -> None:
    """Folds weighed parts, given in rank order, into `out`, which may be the first of them."""
    for number, part in enumerate(parts):
        if number == 0:
            if part.ctypes.data != out.ctypes.data:
                out[:] = part
        else:
            _FOLDS[op](out, part, out=out)
