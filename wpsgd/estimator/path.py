"""Models for several strengths of the regulariser, each from the one before."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from sklearn.base import clone

from wpsgd.errors import ConfigError


def alpha_path(estimator: Any, X: Any, y: Any, alphas: Iterable[float], sample_weight: Any) -> list[Any]:
    """Fitted copies of an estimator, one for each of `alphas`, in their order.

    The strongest is trained first, and each begins where the one before ended: it is nearer to its solution
    than 0 is. Raises ConfigError where there are none.
    """
    wanted = [float(alpha) for alpha in alphas]
    if not wanted:
        raise ConfigError("alphas: must be at least one")
    model = clone(estimator).set_params(warm_start=True)
    found = {}
    for alpha in sorted(set(wanted), reverse=True):
        model.set_params(alpha=alpha).fit(X, y, sample_weight)
        kept = copy.copy(model).set_params(warm_start=estimator.warm_start)
        found[alpha] = kept
    return [copy.copy(found[alpha]) for alpha in wanted]
