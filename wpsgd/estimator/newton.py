"""Newton's method on the weights, for losses with a slope everywhere: certified at each step.

Truncated steps (Lin, Weng, Keerthi 2008) along which a line search goes (Galli, Lin 2021): conjugate
gradients solve with the Hessian, preconditioned by a part of its diagonal (Hsia, Chiang, Lin 2018) or by a
factorisation, whichever is cheaper on these rows (curvature.py). With alpha_i = -loss'(m_i), and w(alpha) as
in DESIGN.md, "The mathematics", 5, the gap to the dual objective is

    F(w) - D(alpha) = lambda/2 ||w - w(alpha)||^2 = ||grad F(w)||^2 / (2 lambda).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.dual_solver import check_alpha, total_weight
from wpsgd.errors import ConfigError, nearest
from wpsgd.estimator.curvature import Design, Stand
from wpsgd.estimator.judging import look, told
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.newton import along, parts_at, slopes
from wpsgd.learners.sgd import kernel_arrays
from wpsgd.trace import Event

Floats = NDArray[np.float64]
SMOOTH_LOSSES = ("squared_hinge", "log_loss", "modified_huber")
PATIENCE = 4  # steps without a smaller gap: rounding has the last word
LOOSEST = 0.1  # share of the residual that an inexact step may leave
MOST_PRODUCTS = 300  # of a step
ENOUGH = 1e-4  # of what the slope promises: a decrease that will do
TOO_FAR, FLAT = 0.8, 0.1  # of the slope: what is too steep behind a step of 1, and behind another one
NOISE = 1e-13  # of F, which rounding may raise
HALVINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class NewtonResult:
    """What Newton's method came to.

    weights: float64 of shape (features,); dual: alpha, float64 of shape (n,); steps: Newton steps
    gap: F(w) minus the dual objective; trace: a look at the start and at each step but the last
    """

    weights: Floats
    dual: Floats
    steps: int
    gap: float
    trace: list[Event]


def minimise(
    rows: Rows,
    loss: str,
    alpha: float,
    *,
    goal: float,
    most_steps: int = 1000,
    start: NDArray[np.floating] | None = None,
    halted: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] | None = None,
    width: float = 0.0,
) -> NewtonResult:
    """The weights whose duality gap is at most `goal`, or the best that there are.

    Rows of weight 0 must be left out. start: weights to begin with, where F is below that of w = 0
    halted: asked between two passes over the rows, whether to end
    width: of the parabola that rounds off the hinge, whose gap this is then. Raises ConfigError, DataError.
    """
    if loss not in SMOOTH_LOSSES and not (loss == "hinge" and width > 0.0):
        allowed = ", ".join(SMOOTH_LOSSES)
        raise ConfigError(
            f"loss {loss!r}: Newton's method takes one of {allowed}{nearest(loss, SMOOTH_LOSSES)}"
        )
    check_alpha(alpha)
    search = _Search(Design(rows, alpha, 1.0 / total_weight(rows)), LOSSES[loss], halted, width)
    now = search.begun(start)
    best = search.descended(now, goal, most_steps, tell)
    looks = [look(*seen) for seen in search.history]
    return NewtonResult(best.weights, search.dual_at(best), len(looks) - 1, best.gap, looks[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """m: margins; bends: s_i loss''(m_i); gradient: of F, whose value is `value`."""

    weights: Floats
    m: Floats
    value: float
    bends: Floats
    pulls: Floats
    gradient: Floats
    gap: float


class _Search:
    def __init__(self, design: Design, loss: int, halted: Callable[[], bool], width: float = 0.0) -> None:
        self.design, self.loss, self.halted, self.width = design, loss, halted, width
        self.stand = Stand(design)
        self.history: list[tuple[int, float, float]] = []  # step, F, gap
        *_, self._labels, self._sample_weights = kernel_arrays(design.rows)

    def at(self, weights: Floats, m: Floats | None = None) -> _Point:
        """m: the margins there, where they are known."""
        design = self.design
        m = design.margins(weights) if m is None else m
        pulls, bends = np.empty(len(m)), np.empty(len(m))
        losses = slopes(self.loss, m, self._labels, self._sample_weights, pulls, bends, self.width)
        gradient = design.alpha * weights - design.scale * design.pulled(pulls)
        value = design.scale * losses + 0.5 * design.alpha * float(weights @ weights)
        return _Point(weights, m, value, bends, pulls, gradient, _gap(gradient, design.alpha))

    def begun(self, start: NDArray[np.floating] | None) -> _Point:
        """At `start`, or where F is not below that of w = 0, there."""
        if start is not None and start.any():
            there = self.at(start.astype(np.float64))
            if there.value < parts_at(self.loss, 0.0, self.width)[0]:
                return there
        return self.at(np.zeros(self.design.rows.features))

    def dual_at(self, point: _Point) -> Floats:
        """alpha_i = -loss'(m_i)."""
        shares = self._sample_weights if len(self._sample_weights) else 1.0
        return np.asarray(point.pulls * self._labels / shares, dtype=np.float64)

    def descended(
        self, now: _Point, goal: float, most_steps: int, tell: Callable[[str], None] | None
    ) -> _Point:
        """The point of the smallest gap, after so many steps at most."""
        best, since = now, 0
        self._look(now, tell)
        while best.gap > goal and len(self.history) <= most_steps and not self.halted():
            further = self._further(now, self._direction(now))
            if further is None:
                break
            now = further
            self._look(now, tell)
            best, since = (now, 0) if now.gap < best.gap else (best, since + 1)
            if since > PATIENCE and self._settled(since):
                break
        return best

    def _settled(self, since: int) -> bool:
        """Whether F has not fallen either: far from the optimum it may while the gap rises."""
        values = [value for _, value, _ in self.history[-1 - since :]]
        return values[0] - min(values) <= NOISE * abs(values[0])

    def _look(self, now: _Point, tell: Callable[[str], None] | None) -> None:
        self.history.append((len(self.history), now.value, now.gap))
        if tell is not None:
            tell(told(f"step {len(self.history) - 1}", now.value, now.gap))

    def _direction(self, now: _Point) -> Floats:
        """An inexact solution of Hessian p = -gradient, by preconditioned conjugate gradients."""
        self.stand.renew(now.bends)
        most = min(MOST_PRODUCTS, max(self.stand.dear, 10.0))
        # the nearer the optimum, the more exact: convergence is superlinear
        share = min(LOOSEST, np.sqrt(min(1.0, now.gap / max(now.value, 1e-300))))
        r = -now.gradient
        if self.stand.fresh:
            self.stand.spent += 1  # what the step costs beside the factorisation
            return self.stand.solve(r)
        p = np.zeros_like(r)
        z = self.stand.solve(r)
        d, left = z, float(r @ z)
        enough, taken = share * share * left, 0
        while left > enough and taken < most and not (taken and self.halted()):
            curved = self.design.curved(now.bends, d)
            self.stand.spent, taken = self.stand.spent + 1, taken + 1
            length = left / float(d @ curved)
            p += length * d
            r -= length * curved
            z = self.stand.solve(r)
            left, before = float(r @ z), left
            d = z + left / before * d
        return p

    def _further(self, now: _Point, direction: Floats) -> _Point | None:
        """The point a way along a direction, or None where rounding leaves no way down."""
        slope = float(now.gradient @ direction)
        if not slope < 0.0:
            return None
        q = self.design.margins(direction)
        line = _Line(self, now, direction, q)
        t = line.lowest(slope)
        return None if t == 0.0 else self.at(now.weights + t * direction, now.m + t * q)


