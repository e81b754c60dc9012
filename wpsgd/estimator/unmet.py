"""What a fit says that ended before its tolerance was met."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from wpsgd.estimator.joining import several
from wpsgd.estimator.solved import Solved


def unmet_by(runtime: Any, solved: list[Solved]) -> str:
    """Why, or an empty string, the same on all ranks.

    Only the first sees looks, and any may have stopped all because its time was up.
    """
    mine = next((one.unmet for one in solved if one.unmet), "")
    said = runtime.gathered(lambda: mine) if several(runtime) else [mine]
    return "max_seconds" if "max_seconds" in said else str(said[0])


def warn(estimator: Any, solver: str, unmet: str, length: str = "") -> None:
    """Warns with what to do, if there is anything unmet. length: what is said of it (shortening.py)"""
    tolerance = _said_of_tolerance(estimator, solver, unmet) if unmet else ""
    instead = ["raise tol" if unmet == "rounding" else f"raise {unmet} or tol"] if unmet else []
    instead += ["raise max_iter or alpha"] if length else []
    instead += ["or scale the features (StandardScaler, MaxAbsScaler, Normalizer)"]
    if told := "; ".join(filter(None, (tolerance, length))):
        warnings.warn(f"{told}: {', '.join(instead)}", ConvergenceWarning, stacklevel=6)


def _said_of_tolerance(estimator: Any, solver: str, unmet: str) -> str:
    met = "the improvement of the objective" if solver == "sgd" else "the duality gap"
    if solver == "sgd" and estimator.early_stopping:
        met = "the improvement of the accuracy on validation rows"
    unit = "Newton steps" if solver == "newton" else "passes"
    spent = {
        "max_seconds": f"{estimator.max_seconds} s",
        "max_iter": f"max_iter={estimator.max_iter} {unit}",
        "rounding": f"as many {unit} as rounding lets gain anything",
    }[unmet]
    return f"stopped after {spent} before {met} had come down to tol={estimator.tol}"
