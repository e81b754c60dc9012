"""An estimator's parameters as JSON, and back to values that are equal to what they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# what JSON has no word for is an object of one key that no parameter of ours begins with
ITEMS, TUPLE, SCALAR, ARRAY, RANDOM = "$items", "$tuple", "$scalar", "$array", "$random_state"
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


class RestoredRandomState(np.random.RandomState):
    """A RandomState that equals any of the same state, so that parameters that were stored compare equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, np.random.RandomState):
            return NotImplemented
        return bool(encoded(self) == encoded(other))

    __hash__ = None  # type: ignore[assignment] # its state changes


def encoded(value: Any) -> Any:
    """A value as JSON can hold it. Raises TypeError for what cannot be stored, such as a runtime."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.random.RandomState):
        return {RANDOM: encoded(value.get_state(legacy=False))}
    if isinstance(value, np.generic) and value.dtype.kind in "biufU" and not _is_long(value.dtype):
        return {SCALAR: [value.dtype.str, value.item()]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU" and not _is_long(value.dtype):
        return {ARRAY: [value.dtype.str, value.tolist()]}
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: encoded(one) for key, one in value.items()}
        return {ITEMS: [[encoded(key), encoded(one)] for key, one in value.items()]}
    if type(value) in (list, tuple):
        parts = [encoded(one) for one in value]
        return parts if type(value) is list else {TUPLE: parts}
    raise TypeError(f"{value!r:.80} cannot be stored")


def decoded(value: Any) -> Any:
    """What `encoded` was given. Raises ValueError for JSON that it did not write."""
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (found := next(iter(value))) in _DECODERS:
        return _DECODERS[found](value[found])
    return {key: decoded(one) for key, one in value.items()}


def _is_long(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" and dtype.itemsize > 8


def _scalar(content: Any) -> Any:
    return np.dtype(content[0]).type(content[1])


def _random_state(content: Any) -> np.random.RandomState:
    state = decoded(content)
    name = str(state["bit_generator"])
    if name not in BIT_GENERATORS:
        raise ValueError(f"random_state of an unknown kind, {name}")
    restored = RestoredRandomState(getattr(np.random, name)())
    restored.set_state(state)
    return restored


_DECODERS = {
    ITEMS: lambda content: {decoded(key): decoded(one) for key, one in content},
    TUPLE: lambda content: tuple(decoded(one) for one in content),
    SCALAR: _scalar,
    ARRAY: lambda content: np.array(content[1], dtype=np.dtype(content[0])),
    RANDOM: _random_state,
}
