"""Where the processes of a fit meet: rows in, and what all bring together agreed upon."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from wpsgd.estimator.files import is_path, own_part
from wpsgd.estimator.inputs import Inputs, read
from wpsgd.estimator.joining import Share, Whole, agreed, join, several, share_of
from wpsgd.memory_limit import check_width

SEEDS = 2**31 - 1


def meet(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    known: NDArray[Any] | None = None,
    *,
    reset: bool = True,
) -> tuple[Inputs, Whole, int]:
    """This process's rows, what all bring together, and a seed that all share."""
    runtime = estimator.runtime
    zero_based = None
    if any(agreed(runtime, lambda: is_path(X))):
        X, y, zero_based = own_part(runtime, X, y, sample_weight)

    held: list[Inputs] = []  # of this process alone: rows are not sent around

    def phase() -> tuple[Share, int]:
        held.append(read(estimator, X, y, sample_weight, reset=reset, empty=several(runtime)))
        seed = int(check_random_state(estimator.random_state).randint(SEEDS))
        names = getattr(estimator, "feature_names_in_", None) if len(held[0]) else None
        return share_of(held[0], names), seed

    said = agreed(runtime, phase)
    whole = agreed(runtime, lambda: join([share for share, _ in said], known))[0]
    if len(whole.classes) < 2:
        raise ValueError(f"The number of classes has to be greater than one; got {len(whole.classes)} class")
    itemsize, models = held[0].matrix.dtype.itemsize, max(1, len(whole.classes) - (len(whole.classes) == 2))
    agreed(runtime, lambda: check_width(whole.features, models, itemsize))
    if reset:
        vars(estimator).pop("_zero_based", None)
    if zero_based is not None:
        estimator._zero_based = zero_based
    estimator.n_features_in_ = whole.features
    if whole.names is not None:
        estimator.feature_names_in_ = np.array(whole.names, dtype=object)
    return held[0], whole, said[0][1]
