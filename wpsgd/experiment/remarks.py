"""What is said of a strategy before it runs."""

from __future__ import annotations

from math import isinf

from sklearn.utils.extmath import row_norms

from wpsgd.config import Settings, StrategySettings
from wpsgd.data.rows import Rows
from wpsgd.kernels.limit import REACH
from wpsgd.kernels.losses import CURVATURES
from wpsgd.theory import delay_bound, lemma_4, settles, settles_evenly


def remark(strategy: StrategySettings, settings: Settings, train: Rows) -> str:
    """What is not as one might think, in a line; else an empty string."""
    if strategy.name == "admm" and settings.model.tol is not None:
        return f"{strategy.label}: knows no duality gap: all rounds are run, whatever [model] tol is"
    return _contraction(strategy, settings, train)


def _contraction(strategy: StrategySettings, settings: Settings, train: Rows) -> str:
    """Whether single rows come to rest, for a smooth loss with late gradients."""
    model, delay = settings.model, strategy.inside.delay
    curvature = CURVATURES[model.loss]
    if delay == 0 or isinf(curvature) or len(train) == 0:
        return ""
    eta = float(settings.step.etas(0, 1)[0])  # the largest of any schedule
    squared_norm = _largest_squared_norm(train)
    steepness = eta * curvature * squared_norm
    evenly = settles_evenly(steepness, 1.0 - eta * model.alpha, delay)
    always = settles(steepness, delay)
    reach, late = min(REACH, delay_bound(delay)), f"{delay} step{'s' * (delay > 1)}"
    shortened = f", and its steps are shortened to {reach:.4g}" if steepness > reach else ""
    return (
        f"{strategy.label}: a row whose own gradients come {late} late comes to rest without"
        f" oscillating where eta c ||x||^2 <= R^(delay+1) delay^delay / (delay+1)^(delay+1) ="
        f" {evenly.right:.4g}, R = 1 - eta lambda, and at all where it is below 2 sin(pi / (2 (2 delay + 1)))"
        f" = {always.right:.4g}: the longest row has {steepness:.4g} at the first step{shortened}"
        + (_lemma_4(eta, model.alpha, curvature, squared_norm, delay) if strategy.inside.range_check else "")
    )


def _lemma_4(eta: float, alpha: float, curvature: float, squared_norm: float, delay: int) -> str:
    condition = lemma_4(eta, alpha, curvature, squared_norm, delay)
    sides = f"{condition.left:.4g} {'<=' if condition.holds else '>'} {condition.right:.4g}"
    return (
        "; Lemma 4 of WP-SGD, which presumes range checks, eta lambda + eta max||x||^2 c <= R^delay,"
        f" {'holds' if condition.holds else 'does not hold'}: {sides}"
    )


def _largest_squared_norm(train: Rows) -> float:
    """Of s_i ||x_i||^2: a row of weight 2 is two rows, in one step."""
    norms = row_norms(train.to_scipy(), squared=True)
    return float((norms if train.weights is None else norms * train.weights).max())
