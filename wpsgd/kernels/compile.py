"""How every kernel is compiled: without the GIL, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles at the first call with each combination of types. No fastmath: the same bits anywhere.

    Inside a kernel float(x) leaves float32 as it is; np.float64(x) widens.
    """
    return cast(Callable[P, R], njit(nogil=True, cache=True)(function))
