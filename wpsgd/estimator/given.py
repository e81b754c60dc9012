"""Weights that somebody sets: coef_, intercept_ and classes_ themselves, or coef_init and intercept_init."""

from __future__ import annotations

import copy
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError, DataError

FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def models_of(classes: NDArray[Any]) -> int:
    """How many models tell so many classes apart: one for two, else one each."""
    return 1 if len(classes) == 2 else len(classes)


def classes_of(estimator: Any) -> NDArray[Any]:
    """The classes, in ascending order. Raises ConfigError where nobody set them, or otherwise."""
    if getattr(estimator, "classes_", None) is None:
        raise ConfigError("classes_ is not set: must be the classes in ascending order, beside coef_")
    classes = np.asarray(estimator.classes_)
    if classes.ndim != 1 or len(classes) < 2 or not np.array_equal(np.unique(classes), classes):
        raise ConfigError(
            f"classes_ = {classes.tolist()}: must be two or more, each once, in ascending order"
        )
    return classes


def coefficients(estimator: Any, features: int, models: int) -> tuple[Any, NDArray[Any]]:
    """coef_, dense or sparse of shape (models, features), and intercept_, (models,), whoever set them.

    Raises ConfigError, in one line, where one has another shape.
    """
    coef = in_shape("coef_", estimator.coef_, (models, features))
    return coef, intercepts("intercept_", getattr(estimator, "intercept_", None), models)


def in_shape(name: str, value: Any, shape: tuple[int, int], mismatch: str = "") -> Any:
    """A matrix of that shape, of one model also where the value is a vector. Raises ConfigError."""
    matrix: Any = value if hasattr(value, "toarray") else _floats(name, value)
    if matrix.shape == shape[1:] and shape[0] == 1:
        matrix = matrix.reshape(shape)
    if matrix.shape != shape:
        models = "1 model" if shape[0] == 1 else f"{shape[0]} models"
        raise ConfigError(
            f"{mismatch}{name} has shape {matrix.shape}: must be {shape}, {models} of {shape[1]} features"
        )
    return matrix


def intercepts(name: str, value: Any, models: int, mismatch: str = "") -> NDArray[Any]:
    """One number for each model; None and a scalar are the same for all. Raises ConfigError."""
    array = _floats(name, 0.0 if value is None else value)
    if array.ndim == 0:
        array = np.full(models, array)
    if array.shape != (models,):
        raise ConfigError(f"{mismatch}{name} has shape {array.shape}: must be {(models,)}")
    return array


def columns(coef: Any, intercept: NDArray[Any], constant: float | None, dtype: Any = None) -> FloatArray:
    """Weights with those of the constant column behind them, (models, columns), `dtype` or that of `coef`.

    constant: the value of that column, None where there is none. Raises ConfigError for an intercept that
    then has no place, DataError for weights that are not finite numbers in that precision.
    """
    coef = dense(coef)
    kind = np.dtype(coef.dtype if dtype is None else dtype)
    if constant is None and np.any(intercept != 0.0):
        raise ConfigError("fit_intercept=False: the intercept to begin with must be 0, or be left out")
    with np.errstate(over="ignore"):
        weights = np.empty((len(coef), coef.shape[1] + (constant is not None)), dtype=kind)
        weights[:, : coef.shape[1]] = coef
        if constant is not None:
            weights[:, -1] = intercept / constant
    if not np.isfinite(weights).all():
        raise DataError(f"coef_ or intercept_ to begin with: must be finite numbers of {kind}")
    return weights


def checksum(estimator: Any) -> int:
    """Of coef_ and intercept_, to see later whether they are still those that a fit left."""
    coef = estimator.coef_
    total = zlib.adler32(np.ascontiguousarray(estimator.intercept_).data)
    for row in np.atleast_2d(dense(coef)):
        total = zlib.adler32(np.ascontiguousarray(row).data, total)
    return total


def untouched(estimator: Any) -> bool:
    """Whether the weights are those that the last `fit` left: nobody set them, and no pass was made since."""
    left: int | None = getattr(estimator, "_left", None)
    return left is not None and left == checksum(estimator)


def completed(estimator: Any) -> Any:
    """A copy with all that a fit leaves, its coef_ dense, for what writes models: somebody may have set them.

    Raises ConfigError where classes_ or a shape does not fit.
    """
    classes = classes_of(estimator)
    twin, models = copy.copy(estimator), models_of(classes)
    coef, intercept = coefficients(estimator, np.shape(estimator.coef_)[-1], models)
    twin.coef_, twin.intercept_, twin.classes_ = dense(coef), intercept, classes
    fitted = {"n_features_in_": coef.shape[1], "n_iter_": 1, "solver_": "sgd", "trace_": [], "_seed": 0}
    for name, value in fitted.items():
        if not hasattr(twin, name):
            setattr(twin, name, value)
    twin._learners, twin._duals = learners_of(estimator, models), getattr(estimator, "_duals", None)
    if hasattr(twin, "calibration_") and not untouched(estimator):
        del twin.calibration_
    return twin


def learners_of(estimator: Any, models: int) -> list[Any]:
    """Where SGD has got to with each model; nowhere where the models were set by somebody."""
    learners = list(getattr(estimator, "_learners", None) or [{}])
    return learners if len(learners) == models else [learners[0] if len(learners) == 1 else {}] * models


def dense(matrix: Any) -> NDArray[Any]:
    """The same matrix as an array, whether `sparsify` made it sparse or not."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _floats(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
        return array if array.dtype in FLOATS else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: must be an array of numbers ({error})") from error
