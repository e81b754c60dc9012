"""Time of an epoch of SGD, against SGDClassifier: whole calls, each told to do the same epochs from zero.

SGDClassifier gets the rows as they are, ours as they lie in a store, columns by popularity; what that alone
is worth is measured too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench.bench import Bench
from experiments.bench.data import TWINS, Data, twin
from experiments.bench.goals import EPOCH_DEFAULT, EPOCH_SAME_ORDER, Goal
from experiments.bench.objective import hinge_objective
from experiments.bench.peers import sgd_classifier
from experiments.bench.timing import pinned
from wpsgd.data.rows import Rows
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import BLOCK, Objective

TASK = "epochs"
ALPHA = 1e-5
EPOCHS = 3
OURS, PLAIN = "ours", "ours, columns as they are"


def run(bench: Bench) -> None:
    """Default order and file order, both precisions, both twins."""
    with pinned():
        for name in TWINS:
            data = twin(bench, name)
            for dtype in ("float64", "float32"):
                _compared(bench, data, dtype, True, EPOCH_DEFAULT[name])
                _compared(bench, data, dtype, False, EPOCH_SAME_ORDER[name])


def trained(rows: Rows, shuffle: bool, epochs: int = EPOCHS) -> NDArray[Any]:
    """Our weights after the epochs, with SGDClassifier's default step sizes."""
    objective = Objective("hinge", StepSize("optimal", ALPHA))
    learner = make_learner(rows, objective, seed=0, rank=0, shuffle=shuffle, block=BLOCK)
    learner.advance(epochs * len(rows))
    return learner.contribution()


def _compared(bench: Bench, data: Data, dtype: str, shuffle: bool, goal: Goal) -> None:
    case = f"{'default order' if shuffle else 'file order'}, {dtype}"
    stored, columns = data.stored
    cases = {
        OURS: partial(trained, stored.astype(dtype), shuffle),
        PLAIN: partial(trained, data.rows.astype(dtype), shuffle),
        "SGDClassifier": partial(sgd_classifier, data, ALPHA, EPOCHS, dtype=dtype, shuffle=shuffle),
    }
    about = {name: {"setting": f"{EPOCHS} epochs"} for name in cases}
    # in one row order, equal objectives show equal work
    judges = {name: partial(_value, data, None) for name in cases} | {OURS: partial(_value, data, columns)}
    times = bench.time(TASK, data.name, case, cases, parts=EPOCHS, about=about, judges=judges)
    name = f"SGD epoch against SGDClassifier, {data.name}, {case}"
    bench.faster(TASK, name, (times["SGDClassifier"], times[OURS]), goal)
    bench.faster(TASK, f"{name}, columns as they are", (times["SGDClassifier"], times[PLAIN]))


def _value(data: Data, columns: NDArray[Any] | None, weights: NDArray[Any]) -> dict[str, Any]:
    if columns is not None:
        own = np.empty_like(weights)
        own[columns] = weights
        weights = own
    value = hinge_objective(data.matrix, data.rows.labels, ALPHA, weights)
    return {"value": value, "unit": "objective"}
