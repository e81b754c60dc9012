"""What theory says before a run: how far WP-SGD will be from the optimum, and when it beats the fastest node.

At a constant step eta with R = 1 - eta lambda, t steps multiply the distance to the optimum by R^t, and
noise of its own builds up on each node, up to a variance of sigma^2. T_i: rows of node i, T = max T_i,
Delta_i = T - T_i.
The bounds follow from Zinkevich, Weimer, Smola, Li (2010), theorems 11 and 70; like the WP-SGD paper's
(Cheng, Li, Zhang 2020, corollaries 2 to 4) they add up distances, and call WP-SGD the better one too early.
The squared form keeps mean and noise apart, and is the one to predict with. Its premise, a step that
contracts by R and no more, is met where the regulariser rules: early, from a start far away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, nnls

from wpsgd.errors import ConfigError

Array = NDArray[np.float64]
GRID = 60  # places at which a crossing is looked for, per factor of 10 in rows


@dataclass(frozen=True, slots=True)
class Constants:
    """D, sigma and R: distance ||w0 - w*|| of the start, spread of one node's model at the end, contraction.

    distance, spread: in one unit, whatever it is; contraction: of one step, in (0, 1). Raises ConfigError.
    """

    distance: float
    spread: float
    contraction: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.distance < inf and 0.0 <= self.spread < inf):
            raise ConfigError(
                f"distance = {self.distance}, spread = {self.spread}: must be finite numbers >= 0"
            )
        _check_factor("contraction", self.contraction, below_one=True)


def a_priori(eta: float, alpha: float, distance: float, inside: float = 1.0) -> Constants:
    """sigma^2 = eta f / (2 lambda), what single rows of unit norm stir up.

    inside: f, the share of rows within the margin at the end. Raises ConfigError.
    """
    if not 0.0 < eta * alpha < 1.0:
        raise ConfigError(f"eta lambda = {eta * alpha:g}: must be above 0 and below 1")
    if not 0.0 <= inside <= 1.0:
        raise ConfigError(f"inside = {inside}: must be a share from 0 to 1")
    return Constants(distance, sqrt(0.5 * eta * inside / alpha), 1.0 - eta * alpha)


def longest_distance(start: float, alpha: float) -> float:
    """A bound on ||w0 - w*|| where w* is not known: ||w*||^2 <= 1 / lambda for the hinge.

    start: ||w0||. The bound on w* is Pegasos' (Shalev-Shwartz, Singer, Srebro 2007, theorem 1).
    Raises ConfigError.
    """
    if not (0.0 <= start < inf and 0.0 < alpha < inf):
        raise ConfigError(f"start = {start}, alpha = {alpha}: must be finite numbers, >= 0 and > 0")
    return start + 1.0 / sqrt(alpha)


def from_models(w0: ArrayLike, best: ArrayLike, margins: ArrayLike, *, eta: float, alpha: float) -> Constants:
    """D measured, f counted: of a start, a model close to the optimum, and that model's margins y <w, x>."""
    distance = float(np.linalg.norm(np.asarray(w0, dtype=np.float64) - np.asarray(best, dtype=np.float64)))
    return a_priori(eta, alpha, distance, float(np.mean(np.asarray(margins) < 1.0)))


def from_looks(looks: Iterable[Mapping[str, Any]], optimum: float, contraction: float) -> Constants:
    """D and sigma in the unit of sqrt(F), from the looks (trace.py) at a run of one node.

    F - F* is taken for D^2 R^2t + sigma^2 (1 - R^2t), and fitted relative to its size. Raises ConfigError.
    """
    _check_factor("contraction", contraction, below_one=True)
    seen = [(float(look["rows"]), float(look["objective"]) - optimum) for look in looks]
    seen = [(rows, excess) for rows, excess in seen if 0.0 < excess < inf]
    if len(seen) < 2:
        raise ConfigError(f"{len(seen)} looks above the optimum {optimum:g}: must be 2 or more")
    rows, excess = (np.array(column) for column in zip(*seen, strict=True))
    left = np.exp(2.0 * rows * log(contraction))
    solution, _ = nnls(np.stack([left, 1.0 - left], axis=1) / excess[:, None], np.ones(len(rows)))
    distance, spread = (sqrt(float(square)) for square in solution)
    return Constants(distance, spread, contraction)


class Bounds(NamedTuple):
    """Of the relative deviation, of WP-SGD and of the fastest node alone."""

    wp: float
    fastest: float


