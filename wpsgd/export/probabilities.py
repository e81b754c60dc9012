"""Probabilities of classes from decision values: those that a loss stands for, or Platt's scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from wpsgd.errors import ConfigError
from wpsgd.export.model import Model

Floats = NDArray[np.float64]
WITH_PROBABILITIES = ("log_loss", "modified_huber")


def probabilities_of(model: Model, values: Floats) -> Floats:
    """Of each class of a model, (n, classes). Raises ConfigError where it has none.

    values: decision values, (n,) of two classes, else (n, classes)
    """
    if "calibration_" in model.arrays:
        return calibrated(values, model.arrays["calibration_"])
    if model.loss not in WITH_PROBABILITIES:
        raise ConfigError(
            f'probabilities: a model of loss = "{model.loss}" has none: train with loss = "log_loss", or with'
            " WPSGDClassifier(probability=True), and save it"
        )
    return probabilities_of_loss(values, model.loss)


def calibrated(scores: Floats, calibration: Floats) -> Floats:
    """By Platt's scaling, (n, classes). calibration: (a, b) of each model, (models, 2)"""
    factors = calibration[0] if scores.ndim == 1 else calibration.T
    return probabilities_of_loss(factors[0] * scores + factors[1], "log_loss")


def probabilities_of_loss(scores: Floats, loss: str) -> Floats:
    """Of each class, (n, classes), rows adding up to 1; equal shares where every class is given 0.

    log_loss: the sigmoid; modified_huber: Zhang (JMLR 2002), as SGDClassifier has it
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
