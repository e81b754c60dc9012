"""What a fit leaves on an estimator, and how the next one goes on from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from wpsgd.estimator.given import (
    checksum,
    classes_of,
    coefficients,
    columns,
    dense,
    learners_of,
    models_of,
    untouched,
)
from wpsgd.estimator.inputs import labelled, weighted
from wpsgd.estimator.joining import class_numbers
from wpsgd.estimator.last import Begin
from wpsgd.estimator.meeting import meet
from wpsgd.estimator.narrow import narrowed
from wpsgd.estimator.refusals import (
    average_after,
    check_adaptive,
    check_average,
    check_partial_fit,
    check_penalty,
)
from wpsgd.estimator.sgd import norms_of, one_pass, with_norms
from wpsgd.estimator.solved import Solved, weights_of, without_last_column
from wpsgd.estimator.wide import touched_alone
from wpsgd.learners.keeping import averaging
from wpsgd.learners.sgd import SGDLearner
from wpsgd.learners.steepness import Norms


def fit(
    estimator: Any, X: Any, y: Any, sample_weight: Any, coef_init: Any = None, intercept_init: Any = None
) -> None:
    """Trains an estimator, with `warm_start` from its last model."""
    check_penalty(estimator)
    check_average(estimator)
    check_adaptive(estimator)
    begin = Begin.of(estimator, coef_init, intercept_init)
    with unchanged_by_errors(estimator):
        fitted = fitting.fit(estimator, X, y, sample_weight, begin)
    vars(estimator).pop("_merged", None)  # of a model that was loaded, see formats.py
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
    estimator._left = checksum(estimator)


def partial_fit(estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any) -> None:
    """One more pass of SGD over other rows."""
    check_penalty(estimator)
    check_average(estimator)
    check_partial_fit(estimator)
    if is_path(X):
        raise ConfigError(
            "partial_fit: X must be rows: a path is for fit, which finds out how it counts columns"
        )
    with unchanged_by_errors(estimator):
        _pass(estimator, X, y, classes, sample_weight)


@contextmanager
def unchanged_by_errors(estimator: Any) -> Iterator[None]:
    """What is known of the data of a model stays as it is where a training of other data fails."""
    names = ("n_features_in_", "feature_names_in_", "classes_", "_zero_based", "_seed")
    before = {name: vars(estimator)[name] for name in names if name in vars(estimator)}
    try:
        yield
    except BaseException:
        for name in names:
            vars(estimator).pop(name, None)
        vars(estimator).update(before)
        raise


def _pass(estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any) -> None:
    _check_partial_fit_first_call(estimator, classes)
    estimator.classes_ = classes_of(estimator)
    fresh = not hasattr(estimator, "n_features_in_")
    inputs, whole, seed = meet(estimator, X, y, sample_weight, estimator.classes_, reset=fresh)
    if not hasattr(estimator, "_seed"):
        estimator._seed = seed
    constant = float(estimator.intercept_scaling) if estimator.fit_intercept else None
    rows, models = inputs.rows(whole.features, constant), models_of(whole.classes)
    learners = learners_of(estimator, models)
    averaged = bool(estimator.average) or estimator.rule == "tail"
    kept, used = rows, None
    if not averaged and estimator.learning_rate != "adagrad":  # whose weights each decay in a way of its own
        kept, used = narrowed(rows)
    coef, intercept = None, np.zeros(models)
    if hasattr(estimator, "coef_"):
        coef, intercept = coefficients(estimator, whole.features, models)
        if getattr(estimator, "solver_", "sgd") != "sgd" and not untouched(estimator):
            learners = [{}] * models  # a solution is gone on from by tiny steps, other weights are not
    settings = settings_for(estimator, seed=estimator._seed, strategy={"name": "sequential"})
    weights = _raw_weights(estimator, inputs, whole)
    norms = Norms(*learners[0].get("norms", ()))
    if settings.begins_by_rows:
        norms = Norms.joined([norms, norms_of(rows, weights)])
        settings = settings.with_steepness(norms)

    def train(start: FloatArray, factors: list[NDArray[np.float64]] | None = None) -> list[Solved]:
        if models > 1 and equally_far(learners) and not averaged:
            own, given = class_numbers(whole, inputs), weighted(kept, weights)
            return one_pass_together(given, own, settings, start, learners, estimator._seed, factors)
        return [
            one_pass(
                labelled(kept, inputs.targets == label, weights),
                settings,
                begin,
                learner,
                estimator._seed,
                averaging(average_after(estimator)) if averaged else SGDLearner,
                factors,
            )
            for label, begin, learner in zip(_positives(whole.classes), start, learners, strict=True)
        ]

    dtype = rows.values.dtype
    if used is None:
        begin = np.zeros((models, rows.features), dtype=dtype)
        solved = train(begin if coef is None else columns(coef, intercept, constant, dtype))
        _keep(estimator, [replace(one, learner=with_norms(one.learner, norms)) for one in solved])
    else:
        coef = np.zeros((models, whole.features), dtype=dtype) if coef is None else dense(coef)
        solved, coef = touched_alone(coef, intercept, constant, used, train, dtype)
        solved = [replace(one, learner=with_norms(one.learner, norms)) for one in solved]
        last = [0.0 if constant is None else one.weights[-1] for one in solved]
        _keep_all(estimator, solved, coef, np.array(last, dtype=dtype))
    estimator.solver_ = "sgd"
    estimator.n_iter_ = 1
    estimator.trace_ = []
    estimator._duals = estimator._left = None


def _positives(classes: NDArray[Any]) -> NDArray[Any]:
    return classes[1:] if len(classes) == 2 else classes


def _raw_weights(estimator: Any, inputs: Any, whole: Any) -> NDArray[np.float64] | None:
    if inputs.weights is None and estimator.class_weight is None:
        return None
    weights = np.ones(len(inputs)) if inputs.weights is None else inputs.weights
    of_class = whole.class_weights(estimator.class_weight)
    return np.asarray(weights * of_class[np.searchsorted(whole.classes, inputs.targets)])


def _keep(estimator: Any, solved: list[Solved]) -> None:
    """Takes the models over: their weights are lost to `solved`."""
    weights = weights_of(solved)
    last = weights[:, -1].copy()
    _keep_all(estimator, solved, without_last_column(weights) if estimator.fit_intercept else weights, last)


def _keep_all(estimator: Any, solved: list[Solved], coef: FloatArray, last: FloatArray) -> None:
    """Takes the models over. last: weights of the constant column, if there is one"""
    estimator.intercept_ = np.zeros(len(solved), dtype=coef.dtype)
    if estimator.fit_intercept:
        estimator.intercept_[:] = last * estimator.intercept_scaling
    estimator.coef_ = coef
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
