"""Whether an estimator has probabilities, be it those that its loss itself stands for."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from wpsgd.export.probabilities import WITH_PROBABILITIES, probabilities_of_loss

__all__ = ["OfProbabilities", "probabilities_of_loss"]


class OfProbabilities:
    """A method that is there where probabilities are; elsewhere the AttributeError says how to get them.

    scikit-learn's `available_if` says so too, but only in the error's cause.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            return self._method
        if instance.probability or instance.loss in WITH_PROBABILITIES:
            return MethodType(self._method, instance)
        name = self._method.__name__
        reason = (
            f"probability estimates are not available for loss={instance.loss!r}: pass probability=True, with"
            " which a fit calibrates them (Platt's scaling)"
        )
        raise AttributeError(
            f"This {owner.__name__!r} has no attribute {name!r}: {reason}"
        ) from AttributeError(reason)
