"""The memory of a run, predicted before it starts.

Each term names what takes it. What comes and goes counts where it is largest: while data are read, while a
node trains, when the first process scores the final model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np

from wpsgd.config import Settings, StrategySettings
from wpsgd.config.strategies import AveragingSettings
from wpsgd.data.shards import AT_RANDOM
from wpsgd.errors import DataError
from wpsgd.experiment.extent import Extent
from wpsgd.experiment.resident import limit_bytes
from wpsgd.runtimes.job import OneProcess, Runtime

MIB, GIB = 1 << 20, 1 << 30
PROCESS = 140 * MIB  # of an interpreter with the libraries loaded and the kernels compiled
LIBRARIES = 130 * MIB  # files of the libraries, mapped by all processes
EXCHANGED = 1 << 17  # elements of a vector that a reduction exchanges at a time, see runtimes/mpi
SAMPLE = 10_000  # rows that are dealt out to see how shards compare in size
# bytes a row: a permutation and what makes it; margins, losses, weights and products of a score; the same
# along a line; an area under a curve; the dual variable and what is known of its row; the same with margins
ORDER, SCORE, SEARCH, CURVE, DUAL, SHARD_DUAL = 17, 33, 36, 90, 45, 77
MOVING = 0.3  # of the rows in the dual solver's first working set, roughly: less than 0.1 to 0.9 were seen
COMBINATIONS = 11  # that a look scores where it asks what other rules would have given
ASKED = 7  # vectors: averages and squares of a node under virtual clocks, and to combine models by them
CONVERTED = "convert it once (wpsgd data convert) and train on the folder, which is mapped and shared"
SMALLER = 'fewer ranks on a host or [model] dtype = "float32" need less'


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes at the peak. per_rank: private to each process; shared: of mapped files, once for each host;

    total: of this host
    """

    per_rank: tuple[int, ...]
    shared: int
    total: int

    def told(self) -> str:
        """In a few words."""
        most, count = max(self.per_rank), len(self.per_rank)
        ranks = f"{count} processes of up to {most / GIB:.1f} GiB" if count > 1 else "one process"
        return f"some {self.total / GIB:.1f} GiB ({ranks}, {self.shared / GIB:.1f} GiB of files shared)"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def predict(settings: Settings, extent: Extent, ranks: int, processes: int | None) -> Prediction:
    """The peak of a study. processes: of this host, one for each rank; None: one runs all, on threads."""
    parts = [
        strategy_bytes(settings, strategy, extent, ranks, processes is None)
        for strategy in settings.strategies
    ]
    # row numbers of all shards, and while they are dealt a permutation; the learners come after that
    base, dealt = PROCESS + extent.loaded, 8 * extent.train
    if processes is None:
        parts = [[sum(nodes) + _vector(settings, extent)] for nodes in parts]
    reading = extent.loading - extent.loaded
    peaks = [max(dealt + max(dealt, *nodes), reading) for nodes in zip(*parts, strict=True)]
    peaks[0] = max(peaks[0], final_bytes(settings, extent))
    private = tuple(base + peak for peak in peaks)
    shared = LIBRARIES + extent.mapped
    return Prediction(private, shared, shared + sum(sorted(private)[-(processes or 1) :]))


def strategy_bytes(
    settings: Settings, strategy: StrategySettings, extent: Extent, ranks: int, together: bool
) -> list[int]:
    """Of each rank's learner, scorer and reductions, beside the data. together: all ranks in one process"""
    sample = min(extent.train, SAMPLE)
    dealt = [len(shard) for shard in strategy.shards(sample, ranks, settings)]
    shards = [ceil(extent.train * size / max(1, sample)) for size in dealt]
    vector, size = _vector(settings, extent), np.dtype(settings.model.dtype).itemsize
    scored = SCORE * -(-extent.train // ranks)
    reduced = min(vector, EXCHANGED * size) if ranks > 1 else 0
    if settings.report.counterfactual and isinstance(strategy, AveragingSettings):
        # margins of all models and of what all rules make of them; x0 and copies of three models
        scored += 8 * (ranks + 2 + COMBINATIONS) * -(-extent.rows // ranks) + 4 * vector
        scored += together * ASKED * 8 * (extent.features + 1)
    extra = strategy.extra_bytes(extent.features, size) + _learner_bytes(settings, extent)
    ascent = SHARD_DUAL if strategy.ascends_shards else 0
    entries = ceil(extent.nonzeros / max(1, extent.rows) * strategy.rows_of_sum(shards))
    extra += strategy.wire_bytes(vector, extent.features, entries, ranks)
    return [
        2 * vector + extra + row_bytes(settings, extent, rows, ranks) + ascent * rows + max(scored, reduced)
        for rows in shards
    ]


def row_bytes(settings: Settings, extent: Extent, rows: int, ranks: int) -> int:
    """Of what a node holds for each row of its shard: a copy where it holds one, orders, dual variables."""
    model, size = settings.model, np.dtype(settings.model.dtype).itemsize
    entries = ceil(extent.nonzeros * rows / max(1, extent.rows)) * (4 + size)
    copies = entries + rows * (8 + size) if _copies(settings, extent, ranks) else 0
    if model.solver == "dual":  # the rows that move are copied one behind another
        return copies + round(MOVING * entries) + DUAL * rows
    return copies + ORDER * rows


def final_bytes(settings: Settings, extent: Extent) -> int:
    """Of scoring the final model on all rows, by the first process."""
    vector = _vector(settings, extent)
    return vector + max(SEARCH * extent.train + vector, CURVE * extent.test)


def _learner_bytes(settings: Settings, extent: Extent) -> int:
    """AdaGrad's accumulators, the steps at which they are current, and a copy to settle."""
    adagrad = settings.model.solver == "sgd" and settings.model.learning_rate == "adagrad"
    return 24 * extent.features if adagrad else 0


def _copies(settings: Settings, extent: Extent, ranks: int) -> bool:
    """Whether a shard is a copy of its rows, see Study."""
    if extent.mapped:
        return settings.data.sharding in ("contiguous", "label_skew") and ranks > 1
    permuted = settings.model.shuffle and settings.model.block > 1
    return permuted or (ranks > 1 and settings.data.sharding in AT_RANDOM)


def _vector(settings: Settings, extent: Extent) -> int:
    return (extent.features + 1) * np.dtype(settings.model.dtype).itemsize


def predicted(settings: Settings, extent: Extent, runtime: Runtime) -> Prediction:
    """The peak of a study on a runtime."""
    return predict(
        settings, extent, runtime.ranks, None if isinstance(runtime, OneProcess) else runtime.processes
    )


def check_fits(source: str, prediction: Prediction, *, mapped: bool, features: int = 0) -> str:
    """A note where mapped files will not stay in memory, else an empty string.

    features: columns, each of which takes a weight
    Raises DataError, in one line, where what is private to this host's processes is more than it may have.
    """
    limit = limit_bytes()
    needed = f"{source}: {prediction.told()} would be needed, this host has {limit / GIB:.1f} GiB"
    if prediction.total - prediction.shared > limit:
        if 8 * features > limit // 4:
            wide = f"it has {features:,} columns, each with a weight: is the largest index meant?"
            raise DataError(f"{needed}: {wide}")
        raise DataError(f"{needed}: {SMALLER if mapped else CONVERTED}")
    return f"{needed}: the folder is read from disk again and again" if prediction.total > limit else ""
