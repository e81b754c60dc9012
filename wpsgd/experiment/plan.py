"""What a run would do: rows of each rank, memory, bytes a round. For --dry-run."""

from __future__ import annotations

import json
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from rich.table import Table

from wpsgd.config import Settings
from wpsgd.data.load import Dataset
from wpsgd.experiment.extent import extent_of
from wpsgd.experiment.memory import predicted
from wpsgd.experiment.printing import wide_console
from wpsgd.experiment.study import shards_of
from wpsgd.runtimes.job import Runtime


def make(settings: Settings, dataset: Dataset, runtime: Runtime) -> dict[str, Any]:
    """The plan of a config. Bytes are those of one process at its peak, be it of one rank or of all."""
    train, model, ranks = dataset.train, settings.model, runtime.ranks
    features = train.features + (model.intercept == "unregularised")
    vector = features * np.dtype(model.dtype).itemsize
    strategies = []
    for strategy in settings.strategies:
        sizes = [len(shard) for shard in shards_of(strategy, dataset, ranks, settings)]
        strategy.program(sizes, settings, ranks, settings.machine.speeds)  # raises what a run would raise
        rows = strategy.rows_of_sum(sizes, settings.machine.speeds)
        entries = ceil(train.nonzeros / max(1, len(train)) * rows)
        sent, pairs = strategy.reduction(vector, train.features, entries, ranks)
        if model.learning_rate == "adagrad" or strategy.inside.stale_decay:
            sent, pairs = (
                (vector, False) if pairs else (sent, False)
            )  # no pairs of these (strategies/wire.py)
        alone = predicted(replace(settings, strategies=(strategy,)), extent_of(dataset), runtime)
        strategies.append(
            {
                "name": strategy.label,
                "rounds": strategy.rounds,
                "rows_per_rank": sizes,
                "memory_shared": alone.shared,
                "memory_per_rank": max(alone.per_rank),
                "memory_total": alone.total,
                "bytes_per_reduction": sent,
                "reduced_by_pairs": pairs,
            }
        )
    shape = {"rows": len(train), "features": train.features, "nonzeros": train.nonzeros}
    memory = predicted(settings, extent_of(dataset), runtime).as_json()
    return {
        "data": {"name": dataset.name, **shape},
        "ranks": ranks,
        "memory": memory,
        "strategies": strategies,
    }


def show(settings: Settings, dataset: Dataset, runtime: Runtime, *, as_json: bool) -> None:
    """Prints the plan."""
    content, ranks = make(settings, dataset, runtime), runtime.ranks
    if as_json:
        print(json.dumps(content))
        return
    shape = content["data"]
    table = Table(box=None, pad_edge=False)
    names = ("memory a rank", "shared", "in all", "bytes a reduction")
    columns = ("strategy", "rounds", "rows of each rank", *names)
    for column in columns:
        table.add_column(column, justify="left" if column == "strategy" else "right")
    for strategy in content["strategies"]:
        rows = " ".join(f"{size:,}" for size in strategy["rows_per_rank"])
        memory = f"{strategy['memory_per_rank'] / 2**20:,.0f} MiB"
        shared = f"{strategy['memory_shared'] / 2**20:,.0f} MiB"
        total = f"{strategy['memory_total'] / 2**20:,.0f} MiB"
        most = "at most " if strategy["reduced_by_pairs"] else ""
        reduction = f"{most}{strategy['bytes_per_reduction']:,}"
        table.add_row(strategy["name"], f"{strategy['rounds']}", rows, memory, shared, total, reduction)
    console = wide_console()
    counts = f"{shape['rows']:,} rows, {shape['features']:,} features, {shape['nonzeros']:,} non-zeros"
    console.print(f"{shape['name']}: {counts}; {ranks} ranks", highlight=False, markup=False, soft_wrap=True)
    console.print(table)
