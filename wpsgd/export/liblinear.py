"""LIBLINEAR's text model (its README, "Model file format"; save_model and load_model of its linear.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import DataError
from wpsgd.export.model import Model, plain

NAMES: Mapping[str, str] = {
    "hinge": "L2R_L1LOSS_SVC_DUAL",
    "squared_hinge": "L2R_L2LOSS_SVC_DUAL",
    "log_loss": "L2R_LR",
    "modified_huber": "L2R_L2LOSS_SVC",  # LIBLINEAR has no such loss; a model predicts by its weights alone
}
INT32 = np.iinfo(np.int32)
SCALED = (
    "LIBLINEAR does not scale rows: scale them to unit length before it predicts, as the model was trained on"
)


def liblinear_text(model: Model, has_bias: bool) -> bytes:
    """The text model. Raises DataError for labels that LIBLINEAR cannot read, which are 32-bit integers."""
    labels = integers(model.outcomes)
    weights = model.coef.T
    if has_bias:
        weights = np.vstack([weights, model.intercepts])
    head = [
        f"solver_type {NAMES[model.loss]}",
        f"nr_class {len(labels)}",
        # of two classes the first is the one that positive decision values stand for
        f"label {' '.join(map(str, labels[::-1] if model.two else labels))}",
        f"nr_feature {model.features}",
        f"bias {1 if has_bias else -1}",
        "w",
    ]
    # the space at a line's end is LIBLINEAR's own
    rows = ["".join(f"{value:.17g} " for value in row) for row in weights.tolist()]
    return ("\n".join([*head, *rows]) + "\n").encode()


def integers(labels: NDArray[Any]) -> list[int]:
    """Labels as integers of 32 bits. Raises DataError with the first that is something else."""
    return [_integer(label) for label in labels]


def _integer(label: Any) -> int:
    try:
        number = int(label)
        whole = not isinstance(label, str) and bool(np.asarray(label == number).all())
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise DataError(
            f"class {plain(label)}: LIBLINEAR's models have integer labels: encode the classes first"
        )
    if not INT32.min <= number <= INT32.max:
        raise DataError(
            f"class {number}: LIBLINEAR reads labels as 32-bit integers and would take it for another:"
            " encode the classes first"
        )
    return number
