"""How every kernel is compiled: without the GIL, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numba import config, njit
from numba.extending import intrinsic

from wpsgd.kernels.cache import KernelCache

P = ParamSpec("P")
R = TypeVar("R")
INTERPRETED = bool(getattr(config, "DISABLE_JIT", False))  # what NUMBA_DISABLE_JIT=1 sets


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles at the first call with each combination of types. No fastmath: the same bits anywhere.

    Inside a kernel float(x) leaves float32 as it is; np.float64(x) widens. With NUMBA_DISABLE_JIT=1 Python
    runs the kernels, and a literal takes the type of a float32 that it meets: np.float64(0.0) does not.
    """
    if INTERPRETED:
        return interpreted(function)
    compiled: Any = njit(nogil=True)(function)
    compiled._cache = KernelCache(function)  # where `cache=True` would put numba's own
    return cast(Callable[P, R], compiled)


def interpreted(function: Callable[P, R]) -> Callable[P, R]:
    """The function with the arithmetic of a compiled one, for a debugger.

    Numba's floats are float64 and its integers wrap around silently. Python's floats would take the type of a
    float32 that they meet (NumPy's NEP 50), and NumPy's scalars warn.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            given = {name: typed(value) for name, value in kwargs.items()}
            return cast(R, typed(function(*map(typed, args), **given)))

    return run


def typed(value: Any) -> Any:
    """A Python float as numba has it; everything else as it is."""
    return np.float64(value) if type(value) is float else value


def instruction(definition: Any) -> Any:
    """One machine instruction, of which the results do not depend (numba's `intrinsic`); none in Python."""
    return _nothing if INTERPRETED else intrinsic(definition)


def _nothing(*operands: Any) -> None:
    """What an instruction does where Python runs the kernels."""
