"""The model that a warm start begins with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.estimator.joining import Whole


class Last(NamedTuple):
    """The model that a warm start begins with.

    weights: (models, columns); classes, names of features: it was trained on; duals: of each model, or None
    """

    weights: FloatArray
    classes: NDArray[Any]
    names: tuple[str, ...] | None
    duals: Any


def check_continued(last: Last, whole: Whole, columns: int) -> None:
    """Raises ConfigError where data of `whole`, with so many columns, are not of the last model's kind."""
    if not np.array_equal(last.classes, whole.classes):
        found, needed = last.classes.tolist(), whole.classes.tolist()
        raise ConfigError(f"warm_start=True: the last model is of classes {found}, these data of {needed}")
    if last.weights.shape[1] != columns:
        raise ConfigError(
            f"warm_start=True: the last model has {last.weights.shape[1]} weights a class, its intercept with"
            f" them, these data need {columns}"
        )
    if last.names is not None and whole.names is not None and last.names != whole.names:
        raise ConfigError("warm_start=True: the features have other names than those of the last model")
