"""What is said of a strategy before it runs."""

from __future__ import annotations

from math import isinf

from sklearn.utils.extmath import row_norms

from wpsgd.config import ModelSettings, StrategySettings
from wpsgd.data.rows import Rows
from wpsgd.theory import CURVATURES, lemma_4


def remark(strategy: StrategySettings, model: ModelSettings, train: Rows) -> str:
    """What is not as one might think, in a line; else an empty string."""
    if strategy.name == "admm" and model.tol is not None:
        return f"{strategy.label}: knows no duality gap: all rounds are run, whatever [model] tol is"
    return _contraction(strategy, model, train)


def _contraction(strategy: StrategySettings, model: ModelSettings, train: Rows) -> str:
    """Whether delay SGD is known to contract, for a smooth loss with late gradients."""
    delay, curvature = strategy.inside.delay, CURVATURES[model.loss]
    if delay == 0 or isinf(curvature) or len(train) == 0:
        return ""
    eta = float(model.step.etas(0, 1)[0])  # the largest of any schedule
    squared_norm = float(row_norms(train.to_scipy(), squared=True).max())
    condition = lemma_4(eta, model.alpha, curvature, squared_norm, delay)
    sides = f"{condition.left:.4g} {'<=' if condition.holds else '>'} {condition.right:.4g}"
    verdict = "holds" if condition.holds else "does not hold, and its contraction is not assured"
    return (
        f"{strategy.label}: Lemma 4 of WP-SGD, eta lambda + eta max||x||^2 c <= (1 - eta lambda)^delay,"
        f" {verdict}: {sides} at the first step"
    )
