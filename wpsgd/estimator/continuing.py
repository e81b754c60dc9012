"""What a fit leaves on an estimator, and how the next one goes on from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import _check_partial_fit_first_call

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.estimator import fitting
from wpsgd.estimator.choices import settings_for
from wpsgd.estimator.classes import equally_far, one_pass_together
from wpsgd.estimator.files import is_path
from wpsgd.estimator.inputs import labelled, weighted
from wpsgd.estimator.joining import class_numbers, several
from wpsgd.estimator.last import Last
from wpsgd.estimator.meeting import meet
from wpsgd.estimator.sgd import one_pass
from wpsgd.estimator.solved import Solved, weights_of, without_last_column


def fit(estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
    """Trains an estimator, with `warm_start` from its last model."""
    fitted = fitting.fit(estimator, X, y, sample_weight, _last(estimator))
    estimator.classes_ = fitted.whole.classes
    estimator.solver_ = fitted.solver
    estimator._seed = fitted.seed
    _keep(estimator, fitted.solved)
    if fitted.calibration is not None:
        estimator.calibration_ = fitted.calibration
    estimator.n_iter_ = max(1, round(max(solved.epochs for solved in fitted.solved)))
    estimator.trace_ = _trace(estimator, fitted.solved)
    estimator._duals = (
        [solved.dual for solved in fitted.solved] if _reusable(estimator, fitted.solved) else None
    )


def _last(estimator: Any) -> Last | None:
    if not (estimator.warm_start and hasattr(estimator, "coef_")):
        return None
    names = getattr(estimator, "feature_names_in_", None)
    named = None if names is None else tuple(map(str, names))
    return Last(_columns(estimator), estimator.classes_, named, getattr(estimator, "_duals", None))


def partial_fit(estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any) -> None:
    """One more pass of SGD over other rows."""
    if several(estimator.runtime):
        raise ConfigError(
            "partial_fit: is one worker's pass: not with a runtime of MPI ranks; fit is for them"
        )
    if estimator.class_weight == "balanced":
        raise ConfigError(
            'class_weight="balanced": needs all rows at once: pass a dict to go with partial_fit'
        )
    if is_path(X):
        raise ConfigError(
            "partial_fit: X must be rows: a path is for fit, which finds out how it counts columns"
        )
    first = _check_partial_fit_first_call(estimator, classes)
    inputs, whole, seed = meet(estimator, X, y, sample_weight, estimator.classes_, reset=first)
    if first:
        estimator._seed = seed
    constant = float(estimator.intercept_scaling) if estimator.fit_intercept else None
    rows = inputs.rows(whole.features, constant)
    if first or not hasattr(estimator, "coef_"):
        models = 1 if len(whole.classes) == 2 else len(whole.classes)
        start = np.zeros((models, rows.features), dtype=rows.values.dtype)
        learners: list[Any] = [{}] * models
    else:
        start, learners = _columns(estimator).astype(rows.values.dtype), estimator._learners
    settings = settings_for(estimator, seed=estimator._seed, strategy={"name": "sequential"})
    weights = _raw_weights(estimator, inputs, whole)
    if len(start) > 1 and equally_far(learners):
        own, given = class_numbers(whole, inputs), weighted(rows, weights)
        solved = one_pass_together(given, own, settings, start, learners, estimator._seed)
    else:
        solved = [
            one_pass(
                labelled(rows, inputs.targets == label, weights), settings, begin, learner, estimator._seed
            )
            for label, begin, learner in zip(_positives(whole.classes), start, learners, strict=True)
        ]
    _keep(estimator, solved)
    estimator.solver_ = "sgd"
    estimator.n_iter_ = 1
    estimator.trace_ = []
    estimator._duals = None


def _positives(classes: NDArray[Any]) -> NDArray[Any]:
    return classes[1:] if len(classes) == 2 else classes


def _raw_weights(estimator: Any, inputs: Any, whole: Any) -> NDArray[np.float64] | None:
    if inputs.weights is None and estimator.class_weight is None:
        return None
    weights = np.ones(len(inputs)) if inputs.weights is None else inputs.weights
    of_class = whole.class_weights(estimator.class_weight)
    return np.asarray(weights * of_class[np.searchsorted(whole.classes, inputs.targets)])


def _columns(estimator: Any) -> FloatArray:
    """Weights with those of the constant column behind them, (models, columns)."""
    if not estimator.fit_intercept:
        return np.asarray(estimator.coef_)
    last = (estimator.intercept_ / estimator.intercept_scaling).astype(estimator.coef_.dtype)
    return np.column_stack([estimator.coef_, last])


def _keep(estimator: Any, solved: list[Solved]) -> None:
    """Takes the models over: their weights are lost to `solved`."""
    weights = weights_of(solved)
    estimator.intercept_ = np.zeros(len(solved), dtype=weights.dtype)
    if estimator.fit_intercept:
        estimator.intercept_[:] = weights[:, -1] * estimator.intercept_scaling
        weights = without_last_column(weights)
    estimator.coef_ = weights
    estimator._learners = [one.learner for one in solved]
    vars(estimator).pop("calibration_", None)  # of other weights


def _trace(estimator: Any, solved: list[Solved]) -> list[dict[str, Any]]:
    if len(solved) == 1:
        return solved[0].trace
    labels = [label.item() if hasattr(label, "item") else label for label in estimator.classes_]

    def told(event: dict[str, Any], label: Any) -> dict[str, Any]:
        if "classes" in event:  # of a block of classes, which share it
            return {**event, "classes": [labels[number] for number in event["classes"]]}
        return {**event, "class": label}

    return [told(event, label) for label, one in zip(labels, solved, strict=True) for event in one.trace]


def _reusable(estimator: Any, solved: list[Solved]) -> bool:
    return bool(estimator.warm_start) and all(one.dual is not None for one in solved)
