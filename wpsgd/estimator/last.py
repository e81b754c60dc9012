"""The model that a fit begins with: the last one, one that somebody set, or coef_init."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from wpsgd.data.rows import FloatArray
from wpsgd.errors import ConfigError
from wpsgd.estimator.given import coefficients, columns, in_shape, intercepts, models_of, untouched
from wpsgd.estimator.joining import Whole, agreed, several

MISMATCH = "Provided {} does not match dataset: "  # SGDClassifier's words, which people search for


@dataclass(frozen=True, slots=True, eq=False)
class Last:
    """The model that a fit begins with.

    weights: (models, columns); duals: of each model, or None
    given: whether the weights are somebody's, so that no dual variables are known that belong to them
    """

    weights: FloatArray
    duals: Any = None
    given: bool = False

    def warn_of_the_dual(self) -> None:
        """Says that a solver of the dual does not begin with weights that somebody set."""
        if self.given:
            warnings.warn(
                'solver="dual" begins anew: no dual variables belong to the weights that were set;'
                ' its solution is the same within tol. solver="sgd" or "auto" begins with them',
                UserWarning,
                stacklevel=6,
            )


@dataclass(frozen=True, slots=True)
class Begin:
    """What a fit is asked to begin with, as the caller gave it; names: of the last model's features."""

    coef_init: Any = None
    intercept_init: Any = None
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, estimator: Any, coef_init: Any, intercept_init: Any) -> Begin:
        """Before the fit looks at its rows, whose names the estimator then has."""
        names = getattr(estimator, "feature_names_in_", None)
        return cls(coef_init, intercept_init, None if names is None else tuple(map(str, names)))

    def last(self, estimator: Any, whole: Whole) -> Last | None:
        """The model for data of `whole`, the same on all MPI ranks; None for zeros.

        Raises ConfigError where classes, names or shapes differ, DataError for what is no finite number.
        """
        found: list[Last | None] = []

        def phase() -> int | None:
            last = self._own(estimator, whole)
            found.append(last)
            if last is None or not several(estimator.runtime):
                return None
            return zlib.adler32(last.weights.data, int(last.given))

        if len(set(agreed(estimator.runtime, phase))) > 1:
            raise ConfigError(
                "the weights to begin with (coef_ with warm_start, coef_init): must be the same on all ranks"
            )
        return found[0]

    def _own(self, estimator: Any, whole: Whole) -> Last | None:
        warm = bool(estimator.warm_start) and hasattr(estimator, "coef_")
        asked = self.coef_init is not None or self.intercept_init is not None
        if not (warm or asked):
            return None
        models, features = models_of(whole.classes), whole.features
        if warm:
            self._check_continued(estimator, whole)
            coef, intercept = coefficients(estimator, features, models)
        else:
            coef, intercept = np.zeros((models, features)), np.zeros(models)
        if self.coef_init is not None:
            coef = in_shape("coef_init", self.coef_init, (models, features), MISMATCH.format("coef_init"))
        if self.intercept_init is not None:
            mismatch = MISMATCH.format("intercept_init")
            intercept = intercepts("intercept_init", self.intercept_init, models, mismatch)
        constant = float(estimator.intercept_scaling) if estimator.fit_intercept else None
        weights = columns(coef, intercept, constant, whole.dtype)
        if asked or not untouched(estimator):
            return Last(weights, given=True)
        return Last(weights, getattr(estimator, "_duals", None))

    def _check_continued(self, estimator: Any, whole: Whole) -> None:
        """Raises ConfigError where the data are not of the last model's kind."""
        classes = getattr(estimator, "classes_", None)
        if classes is not None and not np.array_equal(classes, whole.classes):
            found, needed = np.asarray(classes).tolist(), whole.classes.tolist()
            raise ConfigError(
                f"warm_start=True: the last model is of classes {found}, these data of {needed}"
            )
        columns, constant = np.shape(estimator.coef_)[-1:], int(estimator.fit_intercept)
        if columns and columns[0] != whole.features:
            raise ConfigError(
                f"warm_start=True: the last model has {columns[0] + constant} weights a class, its intercept"
                f" with them, these data need {whole.features + constant}"
            )
        if self.names is not None and whole.names is not None and self.names != whole.names:
            raise ConfigError("warm_start=True: the features have other names than those of the last model")
