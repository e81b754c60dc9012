"""The peers: which are here, and how each trains a linear SVM of given strength without intercept.

All minimise alpha/2 ||w||^2 + mean hinge. LIBLINEAR writes that as C = 1 / (alpha n), Snap ML as
regularizer = alpha n, SGDClassifier as alpha, Vowpal Wabbit as l2.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.svm import LinearSVC

from experiments.bench.data import Data
from wpsgd.dual import solve_dual

Weights = NDArray[Any]
ENDLESS, NEVER = 1_000_000, 1e-12  # of iterations, and a tolerance that nobody meets


def missing(module: str) -> str | None:
    """Why a peer cannot take part, or None."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a wheel built for other processors raises whatever it likes
        return f"{module} cannot be imported ({type(error).__name__}: {error})"
    return None


@dataclass(frozen=True)
class Knob:
    """A way to say how long a competitor trains. fit: from a number that grows with the work to weights.

    ladder: the numbers to try, ascending; bisect: whether to look between two of them
    default: what the competitor takes where nobody says, which is tried in any case; None for no number
    """

    name: str
    fit: Callable[[int], Any]
    ladder: tuple[int, ...]
    bisect: bool = False
    shown: Callable[[int], str] = str
    default: int | None = None


def tolerance(step: int) -> float:
    """Four steps are a factor of ten."""
    return float(10.0 ** (-step / 4.0))


def step_of(tol: float) -> int:
    """The step whose tolerance comes nearest."""
    return round(-4.0 * math.log10(tol))


DOUBLING = tuple(2**k for k in range(12))
TOLERANCES = tuple(range(1, 33))


def _knobs(fit: Callable[..., Weights], default: float) -> tuple[Knob, ...]:
    """default: tolerance"""
    return (
        Knob("max_iter", lambda k: fit(max_iter=k, tol=NEVER), DOUBLING, bisect=True),
        Knob(
            "tol",
            lambda k: fit(max_iter=ENDLESS, tol=tolerance(k)),
            TOLERANCES,
            shown=lambda k: f"{tolerance(k):.2g}",
            default=step_of(default),
        ),
    )


def linear_svc(data: Data, alpha: float) -> tuple[Knob, ...]:
    """LIBLINEAR by way of scikit-learn, which always computes in float64 and is given that."""
    matrix, labels = data.matrix, data.rows.labels

    def fit(max_iter: int, tol: float) -> Weights:
        strength = 1.0 / (alpha * len(labels))
        model = LinearSVC(
            loss="hinge", C=strength, fit_intercept=False, max_iter=max_iter, tol=tol, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(matrix, labels)
        return np.asarray(model.coef_).ravel()

    return _knobs(fit, LinearSVC().tol)


def snap_ml(data: Data, alpha: float) -> tuple[Knob, ...]:
    """Snap ML on one thread, in float32, which is what it computes in."""
    svm = importlib.import_module("snapml").SupportVectorMachine
    matrix, labels = data.narrow_matrix, data.narrow.labels

    def fit(max_iter: int, tol: float) -> Weights:
        model = svm(
            loss="hinge",
            regularizer=alpha * len(labels),
            fit_intercept=False,
            max_iter=max_iter,
            tol=tol,
            n_jobs=1,
            random_state=0,
        )
        model.fit(matrix, labels)
        return np.asarray(model.coef_).ravel()

    return _knobs(fit, svm().tol)


def ours(data: Data, alpha: float, dtype: str) -> tuple[Knob, ...]:
    """Our dual solver, tuned like the others; as it comes it is timed beside them."""
    rows = data.rows if dtype == "float64" else data.narrow

    def fit(step: int) -> Weights:
        return solve_dual(rows, "hinge", alpha, tol=tolerance(step)).weights

    return (Knob("tol", fit, TOLERANCES, shown=lambda k: f"{tolerance(k):.2g}"),)


def sgd_classifier(data: Data, alpha: float, epochs: int, *, dtype: str, shuffle: bool) -> Weights:
    """The weights after so many epochs of SGDClassifier with its default step sizes."""
    narrow = dtype == "float32"
    matrix = data.narrow_matrix if narrow else data.matrix
    model = SGDClassifier(
        loss="hinge",
        alpha=alpha,
        fit_intercept=False,
        max_iter=epochs,
        tol=None,
        shuffle=shuffle,
        random_state=0,
    )
    model.fit(matrix, data.narrow.labels if narrow else data.rows.labels)
    return np.asarray(model.coef_).ravel()


COMPETITORS: dict[str, tuple[str, Callable[[Data, float], tuple[Knob, ...]]]] = {
    "LinearSVC": ("sklearn", linear_svc),
    "Snap ML": ("snapml", snap_ml),
    "ours, float32": ("wpsgd", partial(ours, dtype="float32")),
    "ours, float64": ("wpsgd", partial(ours, dtype="float64")),
}
