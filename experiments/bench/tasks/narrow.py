"""WPSGDClassifier against LinearSVC on tables of few columns, as each comes: hinge and squared hinge."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from experiments.bench.bench import Bench
from experiments.bench.goals import NARROW
from wpsgd import WPSGDClassifier

TASK, ALPHA = "narrow", 1e-4
TABLES = ((20_000, 10), (300_000, 5))  # rows, columns
LABELS = {
    "signal": 0.3,
    "noise": None,
}  # the noise of a score whose sign is the label; None: labels are random
OURS, PEER = "WPSGDClassifier", "LinearSVC"


def run(bench: Bench) -> None:
    """Each table with labels to be learnt and with random ones."""
    for rows, columns in TABLES:
        count = rows if bench.scale == "full" else rows // 50
        for kind in LABELS:
            X, y = table(count, columns, kind)
            for loss in ("hinge", "squared_hinge"):
                _timed(bench, f"{rows:,} x {columns}, {kind}", loss, X, y)


def table(rows: int, columns: int, kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Dense rows in [0, 1), and labels 0 and 1."""
    rng = np.random.default_rng(0)
    X, noise = rng.random((rows, columns)), LABELS[kind]
    if noise is None:
        return X, rng.integers(0, 2, rows)
    return X, (X[:, 0] - 0.5 + noise * rng.normal(size=rows) > 0).astype(int)


def models(loss: str, rows: int) -> dict[str, Any]:
    """Both with their defaults at the same strength; LinearSVC solves for what are fewer, rows or columns."""
    dual = {"dual": loss == "hinge"}
    return {
        OURS: WPSGDClassifier(loss, alpha=ALPHA, random_state=0),
        PEER: LinearSVC(loss=loss, C=1.0 / (ALPHA * rows), random_state=0, **dual),
    }


def objective(model: Any, loss: str, X: NDArray[Any], y: NDArray[Any]) -> float:
    """F, with the intercept's square in the regulariser, as both have it."""
    short = np.maximum(1.0 - (2 * y - 1) * model.decision_function(X), 0.0)
    square = float((model.coef_**2).sum() + (model.intercept_**2).sum())
    return float(np.mean(short if loss == "hinge" else short**2)) + 0.5 * ALPHA * square


def _timed(bench: Bench, data: str, loss: str, X: NDArray[Any], y: NDArray[Any]) -> None:
    def fitted(model: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(X, y)

    def judged(model: Any) -> dict[str, Any]:
        return {"value": objective(model, loss, X, y), "unit": "objective"}

    cases: dict[str, Callable[[], Any]] = {
        name: partial(fitted, model) for name, model in models(loss, len(y)).items()
    }
    case = f"{loss}, alpha {ALPHA:g}, defaults"
    times = bench.time(TASK, data, case, cases, judges=dict.fromkeys(cases, judged))
    bench.faster(TASK, f"{PEER} / {OURS}, {data}, {loss}", (times[PEER], times[OURS]), NARROW)