class _Line:
    """F along a direction, without the rows."""

    def __init__(self, search: _Search, now: _Point, direction: Floats, q: Floats) -> None:
        self.search, self.now, self.q = search, now, q
        alpha = search.design.alpha
        self.squares = alpha * float(now.weights @ direction), alpha * float(direction @ direction)

    def at(self, t: float) -> tuple[float, float, float]:
        """F there minus F here, and its first two derivatives."""
        search, scale = self.search, self.search.design.scale
        value, slope, bend = along(search.loss, self.now.m, self.q, search._sample_weights, t, search.width)
        first, second = self.squares
        own = 0.5 * search.design.alpha * float(self.now.weights @ self.now.weights)
        change = scale * value + own + t * first + 0.5 * t * t * second - self.now.value
        return change, scale * slope + first + t * second, scale * bend + second

    def lowest(self, slope: float) -> float:
        """1 where that will do, else about where F is lowest: convex, with `slope` < 0 at 0."""
        change, behind, _ = self.at(1.0)
        noise = NOISE * abs(self.now.value)
        if change <= ENOUGH * slope or (change <= noise and behind <= TOO_FAR * -slope):
            return 1.0
        low, high, t = 0.0, 1.0, 0.5
        for _ in range(HALVINGS):
            change, at, bend = self.at(t)
            if change <= ENOUGH * t * slope and abs(at) <= FLAT * -slope:
                return t
            low, high = (t, high) if at < 0.0 else (low, t)
            newton = t - at / bend if bend > 0.0 else low
            t = newton if low < newton < high else 0.5 * (low + high)
        return low


def _gap(gradient: Floats, alpha: float) -> float:
    with np.errstate(over="ignore"):
        return float(gradient @ gradient) / (2.0 * alpha)