def deviation_bounds(
    counts: Sequence[float], contraction: float, w1: float, w2: float, spread: float
) -> Bounds:
    """(k/Q) R^T W1 + (sqrt(k)/Q) R^T W2 + sqrt(sum R^2Delta_j)/Q sigma*, with Q = sum R^Delta_j; and k = 1.

    w1, w2: Wasserstein distances of the start's distribution from the fixed point's; spread: sigma*, of it
    """
    missed = np.exp(_delays(counts) * log(_check_factor("contraction", contraction)))
    k, q = len(missed), float(missed.sum())
    start = exp(max(counts) * log(contraction))
    noise = float(np.sqrt(np.square(missed).sum())) / q
    return Bounds(k / q * start * w1 + sqrt(k) / q * start * w2 + noise * spread, start * (w1 + w2) + spread)


def wp_weights(counts: Sequence[float], kappa: float) -> Array:
    """omega_i ~ kappa^Delta_i, 0 for nodes that did nothing; kappa = R is WP-SGD as published."""
    _check_factor("kappa", kappa)
    # (counts from the fastest down: nothing underflows but what is 0 anyway)
    raw = np.where(np.asarray(counts) > 0, np.exp(_delays(counts) * log(kappa)), 0.0)
    weights: Array = raw / raw.sum() if raw.sum() > 0.0 else np.full(len(raw), 1.0 / len(raw))
    return weights


def squared_deviation(
    counts: Sequence[float], about: Constants, *, kappa: float | None = None, rounds: int = 1
) -> float:
    """E ||v - w*||^2 after rounds of `counts` rows each, weights from kappa (None: R), contraction R.

    A round multiplies the mean by sum omega_i R^T_i, which is k R^T / Q at kappa = R, and the noise that came
    in before it by the same; sigma^2 sum omega_i^2 (1 - R^2T_i) comes in.
    """
    omega = wp_weights(counts, about.contraction if kappa is None else kappa)
    steps = np.asarray(counts, dtype=np.float64) * log(about.contraction)
    kept = float((omega * np.exp(steps)).sum()) ** 2
    fresh = about.spread**2 * float((omega**2 * -np.expm1(2.0 * steps)).sum())
    rounds_of_noise = (1.0 - kept**rounds) / (1.0 - kept) if kept < 1.0 else float(rounds)
    return kept**rounds * about.distance**2 + fresh * rounds_of_noise


def fastest_alone(rows: float, about: Constants) -> float:
    """(R^T D)^2 + sigma^2 (1 - R^2T): the same of one node after so many rows."""
    return squared_deviation((rows,), about)


def wp_beats_fastest(
    counts: Sequence[float], about: Constants, *, kappa: float | None = None, rounds: int = 1
) -> bool:
    """Whether WP-SGD is closer to the optimum than its fastest node would be alone after as many rows."""
    alone = fastest_alone(rounds * max(counts), about)
    return squared_deviation(counts, about, kappa=kappa, rounds=rounds) < alone


def overtaking_row(
    speeds: Sequence[float], about: Constants, *, kappa: float | None = None, limit: float = 1e12
) -> float:
    """Rows of the fastest node from which on one-shot WP-SGD beats it; infinity if not within `limit` rows.

    speeds: of the nodes, in any unit. Raises ConfigError.
    """
    relative = np.asarray(speeds, dtype=np.float64)
    if len(relative) == 0 or not np.all((relative >= 0.0) & (relative < inf)) or not relative.max() > 0.0:
        raise ConfigError(f"speeds = {list(speeds)}: must be finite numbers >= 0, one of them above 0")
    if not 1.0 < limit < inf:
        raise ConfigError(f"limit = {limit}: must be a finite number of rows above 1")
    relative = relative / relative.max()

    def behind(rows: float) -> float:
        return squared_deviation(relative * rows, about, kappa=kappa) - fastest_alone(rows, about)

    places = np.geomspace(1.0, limit, max(2, round(GRID * np.log10(limit))))
    for earlier, later in pairwise(map(float, places)):
        if behind(earlier) < 0.0:
            return earlier
        if behind(later) < 0.0:
            return float(brentq(behind, earlier, later, xtol=1e-3))
    return inf


def lag(counts: Sequence[float], contraction: float) -> float:
    """ln(k/Q) / -ln R: rows that WP-SGD is behind the fastest node while the start's distance rules."""
    log_r = log(_check_factor("contraction", contraction, below_one=True))
    return log(len(counts) / float(np.exp(_delays(counts) * log_r).sum())) / -log_r


def _delays(counts: Sequence[float]) -> Array:
    done = np.asarray(counts, dtype=np.float64)
    if done.ndim != 1 or len(done) == 0 or not np.all((done >= 0.0) & (done < inf)):
        raise ConfigError(f"counts = {list(counts)}: must be finite numbers of rows >= 0, one for each node")
    delays: Array = done.max() - done
    return delays


def _check_factor(name: str, value: float, *, below_one: bool = False) -> float:
    if not (0.0 < value < 1.0 or (value == 1.0 and not below_one)):
        allowed = "above 0 and below 1" if below_one else "above 0 and at most 1"
        raise ConfigError(f"{name} = {value}: must be {allowed}")
    return value
