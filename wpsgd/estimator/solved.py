"""What training one two-class problem gives, whoever trained it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.trace import Event


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """One two-class model.

    weights: float of shape (columns,), that of a constant column last; epochs: rows visited over rows
    unmet: why it ended before its tolerance was met, else an empty string
    learner: where SGD can go on from (see SGDLearner.state); dual: alpha, float64 of shape (rows,)
    """

    weights: FloatArray
    epochs: float
    trace: list[Event]
    unmet: str = ""
    learner: Mapping[str, Any] = field(default_factory=dict)
    dual: NDArray[np.float64] | None = None
