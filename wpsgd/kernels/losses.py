"""The losses as functions of the margin m = y <w, x>, by number inside kernels and by name outside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from wpsgd.kernels.compile import kernel

LOSSES = MappingProxyType({"hinge": 0, "squared_hinge": 1, "log_loss": 2, "modified_huber": 3})
HINGE, _SQUARED_HINGE, LOGISTIC = 0, 1, 2
# the largest second derivative of each loss as a function of the margin
CURVATURES: Mapping[str, float] = MappingProxyType(
    {"hinge": math.inf, "squared_hinge": 2.0, "log_loss": 0.25, "modified_huber": 2.0}
)


@kernel
def loss_at(loss: int, m: float) -> float:
    """Loss at margin m."""
    if loss == HINGE:
        return max(0.0, 1.0 - m)
    if loss == _SQUARED_HINGE:
        return max(0.0, 1.0 - m) ** 2
    if loss == LOGISTIC:
        # log(1 + exp(-m)) without overflow on either side
        return math.log1p(math.exp(-m)) if m > 0.0 else math.log1p(math.exp(m)) - m
    return -4.0 * m if m < -1.0 else max(0.0, 1.0 - m) ** 2


@kernel
def pull_at(loss: int, m: float) -> float:
    """Minus the derivative of the loss at margin m, never negative: how hard a row pulls on the weights."""
    if loss == HINGE:
        return 1.0 if m < 1.0 else 0.0
    if loss == LOGISTIC:
        return 1.0 / (1.0 + math.exp(m)) if m < 700.0 else 0.0
    if m >= 1.0:
        return 0.0
    if loss == _SQUARED_HINGE or m >= -1.0:
        return 2.0 * (1.0 - m)
    return 4.0


@kernel
def loss_of(loss: int, m: float, pull: float) -> float:
    """`loss_at` but for its last digits, faster where the pull at m is known, which is not 0."""
    if loss == HINGE:
        return 1.0 - m
    if loss == LOGISTIC:
        return -math.log(1.0 - pull) if m > 0.0 else -m - math.log(pull)
    return loss_at(loss, m)


@kernel
def curvature_at(loss: int) -> float:
    """The largest second derivative of a smooth loss; 0 for the hinge, whose slope is bounded instead."""
    if loss == HINGE:
        return 0.0
    return 0.25 if loss == LOGISTIC else 2.0
