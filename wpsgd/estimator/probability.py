"""Probabilities that the loss itself stands for, and whether an estimator has any.

log_loss: the sigmoid of the decision value; modified_huber: Zhang (JMLR 2002), as SGDClassifier has it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
WITH_PROBABILITIES = ("log_loss", "modified_huber")


def probabilities_of_loss(scores: Floats, loss: str) -> Floats:
    """Of each class, (n, classes), rows adding up to 1; equal shares where every class is given 0.

    scores: decision values, (n,) of two classes, else (n, classes), one against the rest
    """
    if scores.ndim == 1:
        return np.column_stack([_of_one(-scores, loss), _of_one(scores, loss)])
    return normalised(_of_one(scores, loss))


def normalised(each: Floats) -> Floats:
    """Rows adding up to 1, equal shares where all of a row is 0."""
    sums = each.sum(axis=1, keepdims=True)
    return np.where(sums > 0.0, each / np.where(sums > 0.0, sums, 1.0), 1.0 / each.shape[1])


def _of_one(scores: Floats, loss: str) -> Floats:
    if loss == "log_loss":
        return np.asarray(expit(scores))
    return (np.clip(scores, -1.0, 1.0) + 1.0) / 2.0


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
