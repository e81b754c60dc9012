"""Prints which kernels strategies compile after their learners were warmed up, in a process of its own."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

import support

import wpsgd.kernels
from wpsgd.config.reading import settings_of
from wpsgd.data.rows import Rows
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Learner
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.requests import Node, State
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.simulated import Simulated
from wpsgd.sample import Sample

# the plain ones last: what they need the others have compiled
CASES: list[dict[str, Any]] = [
    {"name": "minibatch", "threads": 2},
    {"name": "minibatch", "wire": "sparse"},
    {"name": "wp", "contraction": "validated", "line_search": True},
    {"name": "wp", "wire": "sparse", "rule": "asum"},
    {"name": "wp", "rule": "tail"},
    {"name": "wp", "rule": "diagonal"},
    {"name": "hybrid", "rule": "tail"},
    {"name": "wp", "rule": "tail", "threads": 2},
    {"name": "hybrid", "rule": "diagonal", "stale_decay": True},
    {"name": "wp", "rule": "diagonal", "threads": 2},
    {"name": "hybrid"},
    {"name": "hybrid", "stale_decay": True},
    {"name": "hybrid", "threads": 2},
    {"name": "admm"},
    {"name": "cocoa", "threads": 2},
    {"name": "cocoa"},
]


def compiled() -> set[str]:
    """Every kernel with every combination of types."""
    modules = [
        importlib.import_module(f"wpsgd.kernels.{found.name}")
        for found in pkgutil.iter_modules(wpsgd.kernels.__path__)
    ]
    kernels = [
        (name, k) for module in modules for name, k in vars(module).items() if hasattr(k, "signatures")
    ]
    return {f"{name}{signature}" for name, kernel in kernels for signature in kernel.signatures}


def late(entry: dict[str, Any], rows: Rows) -> list[str]:
    """What is compiled while a strategy runs."""
    model = {"alpha": 1e-2, "learning_rate": "constant", "eta0": 0.5}
    tables = {"data": {"source": "x"}, "model": model, "strategy": [{"rounds": 2, "period": 70, **entry}]}
    settings = settings_of(tables, "tests")
    strategy, objective = settings.strategies[0], settings.objective()
    shards = strategy.shards(len(rows), 2, settings)

    def learner(rank: int) -> Learner:
        held, order = rows.take(shards[rank]), {"seed": 0, "rank": rank}
        if strategy.ascends_shards:
            return ShardDual(held, objective, **order, block=8, threads=strategy.inside.threads)
        return make_learner(held, objective, strategy.inside, **order, block=8, kind=strategy.learner)

    program, warm = strategy.program([len(shard) for shard in shards], settings, 2), set[str]()

    async def observed(node: Node, state: State) -> State:
        warm.update(compiled())
        return await program(node, state)

    sample = Sample(rows, settings.model.loss, settings.model.alpha) if strategy.judges_models else None
    Simulated(Cluster((RowCost(1e-6),) * 2), 64).run(Job(observed, learner, sample=sample))
    return sorted(compiled() - warm)


if __name__ == "__main__":
    print(json.dumps({str(entry): late(entry, support.rows()) for entry in CASES}))
