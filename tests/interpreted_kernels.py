"""Prints models of many kinds; tests compare those of compiled kernels with those that Python runs."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from late_kernels import CASES

from wpsgd import WPSGDClassifier
from wpsgd.config.reading import settings_of
from wpsgd.data.synthetic import problem
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Learner
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.simulated import Simulated
from wpsgd.sample import Sample

ROWS, FEATURES = 24, 20
SGD = {"solver": "sgd", "max_iter": 2, "tol": None, "random_state": 0}
ESTIMATORS: list[dict[str, Any]] = [
    {"random_state": 0},
    {"solver": "dual", "loss": "squared_hinge", "random_state": 0},
    SGD,
    *(
        {**SGD, "loss": loss, "learning_rate": "invscaling", "eta0": 0.05}
        for loss in ("squared_hinge", "log_loss", "modified_huber")
    ),
    {**SGD, "learning_rate": "adagrad", "eta0": 0.1, "fit_intercept": False},
    {**SGD, "strategy": {"name": "delay", "delay": 2}},
    {**SGD, "n_workers": 2, "early_stopping": True},
]


def repeats(entry: dict[str, Any]) -> bool:
    """Whether a strategy's model is the same in each run: threads that share weights race."""
    return entry.get("threads", 1) == 1 or entry["name"] in ("minibatch", "cocoa")


def of_strategy(entry: dict[str, Any], dtype: str) -> list[float]:
    """The model of two nodes, one twice as fast as the other."""
    rows = problem(ROWS, FEATURES, 4.0, noise=0.05, seed=3, dtype=np.dtype(dtype)).rows
    model = {"alpha": 1e-2, "learning_rate": "constant", "eta0": 0.5}
    tables = {"data": {"source": "x"}, "model": model, "strategy": [{"rounds": 2, "period": 20, **entry}]}
    settings = settings_of(tables, "tests")
    strategy, objective = settings.strategies[0], settings.objective()
    shards = strategy.shards(len(rows), 2, settings)

    def learner(rank: int) -> Learner:
        held, order = rows.take(shards[rank]), {"seed": 0, "rank": rank}
        if strategy.ascends_shards:
            return ShardDual(held, objective, **order, block=8, threads=strategy.inside.threads)
        return make_learner(held, objective, strategy.inside, **order, block=8, kind=strategy.learner)

    program = strategy.program([len(shard) for shard in shards], settings, 2)
    sample = Sample(rows, settings.model.loss, settings.model.alpha) if strategy.judges_models else None
    runtime = Simulated(Cluster((RowCost(1e-6), RowCost(2e-6))), 64)
    return [*map(float, runtime.run(Job(program, learner, sample=sample)).model)]


def of_estimator(keys: dict[str, Any], dtype: str, classes: int) -> list[float]:
    """The weights of a fit to text, which kernels read, of as many models as there are classes."""
    rng = np.random.default_rng(classes)
    table, numbers = rng.normal(size=(ROWS, 4)).astype(dtype), np.arange(ROWS) % classes
    lines = [
        f"{number} " + " ".join(f"{place + 1}:{value!r}" for place, value in enumerate(row.tolist()))
        for number, row in zip(numbers, table + numbers[:, None] / 2, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.svm"
        path.write_text("\n".join(lines) + "\n")
        model = WPSGDClassifier(**keys).fit(path)
    if keys.get("solver") == "sgd" and "strategy" not in keys and not keys.get("early_stopping"):
        model.partial_fit(table, numbers)
    return [*map(float, model.coef_.ravel()), *map(float, model.intercept_)]


def models(dtype: str) -> dict[str, list[float]]:
    """Their weights, by what they are models of."""
    found = {}
    for entry in CASES:
        weights = of_strategy(entry, dtype)
        if repeats(entry):
            found[str(entry)] = weights
    for keys in ESTIMATORS:
        found |= {f"{keys}, {n} classes": of_estimator(keys, dtype, n) for n in (2, 3)}
    return found


if __name__ == "__main__":
    json.dump(models(sys.argv[1]), sys.stdout)
