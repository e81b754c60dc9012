"""What theory says about a run before it is run: pure functions of the settings.

The delayed recursion: Langford, Smola, Zinkevich (2009); Cheng, Li, Zhang (JPDC 2020), section 4.4, Lemma 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.optimize import brentq

from wpsgd.errors import ConfigError

SLACK = 1e-12  # by which eta lambda may exceed its bound: both are rounded


def delay_bound(tau: int) -> float:
    """The largest eta lambda for which v_{t+1} = v_t - eta lambda v_{t-tau} decays without oscillating.

    tau^tau / (tau + 1)^(tau + 1): there the two largest roots of r^{tau+1} - r^tau + eta lambda meet.
    """
    return math.exp(-tau * math.log1p(1.0 / tau)) / (tau + 1) if tau else 1.0


def log_delayed_contraction(eta_lambda: float, tau: int) -> float:
    """log r(tau), r the largest real root of r^{tau+1} - r^tau + eta lambda = 0; -inf where r is 0.

    eta_lambda: > 0; tau: steps a gradient is late, >= 0. For tau = 0 this is log(1 - eta lambda).
    Raises ConfigError past `delay_bound`, where no root is real.
    """
    bound = delay_bound(tau)
    if not 0.0 < eta_lambda <= bound * (1.0 + SLACK):
        raise ConfigError(
            f"eta lambda = {eta_lambda:.6g} with decay {tau} steps late: must be above 0 and at most"
            f" {bound:.6g}, tau^tau / (tau + 1)^(tau + 1)"
        )

    # in x = 1 - r, which keeps its digits where r is close to 1: x (1 - x)^tau rises up to x = 1 / (tau + 1)
    def missing(log_x: float) -> float:
        x = math.exp(log_x)
        return log_x + tau * math.log1p(-x) - math.log(eta_lambda)

    top = -math.log1p(tau)
    if tau == 0 or missing(top) <= 0.0:
        x = eta_lambda if tau == 0 else 1.0 / (tau + 1)
        return math.log1p(-x) if x < 1.0 else -math.inf
    log_x = brentq(missing, math.log(eta_lambda), top, xtol=1e-15, rtol=1e-14)
    return math.log1p(-math.exp(log_x))


def delayed_contraction(eta_lambda: float, tau: int) -> float:
    """r(tau) itself, see `log_delayed_contraction`."""
    return math.exp(log_delayed_contraction(eta_lambda, tau))


class Condition(NamedTuple):
    """An inequality left <= right that a theorem asks for."""

    left: float
    right: float

    @property
    def holds(self) -> bool:
        """Whether it is met."""
        return self.left <= self.right


def lemma_4(eta: float, lam: float, curvature: float, squared_norm: float, tau: int) -> Condition:
    """eta lambda + eta max||x||^2 c <= (1 - eta lambda)^tau: delay SGD contracts (WP-SGD paper, Lemma 4).

    It presumes the paper's range check: without one it may hold where `settles` does not.
    curvature: c, of `CURVATURES`, infinite for hinge; squared_norm: the largest ||x_i||^2
    """
    return Condition(eta * lam + eta * squared_norm * curvature, (1.0 - eta * lam) ** tau)


# One row of a smooth loss whose own gradients come tau steps late: the distance of its margin from its rest
# obeys r^{tau+1} - R r^tau + eta c b^2 = 0, R = 1 - eta lambda, b^2 = s ||x||^2, c the curvature there.


def settles_evenly(steepness: float, contraction: float, tau: int) -> Condition:
    """eta c b^2 <= R^{tau+1} tau^tau / (tau+1)^{tau+1}: the row comes to rest without oscillating.

    steepness: eta c b^2; contraction: R in [0, 1]
    """
    return Condition(steepness, contraction ** (tau + 1) * delay_bound(tau))


def settles(steepness: float, tau: int) -> Condition:
    """eta c b^2 < 2 sin(pi / (2 (2 tau + 1))): the row comes to rest at all, for R close to 1.

    There a pair of roots is on the unit circle. A smaller R only helps.
    """
    return Condition(steepness, 2.0 * math.sin(math.pi / (2.0 * (2 * tau + 1))))
